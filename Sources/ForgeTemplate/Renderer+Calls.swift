import ForgeCore

/// Arguments, evaluated.
struct Inputs {
    var positional: [Value] = []
    var named: [(name: String, value: Value)] = []
}

extension Renderer {
    /// Puts arguments in the order of `names`; nil for what was not given.
    func bind(_ inputs: Inputs, _ title: String, _ names: [String], required: Int = 0) throws(Fault) -> [Value?] {
        guard inputs.positional.count <= names.count else { throw stop("`\(title)` takes at most \(names.count) arguments") }
        var out: [Value?] = inputs.positional + Array(repeating: nil, count: names.count - inputs.positional.count)
        for (name, value) in inputs.named {
            guard let place = names.firstIndex(of: name), out[place] == nil else { throw stop("`\(title)` takes no argument `\(name.prefix(64))` here") }
            out[place] = value
        }
        for (place, value) in out.prefix(required).enumerated() where value == nil { throw stop("`\(title)` needs its argument `\(names[place])`") }
        return out
    }

    func call(_ callee: Expression, _ arguments: Arguments, at place: Int) throws(Fault) -> Value {
        let function = try value(callee), inputs = try inputs(arguments)
        offset = place
        return try call(function, inputs)
    }

    func call(_ function: Value, _ inputs: Inputs) throws(Fault) -> Value {
        switch function {
        case .macro(let number): return try invoke(number, inputs)
        case .method(let value, let method): return try call(method, of: value, inputs)
        case .function(let function): return try call(function, inputs)
        default:
            try defined(function)
            throw stop("\(function.typeName) cannot be called")
        }
    }

    private func call(_ function: Value.Function, _ inputs: Inputs) throws(Fault) -> Value {
        switch function {
        case .namespace: return try namespace(inputs)
        case .range: return try range(inputs)
        case .strftime_now:
            guard case .text(let format)? = try bind(inputs, "strftime_now", ["format"], required: 1)[0] else { throw stop("`strftime_now` takes text") }
            return .text(try strftime(format))
        case .raise_exception:
            let message = try bind(inputs, "raise_exception", ["message"], required: 1)[0] ?? .none
            throw stop(try string(message).public_, "template.refused", remedy: "send a conversation that this model's chat template takes")
        }
    }

    private func namespace(_ inputs: Inputs) throws(Fault) -> Value {
        guard inputs.positional.count <= 1 else { throw stop("`namespace` takes one mapping and named values") }
        var names: [String: Value] = [:]
        if let value = inputs.positional.first {
            guard case .dict(let dict) = value else { throw stop("`namespace` takes a mapping") }
            for (key, value) in zip(dict.keys, dict.values) {
                guard case .text(let name) = key else { throw stop("an attribute's name is text") }
                names[name.string] = value
            }
        }
        for (name, value) in inputs.named { names[name] = value }
        guard !names.keys.contains(where: { $0.hasPrefix("_") }) else { throw stop("an attribute of a namespace cannot begin with an underscore") }
        try spend(256 + 16 * names.count)
        namespaces.append(names)
        return .namespace(namespaces.count - 1)
    }

    private func range(_ inputs: Inputs) throws(Fault) -> Value {
        guard inputs.named.isEmpty, 1...3 ~= inputs.positional.count else { throw stop("`range` takes one to three whole numbers") }
        var numbers: [Int] = []
        for value in inputs.positional {
            guard let number = value.integer else { throw stop("`range` takes whole numbers, and \(value.typeName) is none") }
            numbers.append(number)
        }
        let start = numbers.count > 1 ? numbers[0] : 0, end = numbers.count > 1 ? numbers[1] : numbers[0], step = numbers.count > 2 ? numbers[2] : 1
        guard step != 0 else { throw stop("`range` cannot have steps of 0") }
        var items: [Value] = [], at = start
        while step > 0 ? at < end : at > end {
            guard items.count < Template.Limits.elements else { throw bound("`range` gives more than \(Template.Limits.elements) numbers") }
            items.append(.int(at))
            let (next, overflow) = at.addingReportingOverflow(step)
            if overflow { break }
            at = next
        }
        return try list(items, .range)
    }

    // Methods.

    private func call(_ method: Value.Method, of value: Value, _ inputs: Inputs) throws(Fault) -> Value {
        switch (method, value) {
        case (.get, .dict(let dict)):
            let given = try bind(positional(inputs, "get"), "get", ["key", "default"], required: 1)
            guard let key = Key(given[0] ?? .none) else { throw stop("\((given[0] ?? .none).typeName) cannot be a key") }
            return dict[key] ?? given[1] ?? .none
        case (.items, .dict(let dict)):
            _ = try bind(inputs, "items", [])
            try spend(24 * dict.count)
            return try list(dict.pairs, .view, isInput: dict.isInput)
        case (.format, .text(let text)): return .text(try format(text, inputs))
        case (_, .text(let text)):
            try spend(text.count)
            return try call(method, of: text, inputs)
        default: throw stop("\(value.typeName) has no such method")
        }
    }

