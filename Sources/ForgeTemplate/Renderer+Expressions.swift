import ForgeCore
import Glibc

extension Renderer {
    func value(_ expression: Expression) throws(Fault) -> Value {
        try deepen()
        defer { rise() }
        offset = expression.offset
        switch expression.kind {
        case .literal(let value): return value
        case .name(let name): return scope.value(name) ?? .undefined("`\(name.prefix(64))` is not defined")
        case .list(let parts): return try list(try values(parts))
        case .tuple(let parts): return try list(try values(parts), .tuple)
        case .dict(let pairs): return try dict(pairs)
        case .conditional(let test, let then, let otherwise): return try conditional(test, then, otherwise)
        case .and(let parts): return try first(of: parts, thatIs: false)
        case .or(let parts): return try first(of: parts, thatIs: true)
        case .not(let inner): return .bool(!(try value(inner).isTrue))
        case .compare(let left, let rest): return try compare(left, rest)
        case .binary(let left, let rest): return try binary(left, rest)
        case .concat(let parts): return try concat(parts)
        case .sign(let isNegative, let inner): return try sign(isNegative, inner, at: expression.offset)
        case .attribute(let owner, let name): return try access(owner, name, at: expression.offset)
        case .subscripted(let owner, let key): return try access(owner, key, at: expression.offset)
        case .slice(let owner, let from, let to, let by): return try slice(owner, from, to, by, at: expression.offset)
        case .call(let callee, let arguments): return try call(callee, arguments, at: expression.offset)
        case .filter(let inner, let filter, let arguments): return try apply(inner, filter, arguments, at: expression.offset)
        case .test(let inner, let test, let arguments): return try check(inner, test, arguments, at: expression.offset)
        case .captured: return capturedValue
        }
    }

    private func values(_ parts: [Expression]) throws(Fault) -> [Value] {
        var out: [Value] = []
        for part in parts { out.append(try value(part)) }
        return out
    }

    func inputs(_ arguments: Arguments) throws(Fault) -> Inputs {
        var out = Inputs(positional: try values(arguments.positional))
        for (name, part) in arguments.named { out.named.append((name, try value(part))) }
        return out
    }

    private func dict(_ pairs: [(key: Expression, value: Expression)]) throws(Fault) -> Value {
        var dict = Dict(isInput: false)
        try spend(16 * pairs.count)
        for pair in pairs {
            let key = try value(pair.key), held = try value(pair.value)
            guard let hashed = Key(key), hashed != .undefined else { throw stop("\(key.typeName) cannot be a key") }
            dict.set(key, hashed, to: held)
        }
        return try checked(.dict(dict))
    }

    private func conditional(_ test: Expression, _ then: Expression, _ otherwise: Expression?) throws(Fault) -> Value {
        if try value(test).isTrue { return try value(then) }
        guard let otherwise else { return .undefined("the `if` without an `else` was false") }
        return try value(otherwise)
    }

    private func first(of parts: [Expression], thatIs wanted: Bool) throws(Fault) -> Value {
        var last = Value.none
        for part in parts {
            last = try value(part)
            if last.isTrue == wanted { break }
        }
        return last
    }

    private func compare(_ left: Expression, _ rest: [(op: Comparison, right: Expression)]) throws(Fault) -> Value {
        var a = try value(left)
        for (op, right) in rest {
            let b = try value(right)
            guard try compares(a, op, b) else { return .bool(false) }
            a = b
        }
        return .bool(true)
    }

    func compares(_ a: Value, _ op: Comparison, _ b: Value) throws(Fault) -> Bool {
        try spend(Value.added(a.weight, b.weight))
        switch op {
        case .equal: return a == b
        case .unequal: return !(a == b)
        case .isIn: return try contains(b, a)
        case .isNotIn: return try !contains(b, a)
        case .less: return try order(a, b) == -1
        case .lessOrEqual: return try [-1, 0].contains(order(a, b))
        case .greater: return try order(a, b) == 1
        case .greaterOrEqual: return try [0, 1].contains(order(a, b))
        }
    }

