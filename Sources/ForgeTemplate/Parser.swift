import ForgeCore

/// Reads statements; expressions are in `Parser+Expressions.swift`.
struct Parser {
    let source: Source
    private let lexemes: [Lexeme]
    private var at = 0
    /// How deep blocks and expressions are nested here.
    private var level = 0
    private var loops = 0
    /// Whether `caller` was read since the innermost macro began.
    var readsCaller = false
    var macros = 0

    static let levelMax = 40
    static let depthMax = 100

    init(_ text: String) throws(Fault) {
        var lexer = try Lexer(text)
        lexemes = try lexer.lexemes()
        source = lexer.source
    }

    mutating func template() throws(Fault) -> [Statement] {
        let body = try statements(until: [])
        guard current == .end else { throw unexpected() }
        return body
    }

    // Looking at lexemes.

    var current: Lexeme.Kind { lexemes[at].kind }
    var following: Lexeme.Kind { lexemes[min(at + 1, lexemes.count - 1)].kind }
    var offset: Int { lexemes[at].offset }
    mutating func advance() { at = min(at + 1, lexemes.count - 1) }

    mutating func skip(_ kind: Lexeme.Kind) -> Bool {
        guard current == kind else { return false }
        advance()
        return true
    }

    mutating func expect(_ kind: Lexeme.Kind, _ words: String) throws(Fault) {
        guard skip(kind) else { throw unexpected(instead: words) }
    }

    mutating func expect(_ op: String) throws(Fault) { try expect(.op(op), "`\(op)`") }

    mutating func name(_ words: String) throws(Fault) -> String {
        guard case .name(let name) = current else { throw unexpected(instead: words) }
        advance()
        return name
    }

    func unexpected(instead: String? = nil) -> Fault {
        let found =
            switch current {
            case .name(let name): "`\(name.prefix(64))`"
            case .op(let op): "`\(op)`"
            case .string, .int, .float: "a literal"
            case .end: "the end of the template"
            case .blockEnd, .outputEnd: "the end of the tag"
            default: "text"
            }
        return source.syntax(instead.map { "\(found) stands where \($0) should" } ?? "\(found) cannot stand here", at: offset)
    }

    /// Runs `body` one level deeper. What it bounds is this parser's own stack.
    mutating func nested<T>(_ body: (inout Parser) throws(Fault) -> T) throws(Fault) -> T {
        guard level < Parser.levelMax else {
            throw source.syntax("nested deeper than \(Parser.levelMax)", at: offset, remedy: "set parts apart with `set`", code: "template.depth")
        }
        level += 1
        defer { level -= 1 }
        return try body(&self)
    }

    // Statements.

    /// Up to a tag that begins with one of `ends`, whose name is then current; to the end of the template if there are none.
    private mutating func statements(until ends: Set<String>) throws(Fault) -> [Statement] {
        var body: [Statement] = []
        while true {
            switch current {
            case .data(let text):
                body.append(.data(Text(text)))
                advance()
            case .outputBegin:
                advance()
                body.append(.output(try tuple()))
                try expect(.outputEnd, "`}}`")
            case .blockBegin:
                advance()
                if case .name(let name) = current, ends.contains(name) { return body }
                body.append(try nested { (parser) throws(Fault) in try parser.statement() })
                try expect(.blockEnd, "`%}`")
            default:
                guard ends.isEmpty else { throw source.syntax("the template ends inside a block", at: offset, remedy: "write `{% \(ends.sorted()[0]) %}`") }
                return body
            }
        }
    }

    /// A block's content; its end tag's name is consumed and returned.
    private mutating func block(_ ends: Set<String>) throws(Fault) -> (body: [Statement], end: String) {
        _ = skip(.op(":"))
        try expect(.blockEnd, "`%}`")
        let body = try statements(until: ends)
        return (body, try name("a tag"))
    }

    private mutating func statement() throws(Fault) -> Statement {
        let start = offset
        let tag = try name("a tag's name")
        switch tag {
        case "if": return try choice()
        case "for": return try loop()
        case "set":
            let target = try self.target(attributes: true)
            if skip(.op("=")) { return .assign(target, try tuple()) }
            let filter = try filters(try captured())
            return .capture(target, filter: filter, body: try block(["endset"]).body)
        case "macro":
            let name = try name("the macro's name")
            return .macro(try macro(name, parameters: try parameters(), end: "endmacro", at: start))
        case "call":
            let parameters = current == .op("(") ? try parameters() : []
            let call = try expression()
            guard case .call = call.kind else { throw source.syntax("`call` wants a call of a macro", at: start) }
            return .call(call, caller: try macro(nil, parameters: parameters, end: "endcall", at: start))
        case "filter":
            let filter = try filters(try filter(try captured()))
            return .filtered(filter, body: try block(["endfilter"]).body)
        case "generation": return .generation(try function { (parser) throws(Fault) in try parser.block(["endgeneration"]).body })
        case "break", "continue":
            guard loops > 0 else { throw source.syntax("`\(tag)` stands in no loop", at: start) }
            return tag == "break" ? .leave : .next
        case "include", "import", "from", "extends", "block", "with", "autoescape", "do", "print", "raw":
            throw source.syntax("the tag `\(tag)` is not part of the language here", at: start, remedy: "see docs/formats/chat-template.md, section 4", code: "template.unsupported")
        default: throw source.syntax("no tag is called `\(tag.prefix(64))`", at: start)
        }
    }

