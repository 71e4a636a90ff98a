import ForgeCore

struct Lexeme: Sendable {
    enum Kind: Hashable, Sendable {
        case data(String)
        case blockBegin, blockEnd, outputBegin, outputEnd
        case name(String), string(String), int(Int), float(Double)
        case op(String)
        case end
    }

    let kind: Kind
    /// Code points from the start of the source.
    let offset: Int
}

/// Cuts a template into lexemes, as Jinja2 does with `trim_blocks` and `lstrip_blocks` on.
struct Lexer {
    private let text: [Unicode.Scalar]
    let source: Source
    private var at = 0
    private var out: [Lexeme] = []
    /// Whether what was read last ended a line: white space before the next tag then stands at a line's start.
    private var isLineStart = true

    static let sourceBytes = 1 << 20

    init(_ source: String) throws(Fault) {
        var text: [Unicode.Scalar] = []
        // The length is asked of the bytes, so that a long text is not even copied.
        if source.utf8.count <= Lexer.sourceBytes {
            for scalar in source.unicodeScalars {
                if scalar == "\n", text.last == "\r" { text[text.count - 1] = "\n" } else { text.append(scalar) }
            }
            for i in text.indices where text[i] == "\r" { text[i] = "\n" }
            if text.last == "\n" { text.removeLast() }
        }
        self.text = text
        self.source = Source(text)
        guard source.utf8.count <= Lexer.sourceBytes else {
            throw Fault(.request, "template.size", "cannot read the chat template", why: "it is longer than 1 MiB", remedy: "use a shorter template")
        }
    }

    mutating func lexemes() throws(Fault) -> [Lexeme] {
        while at < text.count {
            let start = at
            while at < text.count, !isTag(at) { at += 1 }
            guard at < text.count else {
                emit(.data(string(start..<at)), start)
                break
            }
            let opening = at, mark = text[at + 1]
            at += 2
            let sign = takeSign()
            if mark == "%", let end = rawBegin() {
                data(start..<opening, sign: sign, isOutput: false)
                at = end
                isLineStart = text[end - 1] == "\n"
                try raw(opening)
                continue
            }
            data(start..<opening, sign: sign, isOutput: mark == "{")
            switch mark {
            case "#": try comment(opening)
            case "%": try tag(opening, begin: .blockBegin, end: .blockEnd, closing: "%")
            default: try tag(opening, begin: .outputBegin, end: .outputEnd, closing: "}")
            }
        }
        emit(.end, text.count)
        return out
    }

    private func isTag(_ i: Int) -> Bool { text[i] == "{" && i + 1 < text.count && (text[i + 1] == "%" || text[i + 1] == "{" || text[i + 1] == "#") }
    private func isSpace(_ i: Int) -> Bool { i < text.count && Text.isSpace(text[i].value) }
    private func has(_ word: String, at i: Int) -> Bool { text[min(i, text.count)...].starts(with: word.unicodeScalars) }
    private mutating func emit(_ kind: Lexeme.Kind, _ offset: Int) { out.append(Lexeme(kind: kind, offset: offset)) }

