/// Expressions, by falling precedence: `if` · `||` · `&&` · relations (not associative) · `+ -` · `*` · `! -` · members.
extension Parser {
    mutating func expression() throws(SyntaxError) -> Expression {
        try nested { parser throws(SyntaxError) in
            guard parser.take(word: "if") else { return try parser.disjunction() }
            let condition = try parser.expression()
            guard parser.take(word: "then") else { throw parser.unexpected("`then`") }
            let then = try parser.expression()
            guard parser.take(word: "else") else { throw parser.unexpected("`else`") }
            return .conditional(condition, then: then, otherwise: try parser.expression())
        }
    }

    private mutating func disjunction() throws(SyntaxError) -> Expression {
        var operands = [try conjunction()]
        while take(.or) { operands.append(try conjunction()) }
        return operands.count == 1 ? operands[0] : .or(operands)
    }

    private mutating func conjunction() throws(SyntaxError) -> Expression {
        var operands = [try relation()]
        while take(.and) { operands.append(try relation()) }
        return operands.count == 1 ? operands[0] : .and(operands)
    }

    private mutating func relation() throws(SyntaxError) -> Expression {
        let left = try sum()
        let result: Expression
        if take(word: "has") {
            result = .has(left, try attributePath())
        } else if take(word: "like") {
            guard case .string(let raw) = token.kind else { throw unexpected("a pattern in quotation marks") }
            let pattern = try StringLiteral.pattern(raw, at: token.position)
            advance()
            result = .like(left, pattern)
        } else if take(word: "is") {
            let type = Expression.isType(left, try path("an entity type"))
            result = take(word: "in") ? .and([type, .binary(.in, left, try sum())]) : type
        } else if let operation = relationOperator {
            advance()
            result = .binary(operation, left, try sum())
        } else {
            if sees(.assign) { throw fail("`=` stands where `==` should") }
            return left
        }
        if relationOperator != nil || sees(word: "has") || sees(word: "like") || sees(word: "is") {
            throw fail("relations do not chain; join them with `&&`")
        }
        return result
    }

    private var relationOperator: Expression.Binary? {
        switch token.kind {
        case .symbol(.equal): .equal
        case .symbol(.notEqual): .notEqual
        case .symbol(.less): .less
        case .symbol(.lessEqual): .lessEqual
        case .symbol(.greater): .greater
        case .symbol(.greaterEqual): .greaterEqual
        case .word("in"): .in
        default: nil
        }
    }

    /// What follows `has`: a string, or `a.b.c`.
    private mutating func attributePath() throws(SyntaxError) -> [ExactText] {
        if case .string = token.kind { return [try stringLiteral("an attribute")] }
        var path = [ExactText(try identifier("an attribute"))]
        while take(.dot) {
            guard path.count < limits.depth else { throw fail("nested deeper than \(limits.depth)") }
            path.append(ExactText(try identifier("an attribute")))
        }
        return path
    }

    private mutating func sum() throws(SyntaxError) -> Expression {
        let first = try product()
        var steps: [Expression.ArithmeticStep] = []
        while sees(.plus) || sees(.minus) {
            let operation: Expression.Arithmetic = sees(.plus) ? .add : .subtract
            advance()
            steps.append(.init(operation: operation, operand: try product()))
        }
        return steps.isEmpty ? first : .arithmetic(first, steps)
    }

    private mutating func product() throws(SyntaxError) -> Expression {
        let first = try unary()
        var steps: [Expression.ArithmeticStep] = []
        while take(.times) { steps.append(.init(operation: .multiply, operand: try unary())) }
        if sees(.divide) || sees(.remainder) { throw fail("the language has no \(token.spelling)") }
        return steps.isEmpty ? first : .arithmetic(first, steps)
    }

    /// Up to four `!`, or up to four `-`; a `-` next to a number belongs to the number, so that the least integer can be written.
    private mutating func unary() throws(SyntaxError) -> Expression {
        let start = token
        var nots = 0
        while take(.not) { nots += 1 }
        var minuses = 0
        if nots == 0 { while take(.minus) { minuses += 1 } }
        guard nots <= 4, minuses <= 4 else { throw fail("at most four `!` or `-` stand in a row", at: start) }
        if minuses > 0, case .number(let digits) = token.kind, !continuesMember(following) {
            let value = try integer(digits, negative: true)
            advance()
            return (1..<minuses).reduce(.literal(.long(value))) { inner, _ in .negate(inner) }
        }
        let operand = try member()
        if nots > 0 { return (0..<nots).reduce(operand) { inner, _ in .not(inner) } }
        return (0..<minuses).reduce(operand) { inner, _ in .negate(inner) }
    }

