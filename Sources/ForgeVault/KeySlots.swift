package import ForgeCore
package import ForgeCrypto

/// The list of slots as it lies in `keyslots.json` (docs/formats/keyslots.md). The MAC covers the list, so nobody without the root key adds,
/// drops or weakens a slot unseen.
package struct KeySlots: Hashable, Sendable {
    package let store: ID
    package let created: Int64
    /// Counts root keys.
    package let epoch: Int
    package private(set) var slots: [KeySlot] = []
    private var mac: [UInt8] = []

    private static let format = "forge.keyslots.v1"
    private static let slotsMax = 32
    package static let fileMax = ByteCount.kib(64)

    /// Without a slot; add a passphrase and a recovery slot before it is written.
    package init(store: ID, created: Timestamp, root: borrowing RootKey) {
        self.store = store
        self.created = created.nanoseconds / 1000
        epoch = 1
        seal(root)
    }

    // MARK: changing the list

    package mutating func addPassphrase(
        _ passphrase: borrowing SecretBytes, name: String, at now: Timestamp, cost: Scrypt = .standard, root: borrowing RootKey
    ) throws(Fault) {
        guard passphrase.count >= 12 else {
            throw Fault(.request, "vault.passphrase", "this passphrase is too short", why: "it has \(passphrase.count) bytes", remedy: "choose at least 12, such as five random words")
        }
        try check(name)
        let id = ID(), salt = Random.bytes(KeySlot.saltCount)
        let key = try cost.derive(passphrase, salt: salt, count: 32)
        add(.init(
            id: id, kind: .passphrase, name: name, created: now.nanoseconds / 1000, salt: salt, scrypt: cost,
            wrapped: root.wrapped(under: key, context: KeySlot.context(store: store, slot: id, .passphrase))), root)
    }

    package mutating func addRecovery(_ recovery: borrowing RecoveryKey, name: String, at now: Timestamp, root: borrowing RootKey) throws(Fault) {
        try check(name)
        let id = ID(), salt = Random.bytes(KeySlot.saltCount)
        add(.init(
            id: id, kind: .recovery, name: name, created: now.nanoseconds / 1000, salt: salt, scrypt: nil,
            wrapped: root.wrapped(under: recovery.slotKey(salt: salt), context: KeySlot.context(store: store, slot: id, .recovery))), root)
    }

    /// - Throws: `.request` when the slot is not there or is the last recovery slot or the last other one: a store that one lost key closes for
    ///   ever is no store.
    package mutating func remove(_ id: ID, root: borrowing RootKey) throws(Fault) {
        guard let slot = slots.first(where: { $0.id == id }) else { throw Fault(.request, "vault.no_slot", "there is no keyslot `\(id)`") }
        guard slots.contains(where: { $0.id != id && $0.kind == slot.kind }) else {
            throw Fault(
                .request, "vault.last_slot", "keyslot `\(slot.name)` cannot be removed", why: "it is the last \(slot.kind.rawValue) slot",
                remedy: "add another \(slot.kind.rawValue) slot first")
        }
        slots.removeAll { $0.id == id }
        seal(root)
    }

    private mutating func add(_ slot: KeySlot, _ root: borrowing RootKey) {
        slots.append(slot)
        seal(root)
    }

    private func check(_ name: String) throws(Fault) {
        guard KeySlot.isName(name) else { throw Fault(.request, "vault.slot_name", "a keyslot cannot have this name", why: "it has no text, more than 64 bytes, or control characters") }
        guard slots.count < KeySlots.slotsMax else { throw Fault(.request, "vault.slots_full", "no more keyslots fit", why: "there are \(KeySlots.slotsMax)", remedy: "remove one that is no longer used") }
    }

    // MARK: opening

    /// Tries every passphrase slot.
    /// - Throws: `.request` (`vault.wrong_secret`) when none opens, `.environment` (`vault.keyslots_changed`) when one opens and the list was changed.
    package func open(passphrase: borrowing SecretBytes) throws(Fault) -> RootKey {
        for slot in slots where slot.kind == .passphrase {
            guard let cost = slot.scrypt else { continue }
            let key = try cost.derive(passphrase, salt: slot.salt, count: 32)
            if let root = try? slot.rootKey(under: key, store: store) {
                try verify(root)
                return root
            }
        }
        throw KeySlots.wrong("passphrase")
    }

    package func open(recovery: borrowing RecoveryKey) throws(Fault) -> RootKey {
        for slot in slots where slot.kind == .recovery {
            if let root = try? slot.rootKey(under: recovery.slotKey(salt: slot.salt), store: store) {
                try verify(root)
                return root
            }
        }
        throw KeySlots.wrong("recovery key")
    }

    private func verify(_ root: borrowing RootKey) throws(Fault) {
        guard constantTimeEqual(mac, authenticator(root)) else {
            throw Fault(
                .environment, "vault.keyslots_changed", "the keyslots cannot be trusted", why: "a slot opens, but the list was changed by somebody without the root key",
                remedy: "restore `keyslots.json` from a backup and look for who wrote it")
        }
    }

    private static func wrong(_ what: String) -> Fault {
        Fault(.request, "vault.wrong_secret", "the registry stays sealed", why: "this \(what) opens no keyslot", remedy: "try again, or use the printed recovery key")
    }

    private func authenticator(_ root: borrowing RootKey) -> [UInt8] { hmacSHA256(key: root.derive(.keyslotsMAC), JSON.object(members).canonical) }
    private mutating func seal(_ root: borrowing RootKey) { mac = authenticator(root) }

    // MARK: the file

    private var members: JSON.Object {
        var object = JSON.Object()
        object["format"] = .string(KeySlots.format)
        object["store"] = .string(store.description)
        object["created"] = .int(created)
        object["epoch"] = .int(Int64(epoch))
        object["slots"] = .array(slots.map(\.json))
        return object
    }

    package var encoded: [UInt8] {
        var object = members
        object["mac"] = .string(Base64.encode(mac))
        return JSON.object(object).canonical + [0x0a]
    }

    package init(parsing bytes: [UInt8]) throws(Fault) {
        func wrong(_ why: String) -> Fault {
            Fault(.environment, "vault.keyslots_malformed", "`keyslots.json` cannot be read", why: why, remedy: "restore it from a backup")
        }
        guard bytes.count <= KeySlots.fileMax.count else { throw wrong("it has more than \(KeySlots.fileMax)") }
        let json: JSON
        do { json = try JSON.parse(bytes, limits: .init(bytes: bytes.count, depth: 4)) } catch { throw wrong("it is not JSON: \(error)") }
        guard json["format"]?.string == KeySlots.format else { throw wrong("its format is not `\(KeySlots.format)`") }
        guard let store = json["store"]?.string.flatMap({ ID(parsing: $0) }), let created = json["created"]?.int, let epoch = json["epoch"]?.int, epoch >= 1,
            let mac = json["mac"]?.string.flatMap({ Base64.decode($0) }), let list = json["slots"]?.array, list.count <= KeySlots.slotsMax
        else { throw wrong("a member is missing or has another type") }
        var slots: [KeySlot] = []
        for item in list {
            guard let slot = KeySlot(item) else { throw wrong("slot \(slots.count + 1) is malformed, or of a type this version does not know") }
            slots.append(slot)
        }
        guard Set(slots.map(\.id)).count == slots.count else { throw wrong("two slots have one id") }
        self.store = store
        self.created = created
        self.epoch = Int(epoch)
        self.slots = slots
        self.mac = mac
        guard json.isCanonicalisable, encoded == bytes else { throw wrong("it is not spelt canonically") }
    }
}

extension KeySlot {
    fileprivate func rootKey(under key: borrowing SecretBytes, store: ID) throws(Fault) -> RootKey {
        RootKey(try Cobblestone.openSecret(wrapped, key: key, context: context(store: store)))
    }
}
