/// Base64 of RFC 4648: section 4 (standard, padded) and section 5 (URL-safe, unpadded). Decoding is strict:
/// no white space, canonical padding, unused bits zero.
package enum Base64 {
    package enum Alphabet: Sendable { case standard, url }

    private static let standard: [UInt8] = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let url: [UInt8] = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    package static func encode(_ bytes: some Collection<UInt8>, _ alphabet: Alphabet = .standard) -> String {
        let table = alphabet == .standard ? standard : url
        var out: [UInt8] = []
        out.reserveCapacity((bytes.count + 2) / 3 * 4)
        var group: UInt32 = 0
        var held = 0
        for byte in bytes {
            group = group << 8 | UInt32(byte)
            held += 1
            if held == 3 {
                for shift in [18, 12, 6, 0] { out.append(table[Int(group >> UInt32(shift) & 63)]) }
                group = 0
                held = 0
            }
        }
        if held == 1 {
            out.append(table[Int(group >> 2 & 63)])
            out.append(table[Int(group << 4 & 63)])
        } else if held == 2 {
            out.append(table[Int(group >> 10 & 63)])
            out.append(table[Int(group >> 4 & 63)])
            out.append(table[Int(group << 2 & 63)])
        }
        if alphabet == .standard && held > 0 { out.append(contentsOf: Array(repeating: 0x3d, count: 3 - held)) }
        return String(decoding: out, as: UTF8.self)
    }

    package static func decode(_ text: some StringProtocol, _ alphabet: Alphabet = .standard) -> [UInt8]? {
        var digits = Array(text.utf8)
        if alphabet == .standard {
            guard digits.count.isMultiple(of: 4) else { return nil }
            var padding = 0
            while padding < 2, digits.last == 0x3d {
                digits.removeLast()
                padding += 1
            }
        }
        guard digits.count % 4 != 1 else { return nil }
        var out: [UInt8] = []
        out.reserveCapacity(digits.count * 3 / 4)
        var group: UInt32 = 0
        var bits = 0
        for digit in digits {
            guard let value = value(digit, alphabet) else { return nil }
            group = group << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                out.append(UInt8(truncatingIfNeeded: group >> UInt32(bits)))
                group &= (1 << UInt32(bits)) - 1
            }
        }
        return group == 0 ? out : nil
    }

    private static func value(_ c: UInt8, _ alphabet: Alphabet) -> UInt8? {
        switch (c, alphabet) {
        case (0x41...0x5a, _): c - 0x41
        case (0x61...0x7a, _): c - 0x61 + 26
        case (0x30...0x39, _): c - 0x30 + 52
        case (0x2b, .standard), (0x2d, .url): 62
        case (0x2f, .standard), (0x5f, .url): 63
        default: nil
        }
    }
}
