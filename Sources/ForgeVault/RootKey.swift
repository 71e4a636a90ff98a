import ForgeCore
package import ForgeCrypto

/// The key above all keys. It never encrypts data: it only makes the keys of its labels.
package struct RootKey: ~Copyable, Sendable {
    package static let count = 32
    private let secret: SecretBytes

    /// A fresh one.
    package init() { secret = SecretBytes.random(RootKey.count) }

    init(_ secret: consuming SecretBytes) { self.secret = secret }

    package enum Label: Hashable, Sendable {
        case keyslotsMAC
        case wrap
        case catalogColumn
        /// The audit log's lookup key of one epoch.
        case redaction(epoch: Int)

        var text: String {
            switch self {
            case .keyslotsMAC: "keyslots-mac"
            case .wrap: "wrap"
            case .catalogColumn: "catalog-column"
            case .redaction(let epoch): "redaction/\(epoch)"
            }
        }
    }

    package borrowing func derive(_ label: Label) -> SecretBytes {
        HKDF.expandSHA512(secret, info: Array("forge.root.v1\0".utf8) + Array(label.text.utf8), count: 32)
    }

    borrowing func wrapped(under slotKey: borrowing SecretBytes, context: [UInt8]) -> [UInt8] { Cobblestone.seal(secret, key: slotKey, context: context) }

    borrowing func copy() -> RootKey { RootKey(secret.copy()) }
}
