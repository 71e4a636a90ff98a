import ForgeCore

// Filters that go through lists.
extension Renderer {
    /// Finds `a.b.0` in a value; nil stands for the value itself.
    private func path(_ attribute: Value?, _ title: String) throws(Fault) -> [Value] {
        switch attribute ?? .none {
        case .none: return []
        case .int: return [attribute ?? .none]
        case .text(let text):
            return text.split(at: Text("."), limit: .max).map { part in
                let isIndex = !part.isEmpty && part.codes.allSatisfy { 0x30...0x39 ~= $0 }
                return isIndex ? Int(part.string).map { .int($0) } ?? .text(part) : .text(part)
            }
        default: throw stop("`\(title)` takes an attribute's name")
        }
    }

    private func find(_ path: [Value], in value: Value, or standard: Value? = nil) throws(Fault) -> Value {
        try spend(1 + path.count)
        var value = value
        for part in path {
            value = try lookUp(value, part)
            if let standard, !standard.isNone, value.isUndefined { value = standard }
        }
        return value
    }

    func join(_ value: Value, _ given: [Value?]) throws(Fault) -> Value {
        let separator = try string(given[0] ?? .text("")), path = try path(given[1], "join")
        var out = separator[0..<0]
        for (i, item) in try elements(of: value).enumerated() {
            let piece = try string(try find(path, in: item))
            try spend(separator.count)
            try afford(characters: out.count + separator.count + piece.count)
            if i > 0 { out.append(separator) }
            out.append(piece)
        }
        // Nothing joined is still made from what was walked.
        return .text(isInput(value) && !out.isInput ? Text(derived: out) : out)
    }

    func map(_ value: Value, _ inputs: Inputs) throws(Fault) -> Value {
        let isTrue = value.isTrue
        let items = isTrue ? try elements(of: value) : []
        var out: [Value] = []
        if inputs.positional.isEmpty {
            let given = try bind(inputs, "map", ["attribute", "default"], required: 1)
            let path = try path(given[0], "map")
            for item in items { out.append(try find(path, in: item, or: given[1])) }
        } else {
            guard case .text(let name) = inputs.positional[0] else { throw stop("`map` takes a filter's name") }
            guard let filter = Filter(name: name.string) else { throw stop("the filter `\(name.public_)` is not part of the language here", "template.unsupported") }
            let rest = Inputs(positional: Array(inputs.positional.dropFirst()), named: inputs.named)
            try deepen()
            defer { rise() }
            for item in items {
                try spend(16)
                out.append(try apply(filter, to: item, rest))
            }
        }
        return try stream(out, isInput: isInput(value))
    }

    func select(_ filter: Filter, _ value: Value, _ inputs: Inputs) throws(Fault) -> Value {
        guard value.isTrue else { return try stream([], isInput: isInput(value)) }
        let hasAttribute = filter == .selectattr || filter == .rejectattr, wanted = filter == .select || filter == .selectattr
        var rest = inputs, path: [Value] = []
        if hasAttribute {
            guard !rest.positional.isEmpty else { throw stop("`\(filter.rawValue)` takes an attribute's name") }
            path = try self.path(rest.positional.removeFirst(), filter.rawValue)
        }
        var test: Test?
        if !rest.positional.isEmpty {
            guard case .text(let name) = rest.positional.removeFirst() else { throw stop("`\(filter.rawValue)` takes a test's name") }
            test = Test(name: name.string)
            guard test != nil else { throw stop("the test `\(name.public_)` is not part of the language here", "template.unsupported") }
        }
        var out: [Value] = []
        for item in try elements(of: value) {
            try spend(16)
            let found = try find(path, in: item)
            let passes = try test.map { (test) throws(Fault) in try check(found, test, rest) } ?? found.isTrue
            if passes == wanted { out.append(item) }
        }
        return try stream(out, isInput: isInput(value))
    }

    // Order.

    private func folded(_ value: Value, isExact: Bool) throws(Fault) -> Value {
        guard !isExact, case .text(let text) = value else { return value }
        try afford(characters: text.count)
        return .text(text.lowercased)
    }

