/// Character references of HTML: numbers, and the names of HTML 4 (Latin-1, Greek, symbols). Unknown names stay as they are written.
enum Entities {
    /// Reads a reference at `at` (where `&` stands).
    /// - Returns: its text and where it ends; nil if none stands there.
    static func read(_ bytes: [UInt8], _ at: Int) -> (text: [UInt8], end: Int)? {
        var i = at + 1
        guard i < bytes.count else { return nil }
        if bytes[i] == UInt8(ascii: "#") { return number(bytes, i + 1) }
        let start = i
        while i < bytes.count, i - start < 10, isAlphanumeric(bytes[i]) { i += 1 }
        guard i > start, i < bytes.count, bytes[i] == UInt8(ascii: ";") else { return nil }
        guard let scalar = names[String(decoding: bytes[start..<i], as: UTF8.self)] else { return nil }
        return (Array(String(Character(scalar)).utf8), i + 1)
    }

    private static func number(_ bytes: [UInt8], _ start: Int) -> (text: [UInt8], end: Int)? {
        var i = start
        guard i < bytes.count else { return nil }
        let isHex = bytes[i] | 0x20 == UInt8(ascii: "x")
        if isHex { i += 1 }
        var value: UInt32 = 0
        let first = i
        while i < bytes.count, let digit = Unicode.Scalar(bytes[i]).hexValue, isHex || digit < 10 {
            value = min(value * (isHex ? 16 : 10) + digit, 0x11_0000)
            i += 1
        }
        guard i > first else { return nil }
        if i < bytes.count, bytes[i] == UInt8(ascii: ";") { i += 1 }
        // Windows-1252 in numeric clothes, as the HTML standard reads it.
        if (0x80...0x9f).contains(value) { value = windows[Int(value) - 0x80] }
        let scalar = value == 0 ? "\u{fffd}" : Unicode.Scalar(value) ?? "\u{fffd}"
        return (Array(String(Character(scalar)).utf8), i)
    }

    static func isAlphanumeric(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte) }

    private static let windows: [UInt32] = [
        0x20ac, 0x81, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8d, 0x017d, 0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
        0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d, 0x017e, 0x0178,
    ]

    private static let latin = """
        nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest \
        Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml \
        Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave \
        uacute ucirc uuml yacute thorn yuml
        """
    private static let greekUpper = "Alpha Beta Gamma Delta Epsilon Zeta Eta Theta Iota Kappa Lambda Mu Nu Xi Omicron Pi Rho . Sigma Tau Upsilon Phi Chi Psi Omega"
    private static let greekLower = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigmaf sigma tau upsilon phi chi psi omega"

    private static let names: [String: Unicode.Scalar] = {
        var names: [String: Unicode.Scalar] = [
            "amp": "&", "lt": "<", "gt": ">", "quot": "\"", "apos": "'", "OElig": "Œ", "oelig": "œ", "Scaron": "Š", "scaron": "š", "Yuml": "Ÿ", "fnof": "ƒ", "circ": "ˆ", "tilde": "˜",
            "ensp": "\u{2002}", "emsp": "\u{2003}", "thinsp": "\u{2009}", "zwnj": "\u{200c}", "zwj": "\u{200d}", "lrm": "\u{200e}", "rlm": "\u{200f}", "ndash": "–", "mdash": "—", "lsquo": "‘",
            "rsquo": "’", "sbquo": "‚", "ldquo": "“", "rdquo": "”", "bdquo": "„", "dagger": "†", "Dagger": "‡", "bull": "•", "hellip": "…", "permil": "‰", "prime": "′", "Prime": "″",
            "lsaquo": "‹", "rsaquo": "›", "oline": "‾", "frasl": "⁄", "euro": "€", "trade": "™", "larr": "←", "uarr": "↑", "rarr": "→", "darr": "↓", "harr": "↔", "lArr": "⇐", "uArr": "⇑",
            "rArr": "⇒", "dArr": "⇓", "hArr": "⇔", "forall": "∀", "part": "∂", "exist": "∃", "empty": "∅", "nabla": "∇", "isin": "∈", "notin": "∉", "ni": "∋", "prod": "∏", "sum": "∑",
            "minus": "−", "lowast": "∗", "radic": "√", "prop": "∝", "infin": "∞", "ang": "∠", "and": "∧", "or": "∨", "cap": "∩", "cup": "∪", "int": "∫", "there4": "∴", "sim": "∼",
            "cong": "≅", "asymp": "≈", "ne": "≠", "equiv": "≡", "le": "≤", "ge": "≥", "sub": "⊂", "sup": "⊃", "nsub": "⊄", "sube": "⊆", "supe": "⊇", "oplus": "⊕", "otimes": "⊗", "perp": "⊥",
            "sdot": "⋅", "lceil": "⌈", "rceil": "⌉", "lfloor": "⌊", "rfloor": "⌋", "loz": "◊", "check": "✓",
        ]
        for (i, name) in latin.split(separator: " ").enumerated() { names[String(name)] = Unicode.Scalar(UInt8(160 + i)) }
        for (i, name) in greekUpper.split(separator: " ").enumerated() where name != "." { names[String(name)] = Unicode.Scalar(UInt32(0x391 + i)) }
        for (i, name) in greekLower.split(separator: " ").enumerated() { names[String(name)] = Unicode.Scalar(UInt32(0x3b1 + i)) }
        return names
    }()
}

extension Unicode.Scalar {
    fileprivate var hexValue: UInt32? {
        switch value {
        case 0x30...0x39: value - 0x30
        case 0x41...0x46: value - 0x37
        case 0x61...0x66: value - 0x57
        default: nil
        }
    }
}
