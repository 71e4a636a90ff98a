package import ForgeCore
import ForgeCrypto

/// A public key that verifies lines of signed notes: a name, a type and 32 bytes (C2SP signed-note, "Verifier keys").
package struct NoteKey: Hashable, Sendable, CustomStringConvertible {
    package enum Kind: UInt8, Sendable, Hashable {
        /// The log's own signature over a note.
        case ed25519 = 0x01
        /// A witness's timestamped cosignature of a checkpoint.
        case cosignature = 0x04
    }

    package let name: String
    package let kind: Kind
    package let publicKey: [UInt8]
    /// The first four bytes of SHA-256(name ‖ newline ‖ type ‖ public key).
    package let id: UInt32

    /// - Returns: nil for a name that cannot stand in a signature line or a public key that is not 32 bytes.
    package init?(_ name: String, _ kind: Kind, publicKey: [UInt8]) {
        guard NoteKey.isName(name), publicKey.count == 32 else { return nil }
        self.name = name
        self.kind = kind
        self.publicKey = publicKey
        id = Digest.sha256(Array(name.utf8) + [0x0a, kind.rawValue] + publicKey).bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// Reads `name+id+base64`.
    package init(parsing text: some StringProtocol) throws(Fault) {
        // Base64 may hold `+` too, so only the first two part the fields.
        let parts = text.utf8.split(separator: UInt8(ascii: "+"), maxSplits: 2, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
        guard parts.count == 3, parts[1].utf8.count == 8, let id = Hex.decode(parts[1]) else {
            throw .malformed("not a verifier key", "it is written `name+id+key`, the id in eight lower-case hexadecimal digits")
        }
        guard let bytes = Base64.decode(parts[2]), let type = bytes.first, let kind = Kind(rawValue: type) else {
            throw .malformed("not a verifier key", "its type is neither Ed25519 nor a cosignature of version 1")
        }
        guard let key = NoteKey(parts[0], kind, publicKey: Array(bytes.dropFirst())) else {
            throw .malformed("not a verifier key", "its name or the length of its key is wrong")
        }
        guard key.id == id.reduce(0, { $0 << 8 | UInt32($1) }) else { throw .malformed("not a verifier key", "its id is not the hash of its key") }
        self = key
    }

    package var description: String { "\(name)+\(Hex.encode(id.bigEndianBytes))+\(Base64.encode([kind.rawValue] + publicKey))" }

    /// Names are compared as bytes: two spellings of one letter are two names.
    package static func == (a: NoteKey, b: NoteKey) -> Bool {
        a.kind == b.kind && a.publicKey == b.publicKey && Array(a.name.utf8) == Array(b.name.utf8)
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(publicKey) }

    static func isName(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 256
            && name.unicodeScalars.allSatisfy { $0 != "+" && $0.value >= 0x20 && !$0.properties.isWhitespace }
    }

    func verifies(_ signature: [UInt8], of message: [UInt8]) -> Bool {
        Ed25519.PublicKey(publicKey)?.verify(signature, of: message) ?? false
    }
}

/// What makes signature lines. The key itself stays where it is: signing is a closure.
package struct NoteSigner: Sendable {
    package let key: NoteKey
    private let sign: @Sendable ([UInt8]) -> [UInt8]

    package init(_ key: NoteKey, sign: @escaping @Sendable ([UInt8]) -> [UInt8]) {
        self.key = key
        self.sign = sign
    }

    func signature(of message: [UInt8]) -> [UInt8] { sign(message) }
}

extension FixedWidthInteger {
    var bigEndianBytes: [UInt8] { (0..<Self.bitWidth / 8).reversed().map { UInt8(truncatingIfNeeded: self >> ($0 * 8)) } }
}

extension NoteKey {
    /// SHA-256 of type and key; how a record names it.
    package var digest: Digest { Digest.sha256([kind.rawValue] + publicKey) }
}
