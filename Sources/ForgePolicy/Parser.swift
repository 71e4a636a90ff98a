/// Tokens → policies. One function a production of the grammar; expressions are in `Parser+Expression`.
struct Parser {
    private let tokens: [Token]
    private var at = 0
    let limits: ParserLimits
    var depth = 0

    init(_ text: String, limits: ParserLimits = .init()) throws(SyntaxError) {
        guard text.utf8.count <= limits.bytes else {
            throw SyntaxError(reason: "the text is longer than \(limits.bytes) bytes", position: TextPosition(line: 1, column: 1))
        }
        tokens = try Lexer.tokens(of: text)
        self.limits = limits
    }

    // MARK: tokens

    var token: Token { tokens[at] }
    var following: Token { tokens[min(at + 1, tokens.count - 1)] }

    mutating func advance() { if at < tokens.count - 1 { at += 1 } }

    func fail(_ reason: String, at place: Token? = nil) -> SyntaxError { SyntaxError(reason: reason, position: (place ?? token).position) }
    func unexpected(_ wanted: String) -> SyntaxError { fail("\(token.spelling) stands where \(wanted) should") }

    func sees(_ symbol: Token.Symbol) -> Bool { token.kind == .symbol(symbol) }
    func sees(word: String) -> Bool { token.kind == .word(word) }

    mutating func take(_ symbol: Token.Symbol) -> Bool {
        guard sees(symbol) else { return false }
        advance()
        return true
    }

    mutating func take(word: String) -> Bool {
        guard sees(word: word) else { return false }
        advance()
        return true
    }

    mutating func expect(_ symbol: Token.Symbol) throws(SyntaxError) {
        guard take(symbol) else { throw unexpected("`\(symbol.rawValue)`") }
    }

    /// Any word, reserved or not.
    mutating func word(_ wanted: String) throws(SyntaxError) -> String {
        guard case .word(let word) = token.kind else { throw unexpected(wanted) }
        advance()
        return word
    }

    static let reserved: Set<String> = ["true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar"]

    /// A word that may name something.
    mutating func identifier(_ wanted: String) throws(SyntaxError) -> String {
        if case .word(let word) = token.kind, Parser.reserved.contains(word) { throw fail("`\(word)` is a reserved word and cannot be \(wanted)") }
        return try word(wanted)
    }

    mutating func stringLiteral(_ wanted: String) throws(SyntaxError) -> ExactText {
        guard case .string(let raw) = token.kind else { throw unexpected(wanted) }
        let text = try StringLiteral.text(raw, at: token.position)
        advance()
        return text
    }

    /// `item (, item)* ,?` up to the closing symbol, which is taken too.
    mutating func list<Item>(until close: Token.Symbol, _ item: (inout Parser) throws(SyntaxError) -> Item) throws(SyntaxError) -> [Item] {
        var items: [Item] = []
        while !take(close) {
            items.append(try item(&self))
            if take(.comma) { continue }
            try expect(close)
            break
        }
        return items
    }

    /// Runs `body` one level deeper, within the bound.
    mutating func nested<Result>(_ body: (inout Parser) throws(SyntaxError) -> Result) throws(SyntaxError) -> Result {
        depth += 1
        defer { depth -= 1 }
        guard depth <= limits.depth else { throw fail("nested deeper than \(limits.depth)") }
        return try body(&self)
    }

    // MARK: policies

    mutating func policies() throws(SyntaxError) -> [Policy] {
        var out: [Policy] = []
        while token.kind != .end {
            guard out.count < limits.policies else { throw fail("more than \(limits.policies) policies") }
            out.append(try policy(id: "policy\(out.count)"))
        }
        return out
    }

    private mutating func policy(id: String) throws(SyntaxError) -> Policy {
        let position = token.position
        var annotations: [String: String] = [:]
        while take(.at) {
            let place = token
            let key = try word("an annotation's name")
            var value = ""
            if take(.open) {
                value = try stringLiteral("the annotation's text").text
                try expect(.close)
            }
            guard annotations.updateValue(value, forKey: key) == nil else { throw fail("annotation `@\(key)` is written twice", at: place) }
        }
        let effectPlace = token
        guard let effect = Policy.Effect(rawValue: try word("`permit` or `forbid`")) else {
            throw fail("\(effectPlace.spelling) stands where `permit` or `forbid` should", at: effectPlace)
        }
        try expect(.open)
        try scopeVariable("principal")
        let principal = try target()
        try expect(.comma)
        try scopeVariable("action")
        let action = try actionTarget()
        try expect(.comma)
        try scopeVariable("resource")
        let resource = try target()
        _ = take(.comma)
        try expect(.close)
        var conditions: [Policy.Condition] = []
        while !take(.semicolon) {
            let isUnless: Bool
            if take(word: "when") {
                isUnless = false
            } else if take(word: "unless") {
                isUnless = true
            } else {
                throw unexpected("`when`, `unless` or `;`")
            }
            try expect(.openBrace)
            let body = try expression()
            try expect(.closeBrace)
            conditions.append(.init(isUnless: isUnless, body: body))
        }
        return Policy(
            id: id, annotations: annotations, effect: effect, principal: principal, action: action, resource: resource, conditions: conditions, position: position)
    }

    private mutating func scopeVariable(_ name: String) throws(SyntaxError) {
        guard take(word: name) else { throw unexpected("`\(name)`") }
    }

    private mutating func target() throws(SyntaxError) -> Policy.Target {
        if take(.equal) { return .equal(try scopeEntity()) }
        if take(word: "in") { return .within(try scopeEntity()) }
        if take(word: "is") {
            let type = try path("an entity type")
            return take(word: "in") ? .typeWithin(type, try scopeEntity()) : .type(type)
        }
        return .any
    }

    private mutating func actionTarget() throws(SyntaxError) -> Policy.ActionTarget {
        if take(.equal) { return .equal(try actionEntity()) }
        guard take(word: "in") else { return .any }
        if take(.openBracket) {
            return .withinAny(try list(until: .closeBracket) { parser throws(SyntaxError) in try parser.actionEntity() })
        }
        return .within(try actionEntity())
    }

    private mutating func actionEntity() throws(SyntaxError) -> EntityUID {
        let place = token
        let uid = try scopeEntity()
        guard uid.type.text == "Action" || uid.type.text.hasSuffix("::Action") else { throw fail("an action's type is `Action`, not `\(uid.type)`", at: place) }
        return uid
    }

    private mutating func scopeEntity() throws(SyntaxError) -> EntityUID {
        if sees(.question) { throw fail("templates (`?\(templateSlot)`) are not supported; write the entity") }
        let type = try path("an entity")
        try expect(.path)
        return EntityUID(type, try stringLiteral("an entity's id"))
    }

    var templateSlot: String { if case .word(let slot) = following.kind { slot } else { "" } }

    /// `A::B::C`, stopping before `::"id"`.
    mutating func path(_ wanted: String) throws(SyntaxError) -> ExactText {
        var text = try identifier(wanted)
        while sees(.path), case .word = following.kind {
            advance()
            text += "::" + (try identifier("part of a name"))
        }
        return ExactText(text)
    }
}
