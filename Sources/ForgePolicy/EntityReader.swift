package import ForgeCore

/// Entities and requests in the reference implementation's JSON → values.
///
/// With a schema, types direct the reading (a string where `ipaddr` is declared is an address, `{"type","id"}` where an
/// entity is declared is one), and what does not conform is refused. Without one, only the explicit forms are known:
/// `{"__entity": {"type","id"}}` and `{"__extn": {"fn","arg"}}`.
package struct EntityReader: Sendable {
    package let schema: Schema?

    package init(schema: Schema?) { self.schema = schema }

    /// A store of these entities, and of the schema's actions.
    package func store(_ json: JSON) throws(EntityError) -> EntityStore {
        try EntityStore(schema?.actionEntities ?? []).adding(try entities(json))
    }

    /// - Parameter json: `[{"uid", "attrs", "parents", "tags"?}, …]`.
    package func entities(_ json: JSON) throws(EntityError) -> [Entity] {
        guard let items = json.array else { throw EntityError("entities are a list") }
        var out: [Entity] = []
        for item in items {
            guard let uidJSON = item["uid"] else { throw EntityError("an entity has no `uid`") }
            let uid = try uid(uidJSON, "`uid`")
            var parents: Set<EntityUID> = []
            for parent in item["parents"]?.array ?? [] { parents.insert(try self.uid(parent, "a parent of `\(uid)`")) }
            out.append(try entity(uid, attributes: item["attrs"] ?? .object(.init()), tags: item["tags"], parents: parents))
        }
        return out
    }

    package func entity(_ uid: EntityUID, attributes: JSON, tags: JSON? = nil, parents: Set<EntityUID> = []) throws(EntityError) -> Entity {
        let place = "`\(uid)`"
        guard let schema, !isAction(uid) else {
            return Entity(uid, attributes: try record(attributes, nil, place), tags: try record(tags ?? .object(.init()), nil, place), parents: parents)
        }
        guard let type = schema.entityTypes[uid.type] else { throw EntityError("entity type `\(uid.type)` is not in the schema") }
        if let ids = type.ids, !ids.contains(uid.id) { throw EntityError("\(place) is not one of the ids its type lists") }
        for parent in parents where !type.memberOf.contains(parent.type) { throw EntityError("\(place) cannot be a member of `\(parent)`") }
        var tagValues: [ExactText: Value] = [:]
        if let tags {
            guard let object = tags.object else { throw EntityError("the tags of \(place) are a record") }
            guard object.isEmpty || type.tags != nil else { throw EntityError("\(place) has tags its type does not declare") }
            for (name, value) in object.members { tagValues[ExactText(name)] = try self.value(value, type.tags, "tag `\(name)` of \(place)") }
        }
        return Entity(uid, attributes: try record(attributes, type.shape, place), tags: tagValues, parents: parents)
    }

    /// A request whose principal, action and resource are `{"type","id"}` or texts such as `User::"alice"`.
    package func request(_ json: JSON) throws(EntityError) -> PolicyRequest {
        func part(_ key: String) throws(EntityError) -> EntityUID {
            guard let value = json[key] else { throw EntityError("the request has no `\(key)`") }
            return try uid(value, "`\(key)`")
        }
        let action = try part("action")
        return PolicyRequest(
            principal: try part("principal"), action: action, resource: try part("resource"),
            context: try context(json["context"] ?? .object(.init()), for: action))
    }

    package func context(_ json: JSON, for action: EntityUID) throws(EntityError) -> [ExactText: Value] {
        try record(json, schema?.actions[action]?.context, "the context")
    }

    /// Whether the schema lets this action be asked of these: upstream's request validation.
    package func validate(_ request: PolicyRequest) throws(EntityError) {
        guard let schema else { return }
        guard let action = schema.actions[request.action] else { throw EntityError("`\(request.action)` is not an action of the schema") }
        guard action.principals.contains(request.principal.type) else {
            throw EntityError("`\(request.action.id)` is not for a principal of type `\(request.principal.type)`")
        }
        guard action.resources.contains(request.resource.type) else {
            throw EntityError("`\(request.action.id)` is not for a resource of type `\(request.resource.type)`")
        }
    }

    package func uid(_ json: JSON, _ place: String) throws(EntityError) -> EntityUID {
        if let text = json.string {
            guard let uid = EntityUID(parsing: text) else { throw EntityError("\(place) is not an entity: `\(text)`") }
            return uid
        }
        let inner = json["__entity"] ?? json
        guard let object = inner.object, object.count == 2, let type = object["type"]?.string, let id = object["id"]?.string else {
            throw EntityError("\(place) is not an entity")
        }
        return EntityUID(ExactText(type), ExactText(id))
    }

    private func isAction(_ uid: EntityUID) -> Bool { uid.type.text == "Action" || uid.type.text.hasSuffix("::Action") }

    private func record(_ json: JSON, _ type: Schema.RecordType?, _ place: String) throws(EntityError) -> [ExactText: Value] {
        guard let object = json.object else { throw EntityError("\(place) is not a record") }
        var out: [ExactText: Value] = [:]
        for (key, value) in object.members {
            let name = ExactText(key)
            var expected: Schema.ValueType?
            if let type {
                guard let attribute = type.attributes[name] else { throw EntityError("\(place) has an attribute `\(key)` that is not declared") }
                expected = attribute.type
            }
            out[name] = try self.value(value, expected, "`\(key)` of \(place)")
        }
        if let type {
            for (name, attribute) in type.attributes where attribute.isRequired && out[name] == nil { throw EntityError("\(place) lacks the attribute `\(name)`") }
        }
        return out
    }

    private func value(_ json: JSON, _ expected: Schema.ValueType?, _ place: String) throws(EntityError) -> Value {
        func mismatch() -> EntityError { EntityError("\(place) is not \(expected?.name ?? "a value")") }
        switch (json, expected) {
        case (.bool(let flag), nil), (.bool(let flag), .bool): return .bool(flag)
        case (.int(let number), nil), (.int(let number), .long): return .long(number)
        case (.string(let text), nil), (.string(let text), .string): return .string(ExactText(text))
        case (.array(let items), nil):
            var out: Set<Value> = []
            for item in items { out.insert(try value(item, nil, place)) }
            return .set(out)
        case (.array(let items), .set(let element)):
            var out: Set<Value> = []
            for item in items { out.insert(try value(item, element, place)) }
            return .set(out)
        case (.object(let object), nil):
            if object.count == 1, object["__entity"] != nil { return .entity(try uid(json, place)) }
            if object.count == 1, let call = object["__extn"] { return try extensionValue(call, nil, place) }
            if object["__expr"] != nil { throw EntityError("\(place) uses `__expr`, which is not supported") }
            return .record(try record(json, nil, place))
        case (.object, .record(let type)): return .record(try record(json, type, place))
        case (_, .entity(let type)):
            let uid = try uid(json, place)
            guard uid.type == type else { throw mismatch() }
            return .entity(uid)
        case (_, .ipaddr), (_, .decimal), (_, .datetime), (_, .duration): return try extensionValue(json["__extn"] ?? json, expected, place)
        default: throw mismatch()
        }
    }

    /// `{"fn","arg"}` or `{"fn","args"}`, or the bare argument where the type is known.
    private func extensionValue(_ json: JSON, _ expected: Schema.ValueType?, _ place: String) throws(EntityError) -> Value {
        let function: ExtensionFunction
        var arguments: [Value] = []
        if let text = json.string {
            switch expected {
            case .ipaddr: function = .ip
            case .decimal: function = .decimal
            case .datetime: function = .datetime
            default: function = .duration
            }
            arguments = [.string(ExactText(text))]
        } else {
            guard let name = json["fn"]?.string, let known = ExtensionFunction(rawValue: name) else {
                throw EntityError("\(place): an extension value names its function in `fn`")
            }
            function = known
            guard let list = json["arg"].map({ [$0] }) ?? json["args"]?.array else { throw EntityError("\(place): an extension value has `arg` or `args`") }
            for argument in list { arguments.append(try value(argument, nil, place)) }
        }
        let result: Value
        do throws(EvaluationError) { result = try Evaluator.constant.call(function, arguments) } catch { throw EntityError("\(place): \(error.reason)") }
        switch (result, expected) {
        case (_, nil), (.ip, .ipaddr), (.decimal, .decimal), (.datetime, .datetime), (.duration, .duration): return result
        default: throw EntityError("\(place) is not \(expected?.name ?? "a value")")
        }
    }
}

extension EntityUID {
    /// Reads `Type::"id"`.
    package init?(parsing text: String) {
        guard var parser = try? Parser(text), let type = try? parser.path("an entity"), (try? parser.expect(.path)) != nil,
            let id = try? parser.stringLiteral("an id"), parser.token.kind == .end
        else { return nil }
        self.init(type, id)
    }
}
