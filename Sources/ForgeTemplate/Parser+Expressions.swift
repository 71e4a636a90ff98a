import ForgeCore

extension Parser {
    /// - Throws: `.request` if the tree becomes too deep to walk.
    private func make(_ kind: Expression.Kind, at offset: Int, of parts: [Expression] = []) throws(Fault) -> Expression {
        let depth = 1 + (parts.map(\.depth).max() ?? 0)
        guard depth <= Parser.depthMax else {
            throw source.syntax("an expression is more than \(Parser.depthMax) deep", at: offset, remedy: "set parts apart with `set`", code: "template.depth")
        }
        return Expression(kind: kind, offset: offset, depth: depth)
    }

    func captured() throws(Fault) -> Expression { try make(.captured, at: offset) }

    /// One expression, or several with commas between them.
    mutating func tuple(conditionals: Bool = true, inBrackets: Bool = false) throws(Fault) -> Expression {
        let start = offset
        var parts: [Expression] = [], isTuple = false
        while current != .outputEnd, current != .blockEnd, current != .op(")") {
            parts.append(try conditionals ? expression() : nested { (parser) throws(Fault) in try parser.or() })
            guard skip(.op(",")) else { break }
            isTuple = true
        }
        if !isTuple, let only = parts.first { return only }
        guard isTuple || inBrackets else { throw unexpected(instead: "an expression") }
        return try make(.tuple(parts), at: start, of: parts)
    }

    mutating func expression() throws(Fault) -> Expression { try nested { (parser) throws(Fault) in try parser.conditional() } }

    private mutating func conditional() throws(Fault) -> Expression {
        var value = try or()
        while case .name("if") = current {
            let start = offset
            advance()
            let test = try or()
            let otherwise = skip(.name("else")) ? try expression() : nil
            value = try make(.conditional(test: test, then: value, otherwise: otherwise), at: start, of: [value, test] + (otherwise.map { [$0] } ?? []))
        }
        return value
    }

    private mutating func or() throws(Fault) -> Expression {
        let start = offset
        var parts = [try and()]
        while skip(.name("or")) { parts.append(try and()) }
        return parts.count == 1 ? parts[0] : try make(.or(parts), at: start, of: parts)
    }

    private mutating func and() throws(Fault) -> Expression {
        let start = offset
        var parts = [try not()]
        while skip(.name("and")) { parts.append(try not()) }
        return parts.count == 1 ? parts[0] : try make(.and(parts), at: start, of: parts)
    }

    private mutating func not() throws(Fault) -> Expression {
        let start = offset
        guard skip(.name("not")) else { return try compare() }
        let inner = try nested { (parser) throws(Fault) in try parser.not() }
        return try make(.not(inner), at: start, of: [inner])
    }

    private mutating func compare() throws(Fault) -> Expression {
        let start = offset
        let left = try binary(0)
        var rest: [(op: Comparison, right: Expression)] = []
        while true {
            var op: Comparison?
            switch current {
            case .op(let word): op = Comparison(rawValue: word)
            case .name("in"): op = .isIn
            case .name("not") where following == .name("in"):
                op = .isNotIn
                advance()
            default: break
            }
            guard let op else { break }
            advance()
            rest.append((op, try binary(0)))
        }
        return rest.isEmpty ? left : try make(.compare(left, rest), at: start, of: [left] + rest.map(\.right))
    }

    private static let operators: [Set<String>] = [["+", "-"], ["~"], ["*", "/", "//", "%"], ["**"]]

    private mutating func binary(_ tier: Int) throws(Fault) -> Expression {
        guard tier < Parser.operators.count else { return try unary() }
        let start = offset
        let left = try binary(tier + 1)
        var rest: [(op: String, right: Expression)] = []
        while case .op(let op) = current, Parser.operators[tier].contains(op) {
            advance()
            rest.append((op, try binary(tier + 1)))
        }
        guard !rest.isEmpty else { return left }
        let parts = [left] + rest.map(\.right)
        return try make(tier == 1 ? .concat(parts) : .binary(left, rest), at: start, of: parts)
    }

    private mutating func unary(filters: Bool = true) throws(Fault) -> Expression {
        let start = offset
        var value: Expression
        if current == .op("-") || current == .op("+") {
            let isNegative = current == .op("-")
            advance()
            let inner = try nested { (parser) throws(Fault) in try parser.unary(filters: false) }
            value = try make(.sign(isNegative: isNegative, inner), at: start, of: [inner])
        } else {
            value = try primary()
        }
        value = try postfix(value)
        guard filters else { return value }
        while true {
            switch current {
            case .op("|"): value = try self.filters(value)
            case .name("is"): value = try test(value)
            case .op("("): value = try call(value)
            default: return value
            }
        }
    }