    private func positional(_ inputs: Inputs, _ title: String) throws(Fault) -> Inputs {
        guard inputs.named.isEmpty else { throw stop("`\(title)` takes no named arguments") }
        return inputs
    }

    private func call(_ method: Value.Method, of text: Text, _ inputs: Inputs) throws(Fault) -> Value {
        switch method {
        case .split:
            let given = try bind(inputs, "split", ["sep", "maxsplit"])
            let separator = try optionalText(given[0], "split")
            guard separator?.isEmpty != true else { throw stop("`split` cannot cut at nothing") }
            let pieces = text.split(at: separator, limit: try limit(given[1], "split"))
            return try list(pieces.map { .text($0) }, isInput: text.isInput)
        case .strip, .lstrip, .rstrip:
            let characters = try optionalText(try bind(positional(inputs, method.rawValue), method.rawValue, ["characters"])[0], method.rawValue)
            try spend(characters?.count ?? 0)
            return .text(text.stripped(left: method != .rstrip, right: method != .lstrip, of: characters))
        case .startswith, .endswith:
            let wanted = try bind(positional(inputs, method.rawValue), method.rawValue, ["text"], required: 1)[0] ?? .none
            var choices = [wanted]
            if case .list(let list) = wanted, list.kind == .tuple { choices = list.items }
            for choice in choices {
                guard case .text(let end) = choice else { throw stop("`\(method.rawValue)` takes text") }
                try spend(end.count)
                if method == .startswith ? text.starts(with: end) : text.ends(with: end) { return .bool(true) }
            }
            return .bool(false)
        case .replace:
            let given = try bind(positional(inputs, "replace"), "replace", ["old", "new", "count"], required: 2)
            guard case .text(let old)? = given[0], case .text(let new)? = given[1] else { throw stop("`replace` takes texts") }
            return .text(try replace(text, old, new, limit: try limit(given[2], "replace")))
        default: throw stop("text has no such method")
        }
    }

    private func optionalText(_ value: Value?, _ title: String) throws(Fault) -> Text? {
        guard let value, !value.isNone else { return nil }
        guard case .text(let text) = value else { throw stop("`\(title)` takes text") }
        return text
    }

    /// How often at most; negative or nothing for without end.
    func limit(_ value: Value?, _ title: String) throws(Fault) -> Int {
        guard let value else { return .max }
        guard let count = value.integer else { throw stop("`\(title)` counts with whole numbers") }
        return count < 0 ? .max : count
    }

    func replace(_ text: Text, _ old: Text, _ new: Text, limit: Int) throws(Fault) -> Text {
        try spend(2 * text.count + old.count)
        try afford(characters: text.countReplacing(old, with: new, limit: limit))
        return text.replacing(old, with: new, limit: limit)
    }

    /// `str.format` with `{}`, `{0}` and `{name}`.
    private func format(_ text: Text, _ inputs: Inputs) throws(Fault) -> Text {
        var out = text[0..<0], at = 0, next = 0
        while at < text.count {
            let c = text.code(at: at), isDoubled = at + 1 < text.count && text.code(at: at + 1) == c
            if c == 0x7b || c == 0x7d, isDoubled {
                out.append(text[at..<at + 1])
                at += 2
            } else if c == 0x7b {
                guard let end = (at..<text.count).first(where: { text.code(at: $0) == 0x7d }) else { throw stop("`format` meets a `{` that is not closed") }
                let field = text[at + 1..<end].string
                guard field.utf8.allSatisfy({ $0 != 0x7b && $0 != 0x3a && $0 != 0x21 && $0 != 0x2e && $0 != 0x5b }) else {
                    throw stop("widths, conversions and parts of values in `format` are not part of the language here", "template.unsupported", remedy: "join texts with `~`")
                }
                let index = field.isEmpty && next >= 0 ? next : Int(field)
                if !field.isEmpty, index != nil, next > 0 || field.isEmpty { throw stop("`format` cannot mix numbered fields and others") }
                if field.isEmpty, next < 0 { throw stop("`format` cannot mix numbered fields and others") }
                if index != nil { next = field.isEmpty ? next + 1 : -1 }
                guard let value = index.map({ inputs.positional.indices.contains($0) ? inputs.positional[$0] : nil }) ?? inputs.named.first(where: { $0.name == field })?.value else {
                    throw stop("`format` is not given what it needs")
                }
                let piece = try string(value)
                try afford(characters: out.count + piece.count)
                out.append(piece)
                at = end + 1
            } else {
                guard c != 0x7d else { throw stop("`format` meets a `}` that closes nothing") }
                out.append(text[at..<at + 1])
                at += 1
            }
        }
        try afford(characters: out.count)
        return out
    }
}
