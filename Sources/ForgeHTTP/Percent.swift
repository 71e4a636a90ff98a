/// Percent-encoding of one path segment or query value (RFC 3986, section 2.1).
package enum Percent {
    private static let digits = Array("0123456789ABCDEF".utf8)

    /// Everything outside `A-Za-z0-9-._~@:` becomes `%XX`; `@` and `:` are legal in a segment and common in model references.
    package static func encode(_ text: String) -> String {
        var out: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e, 0x40, 0x3a: out.append(byte)
            default: out += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// - Parameter plus: whether `+` means a space, as in a query.
    /// - Returns: nil for a stray `%`, for bytes that are not UTF-8 and for NUL.
    package static func decode(_ text: some StringProtocol, plus: Bool = false) -> String? {
        var out: [UInt8] = []
        var bytes = Array(text.utf8)[...]
        while let byte = bytes.popFirst() {
            switch byte {
            case 0x25:
                guard let high = bytes.popFirst().flatMap(value), let low = bytes.popFirst().flatMap(value) else { return nil }
                out.append(high << 4 | low)
            case 0x2b where plus: out.append(0x20)
            default: out.append(byte)
            }
        }
        guard !out.contains(0) else { return nil }
        return String(validating: out, as: UTF8.self)
    }

    private static func value(_ c: UInt8) -> UInt8? {
        switch c {
        case 0x30...0x39: c - 0x30
        case 0x41...0x46: c - 0x41 + 10
        case 0x61...0x66: c - 0x61 + 10
        default: nil
        }
    }
}