    private mutating func primary() throws(Fault) -> Expression {
        let start = offset
        switch current {
        case .name(let name):
            guard !Parser.words.contains(name) else { throw unexpected(instead: "a value") }
            advance()
            switch name {
            case "true", "True": return try make(.literal(.bool(true)), at: start)
            case "false", "False": return try make(.literal(.bool(false)), at: start)
            case "none", "None": return try make(.literal(.none), at: start)
            case "varargs" where macros > 0, "kwargs" where macros > 0:
                throw source.syntax("`\(name)` is not part of the language here", at: start, remedy: "name the macro's parameters", code: "template.unsupported")
            case "caller": readsCaller = true
            default: break
            }
            return try make(.name(name), at: start)
        case .string(var text):
            advance()
            while case .string(let more) = current {
                text += more
                advance()
            }
            return try make(.literal(.text(Text(text))), at: start)
        case .int(let value):
            advance()
            return try make(.literal(.int(value)), at: start)
        case .float(let value):
            advance()
            return try make(.literal(.float(value)), at: start)
        case .op("("):
            advance()
            let inner = try tuple(inBrackets: true)
            try expect(")")
            return inner
        case .op("["):
            advance()
            var items: [Expression] = []
            while current != .op("]") {
                items.append(try expression())
                if !skip(.op(",")) { break }
            }
            try expect("]")
            return try make(.list(items), at: start, of: items)
        case .op("{"):
            advance()
            var items: [(key: Expression, value: Expression)] = []
            while current != .op("}") {
                let key = try expression()
                try expect(":")
                items.append((key, try expression()))
                if !skip(.op(",")) { break }
            }
            try expect("}")
            return try make(.dict(items), at: start, of: items.flatMap { [$0.key, $0.value] })
        default: throw unexpected(instead: "a value")
        }
    }

    private mutating func postfix(_ base: Expression) throws(Fault) -> Expression {
        var value = base
        while true {
            let start = offset
            switch current {
            case .op("."):
                advance()
                if case .int(let index) = current {
                    advance()
                    let key = try make(.literal(.int(index)), at: start)
                    value = try make(.subscripted(value, key), at: start, of: [value])
                } else {
                    value = try make(.attribute(value, try name("a name or a number")), at: start, of: [value])
                }
            case .op("["):
                advance()
                value = try subscripted(value, at: start)
            case .op("("): value = try call(value)
            default: return value
            }
        }
    }

    private mutating func subscripted(_ value: Expression, at start: Int) throws(Fault) -> Expression {
        func isOver(_ kind: Lexeme.Kind) -> Bool { kind == .op("]") || kind == .op(":") }
        let from = isOver(current) ? nil : try expression()
        if skip(.op(":")) {
            let to = isOver(current) ? nil : try expression()
            let by = skip(.op(":")) && !isOver(current) ? try expression() : nil
            try expect("]")
            return try make(.slice(value, from: from, to: to, by: by), at: start, of: [value] + [from, to, by].compactMap { $0 })
        }
        guard let from else { throw unexpected(instead: "a key") }
        try expect("]")
        return try make(.subscripted(value, from), at: start, of: [value, from])
    }

    private mutating func call(_ value: Expression) throws(Fault) -> Expression {
        let start = offset
        let arguments = try arguments()
        return try make(.call(value, arguments), at: start, of: [value] + arguments.all)
    }

    private mutating func arguments() throws(Fault) -> Arguments {
        try expect("(")
        var out = Arguments()
        while current != .op(")") {
            if case .op(let op) = current, op == "*" || op == "**" {
                throw source.syntax("`\(op)` before an argument is not part of the language here", at: offset, remedy: "write the arguments out", code: "template.unsupported")
            }
            if case .name(let name) = current, following == .op("=") {
                let start = offset
                guard !out.named.contains(where: { $0.name == name }) else { throw source.syntax("the argument `\(name.prefix(64))` is given twice", at: start) }
                advance()
                advance()
                out.named.append((name, try expression()))
            } else {
                guard out.named.isEmpty else { throw source.syntax("an argument without a name follows one with a name", at: offset) }
                out.positional.append(try expression())
            }
            if !skip(.op(",")) { break }
        }
        try expect(")")
        return out
    }

    /// Any filters that follow.
    mutating func filters(_ base: Expression) throws(Fault) -> Expression {
        var value = base
        while skip(.op("|")) { value = try filter(value) }
        return value
    }

    /// A filter whose name stands here.
    mutating func filter(_ value: Expression) throws(Fault) -> Expression {
        let start = offset
        let name = try name("a filter's name")
        guard let filter = Filter(name: name) else {
            throw source.syntax("the filter `\(name.prefix(64))` is not part of the language here", at: start, remedy: "see docs/formats/chat-template.md, section 2", code: "template.unsupported")
        }
        let arguments = current == .op("(") ? try arguments() : Arguments()
        return try make(.filter(value, filter, arguments), at: start, of: [value] + arguments.all)
    }

    private mutating func test(_ value: Expression) throws(Fault) -> Expression {
        advance()
        let isNegated = skip(.name("not"))
        let start = offset
        let name = try name("a test's name")
        guard let test = Test(name: name) else {
            throw source.syntax("the test `\(name.prefix(64))` is not part of the language here", at: start, remedy: "see docs/formats/chat-template.md, section 2", code: "template.unsupported")
        }
        var arguments = Arguments()
        switch current {
        case .op("("): arguments = try self.arguments()
        case .name("else"), .name("or"), .name("and"): break
        case .name, .string, .int, .float, .op("["), .op("{"):
            arguments.positional = [try nested { (parser) throws(Fault) in try parser.postfix(try parser.primary()) }]
        default: break
        }
        let tested = try make(.test(value, test, arguments), at: start, of: [value] + arguments.all)
        return isNegated ? try make(.not(tested), at: start, of: [tested]) : tested
    }
}

extension Arguments {
    var all: [Expression] { positional + named.map(\.value) }
}
