package import ForgeCore
import ForgeCrypto

/// One way to the root key.
package struct KeySlot: Hashable, Sendable {
    package enum Kind: String, Sendable, Hashable {
        case passphrase
        case recovery

        var byte: UInt8 { self == .passphrase ? 1 : 2 }
    }

    package let id: ID
    package let kind: Kind
    /// For people: whose passphrase, where the paper lies.
    package let name: String
    /// Microseconds since 1970 UTC.
    package let created: Int64
    let salt: [UInt8]
    /// The cost of a guess; passphrase slots only.
    let scrypt: Scrypt?
    let wrapped: [UInt8]

    static let saltCount = 32
    static let wrappedCount = Cobblestone.sealedCount(RootKey.count)

    func context(store: ID) -> [UInt8] { KeySlot.context(store: store, slot: id, kind) }

    static func context(store: ID, slot: ID, _ kind: Kind) -> [UInt8] { Array("forge.keyslot.v1\0".utf8) + store.bytes + slot.bytes + [kind.byte] }

    static func isName(_ name: String) -> Bool { (1...64).contains(name.utf8.count) && !name.utf8.contains { $0 < 0x20 || $0 == 0x7f } }

    var json: JSON {
        var kdf: JSON.Object = .init()
        if let scrypt {
            kdf["name"] = "scrypt"
            kdf["n"] = .int(Int64(scrypt.n))
            kdf["r"] = .int(Int64(scrypt.r))
            kdf["p"] = .int(Int64(scrypt.p))
        } else {
            kdf["name"] = "hkdf-sha512"
        }
        kdf["salt"] = .string(Base64.encode(salt))
        return [
            "id": .string(id.description), "type": .string(kind.rawValue), "name": .string(name), "created": .int(created), "kdf": .object(kdf),
            "wrapped": .string(Base64.encode(wrapped)),
        ]
    }

    /// Nil for anything the format does not allow. Unknown members show because the whole file is written again and compared.
    init?(_ json: JSON) {
        guard let id = json["id"]?.string.flatMap({ ID(parsing: $0) }), let kind = json["type"]?.string.flatMap({ Kind(rawValue: $0) }), let name = json["name"]?.string,
            KeySlot.isName(name), let created = json["created"]?.int, let kdf = json["kdf"], let salt = kdf["salt"]?.string.flatMap({ Base64.decode($0) }),
            salt.count == KeySlot.saltCount, let wrapped = json["wrapped"]?.string.flatMap({ Base64.decode($0) }), wrapped.count == KeySlot.wrappedCount
        else { return nil }
        var scrypt: Scrypt?
        if kind == .passphrase {
            guard let n = kdf["n"]?.int.flatMap({ UInt64(exactly: $0) }), let r = kdf["r"]?.int.flatMap({ UInt64(exactly: $0) }),
                let p = kdf["p"]?.int.flatMap({ UInt64(exactly: $0) }), let cost = Scrypt(n: n, r: r, p: p)
            else { return nil }
            scrypt = cost
        }
        self.init(id: id, kind: kind, name: name, created: created, salt: salt, scrypt: scrypt, wrapped: wrapped)
    }

    init(id: ID, kind: Kind, name: String, created: Int64, salt: [UInt8], scrypt: Scrypt?, wrapped: [UInt8]) {
        self.id = id
        self.kind = kind
        self.name = name
        self.created = created
        self.salt = salt
        self.scrypt = scrypt
        self.wrapped = wrapped
    }
}
