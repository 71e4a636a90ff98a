import ForgeCore

/// What an expression gives. Values never change and hold no references to each other's owners: whatever has an identity (a namespace, a macro, a loop, what can be walked once) is a
/// number into the renderer's own tables, so no template can tie a knot or a chain that is deep to release.
enum Value: Sendable {
    case undefined(String)
    case none
    case bool(Bool)
    case int(Int, isInput: Bool = false)
    case float(Double, isInput: Bool = false)
    case text(Text)
    case list(List)
    case dict(Dict)
    case stream(Int)
    case namespace(Int)
    case macro(Int)
    case loop(Int)
    case function(Function)
    indirect case method(Value, Method)

    enum Function: String, Sendable { case namespace, range, raise_exception, strftime_now }
    enum Method: String, Sendable { case split, strip, lstrip, rstrip, startswith, endswith, replace, format, get, items }
}

struct List: Sendable {
    enum Kind: Sendable { case list, tuple, range, view }

    let kind: Kind
    let items: [Value]
    let isInput: Bool
    let depth: Int
    /// What walking it costs, parts that stand in it twice counted twice: a list of two lists of two lists … is small in memory only.
    let weight: Int

    init(_ kind: Kind, _ items: [Value], isInput: Bool) {
        self.kind = kind
        self.items = items
        self.isInput = isInput || items.contains { $0.isInput }
        depth = 1 + (items.lazy.map(\.depth).max() ?? 0)
        weight = items.reduce(1) { Value.added($0, $1.weight) }
    }
}

/// A mapping in the order of its first insertions.
struct Dict: Sendable {
    private(set) var keys: [Value] = []
    private(set) var values: [Value] = []
    private var places: [Key: Int] = [:]
    private(set) var isInput: Bool
    private(set) var depth = 1
    private(set) var weight = 1

    init(isInput: Bool) { self.isInput = isInput }

    var count: Int { keys.count }
    subscript(key: Key) -> Value? { places[key].map { values[$0] } }
    var pairs: [Value] { (0..<count).map { .list(List(.tuple, [keys[$0], values[$0]], isInput: isInput)) } }

    mutating func set(_ key: Value, _ hashed: Key, to value: Value) {
        if let place = places[hashed] {
            values[place] = value
        } else {
            places[hashed] = count
            keys.append(key)
            values.append(value)
        }
        isInput = isInput || key.isInput || value.isInput
        depth = max(depth, 1 + max(key.depth, value.depth))
        weight = Value.added(weight, Value.added(key.weight, value.weight))
    }
}

/// A value as a mapping's key: 1, 1.0 and True are one.
enum Key: Hashable, Sendable {
    case none
    case undefined
    case int(Int)
    case float(Double)
    case text(Text)
    case tuple([Key])

    init?(_ value: Value) {
        switch value {
        case .none: self = .none
        case .undefined: self = .undefined
        case .bool(let value): self = .int(value ? 1 : 0)
        case .int(let value, _): self = .int(value)
        case .float(let value, _): self = Int(exactly: value).map { .int($0) } ?? .float(value)
        case .text(let text): self = .text(text)
        case .list(let list) where list.kind == .tuple && list.weight <= 100_000:
            let keys = list.items.compactMap(Key.init)
            guard keys.count == list.items.count else { return nil }
            self = .tuple(keys)
        default: return nil
        }
    }
}

extension Value {
    var isInput: Bool {
        switch self {
        case .int(_, let isInput), .float(_, let isInput): isInput
        case .text(let text): text.isInput
        case .list(let list): list.isInput
        case .dict(let dict): dict.isInput
        case .method(let value, _): value.isInput
        default: false
        }
    }

    /// How deep values stand in it.
    var depth: Int {
        switch self {
        case .list(let list): list.depth
        case .dict(let dict): dict.depth
        case .method(let value, _): value.depth + 1
        default: 0
        }
    }

    var weight: Int {
        switch self {
        case .text(let text): 1 + text.count
        case .list(let list): list.weight
        case .dict(let dict): dict.weight
        default: 1
        }
    }

    /// Stays at the largest number instead of leaving 64 bits.
    static func added(_ a: Int, _ b: Int) -> Int {
        let (sum, overflow) = a.addingReportingOverflow(b)
        return overflow ? .max : sum
    }