    private func continuesMember(_ token: Token) -> Bool { token.kind == .symbol(.dot) || token.kind == .symbol(.openBracket) }

    private func integer(_ digits: String, negative: Bool) throws(SyntaxError) -> Int64 {
        guard let value = Digits.signed(digits.utf8, negative: negative) else { throw fail("`\(digits)` is beyond 64-bit integers") }
        return value
    }

    private mutating func member() throws(SyntaxError) -> Expression {
        var subject = try primary()
        var links = 0
        while true {
            if take(.dot) {
                let place = token
                let name = try identifier("an attribute")
                subject = take(.open) ? try method(name, of: subject, at: place) : .attribute(subject, ExactText(name))
            } else if take(.openBracket) {
                let name = try stringLiteral("an attribute in quotation marks")
                try expect(.closeBracket)
                subject = .attribute(subject, name)
            } else {
                return subject
            }
            links += 1
            guard depth + links <= limits.depth else { throw fail("nested deeper than \(limits.depth)") }
        }
    }

    private mutating func method(_ name: String, of subject: Expression, at place: Token) throws(SyntaxError) -> Expression {
        let arguments = try self.arguments()
        func one() throws(SyntaxError) -> Expression {
            guard arguments.count == 1 else { throw fail("`\(name)` takes one argument, not \(arguments.count)", at: place) }
            return arguments[0]
        }
        switch name {
        case "contains": return .binary(.contains, subject, try one())
        case "containsAll": return .binary(.containsAll, subject, try one())
        case "containsAny": return .binary(.containsAny, subject, try one())
        case "hasTag": return .binary(.hasTag, subject, try one())
        case "getTag": return .binary(.getTag, subject, try one())
        case "isEmpty":
            guard arguments.isEmpty else { throw fail("`isEmpty` takes no argument", at: place) }
            return .isEmpty(subject)
        default:
            guard let function = ExtensionFunction(rawValue: name) else { throw fail("there is no method `\(name)`", at: place) }
            guard !function.isConstructor else { throw fail("`\(name)` is a function: write `\(name)(…)`", at: place) }
            return .call(function, [subject] + arguments)
        }
    }

    private mutating func arguments() throws(SyntaxError) -> [Expression] {
        try list(until: .close) { parser throws(SyntaxError) in try parser.expression() }
    }

    private mutating func primary() throws(SyntaxError) -> Expression {
        let start = token
        switch token.kind {
        case .word("true"), .word("false"):
            advance()
            return .literal(.bool(start.kind == .word("true")))
        case .number(let digits):
            let value = try integer(digits, negative: false)
            advance()
            return .literal(.long(value))
        case .string: return .literal(.string(try stringLiteral("a string")))
        case .symbol(.open):
            advance()
            let inner = try expression()
            try expect(.close)
            return inner
        case .symbol(.openBracket):
            advance()
            return .set(try list(until: .closeBracket) { parser throws(SyntaxError) in try parser.expression() })
        case .symbol(.openBrace):
            advance()
            return .record(try fields())
        case .symbol(.question): throw fail("templates (`?\(templateSlot)`) are not supported; write the entity")
        case .word: return try named(start)
        default: throw unexpected("an expression")
        }
    }

    private mutating func fields() throws(SyntaxError) -> [Expression.Field] {
        var seen: Set<ExactText> = []
        var out: [Expression.Field] = []
        while !take(.closeBrace) {
            let place = token
            let name: ExactText
            if case .string = token.kind { name = try stringLiteral("a key") } else { name = ExactText(try identifier("a key")) }
            guard seen.insert(name).inserted else { throw fail("key `\(name)` is written twice", at: place) }
            try expect(.colon)
            out.append(.init(name: name, value: try expression()))
            if take(.comma) { continue }
            try expect(.closeBrace)
            break
        }
        return out
    }

    /// A variable, an entity `Type::"id"`, or a call of a constructor.
    private mutating func named(_ start: Token) throws(SyntaxError) -> Expression {
        let name = try path("an expression")
        if take(.path) {
            if sees(.openBrace) { throw fail("entities are written `\(name)::\"id\"`") }
            return .literal(.entity(EntityUID(name, try stringLiteral("an entity's id"))))
        }
        if take(.open) {
            guard let function = ExtensionFunction(rawValue: name.text) else { throw fail("there is no function `\(name)`", at: start) }
            guard function.isConstructor else { throw fail("`\(name)` is a method: write `….\(name)(…)`", at: start) }
            return .call(function, try arguments())
        }
        guard let variable = Expression.Variable(rawValue: name.text) else {
            throw fail("`\(name)` is not a variable; there are `principal`, `action`, `resource` and `context`", at: start)
        }
        return .variable(variable)
    }
}
