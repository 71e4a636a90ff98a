package import ForgeCore
import ForgeCrypto

/// The key that is printed and locked away: 250 random bits in ten groups of five symbols, each group with its own check symbol.
package struct RecoveryKey: ~Copyable, Sendable {
    package static let groups = 10
    private static let groupCount = 5
    private static let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ".utf8)

    /// The fifty symbols in ASCII, without the check symbols.
    let symbols: SecretBytes

    /// A fresh one.
    package init() {
        var bytes = Random.bytes(RecoveryKey.groups * RecoveryKey.groupCount)
        // 32 divides 256, so the low five bits of a random byte are uniform.
        for i in bytes.indices { bytes[i] = RecoveryKey.alphabet[Int(bytes[i] & 31)] }
        symbols = SecretBytes(taking: &bytes)
    }

    /// Reads what a person typed from paper.
    /// - Throws: `.request` naming the first group that cannot be right.
    package init(parsing text: String) throws(Fault) {
        var typed: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "-"), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: "\t"): continue
            case UInt8(ascii: "a")...UInt8(ascii: "z"): typed.append(byte - 32)
            default: typed.append(byte)
            }
        }
        for i in typed.indices {
            switch typed[i] {
            case UInt8(ascii: "I"), UInt8(ascii: "L"): typed[i] = UInt8(ascii: "1")
            case UInt8(ascii: "O"): typed[i] = UInt8(ascii: "0")
            default: break
            }
        }
        let size = RecoveryKey.groupCount + 1
        guard typed.count == RecoveryKey.groups * size else {
            throw RecoveryKey.fault("it has \(typed.count) symbols where \(RecoveryKey.groups * size) are printed")
        }
        var symbols: [UInt8] = []
        for group in 0..<RecoveryKey.groups {
            let part = Array(typed[group * size..<(group + 1) * size])
            guard part.allSatisfy({ RecoveryKey.alphabet.contains($0) }) else { throw RecoveryKey.fault("group \(group + 1) holds a symbol that is never printed") }
            guard part[size - 1] == RecoveryKey.check(group, Array(part.dropLast())) else { throw RecoveryKey.fault("group \(group + 1) was mistyped or stands in the wrong place") }
            symbols += part.dropLast()
        }
        wipe(&typed)
        self.symbols = SecretBytes(taking: &symbols)
    }

    /// As it is printed: ten groups of six symbols on two lines. The caller prints it once and forgets it.
    package borrowing func text() -> String {
        let all = symbols.reveal()
        let groups = (0..<RecoveryKey.groups).map { group -> String in
            let part = Array(all[group * RecoveryKey.groupCount..<(group + 1) * RecoveryKey.groupCount])
            return String(decoding: part + [RecoveryKey.check(group, part)], as: UTF8.self)
        }
        return groups.prefix(5).joined(separator: "-") + "\n" + groups.suffix(5).joined(separator: "-") + "\n"
    }

    private static func check(_ group: Int, _ part: [UInt8]) -> UInt8 {
        alphabet[Int(Digest.sha256(Array("forge.recovery.v1\0".utf8) + [UInt8(group)] + part).bytes[0] & 31)]
    }

    private static func fault(_ why: String) -> Fault {
        Fault(.request, "vault.recovery_key", "this is not a recovery key", why: why, remedy: "type the ten groups as they are printed")
    }

    /// HKDF-SHA-512 (RFC 5869), extract and expand.
    borrowing func slotKey(salt: [UInt8]) -> SecretBytes {
        var input = symbols.reveal()
        var extracted = hmacSHA512(key: salt, input)
        wipe(&input)
        return HKDF.expandSHA512(SecretBytes(taking: &extracted), info: Array("forge.recovery.v1".utf8), count: 32)
    }
}