    private func string(_ range: Range<Int>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: text[range])
        return String(view)
    }

    private mutating func takeSign() -> Unicode.Scalar? {
        guard at < text.count, text[at] == "-" || text[at] == "+" else { return nil }
        defer { at += 1 }
        return text[at]
    }

    private mutating func data(_ range: Range<Int>, sign: Unicode.Scalar?, isOutput: Bool) {
        var end = range.upperBound
        if sign == "-" {
            while end > range.lowerBound, isSpace(end - 1) { end -= 1 }
        } else if sign == nil, !isOutput {
            var line = end
            while line > range.lowerBound, text[line - 1] != "\n" { line -= 1 }
            if line > range.lowerBound || isLineStart, (line..<end).allSatisfy(isSpace) { end = line }
        }
        if end > range.lowerBound { emit(.data(string(range.lowerBound..<end)), range.lowerBound) }
    }

    /// Reads the end of a tag, if one stands here: `+` keeps the line end after it, `-` takes all white space.
    private mutating func takeEnd(_ closing: String, trims: Bool, keeps: Bool = true) -> Bool {
        if keeps, has("+" + closing, at: at) {
            at += 1 + closing.unicodeScalars.count
        } else if has("-" + closing, at: at) {
            at += 1 + closing.unicodeScalars.count
            while isSpace(at) { at += 1 }
        } else if has(closing, at: at) {
            at += closing.unicodeScalars.count
            if trims, at < text.count, text[at] == "\n" { at += 1 }
        } else {
            return false
        }
        isLineStart = text[at - 1] == "\n"
        return true
    }

    private mutating func comment(_ opening: Int) throws(Fault) {
        while at < text.count {
            if takeEnd("#}", trims: true) { return }
            at += 1
        }
        throw source.syntax("a comment is not closed", at: opening, remedy: "write `#}` where it ends")
    }

    /// Where `raw` and the tag's end, which follow here, are over.
    private func rawBegin() -> Int? {
        var i = at
        while isSpace(i) { i += 1 }
        guard has("raw", at: i) else { return nil }
        i += 3
        while isSpace(i) { i += 1 }
        if has("%}", at: i) { return i + 2 }
        guard has("-%}", at: i) else { return nil }
        i += 3
        while isSpace(i) { i += 1 }
        return i
    }

    private mutating func raw(_ opening: Int) throws(Fault) {
        let start = at
        while at < text.count {
            let end = at
            guard has("{%", at: at) else {
                at += 1
                continue
            }
            at += 2
            let sign = takeSign()
            while isSpace(at) { at += 1 }
            if has("endraw", at: at) {
                at += 6
                while isSpace(at) { at += 1 }
                let wasLineStart = isLineStart
                if takeEnd("%}", trims: true) {
                    let ends = isLineStart
                    isLineStart = wasLineStart
                    data(start..<end, sign: sign, isOutput: false)
                    isLineStart = ends
                    return
                }
            }
            at = end + 1
        }
        throw source.syntax("a raw block is not closed", at: opening, remedy: "write `{% endraw %}` where it ends")
    }

    private mutating func tag(_ opening: Int, begin: Lexeme.Kind, end: Lexeme.Kind, closing: Unicode.Scalar) throws(Fault) {
        emit(begin, opening)
        let mark = String(Character(closing)) + "}"
        var brackets: [String] = []
        while at < text.count {
            let start = at
            if brackets.isEmpty, takeEnd(mark, trims: closing == "%", keeps: closing == "%") {
                emit(end, start)
                return
            }
            if isSpace(at) {
                at += 1
            } else if "0"..."9" ~= text[at] {
                emit(try number(), start)
            } else if isName(text[at]) {
                while at < text.count, isName(text[at]) || "0"..."9" ~= text[at] { at += 1 }
                emit(.name(string(start..<at)), start)
            } else if text[at] == "'" || text[at] == "\"" {
                emit(.string(try quoted()), start)
            } else {
                let op = try operation()
                switch op {
                case "(": brackets.append(")")
                case "[": brackets.append("]")
                case "{": brackets.append("}")
                case ")", "]", "}":
                    guard brackets.popLast() == op else { throw source.syntax("`\(op)` closes no bracket", at: start) }
                default: break
                }
                emit(.op(op), start)
            }
        }
        throw source.syntax("a tag is not closed", at: opening, remedy: "write `\(mark)` where it ends")
    }

    private func isName(_ c: Unicode.Scalar) -> Bool { "a"..."z" ~= c || "A"..."Z" ~= c || c == "_" }

    private mutating func operation() throws(Fault) -> String {
        for op in ["**", "//", "==", "!=", ">=", "<="] where has(op, at: at) {
            at += 2
            return op
        }
        guard "+-/*%~[](){}><=.:|,".unicodeScalars.contains(text[at]) else {
            throw source.syntax("no expression has the character `\(text[at])`", at: at, remedy: "write names in ASCII, and other characters in quotes")
        }
        defer { at += 1 }
        return String(Character(text[at]))
    }
}