    func order(_ a: Value, _ b: Value) throws(Fault) -> Int {
        try defined(a)
        try defined(b)
        guard let order = Value.order(a, b) else { throw stop("\(a.typeName) and \(b.typeName) have no order") }
        return order
    }

    func defined(_ value: Value) throws(Fault) {
        if case .undefined(let why) = value { throw stop(why, "template.undefined") }
    }

    private func contains(_ owner: Value, _ item: Value) throws(Fault) -> Bool {
        switch owner {
        case .text(let text):
            guard case .text(let needle) = item else { throw stop("\(item.typeName) cannot be looked for in text") }
            return text.contains(needle)
        case .dict(let dict):
            guard let key = Key(item) else { throw stop("\(item.typeName) cannot be a key") }
            return dict[key] != nil
        case .list, .stream, .undefined: return try elements(of: owner).contains { $0 == item }
        default: throw stop("nothing can be looked for in \(owner.typeName)")
        }
    }

    // Arithmetic.

    private func binary(_ left: Expression, _ rest: [(op: String, right: Expression)]) throws(Fault) -> Value {
        var a = try value(left)
        for (op, right) in rest {
            let b = try value(right)
            offset = right.offset
            if op == "%", case .text = a { throw stop("`%` on text is not part of the language here", "template.unsupported", remedy: "join texts with `~`") }
            try defined(a)
            try defined(b)
            a = try combine(a, op, b)
        }
        return a
    }

    private func concat(_ parts: [Expression]) throws(Fault) -> Value {
        var out = Text()
        // Every part is evaluated before any is printed.
        for part in try values(parts) {
            let text = try string(part)
            try afford(characters: out.count + text.count)
            out.append(text)
        }
        return .text(out)
    }

    private func sign(_ isNegative: Bool, _ inner: Expression, at place: Int) throws(Fault) -> Value {
        let operand = try value(inner)
        offset = place
        try defined(operand)
        if case .float(let value, let isInput) = operand { return .float(isNegative ? -value : value, isInput: isInput) }
        guard let number = operand.integer else { throw stop("\(operand.typeName) has no sign") }
        guard isNegative else { return .int(number, isInput: operand.isInput) }
        return try integer(number.multipliedReportingOverflow(by: -1), isInput: operand.isInput)
    }

    private func integer(_ result: (partialValue: Int, overflow: Bool), isInput: Bool) throws(Fault) -> Value {
        guard !result.overflow else { throw bound("a number leaves 64 bits") }
        return .int(result.partialValue, isInput: isInput)
    }

    private func combine(_ a: Value, _ op: String, _ b: Value) throws(Fault) -> Value {
        let isInput = a.isInput || b.isInput
        if let x = a.integer, let y = b.integer { return try combine(x, op, y, isInput: isInput) }
        if let x = a.number, let y = b.number { return try combine(x, op, y, isInput: isInput) }
        switch (op, a, b) {
        case ("+", .text(var x), .text(let y)):
            try afford(characters: x.count + y.count)
            x.append(y)
            return .text(x)
        case ("+", .list(let x), .list(let y)) where x.kind == y.kind && (x.kind == .list || x.kind == .tuple): return try list(x.items + y.items, x.kind, isInput: isInput)
        case ("*", .text, _), ("*", .list, _): return try times(a, b)
        case ("*", _, .text), ("*", _, .list): return try times(b, a)
        default: throw stop("`\(op)` cannot be used on \(a.typeName) and \(b.typeName)")
        }
    }

