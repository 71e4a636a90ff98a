import ForgeCore

// Attributes, elements and slices; walking values and printing them.
extension Renderer {
    func access(_ owner: Expression, _ name: String, at place: Int) throws(Fault) -> Value {
        let value = try value(owner)
        offset = place
        if let found = try attribute(value, name) { return found }
        return try element(value, .text(name)) ?? .undefined("\(value.typeName) has no attribute `\(name.prefix(64))`")
    }

    func access(_ owner: Expression, _ key: Expression, at place: Int) throws(Fault) -> Value {
        let value = try value(owner), key = try self.value(key)
        offset = place
        return try lookUp(value, key)
    }

    /// An element, or the attribute of that name.
    func lookUp(_ value: Value, _ key: Value) throws(Fault) -> Value {
        if let found = try element(value, key) { return found }
        guard case .text(let name) = key else { return .undefined("\(value.typeName) has no such element") }
        if let found = try attribute(value, name.string) { return found }
        return .undefined("\(value.typeName) has no element `\(name.public_)`")
    }

    private func element(_ value: Value, _ key: Value) throws(Fault) -> Value? {
        try defined(value)
        switch value {
        case .dict(let dict): return Key(key).flatMap { dict[$0] }
        case .text(let text):
            guard let index = key.integer, let place = place(index, in: text.count) else { return nil }
            return .text(text[place..<place + 1])
        case .list(let list) where list.kind != .view:
            guard let index = key.integer, let place = place(index, in: list.items.count) else { return nil }
            return list.items[place]
        default: return nil
        }
    }

    private func place(_ index: Int, in count: Int) -> Int? {
        let place = index < 0 ? index + count : index
        return (0..<count).contains(place) ? place : nil
    }

    private static let changing: Set<String> = ["append", "clear", "extend", "insert", "pop", "popitem", "remove", "reverse", "setdefault", "sort", "update"]
    /// Attributes of Python's types that are not part of the language here, by the type.
    private static let unsupported: [String: Set<String>] = [
        "text": [
            "capitalize", "casefold", "center", "count", "encode", "expandtabs", "find", "format_map", "index", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower",
            "isnumeric", "isprintable", "isspace", "istitle", "isupper", "join", "ljust", "lower", "maketrans", "partition", "removeprefix", "removesuffix", "rfind", "rindex", "rjust", "rpartition",
            "rsplit", "splitlines", "swapcase", "title", "translate", "upper", "zfill",
        ],
        "a list": ["copy", "count", "index", "start", "stop", "step", "mapping", "isdisjoint"],
        "a tuple": ["count", "index"],
        "a mapping": ["copy", "fromkeys", "keys", "values"],
        "a number": ["real", "imag", "numerator", "denominator", "conjugate", "bit_length", "bit_count", "as_integer_ratio", "from_bytes", "to_bytes", "is_integer", "hex", "fromhex"],
        "a loop": ["cycle", "changed"],
        "a macro": ["name", "arguments", "catch_kwargs", "catch_varargs", "caller"],
    ]

    /// - Throws: `.request` for an attribute that Python's type has, and the language here has not.
    private func attribute(_ value: Value, _ name: String) throws(Fault) -> Value? {
        try defined(value)
        switch value {
        case .text: if name != "get", name != "items", let method = Value.Method(rawValue: name) { return .method(value, method) }
        case .dict: if name == "get" || name == "items" { return .method(value, name == "get" ? .get : .items) }
        case .namespace(let number): return namespaces[number][name]
        case .loop(let number): if let found = attribute(ofLoop: loops[number], name) { return found }
        default: break
        }
        let type = if case .bool = value { "a number" } else { value.typeName }
        if name.hasPrefix("__") && name.hasSuffix("__") || Renderer.unsupported[type]?.contains(name) ?? false {
            throw stop("the attribute `\(name.prefix(64))` of \(value.typeName) is not part of the language here", "template.unsupported", remedy: "see docs/formats/chat-template.md, section 4")
        }
        let isList = if case .list(let list) = value { list.kind == .list } else { false }, isDict = if case .dict = value { true } else { false }
        if isList || isDict, Renderer.changing.contains(name) {
            return .undefined("`\(name)` would change \(value.typeName), and values do not change")
        }
        return nil
    }

