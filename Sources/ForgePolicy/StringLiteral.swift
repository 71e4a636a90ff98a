/// What a quoted text denotes: Rust's escapes (`\n \r \t \\ \0 \' \"`, `\x00`–`\x7f`, `\u{1–6 digits}`), and `\*` in patterns.
enum StringLiteral {
    static func text(_ raw: String, at position: TextPosition) throws(SyntaxError) -> ExactText {
        var out = String.UnicodeScalarView()
        for element in try elements(raw, position, inPattern: false) {
            if case .scalar(let scalar) = element { out.append(scalar) }
        }
        return ExactText(String(out))
    }

    /// An unescaped `*` is a wildcard; `\*` is the character.
    static func pattern(_ raw: String, at position: TextPosition) throws(SyntaxError) -> Pattern {
        Pattern(try elements(raw, position, inPattern: true))
    }

    private static func elements(_ raw: String, _ position: TextPosition, inPattern: Bool) throws(SyntaxError) -> [Pattern.Element] {
        func fail(_ reason: String) -> SyntaxError { SyntaxError(reason: reason, position: position) }
        let scalars = Array(raw.unicodeScalars)
        var out: [Pattern.Element] = []
        var at = 0
        while at < scalars.count {
            let scalar = scalars[at]
            at += 1
            guard scalar == "\\" else {
                if scalar == "\r" { throw fail("a bare carriage return stands in a string; write `\\r`") }
                out.append(inPattern && scalar == "*" ? .wildcard : .scalar(scalar))
                continue
            }
            guard at < scalars.count else { throw fail("a string ends in `\\`") }
            let escape = scalars[at]
            at += 1
            switch escape {
            case "n": out.append(.scalar("\n"))
            case "r": out.append(.scalar("\r"))
            case "t": out.append(.scalar("\t"))
            case "\\": out.append(.scalar("\\"))
            case "0": out.append(.scalar("\0"))
            case "'": out.append(.scalar("'"))
            case "\"": out.append(.scalar("\""))
            case "*" where inPattern: out.append(.scalar("*"))
            case "x":
                guard at + 1 < scalars.count, let high = hex(scalars[at]), let low = hex(scalars[at + 1]), high < 8 else {
                    throw fail("`\\x` takes two hexadecimal digits up to 7f")
                }
                // SAFETY: at most 0x7f, an ASCII scalar.
                out.append(.scalar(Unicode.Scalar(UInt8(high << 4 | low))))
                at += 2
            case "u":
                guard at < scalars.count, scalars[at] == "{", let end = scalars[at...].firstIndex(of: "}") else { throw fail("`\\u` takes digits in braces") }
                let inside = scalars[(at + 1)..<end]
                var value: UInt32 = 0
                var count = 0
                for digit in inside where digit != "_" {
                    guard let nibble = hex(digit), count < 6 else { throw fail("`\\u{…}` takes one to six hexadecimal digits") }
                    value = value << 4 | nibble
                    count += 1
                }
                guard count > 0, inside.first != "_", let scalar = Unicode.Scalar(value) else { throw fail("`\\u{…}` does not name a character") }
                out.append(.scalar(scalar))
                at = end + 1
            default: throw fail("the escape `\\\(escape.escaped(asASCII: false))` is not known")
            }
        }
        return out
    }

    private static func hex(_ c: Unicode.Scalar) -> UInt32? {
        switch c {
        case "0"..."9": c.value - 0x30
        case "a"..."f": c.value - 0x61 + 10
        case "A"..."F": c.value - 0x41 + 10
        default: nil
        }
    }
}

/// The right side of `like`: characters, and wildcards that match any run of them.
package struct Pattern: Hashable, Sendable {
    package enum Element: Hashable, Sendable {
        case scalar(Unicode.Scalar)
        case wildcard
    }

    package let elements: [Element]

    package init(_ elements: [Element]) { self.elements = elements }

    /// Greedy with one point of return: linear in text × wildcards, never exponential.
    package func matches(_ text: ExactText) -> Bool {
        let scalars = Array(text.text.unicodeScalars)
        var t = 0
        var p = 0
        var back: (pattern: Int, text: Int)?
        while t < scalars.count {
            if p < elements.count, elements[p] == .wildcard {
                back = (p + 1, t)
                p += 1
            } else if p < elements.count, elements[p] == .scalar(scalars[t]) {
                p += 1
                t += 1
            } else if let point = back {
                back = (point.pattern, point.text + 1)
                p = point.pattern
                t = point.text + 1
            } else {
                return false
            }
        }
        return elements[p...].allSatisfy { $0 == .wildcard }
    }
}