    func order(_ filter: Filter, _ value: Value, _ inputs: Inputs) throws(Fault) -> Value {
        switch filter {
        case .dictsort: return try dictsort(value, try bind(inputs, "dictsort", ["case_sensitive", "by", "reverse"]))
        case .sort:
            let given = try bind(inputs, "sort", ["reverse", "case_sensitive", "attribute"])
            var paths: [[Value]] = []
            if case .text(let names)? = given[2] {
                for name in names.split(at: Text(","), limit: .max) { paths.append(try path(.text(name), "sort")) }
            } else {
                paths = [try path(given[2], "sort")]
            }
            let items = try elements(of: value)
            var keys: [Value] = []
            for item in items {
                var parts: [Value] = []
                for path in paths { parts.append(try folded(try find(path, in: item), isExact: given[1]?.isTrue ?? false)) }
                keys.append(try list(parts))
            }
            return try list(try sorted(items, by: keys, isReversed: given[0]?.isTrue ?? false), isInput: isInput(value))
        case .unique: return try unique(value, try bind(inputs, "unique", ["case_sensitive", "attribute"]))
        default: return try least(value, try bind(inputs, "min", ["case_sensitive", "attribute"]))
        }
    }

    private func dictsort(_ value: Value, _ given: [Value?]) throws(Fault) -> Value {
        try defined(value)
        guard case .dict(let dict) = value else { throw stop("`dictsort` takes a mapping") }
        let by = given[1]?.text?.string ?? "key"
        guard by == "key" || by == "value" else { throw stop("`dictsort` sorts by `key` or `value`") }
        var keys: [Value] = []
        for part in by == "key" ? dict.keys : dict.values { keys.append(try folded(part, isExact: given[0]?.isTrue ?? false)) }
        return try list(try sorted(dict.pairs, by: keys, isReversed: given[2]?.isTrue ?? false), isInput: dict.isInput)
    }

    /// A stable merge sort, since a comparison may fail.
    private func sorted(_ items: [Value], by keys: [Value], isReversed: Bool) throws(Fault) -> [Value] {
        var places = Array(items.indices), width = 1
        while width < places.count {
            try spend(keys.reduce(0) { Value.added($0, $1.weight) })
            var merged: [Int] = []
            merged.reserveCapacity(places.count)
            for start in stride(from: 0, to: places.count, by: 2 * width) {
                var a = start, b = min(start + width, places.count)
                let middle = b, end = min(b + width, places.count)
                while a < middle, b < end {
                    let (x, y) = (keys[places[a]], keys[places[b]])
                    // Equal elements keep their order, backwards too.
                    let takesRight = isReversed ? try order(x, y) == -1 : try order(y, x) == -1
                    merged.append(places[takesRight ? b : a])
                    if takesRight { b += 1 } else { a += 1 }
                }
                merged += places[a..<middle]
                merged += places[b..<end]
            }
            places = merged
            width *= 2
        }
        return places.map { items[$0] }
    }

    private func unique(_ value: Value, _ given: [Value?]) throws(Fault) -> Value {
        let path = try path(given[1], "unique")
        var seen: Set<Key> = [], out: [Value] = []
        for item in try elements(of: value) {
            let part = try folded(try find(path, in: item), isExact: given[0]?.isTrue ?? false)
            try spend(part.weight)
            guard let key = Key(part) else { throw stop("`unique` cannot tell \(part.typeName) apart") }
            if seen.insert(key).inserted { out.append(item) }
        }
        return try stream(out, isInput: isInput(value))
    }

    private func least(_ value: Value, _ given: [Value?]) throws(Fault) -> Value {
        let path = try path(given[1], "min")
        var best: (item: Value, key: Value)?
        for item in try elements(of: value) {
            let key = try folded(try find(path, in: item), isExact: given[0]?.isTrue ?? false)
            guard let (_, lowest) = best else {
                best = (item, key)
                continue
            }
            if try compares(key, .less, lowest) { best = (item, key) }
        }
        return best?.item ?? .undefined("there is no least of nothing")
    }
}
