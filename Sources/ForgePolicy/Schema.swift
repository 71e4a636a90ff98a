/// What a `.cedarschema` declares, with every name resolved: the types of entities and the actions with their groups.
///
/// It directs the reading of entities and requests and checks that they conform. It does not type-check policies, which is why only the shipped bundle is activated (`ShippedBundle`).
package struct Schema: Hashable, Sendable {
    package indirect enum ValueType: Hashable, Sendable {
        case bool, long, string, ipaddr, decimal, datetime, duration
        case set(ValueType)
        case record(RecordType)
        case entity(ExactText)

        package var name: String {
            switch self {
            case .bool: "a boolean"
            case .long: "an integer"
            case .string: "a string"
            case .ipaddr: "an `ipaddr`"
            case .decimal: "a `decimal`"
            case .datetime: "a `datetime`"
            case .duration: "a `duration`"
            case .set: "a set"
            case .record: "a record"
            case .entity(let type): "an entity of type `\(type)`"
            }
        }
    }

    package struct RecordType: Hashable, Sendable {
        package struct Attribute: Hashable, Sendable {
            package let type: ValueType
            package let isRequired: Bool
        }
        package var attributes: [ExactText: Attribute]
        package init(_ attributes: [ExactText: Attribute] = [:]) { self.attributes = attributes }
    }

    package struct EntityType: Hashable, Sendable {
        package let shape: RecordType
        package let tags: ValueType?
        /// Types whose entities may be direct groups of this one's.
        package let memberOf: Set<ExactText>
        /// The only ids there are, for an `enum` type.
        package let ids: Set<ExactText>?
    }

    package struct Action: Hashable, Sendable {
        package let parents: Set<EntityUID>
        package let principals: Set<ExactText>
        package let resources: Set<ExactText>
        package let context: RecordType
    }

    package internal(set) var entityTypes: [ExactText: EntityType] = [:]
    package internal(set) var actions: [EntityUID: Action] = [:]

    /// The actions as entities, so that `action in group` holds.
    package var actionEntities: [Entity] { actions.map { Entity($0.key, parents: $0.value.parents) } }

    package init(parsing text: String, limits: ParserLimits = .init()) throws(SyntaxError) {
        var parser = SchemaParser(try Parser(text, limits: limits))
        self = try parser.schema()
    }

    init() {}
}
