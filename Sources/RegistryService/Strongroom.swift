import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeOS
package import ForgeVault

/// The vault's heavy work (scrypt, unsealing, reading back, fsync) on a thread of its own, one piece at a time: the shared pool never waits for it. What arrives is sealed by `SegmentLanes`.
package actor Strongroom {
    private let thread = ThreadExecutor("forge-vault")
    package nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }

    package nonisolated let vault: Vault
    package nonisolated let blobs: BlobStore
    private let keyslots: String

    package init(vault: Vault, directory: String, segmentLog2: Int) {
        self.vault = vault
        blobs = BlobStore(directory, vault: vault, segmentLog2: segmentLog2)
        keyslots = Path.join(directory, "keyslots.json")
    }

    // MARK: ceremonies

    /// The keys of a new store. The vault is open afterwards, and the slots are durable; the caller's rows come last.
    func found(_ passphrase: borrowing SecretBytes, cost: Scrypt, at now: Timestamp) throws(Fault) -> Founding {
        let root = RootKey()
        var slots = KeySlots(store: vault.store, created: now, root: root)
        try slots.addPassphrase(passphrase, name: "operator", at: now, cost: cost, root: root)
        let recovery = RecoveryKey()
        try slots.addRecovery(recovery, name: "printed", at: now, root: root)
        // What a person will type one day is tried today, from the bytes that will be on disk.
        _ = try KeySlots(parsing: slots.encoded).open(recovery: RecoveryKey(parsing: recovery.text()))
        let encoded = slots.encoded
        try Durable.replace(keyslots, with: encoded)
        vault.initialise(root)
        let log = Ed25519.PrivateKey(), manifest = P256.PrivateKey(), project = ID()
        return Founding(
            log: log, manifest: manifest, project: project,
            wrapped: [try vault.wrap(log), try vault.wrap(manifest), try vault.makeProjectKey(project, version: 1)],
            slots: .sha256(encoded), recovery: recovery.text())
    }

    struct Founding: Sendable {
        let log: Ed25519.PrivateKey
        let manifest: P256.PrivateKey
        let project: ID
        let wrapped: [WrappedKey]
        /// Of the keyslots as they lie on disk.
        let slots: Digest
        let recovery: String
    }

    /// Opens the vault with a person's secret; the permit says that they may.
    /// - Parameter recorded: what the log says of the keyslots' bytes; nil when it says nothing.
    func unseal(_ passphrase: borrowing SecretBytes, slots recorded: Digest?, with permit: consuming Permit) throws(Fault) {
        vault.unseal(try readSlots(recorded).open(passphrase: passphrase), with: permit)
    }

    func unseal(recovery text: String, slots recorded: Digest?, with permit: consuming Permit) throws(Fault) {
        vault.unseal(try readSlots(recorded).open(recovery: RecoveryKey(parsing: text)), with: permit)
    }

    private func readSlots(_ recorded: Digest?) throws(Fault) -> KeySlots {
        let bytes = try File(keyslots, .read).readAll(limit: KeySlots.fileMax)
        // Before any secret is tried: a damaged slot must not look like a mistyped passphrase.
        if let recorded, Digest.sha256(bytes) != recorded {
            throw Fault(
                .environment, "vault.keyslots_changed", "the registry stays sealed: `keyslots.json` was changed", why: "it is not the file that the log's record of its making names",
                remedy: "restore `keyslots.json` from a backup and look for who wrote it")
        }
        let slots = try KeySlots(parsing: bytes)
        guard slots.store == vault.store else {
            throw Fault(
                .environment, "vault.other_store", "the keyslots are not this store's", why: "they open store \(slots.store), this is \(vault.store)",
                remedy: "restore catalog and keyslots from one backup")
        }
        return slots
    }

    // MARK: blobs

    func finish(_ key: WrappedKey, _ segments: [SealedSegment], digest: Digest?) throws(Fault) -> StoredBlob { try blobs.finish(key, segments, digest: digest) }
    func read(_ key: WrappedKey, limit: ByteCount) throws(Fault) -> [UInt8] { try blobs.read(key, limit: limit) }
    func unseal(_ model: SealedModel, with permit: consuming Permit) throws(Fault) -> UnsealedModel { try blobs.unseal(model, with: permit) }
    func open(_ model: SealedModel, with permit: consuming Permit) throws(Fault) -> OpenedModel { try blobs.open(model, with: permit) }
    func read(_ model: OpenedModel, _ file: Int, _ count: Int, at offset: Int64) throws(Fault) -> [UInt8] {
        guard !vault.isSealed else { throw Vault.sealed("go on with an export") }
        return try model.read(file, count, at: offset)
    }
    func scrub(_ blob: ID, project: ID, segments: [SealedSegment]) throws(Fault) { try blobs.scrub(blob, project: project, segments: segments) }
    func remove(_ blob: ID) throws(Fault) { try blobs.remove(blob) }
    func leftovers(known: Set<ID>, staged: Set<ID>) throws(Fault) -> [ID] { try blobs.leftovers(known: known, staged: staged) }
    func freeSpace(_ directory: String) throws(Fault) -> ByteCount { try Path.freeSpace(directory) }
}