    private func attribute(ofLoop loop: LoopState, _ name: String) -> Value? {
        let place = loop.place
        switch name {
        case "index": return .int(place + 1)
        case "index0": return .int(place)
        case "revindex": return .int(loop.count - place)
        case "revindex0": return .int(loop.count - place - 1)
        case "first": return .bool(place == 0)
        case "last": return .bool(place == loop.count - 1)
        case "length": return .int(loop.count)
        case "depth": return .int(1)
        case "depth0": return .int(0)
        case "previtem": return place > 0 && place <= loop.items.count ? loop.items[place - 1] : .undefined("there is no element before the first")
        case "nextitem": return place + 1 < loop.items.count ? loop.items[place + 1] : .undefined("there is no element after the last")
        default: return nil
        }
    }

    // Slices.

    func slice(_ owner: Expression, _ from: Expression?, _ to: Expression?, _ by: Expression?, at place: Int) throws(Fault) -> Value {
        let value = try value(owner)
        var bounds: [Int?] = []
        for part in [from, to, by] {
            let bound = try part.map { (part) throws(Fault) in try self.value(part) } ?? .none
            guard bound.integer != nil || bound.isNone else { throw stop("a slice goes from one whole number to another, and \(bound.typeName) is none") }
            bounds.append(bound.integer)
        }
        offset = place
        try defined(value)
        let count: Int
        switch value {
        case .text(let text): count = text.count
        case .list(let list) where list.kind != .view: count = list.items.count
        default: throw stop("\(value.typeName) cannot be sliced")
        }
        guard bounds[2] != 0 else { throw stop("a slice cannot have steps of 0") }
        let places = Renderer.places(from: bounds[0], to: bounds[1], by: bounds[2] ?? 1, count: count)
        try spend(places.count)
        switch value {
        case .text(let text): return .text(text.picked(places))
        case .list(let list): return try self.list(places.map { list.items[$0] }, list.kind, isInput: list.isInput)
        default: return .none
        }
    }

    private static func places(from: Int?, to: Int?, by step: Int, count: Int) -> [Int] {
        let isBackward = step < 0
        let low = isBackward ? -1 : 0, high = isBackward ? count - 1 : count
        func clamped(_ bound: Int?, _ standard: Int) -> Int {
            guard let bound else { return standard }
            return bound < 0 ? max(low, bound < -count ? low : bound + count) : min(high, bound)
        }
        let start = clamped(from, isBackward ? high : low), end = clamped(to, isBackward ? low : high)
        // A step beyond the length takes one element, and is clamped so that adding it cannot overflow.
        return Array(stride(from: start, to: end, by: max(-count - 1, min(count + 1, step))))
    }

    // Walking and printing.

    /// What walking a value gives; what can be walked once is then used up.
    func elements(of value: Value) throws(Fault) -> [Value] {
        switch value {
        case .undefined: return []
        case .list(let list):
            try spend(list.items.count)
            return list.items
        case .dict(let dict):
            try spend(dict.count)
            return dict.keys
        case .text(let text):
            guard text.count <= Template.Limits.elements else { throw bound("a text of more than \(Template.Limits.elements) characters is walked") }
            try spend(8 * text.count)
            return (0..<text.count).map { .text(text[$0..<$0 + 1]) }
        case .stream(let number):
            let items = streams[number].items
            streams[number].items = []
            try spend(items.count)
            return items.reversed()
        default: throw stop("\(value.typeName) has no elements")
        }
    }

    func isInput(_ value: Value) -> Bool { if case .stream(let number) = value { streams[number].isInput } else { value.isInput } }

    /// Python's `str`.
    func string(_ value: Value) throws(Fault) -> Text {
        switch value {
        case .text(let text): return text
        case .undefined: return Text()
        default: return try printed(value) { $0.represent(value) }
        }
    }

    func printed(_ value: Value, _ print: (inout Printer) -> Bool) throws(Fault) -> Text {
        var printer = Printer(limit: min(Template.Limits.characters, remainingWork))
        guard print(&printer) else {
            guard printer.isFull else { throw stop("\(value.typeName) holds what cannot be written as text") }
            throw bound("a text grows beyond \(printer.limit) characters")
        }
        try spend(printer.units.count)
        return Text(units: printer.units, isInput: value.isInput)
    }
}
