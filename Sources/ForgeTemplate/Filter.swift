import ForgeCore

/// What may follow `|`.
enum Filter: String, Sendable {
    case tojson, length, trim, string, `default`, join, items, list, select, selectattr, reject, rejectattr, safe, dictsort, lower, upper, map, replace, from_json, indent, int, unique, sort, min

    init?(name: String) {
        switch name {
        case "count": self = .length
        case "d": self = .default
        default: self.init(rawValue: name)
        }
    }
}

extension Renderer {
    func apply(_ inner: Expression, _ filter: Filter, _ arguments: Arguments, at place: Int) throws(Fault) -> Value {
        let value = try value(inner), inputs = try inputs(arguments)
        offset = place
        return try apply(filter, to: value, inputs)
    }

    func apply(_ filter: Filter, to value: Value, _ inputs: Inputs) throws(Fault) -> Value {
        let name = filter.rawValue
        switch filter {
        case .string, .safe:
            _ = try bind(inputs, name, [])
            return .text(try string(value))
        case .lower, .upper:
            _ = try bind(inputs, name, [])
            let text = try string(value)
            try afford(characters: text.count)
            // A character becomes three at most.
            try afford(characters: text.count.multipliedReportingOverflow(by: 3).partialValue)
            return .text(filter == .upper ? text.uppercased : text.lowercased)
        case .trim: return try trim(value, try bind(inputs, name, ["chars"])[0])
        case .replace: return try replace(value, try bind(inputs, name, ["old", "new", "count"], required: 2))
        case .indent: return try indent(value, try bind(inputs, name, ["width", "first", "blank"]))
        case .int: return try int(value, try bind(inputs, name, ["default", "base"]))
        case .tojson: return try tojson(value, try bind(inputs, name, ["ensure_ascii", "indent", "separators", "sort_keys"]))
        case .from_json: return try fromJSON(value, inputs)
        case .default:
            let given = try bind(inputs, name, ["default_value", "boolean"])
            return value.isUndefined || (given[1]?.isTrue ?? false) && !value.isTrue ? given[0] ?? .text("") : value
        case .length:
            _ = try bind(inputs, name, [])
            return .int(try length(value))
        case .list:
            _ = try bind(inputs, name, [])
            return try list(try elements(of: value), isInput: isInput(value))
        case .items:
            _ = try bind(inputs, name, [])
            if value.isUndefined { return try stream([], isInput: false) }
            guard case .dict(let dict) = value else { throw stop("`items` takes a mapping") }
            return try stream(dict.pairs, isInput: dict.isInput)
        case .join: return try join(value, try bind(inputs, name, ["d", "attribute"]))
        case .map: return try map(value, inputs)
        case .select, .reject, .selectattr, .rejectattr: return try select(filter, value, inputs)
        case .dictsort, .sort, .unique, .min: return try order(filter, value, inputs)
        }
    }

    private func length(_ value: Value) throws(Fault) -> Int {
        switch value {
        case .text(let text): return text.count
        case .list(let list): return list.items.count
        case .dict(let dict): return dict.count
        case .undefined: return 0
        case .loop(let number): return loops[number].count
        default: throw stop("\(value.typeName) has no length")
        }
    }

    private func trim(_ value: Value, _ characters: Value?) throws(Fault) -> Value {
        let text = try string(value)
        var set: Text?
        if let characters, !characters.isNone {
            guard case .text(let text) = characters else { throw stop("`trim` takes text") }
            set = text
        }
        try spend(text.count + (set?.count ?? 0))
        return .text(text.stripped(of: set))
    }

    private func replace(_ value: Value, _ given: [Value?]) throws(Fault) -> Value {
        let count = given[2].flatMap { $0.isNone ? nil : $0 }
        return .text(try replace(try string(value), try string(given[0] ?? .none), try string(given[1] ?? .none), limit: try limit(count, "replace")))
    }

    private func indent(_ value: Value, _ given: [Value?]) throws(Fault) -> Value {
        try defined(value)
        guard case .text(let text) = value else { throw stop("`indent` takes text") }
        let margin: Text
        switch given[0] ?? .int(4) {
        case .text(let text): margin = text
        case let width:
            guard let width = width.integer else { throw stop("`indent` takes a width or the text to put before lines") }
            try afford(characters: max(0, width))
            margin = Text(String(repeating: " ", count: max(0, width)))
        }
        let isFirst = given[1]?.isTrue ?? false, isBlank = given[2]?.isTrue ?? false
        var ended = text
        ended.append(Text("\n"))
        let lines = ended.lines
        let (added, overflow) = lines.count.multipliedReportingOverflow(by: margin.count + 1)
        try afford(characters: overflow ? nil : added + text.count)
        var out = text[0..<0]
        for (i, line) in lines.enumerated() {
            if i > 0 { out.append(Text("\n")) }
            if i > 0 ? isBlank || !line.isEmpty : isFirst { out.append(margin) }
            out.append(line)
        }
        return .text(out)
    }

