/// A word of the language, and where it starts.
struct Token: Hashable, Sendable {
    enum Kind: Hashable, Sendable {
        /// `[A-Za-z_][A-Za-z0-9_]*`, reserved words included.
        case word(String)
        /// Decimal digits, not yet bounded.
        case number(String)
        /// What stands between the quotation marks, escapes and all.
        case string(String)
        case symbol(Symbol)
        case end
    }

    enum Symbol: String, Hashable, Sendable {
        case at = "@", dot = ".", comma = ",", semicolon = ";", colon = ":", path = "::", open = "(", close = ")", openBrace = "{", closeBrace = "}"
        case openBracket = "[", closeBracket = "]", equal = "==", notEqual = "!=", less = "<", lessEqual = "<=", greater = ">", greaterEqual = ">="
        case or = "||", and = "&&", plus = "+", minus = "-", times = "*", divide = "/", remainder = "%", not = "!", assign = "=", question = "?"
    }

    let kind: Kind
    let position: TextPosition

    /// As error texts quote it.
    var spelling: String {
        switch kind {
        case .word(let text), .number(let text): "`\(text)`"
        case .string: "a string"
        case .symbol(let symbol): "`\(symbol.rawValue)`"
        case .end: "the end of the text"
        }
    }
}

/// Text → tokens, for policies and schemas alike. White space is Unicode's; a comment runs from `//` to the line's end.
struct Lexer {
    private let scalars: [Unicode.Scalar]
    private var at = 0
    private var line = 1
    private var column = 1

    init(_ text: String) { scalars = Array(text.unicodeScalars) }

    static func tokens(of text: String) throws(SyntaxError) -> [Token] {
        var lexer = Lexer(text)
        var tokens: [Token] = []
        repeat { tokens.append(try lexer.next()) } while tokens.last?.kind != .end
        return tokens
    }

    private mutating func next() throws(SyntaxError) -> Token {
        skipBlank()
        let position = TextPosition(line: line, column: column)
        guard let first = peek(0) else { return Token(kind: .end, position: position) }
        if Lexer.startsWord(first) {
            return Token(kind: .word(take { Lexer.startsWord($0) || Lexer.isDigit($0) }), position: position)
        }
        if Lexer.isDigit(first) { return Token(kind: .number(take(while: Lexer.isDigit)), position: position) }
        if first == "\"" { return Token(kind: .string(try quoted(position)), position: position) }
        if let second = peek(1), let symbol = Token.Symbol(rawValue: String(String.UnicodeScalarView([first, second]))) {
            advance()
            advance()
            return Token(kind: .symbol(symbol), position: position)
        }
        guard let symbol = Token.Symbol(rawValue: String(Character(first))) else {
            throw SyntaxError(reason: "the character `\(first.escaped(asASCII: false))` has no meaning here", position: position)
        }
        advance()
        return Token(kind: .symbol(symbol), position: position)
    }

    private mutating func skipBlank() {
        while let scalar = peek(0) {
            if scalar.properties.isWhitespace {
                advance()
            } else if scalar == "/", peek(1) == "/" {
                while let inside = peek(0), inside != "\n", inside != "\r" { advance() }
            } else {
                return
            }
        }
    }

    private mutating func quoted(_ start: TextPosition) throws(SyntaxError) -> String {
        advance()
        var out = String.UnicodeScalarView()
        while let scalar = peek(0) {
            advance()
            if scalar == "\"" { return String(out) }
            out.append(scalar)
            if scalar == "\\" {
                guard let escaped = peek(0), escaped != "\n" else { break }
                out.append(escaped)
                advance()
            }
        }
        throw SyntaxError(reason: "the string that starts here does not end", position: start)
    }

    private mutating func take(while belongs: (Unicode.Scalar) -> Bool) -> String {
        var out = String.UnicodeScalarView()
        while let scalar = peek(0), belongs(scalar) {
            out.append(scalar)
            advance()
        }
        return String(out)
    }

    private func peek(_ ahead: Int) -> Unicode.Scalar? { at + ahead < scalars.count ? scalars[at + ahead] : nil }

    private mutating func advance() {
        if scalars[at] == "\n" {
            line += 1
            column = 1
        } else {
            column += 1
        }
        at += 1
    }

    private static func startsWord(_ c: Unicode.Scalar) -> Bool { c == "_" || ("a"..."z").contains(c) || ("A"..."Z").contains(c) }
    private static func isDigit(_ c: Unicode.Scalar) -> Bool { ("0"..."9").contains(c) }
}