    private func times(_ value: Value, _ count: Value) throws(Fault) -> Value {
        guard let count = count.integer.map({ max(0, $0) }) else { throw stop("\(value.typeName) can be repeated by a whole number only") }
        switch value {
        case .text(let text):
            let (total, overflow) = text.count.multipliedReportingOverflow(by: count)
            try afford(characters: overflow ? nil : total)
            var out = text[0..<0]
            if total > 0 { for _ in 0..<count { out.append(text) } }
            return .text(out)
        case .list(let items) where items.kind == .list || items.kind == .tuple:
            let (total, overflow) = items.items.count.multipliedReportingOverflow(by: count)
            guard !overflow, total <= Template.Limits.elements else { throw bound("a list grows beyond \(Template.Limits.elements) elements") }
            return try list(total == 0 ? [] : Array(repeatElement(items.items, count: count).joined()), items.kind, isInput: items.isInput)
        default: throw stop("\(value.typeName) cannot be repeated")
        }
    }

    private func combine(_ a: Int, _ op: String, _ b: Int, isInput: Bool) throws(Fault) -> Value {
        if op == "/" || op == "//" || op == "%", b == 0 { throw stop("a number is divided by zero") }
        switch op {
        case "+": return try integer(a.addingReportingOverflow(b), isInput: isInput)
        case "-": return try integer(a.subtractingReportingOverflow(b), isInput: isInput)
        case "*": return try integer(a.multipliedReportingOverflow(by: b), isInput: isInput)
        case "/": return .float(Double(a) / Double(b), isInput: isInput)
        case "//":
            let (quotient, overflow) = a.dividedReportingOverflow(by: b)
            return try integer((overflow || a % b == 0 || (a < 0) == (b < 0) ? quotient : quotient - 1, overflow), isInput: isInput)
        case "%":
            let rest = a.remainderReportingOverflow(dividingBy: b).partialValue
            return .int(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest, isInput: isInput)
        default: return try power(a, b, isInput: isInput)
        }
    }

    private func power(_ base: Int, _ exponent: Int, isInput: Bool) throws(Fault) -> Value {
        if exponent < 0 {
            guard base != 0 else { throw stop("a number is divided by zero") }
            return try combine(Double(base), "**", Double(exponent), isInput: isInput)
        }
        if base.magnitude <= 1 { return .int(exponent == 0 ? 1 : base == -1 && exponent % 2 == 0 ? 1 : base, isInput: isInput) }
        var out = 1
        for _ in 0..<min(exponent, 64) {
            let (product, overflow) = out.multipliedReportingOverflow(by: base)
            guard !overflow else { throw bound("a number leaves 64 bits") }
            out = product
        }
        return .int(out, isInput: isInput)
    }

    private func combine(_ a: Double, _ op: String, _ b: Double, isInput: Bool) throws(Fault) -> Value {
        if op == "/" || op == "//" || op == "%", b == 0 { throw stop("a number is divided by zero") }
        switch op {
        case "+": return .float(a + b, isInput: isInput)
        case "-": return .float(a - b, isInput: isInput)
        case "*": return .float(a * b, isInput: isInput)
        case "/": return .float(a / b, isInput: isInput)
        case "//", "%":
            return .float(op == "//" ? floorDivision(a, b).quotient : floorDivision(a, b).rest, isInput: isInput)
        default:
            let power = pow(a, b)
            guard a != 0 || b >= 0, !power.isNaN || a.isNaN || b.isNaN, power.isFinite || !a.isFinite || !b.isFinite else { throw stop("this power is no number") }
            return .float(power, isInput: isInput)
        }
    }
}

/// As Python divides: towards minus infinity, the rest with the divisor's sign.
private func floorDivision(_ a: Double, _ b: Double) -> (quotient: Double, rest: Double) {
    var rest = a.truncatingRemainder(dividingBy: b), quotient = (a - rest) / b
    if rest == 0 {
        rest = Double(signOf: b, magnitudeOf: 0)
    } else if (rest < 0) != (b < 0) {
        rest += b
        quotient -= 1
    }
    guard quotient != 0 else { return (Double(signOf: a / b, magnitudeOf: 0), rest) }
    let floor = quotient.rounded(.down)
    return (quotient - floor > 0.5 ? floor + 1 : floor, rest)
}
