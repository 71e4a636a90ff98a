/// Digits and letters, for credentials that a double-click selects whole.
enum Base62 {
    private static let alphabet = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

    /// The bytes as one big-endian number, with as many digits as that many bytes can need.
    static func encode(_ bytes: [UInt8]) -> String {
        let width = (bytes.count * 8 * 10_000 + 59_541) / 59_542  // 62 = 2^5.9542
        var number = bytes
        var digits: [UInt8] = []
        for _ in 0..<width {
            var rest = 0
            for i in number.indices {
                let value = rest << 8 | Int(number[i])
                number[i] = UInt8(value / 62)
                rest = value % 62
            }
            digits.append(alphabet[rest])
        }
        return String(decoding: digits.reversed(), as: UTF8.self)
    }

    /// A number below 62^width in exactly that many digits.
    static func encode(_ value: UInt32, width: Int) -> String {
        var rest = value
        var digits: [UInt8] = []
        for _ in 0..<width {
            digits.append(alphabet[Int(rest % 62)])
            rest /= 62
        }
        return String(decoding: digits.reversed(), as: UTF8.self)
    }

    static func isDigits(_ text: some StringProtocol) -> Bool { text.utf8.allSatisfy(alphabet.contains) }
}

/// CRC-32 as in IEEE 802.3 (reflected, polynomial 0xedb88320): lets anyone reject a mistyped key without asking.
enum CRC32 {
    static func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var crc: UInt32 = 0xffff_ffff
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xedb8_8320 : crc >> 1 }
        }
        return ~crc
    }
}