// Numbers and quoted text.
extension Lexer {
    private mutating func digits() -> String {
        let start = at
        while at < text.count, "0"..."9" ~= text[at] || text[at] == "_" && at > start && at + 1 < text.count && "0"..."9" ~= text[at + 1] { at += 1 }
        return string(start..<at).filter { $0 != "_" }
    }

    private mutating func number() throws(Fault) -> Lexeme.Kind {
        let start = at
        if text[at] == "0", at + 1 < text.count, "xXoObB".unicodeScalars.contains(text[at + 1]) {
            throw source.syntax("numbers are decimal here", at: at, remedy: "write the number in decimal")
        }
        var written = digits(), isFloat = false
        let isAfterDot = start > 0 && text[start - 1] == "."
        func isDigit(_ i: Int) -> Bool { i < text.count && "0"..."9" ~= text[i] }
        if !isAfterDot, at < text.count, text[at] == ".", isDigit(at + 1) {
            isFloat = true
            at += 1
            written += "." + digits()
        }
        if !isAfterDot, at < text.count, text[at] == "e" || text[at] == "E" {
            let signed = at + 1 < text.count && (text[at + 1] == "+" || text[at + 1] == "-")
            if isDigit(at + (signed ? 2 : 1)) {
                isFloat = true
                let sign = signed && text[at + 1] == "-" ? "-" : ""
                at += signed ? 2 : 1
                written += "e" + sign + digits()
            }
        }
        if isFloat, let value = Double(written) { return .float(value) }
        guard written == "0" || written.first != "0" || written.allSatisfy({ $0 == "0" }), let value = Int(written) else {
            throw source.syntax("`\(written.prefix(32))` is no number of 64 bits without leading zeros", at: start)
        }
        return .int(value)
    }

    private mutating func quoted() throws(Fault) -> String {
        let start = at, quote = text[at]
        var out = String.UnicodeScalarView()
        at += 1
        while at < text.count {
            let c = text[at]
            at += 1
            if c == quote { return String(out) }
            if c == "\\" { try escape(into: &out) } else { out.append(c) }
        }
        throw source.syntax("a quoted text is not closed", at: start, remedy: "close it with `\(quote)`")
    }

    private mutating func escape(into out: inout String.UnicodeScalarView) throws(Fault) {
        guard at < text.count else { return }
        let start = at - 1, c = text[at]
        at += 1
        switch c {
        case "\n": break
        case "\\", "'", "\"": out.append(c)
        case "a": out.append("\u{7}")
        case "b": out.append("\u{8}")
        case "f": out.append("\u{c}")
        case "n": out.append("\n")
        case "r": out.append("\r")
        case "t": out.append("\t")
        case "v": out.append("\u{b}")
        case "x": out.append(try hexadecimal(2, start))
        case "u": out.append(try hexadecimal(4, start))
        case "U": out.append(try hexadecimal(8, start))
        case "0"..."7":
            at -= 1
            let digits = text[at...].prefix(3).prefix { "0"..."7" ~= $0 }
            at += digits.count
            out.append(Unicode.Scalar(digits.reduce(UInt32(0)) { $0 * 8 + $1.value - 0x30 }) ?? "\u{fffd}")
        case "N": throw source.syntax("characters have no names here", at: start, remedy: "write the character itself, or its number after `\\u`")
        default:
            out.append("\\")
            out.append(c)
        }
    }

    private mutating func hexadecimal(_ count: Int, _ start: Int) throws(Fault) -> Unicode.Scalar {
        let end = at + count
        guard end <= text.count, let code = UInt32(string(at..<end), radix: 16), text[at] != "+", text[at] != "-", let scalar = Unicode.Scalar(code) else {
            throw source.syntax("no character has this number", at: start, remedy: "write \(count) hexadecimal digits of a character that is no surrogate")
        }
        at = end
        return scalar
    }
}