    /// True as Python's `bool` says.
    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .int(let value, _): value != 0
        case .float(let value, _): value != 0
        case .text(let text): !text.isEmpty
        case .list(let list): !list.items.isEmpty
        case .dict(let dict): dict.count > 0
        default: true
        }
    }

    /// As Python names the type, for faults.
    var typeName: String {
        switch self {
        case .undefined: "an undefined value"
        case .none: "none"
        case .bool: "a truth value"
        case .int, .float: "a number"
        case .text: "text"
        case .list(let list): list.kind == .tuple ? "a tuple" : "a list"
        case .dict: "a mapping"
        case .stream: "what can be walked once"
        case .namespace: "a namespace"
        case .macro: "a macro"
        case .loop: "a loop"
        case .function, .method: "a function"
        }
    }

    /// An integer as Python takes one: truth values count.
    var integer: Int? {
        switch self {
        case .bool(let value): value ? 1 : 0
        case .int(let value, _): value
        default: nil
        }
    }

    var number: Double? {
        if case .float(let value, _) = self { return value }
        return integer.map(Double.init)
    }

    var text: Text? { if case .text(let text) = self { text } else { nil } }
    var isNone: Bool { if case .none = self { true } else { false } }
    var isUndefined: Bool { if case .undefined = self { true } else { false } }
    static func text(_ string: String) -> Value { .text(Text(string)) }

    /// Equal as Python's `==` says: numbers by value, a list never equals a tuple.
    static func == (a: Value, b: Value) -> Bool {
        switch (a, b) {
        case (.undefined, .undefined), (.none, .none): return true
        case (.text(let a), .text(let b)): return a == b
        case (.list(let a), .list(let b)): return a.kind == b.kind && a.items.elementsEqual(b.items, by: ==)
        case (.dict(let a), .dict(let b)):
            return a.count == b.count
                && zip(a.keys, a.values).allSatisfy { key, value in
                    guard let hashed = Key(key), let other = b[hashed] else { return false }
                    return value == other
                }
        case (.stream(let a), .stream(let b)), (.namespace(let a), .namespace(let b)), (.macro(let a), .macro(let b)), (.loop(let a), .loop(let b)): return a == b
        case (.function(let a), .function(let b)): return a == b
        default:
            if let a = a.integer, let b = b.integer { return a == b }
            guard let a = a.number, let b = b.number else { return false }
            return a == b
        }
    }

    /// -1, 0 or 1, or 2 for numbers in no order; nil if Python orders no such values.
    static func order(_ a: Value, _ b: Value) -> Int? {
        if let a = a.integer, let b = b.integer { return a < b ? -1 : a > b ? 1 : 0 }
        if let a = a.number, let b = b.number { return a < b ? -1 : a > b ? 1 : a == b ? 0 : 2 }
        switch (a, b) {
        case (.text(let a), .text(let b)): return a == b ? 0 : a < b ? -1 : 1
        case (.list(let a), .list(let b)) where a.kind == b.kind && (a.kind == .list || a.kind == .tuple):
            for (x, y) in zip(a.items, b.items) where !(x == y) { return order(x, y) }
            return a.items.count < b.items.count ? -1 : a.items.count > b.items.count ? 1 : 0
        default: return nil
        }
    }
}

extension Value {
    /// How deep a caller's values may be nested, one short of what a template may make of them.
    static let depthMax = 64

    /// - Parameter room: characters and elements it may have; what it has is taken off.
    init(_ json: JSON, isInput: Bool, room: inout Int, depth: Int = 0) throws(Fault) {
        func refuse(_ why: String) -> Fault {
            Fault(.request, "template.input", "the conversation cannot be laid out", why: why, remedy: "send less, or values that are nested less deeply")
        }
        func text(_ string: String, _ room: inout Int) throws(Fault) -> Value {
            room -= string.utf8.count
            guard room >= 0 else { throw refuse("it is longer than a chat template may be given") }
            return .text(Text(string, isInput: isInput))
        }
        guard depth < Value.depthMax else { throw refuse("its values are nested deeper than \(Value.depthMax)") }
        room -= 8
        guard room >= 0 else { throw refuse("it has more values than a chat template may be given") }
        switch json {
        case .null: self = .none
        case .bool(let value): self = .bool(value)
        case .int(let value): self = .int(Int(value), isInput: isInput)
        case .double(let value): self = .float(value, isInput: isInput)
        case .string(let string): self = try text(string, &room)
        case .array(let items):
            guard items.count <= Template.Limits.elements else { throw refuse("a list has more than \(Template.Limits.elements) elements") }
            var values: [Value] = []
            for item in items { values.append(try Value(item, isInput: isInput, room: &room, depth: depth + 1)) }
            self = .list(List(.list, values, isInput: isInput))
        case .object(let object):
            guard object.count <= Template.Limits.elements else { throw refuse("an object has more than \(Template.Limits.elements) members") }
            var dict = Dict(isInput: isInput)
            for (key, value) in object.members {
                let key = try text(key, &room)
                dict.set(key, Key(key) ?? .none, to: try Value(value, isInput: isInput, room: &room, depth: depth + 1))
            }
            self = .dict(dict)
        }
    }
}