    private mutating func choice() throws(Fault) -> Statement {
        var branches: [(test: Expression, body: [Statement])] = []
        while true {
            let test = try tuple(conditionals: false)
            let (body, end) = try block(["elif", "else", "endif"])
            branches.append((test, body))
            if end == "endif" { return .choice(branches, otherwise: []) }
            if end == "else" { return .choice(branches, otherwise: try block(["endif"]).body) }
        }
    }

    private mutating func loop() throws(Fault) -> Statement {
        let target = try target(attributes: false)
        try expect(.name("in"), "`in`")
        let iterable = try tuple(conditionals: false)
        let test = skip(.name("if")) ? try expression() : nil
        if case .name("recursive") = current {
            throw source.syntax("`recursive` is not part of the language here", at: offset, remedy: "write a macro that calls itself", code: "template.unsupported")
        }
        loops += 1
        let (body, end) = try block(["endfor", "else"])
        loops -= 1
        let otherwise = end == "else" ? try block(["endfor"]).body : []
        return .loop(Loop(target: target, iterable: iterable, test: test, body: body, otherwise: otherwise))
    }

    /// What runs as a function of its own: no loop reaches into it.
    private mutating func function<T>(_ body: (inout Parser) throws(Fault) -> T) throws(Fault) -> T {
        let outer = loops
        loops = 0
        defer { loops = outer }
        return try body(&self)
    }

    private mutating func parameters() throws(Fault) -> [(name: String, standard: Expression?)] {
        try expect("(")
        var out: [(name: String, standard: Expression?)] = []
        while current != .op(")") {
            if !out.isEmpty { try expect(",") }
            let start = offset
            let name = try assignable()
            guard name != "caller" else { throw source.syntax("`caller` names what a `call` block passes", at: start, remedy: "choose another name") }
            let standard = skip(.op("=")) ? try expression() : nil
            guard standard != nil || out.last?.standard == nil else { throw source.syntax("`\(name.prefix(64))` needs a default, since the parameter before it has one", at: start) }
            guard !out.contains(where: { $0.name == name }) else { throw source.syntax("two parameters are called `\(name.prefix(64))`", at: start) }
            out.append((name, standard))
        }
        advance()
        return out
    }

    private mutating func macro(_ name: String?, parameters: [(name: String, standard: Expression?)], end: String, at start: Int) throws(Fault) -> Macro {
        let outer = readsCaller
        readsCaller = false
        macros += 1
        let body = try function { (parser) throws(Fault) in try parser.block([end]).body }
        macros -= 1
        defer { readsCaller = outer || readsCaller }
        return Macro(name: name, parameters: parameters, usesCaller: readsCaller, body: body, offset: start)
    }

    // Targets.

    private mutating func assignable() throws(Fault) -> String {
        let start = offset
        let name = try name("a name")
        guard !Parser.constants.contains(name.lowercased()), !Parser.words.contains(name) else { throw source.syntax("nothing can be assigned to `\(name)`", at: start) }
        return name
    }

    private mutating func target(attributes: Bool) throws(Fault) -> Target {
        let start = offset
        var parts: [Target] = [], isTuple = false
        while true {
            if current == .op(")") || current == .blockEnd { break }
            parts.append(try part(attributes: attributes))
            guard skip(.op(",")) else { break }
            isTuple = true
        }
        guard !parts.isEmpty else { throw unexpected(instead: "a name") }
        return isTuple ? .tuple(parts, offset: start) : parts[0]
    }

    private mutating func part(attributes: Bool) throws(Fault) -> Target {
        let start = offset
        if skip(.op("(")) {
            let inner = try nested { (parser) throws(Fault) in try parser.target(attributes: false) }
            try expect(")")
            return inner
        }
        let name = try assignable()
        guard attributes, skip(.op(".")) else { return .name(name) }
        return .attribute(of: name, try self.name("an attribute's name"), offset: start)
    }

    static let constants: Set<String> = ["true", "false", "none"]
    /// Words of the language, which name nothing.
    static let words: Set<String> = ["and", "or", "not", "in", "is", "if", "else"]
}
