/// One entity: its attributes, tags, and every group it is in, however indirectly.
package struct Entity: Hashable, Sendable {
    package let uid: EntityUID
    package var attributes: [ExactText: Value]
    package var tags: [ExactText: Value]
    package fileprivate(set) var ancestors: Set<EntityUID>

    package init(_ uid: EntityUID, attributes: [ExactText: Value] = [:], tags: [ExactText: Value] = [:], parents: Set<EntityUID> = []) {
        self.uid = uid
        self.attributes = attributes
        self.tags = tags
        ancestors = parents
    }
}

/// The entities a decision may look at. Groups are closed when the store is made, so `in` is one look-up.
package struct EntityStore: Hashable, Sendable {
    private var entities: [EntityUID: Entity] = [:]
    /// An entity of this request alone, which is in no group; kept beside the others so that adding it copies nothing.
    private var guest: Entity?

    package init() {}

    /// - Throws: an entity twice with different content, or a group inside itself.
    package init(_ list: [Entity]) throws(EntityError) {
        for entity in list {
            if let known = entities.updateValue(entity, forKey: entity.uid), known != entity {
                throw EntityError("`\(entity.uid)` is there twice and differs")
            }
        }
        try close()
    }

    package subscript(_ uid: EntityUID) -> Entity? { guest?.uid == uid ? guest : entities[uid] }
    package var count: Int { entities.count }
    package var uids: some Sequence<EntityUID> { entities.keys }

    /// The same store with more entities; groups are closed again. What is already there stays as it is.
    package func adding(_ more: [Entity]) throws(EntityError) -> EntityStore {
        var store = self
        for entity in more where store.entities[entity.uid] == nil { store.entities[entity.uid] = entity }
        try store.close()
        return store
    }

    /// The same store with one entity that is in no group, for one request.
    package func hosting(_ uid: EntityUID, attributes: [ExactText: Value]) -> EntityStore {
        var store = self
        store.guest = Entity(uid, attributes: attributes)
        return store
    }

    /// `a in b`: reflexive, also for an entity that is not there.
    package func isMember(_ a: EntityUID, of b: EntityUID) -> Bool { a == b || self[a]?.ancestors.contains(b) == true }

    /// Parents become ancestors: depth first, each entity once, without recursion.
    private mutating func close() throws(EntityError) {
        enum Mark { case open, done }
        var marks: [EntityUID: Mark] = [:]
        for root in entities.keys where marks[root] == nil {
            var stack = [root]
            while let uid = stack.last {
                guard let entity = entities[uid] else {
                    marks[uid] = .done
                    stack.removeLast()
                    continue
                }
                if marks[uid] == nil {
                    marks[uid] = .open
                    for parent in entity.ancestors {
                        if marks[parent] == .open { throw EntityError("`\(parent)` is a member of itself") }
                        if marks[parent] == nil { stack.append(parent) }
                    }
                } else {
                    if marks[uid] == .open {
                        marks[uid] = .done
                        let parents = entity.ancestors
                        entities[uid]!.ancestors = parents.reduce(into: parents) { all, parent in
                            if let above = entities[parent]?.ancestors { all.formUnion(above) }
                        }
                    }
                    stack.removeLast()
                }
            }
        }
    }
}

/// Why entities or a request are not what the schema, or the format, says.
package struct EntityError: Error, Hashable, Sendable, CustomStringConvertible {
    package let reason: String
    package init(_ reason: String) { self.reason = reason }
    package var description: String { reason }
}
