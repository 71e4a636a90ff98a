/// A JSON value as evidence needs it: members keep their order, a duplicate key does not parse, integers stay integers.
///
/// Messages between daemons are `Codable`; this type is for bytes that are hashed, signed or come from a stranger.
package indirect enum JSON: Hashable, Sendable {
    case null
    case bool(Bool)
    case int(Int64)
    case double(Double)
    case string(String)
    case array([JSON])
    case object(Object)

    /// Members in the order they were written, each key once.
    package struct Object: Hashable, Sendable {
        package private(set) var keys: [String] = []
        private var values: [Name: JSON] = [:]

        /// Names are the same when their scalars are (RFC 8259 §8.3), not when they look the same: `é` can be written in two ways, and a vocabulary holds both.
        private struct Name: Hashable, Sendable {
            let text: String
            static func == (a: Name, b: Name) -> Bool { a.text.utf8.elementsEqual(b.text.utf8) }
            func hash(into hasher: inout Hasher) {
                for byte in text.utf8 { hasher.combine(byte) }
            }
        }

        package init() {}

        package subscript(key: String) -> JSON? {
            get { values[Name(text: key)] }
            set {
                if let newValue {
                    if values.updateValue(newValue, forKey: Name(text: key)) == nil { keys.append(key) }
                } else if values.removeValue(forKey: Name(text: key)) != nil {
                    keys.removeAll { Name(text: $0) == Name(text: key) }
                }
            }
        }

        package var count: Int { keys.count }
        package var isEmpty: Bool { keys.isEmpty }
        package var members: some Sequence<(key: String, value: JSON)> { keys.lazy.map { (key: $0, value: self.values[Name(text: $0)]!) } }

        /// Equal when the members are, whatever their order (RFC 8259: an object is unordered).
        package static func == (a: Object, b: Object) -> Bool { a.values == b.values }
        package func hash(into hasher: inout Hasher) { hasher.combine(values) }
    }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(integerLiteral value: Int64) { self = .int(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(arrayLiteral elements: JSON...) { self = .array(elements) }
    package init(nilLiteral: ()) { self = .null }

    package init(dictionaryLiteral elements: (String, JSON)...) { self = .object(Object(elements)) }
}

extension JSON.Object: ExpressibleByDictionaryLiteral {
    package init(dictionaryLiteral elements: (String, JSON)...) { self.init(elements) }

    /// A key written twice in a literal is a bug, so it traps.
    fileprivate init(_ elements: [(String, JSON)]) {
        self.init()
        for (key, value) in elements {
            precondition(self[key] == nil, "key `\(key)` is written twice")
            self[key] = value
        }
    }
}

extension JSON {
    package var string: String? { if case .string(let value) = self { value } else { nil } }
    package var int: Int64? { if case .int(let value) = self { value } else { nil } }
    package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    package var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
    package var object: Object? { if case .object(let value) = self { value } else { nil } }
    /// An integer counts as a number too.
    package var number: Double? {
        switch self {
        case .int(let value): Double(value)
        case .double(let value): value
        default: nil
        }
    }

    package subscript(key: String) -> JSON? { object?[key] }
}
