/// Decides whether bytes are text in UTF-8, and says what they look like when they are not.
enum TextEncoding {
    /// - Returns: the same bytes without a byte order mark.
    static func check(_ bytes: [UInt8]) throws(Refusal) -> [UInt8] {
        if bytes.starts(with: [0xff, 0xfe, 0, 0]) || bytes.starts(with: [0, 0, 0xfe, 0xff]) { throw recode("UTF-32") }
        if bytes.starts(with: [0xff, 0xfe]) || bytes.starts(with: [0xfe, 0xff]) { throw recode("UTF-16") }
        let text = bytes.starts(with: [0xef, 0xbb, 0xbf]) ? Array(bytes[3...]) : bytes
        var nulEven = 0, nulOdd = 0, control = 0
        for (i, byte) in text.enumerated() where byte < 0x20 {
            if byte == 0 {
                if i.isMultiple(of: 2) { nulEven += 1 } else { nulOdd += 1 }
            } else if byte != 0x09, byte != 0x0a, byte != 0x0c, byte != 0x0d, byte != 0x08, byte != 0x1b {
                control += 1
            }
        }
        if nulEven + nulOdd > 0 {
            // Latin text in UTF-16 without a mark has a zero in nearly every second place.
            let half = text.count / 2
            if half > 8, max(nulEven, nulOdd) * 10 > half * 7, min(nulEven, nulOdd) * 10 < half { throw recode("UTF-16 without a byte order mark") }
            throw Refusal(.binary, "it holds zero bytes, which no text does")
        }
        if control * 100 > text.count { throw Refusal(.binary, "more than one byte in a hundred is a control character") }
        guard let bad = firstIllFormed(text) else { return text }
        if looksEightBit(text) { throw recode("ISO 8859 or Windows-125x") }
        throw Refusal(.encoding, "it is not UTF-8: byte \(bad) begins no character")
    }

    private static func recode(_ name: String) -> Refusal { Refusal(.encoding, "it looks like \(name): convert it to UTF-8 first, for instance with `iconv`") }

    /// Bytes of Unicode's table 3-7, nothing else.
    static func firstIllFormed(_ bytes: [UInt8], from start: Int = 0) -> Int? {
        var at = start
        while at < bytes.count {
            let lead = bytes[at]
            if lead < 0x80 {
                at += 1
                continue
            }
            let count: Int
            var low: UInt8 = 0x80, high: UInt8 = 0xbf
            switch lead {
            case 0xc2...0xdf: count = 2
            case 0xe0: (count, low) = (3, 0xa0)
            case 0xed: (count, high) = (3, 0x9f)
            case 0xe1...0xef: count = 3
            case 0xf0: (count, low) = (4, 0x90)
            case 0xf4: (count, high) = (4, 0x8f)
            case 0xf1...0xf3: count = 4
            default: return at
            }
            guard at + count <= bytes.count, (low...high).contains(bytes[at + 1]) else { return at }
            for i in 2..<max(count, 2) where bytes[at + i] & 0xc0 != 0x80 { return at }
            at += count
        }
        return nil
    }

    /// The same text without bytes that begin no character. A reader that cuts inside one (an escape before it, say) is repaired here.
    static func wellFormed(_ text: [UInt8]) -> [UInt8] {
        guard var bad = firstIllFormed(text) else { return text }
        var out: [UInt8] = []
        var start = 0
        while true {
            out += text[start..<bad]
            start = bad + 1
            guard let next = firstIllFormed(text, from: start) else { return out + text[start...] }
            bad = next
        }
    }

    /// Mostly ASCII with single high bytes between letters, as Western 8-bit encodings give.
    private static func looksEightBit(_ bytes: [UInt8]) -> Bool {
        var high = 0, alone = 0
        for (i, byte) in bytes.enumerated() where byte >= 0x80 {
            high += 1
            let before = i > 0 ? bytes[i - 1] : 0x20
            let after = i + 1 < bytes.count ? bytes[i + 1] : 0x20
            if before < 0x80, after < 0x80 { alone += 1 }
        }
        return high * 3 < bytes.count && alone * 2 > high
    }
}
