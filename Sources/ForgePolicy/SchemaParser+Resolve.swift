/// Names → meanings: a name is looked for in its own namespace, then without one, then among the built-in types; in each
/// place as a common type first, as an entity type second.
extension SchemaParser {
    func resolve() throws(SyntaxError) -> Schema {
        var schema = Schema()
        for (name, entity) in entities {
            var groups: Set<ExactText> = []
            for group in entity.groups { groups.insert(try entityType(group.name, group.place, in: entity.namespace)) }
            schema.entityTypes[name] = Schema.EntityType(
                shape: try record(entity.shape, in: entity.namespace), tags: try entity.tags.map { type throws(SyntaxError) in try meaning(type, in: entity.namespace) },
                memberOf: groups, ids: entity.ids.map { Set($0) })
        }
        for (uid, action) in actions {
            var parents: Set<EntityUID> = []
            for group in action.groups { parents.insert(actionGroup(group, in: action.namespace)) }
            var principals: Set<ExactText> = []
            for name in action.principals { principals.insert(try entityType(name.name, name.place, in: action.namespace)) }
            var resources: Set<ExactText> = []
            for name in action.resources { resources.insert(try entityType(name.name, name.place, in: action.namespace)) }
            schema.actions[uid] = Schema.Action(
                parents: parents, principals: principals, resources: resources, context: try record(action.context, in: action.namespace))
        }
        for (uid, action) in schema.actions {
            for parent in action.parents where schema.actions[parent] == nil {
                throw parser.fail("action `\(uid)` is in `\(parent)`, which is not declared")
            }
        }
        return schema
    }

    private func actionGroup(_ group: (type: ExactText?, id: ExactText), in namespace: String) -> EntityUID {
        guard let type = group.type else { return EntityUID(Self.qualified(namespace, "Action"), group.id) }
        let own = EntityUID(Self.qualified(namespace, type.text), group.id)
        return actions[own] != nil ? own : EntityUID(type, group.id)
    }

    private func entityType(_ name: ExactText, _ place: Token, in namespace: String) throws(SyntaxError) -> ExactText {
        for candidate in candidates(name, in: namespace) where entities[candidate] != nil { return candidate }
        throw parser.fail("entity type `\(name)` is not declared", at: place)
    }

    private func candidates(_ name: ExactText, in namespace: String) -> [ExactText] {
        namespace.isEmpty ? [name] : [Self.qualified(namespace, name.text), name]
    }

    private func record(_ type: TypeText?, in namespace: String) throws(SyntaxError) -> Schema.RecordType {
        guard let type else { return Schema.RecordType() }
        guard case .record(let record) = try meaning(type, in: namespace) else { throw parser.fail("attributes and contexts are records") }
        return record
    }

    private func meaning(_ type: TypeText, in namespace: String, through path: [ExactText] = []) throws(SyntaxError) -> Schema.ValueType {
        switch type {
        case .set(let element): return .set(try meaning(element, in: namespace, through: path))
        case .record(let attributes):
            var out: [ExactText: Schema.RecordType.Attribute] = [:]
            for attribute in attributes {
                out[attribute.name] = .init(type: try meaning(attribute.type, in: namespace, through: path), isRequired: attribute.isRequired)
            }
            return .record(.init(out))
        case .name(let name, let place):
            guard !path.contains(name) || path.count < 64 else { throw parser.fail("type `\(name)` is defined by itself", at: place) }
            if !name.text.hasPrefix("__cedar::") {
                for candidate in candidates(name, in: namespace) {
                    if let common = types[candidate] {
                        guard !path.contains(candidate) else { throw parser.fail("type `\(candidate)` is defined by itself", at: place) }
                        return try meaning(common.type, in: common.namespace, through: path + [candidate])
                    }
                    if entities[candidate] != nil { return .entity(candidate) }
                }
            }
            let bare = name.text.hasPrefix("__cedar::") ? String(name.text.dropFirst("__cedar::".count)) : name.text
            guard let builtIn = Self.builtIn[bare] else { throw parser.fail("type `\(name)` is not declared", at: place) }
            return builtIn
        }
    }

    private static let builtIn: [String: Schema.ValueType] = [
        "Bool": .bool, "Long": .long, "String": .string, "ipaddr": .ipaddr, "decimal": .decimal, "datetime": .datetime, "duration": .duration,
    ]
}
