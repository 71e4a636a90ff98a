package import ForgeGate

/// The name of an entity: a type path such as `Forge::User` and an id, both compared byte by byte.
package struct EntityUID: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let type: ExactText
    package let id: ExactText

    package init(_ type: ExactText, _ id: ExactText) {
        self.type = type
        self.id = id
    }

    package init(_ entity: EntityID) { self.init(ExactText(entity.type), ExactText(entity.id)) }

    package var entityID: EntityID { EntityID(type.text, id.text) }
    package var description: String { entityID.description }

    package static func < (a: EntityUID, b: EntityUID) -> Bool { a.type == b.type ? a.id < b.id : a.type < b.type }
}

/// What an expression evaluates to. Sets are unordered and hold each value once; extension values are equal when what
/// they denote is (`decimal("1.0") == decimal("1.00")`).
package indirect enum Value: Hashable, Sendable {
    case bool(Bool)
    case long(Int64)
    case string(ExactText)
    case set(Set<Value>)
    case record([ExactText: Value])
    case entity(EntityUID)
    case ip(IPNetwork)
    case decimal(Decimal)
    case datetime(DateTime)
    case duration(TimeSpan)

    /// The type's name as error texts and schemas spell it.
    package var typeName: String {
        switch self {
        case .bool: "bool"
        case .long: "long"
        case .string: "string"
        case .set: "set"
        case .record: "record"
        case .entity(let uid): "entity of type `\(uid.type)`"
        case .ip: "ipaddr"
        case .decimal: "decimal"
        case .datetime: "datetime"
        case .duration: "duration"
        }
    }
}