    // Numbers and JSON.

    private func int(_ value: Value, _ given: [Value?]) throws(Fault) -> Value {
        guard (given[1] ?? .int(10)) == .int(10) else { throw stop("`int` reads decimal numbers only", "template.unsupported") }
        let standard = given[0] ?? .int(0)
        func whole(_ number: Double, isInput: Bool) throws(Fault) -> Value {
            guard number.isFinite else { return standard }
            guard let whole = Int(exactly: number.rounded(.towardZero)) else { throw bound("a number leaves 64 bits") }
            return .int(whole, isInput: isInput)
        }
        switch value {
        case .bool, .int: return .int(value.integer ?? 0, isInput: value.isInput)
        case .float(let number, let isInput):
            guard !number.isInfinite else { throw stop("an infinite number cannot be made whole") }
            return try whole(number, isInput: isInput)
        case .text(let text):
            try spend(text.count)
            let written = text.stripped().string
            if let digits = Renderer.digits(written) {
                guard let number = Int(digits) else { throw bound("a number leaves 64 bits") }
                return .int(number, isInput: text.isInput)
            }
            guard let number = Renderer.float(written) else { return standard }
            return try whole(number, isInput: text.isInput)
        default:
            try defined(value)
            return standard
        }
    }

    /// A whole number as Python's `int` reads one, in ASCII without underscores.
    private static func digits(_ text: String) -> String? {
        var out = "", last: Character = "_"
        for (i, c) in text.unicodeScalars.enumerated() {
            if i == 0, c == "+" || c == "-" {
                if c == "-" { out = "-" }
            } else if c == "_" {
                guard last != "_" else { return nil }
            } else {
                guard c.properties.numericType == .decimal, let value = c.properties.numericValue else { return nil }
                out += String(Int(value))
            }
            last = i == 0 && (c == "+" || c == "-") ? "_" : Character(c)
        }
        return last == "_" ? nil : out
    }

    private static func float(_ text: String) -> Double? {
        let isNumber = text.utf8.allSatisfy { 0x30...0x39 ~= $0 || $0 == 0x2e || $0 == 0x2b || $0 == 0x2d || $0 | 0x20 == 0x65 } && text.utf8.contains { 0x30...0x39 ~= $0 }
        let isWord = ["inf", "infinity", "nan"].contains(text.lowercased().drop { $0 == "-" || $0 == "+" })
        guard isNumber else { return isWord ? .infinity : nil }
        // Python takes `5.` and `.5`.
        var padded = text.hasPrefix(".") ? "0" + text : text
        padded = padded.hasSuffix(".") ? padded + "0" : padded
        return Double(padded)
    }

    private func tojson(_ value: Value, _ given: [Value?]) throws(Fault) -> Value {
        var style = JSONStyle()
        style.isASCII = given[0]?.isTrue ?? false
        style.sortsKeys = given[3]?.isTrue ?? false
        if let indent = given[1], !indent.isNone {
            if case .text(let text) = indent { style.indent = text.string } else {
                guard let width = indent.integer, width <= 64 else { throw stop("`tojson` takes text or a number up to 64 for its indent") }
                style.indent = String(repeating: " ", count: max(0, width))
            }
            style.between = ","
        }
        if let separators = given[2], !separators.isNone {
            guard case .list(let list) = separators, list.items.count == 2, let between = list.items[0].text, let colon = list.items[1].text else { throw stop("`tojson` takes two texts for its separators") }
            style.between = between.string
            style.colon = colon.string
        }
        var isInput = value.isInput
        for part in given { isInput = isInput || part?.isInput ?? false }
        let text = try printed(value) { $0.json(value, style) }
        return .text(isInput ? text.asInput : text)
    }

    private func fromJSON(_ value: Value, _ inputs: Inputs) throws(Fault) -> Value {
        _ = try bind(inputs, "from_json", [])
        try defined(value)
        guard case .text(let text) = value else { throw stop("`from_json` takes text") }
        try spend(16 * text.count)
        let json: JSON
        do throws(JSONError) {
            json = try JSON.parse(text.string, limits: .init(bytes: 4 * Template.Limits.characters, depth: Value.depthMax - 2))
        } catch {
            throw stop("`from_json` is given what is no JSON: \(error)")
        }
        var room = Template.Limits.characters
        return try Value(json, isInput: text.isInput, room: &room)
    }
}
