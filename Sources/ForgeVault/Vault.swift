package import ForgeCore
package import ForgeCrypto
package import ForgeGate
import Synchronization

/// The keys, while the store is open. Sealing wipes them; what was handed out before cannot be called back.
package final class Vault: Sendable {
    private struct Keys: ~Copyable {
        let root: RootKey
        let wrap: SecretBytes
        var projects: [ProjectVersion: Kept] = [:]
    }

    private struct ProjectVersion: Hashable {
        let project: ID
        let version: UInt32
    }

    /// A secret in a dictionary.
    private final class Kept: Sendable {
        let secret: SecretBytes
        init(_ secret: consuming SecretBytes) { self.secret = secret }
    }

    package let store: ID
    private let keys: Mutex<Keys?>

    /// Sealed, as after every start.
    package init(store: ID) {
        self.store = store
        keys = Mutex(nil)
    }

    package var isSealed: Bool { keys.withLock { $0 == nil ? true : false } }

    // MARK: opening and closing

    /// Takes the root key that a keyslot gave. The decision is on record: that is the permit.
    package func unseal(_ root: consuming RootKey, with permit: consuming Permit) {
        precondition(permit.request.action == "registry.unseal", "a permit opens what it was given for")
        open(root)
    }

    /// For the first ceremony alone: there is no policy yet that could decide.
    package func initialise(_ root: consuming RootKey) { open(root) }

    private func open(_ root: consuming RootKey) {
        let fresh = Keys(root: root.copy(), wrap: root.derive(.wrap))
        var slot: Keys? = consume fresh
        keys.withLock { swap(&$0, &slot) }
    }

    /// Wipes every key. Needs no permit beyond the caller's own: closing is always safe, and a failing registry closes itself.
    package func seal() {
        var gone: Keys? = nil
        keys.withLock { swap(&$0, &gone) }
    }

    package static func sealed(_ what: String) -> Fault {
        Fault(
            .environment, "registry.sealed", "cannot \(what)", why: "the registry is sealed", remedy: "an operator unseals it with `forge unseal`", retryable: true)
    }

    private func withKeys<R: ~Copyable>(_ what: String, _ body: (inout Keys) throws(Fault) -> R) throws(Fault) -> R {
        try keys.withLock { (keys: inout Keys?) throws(Fault) -> R in
            guard var open = keys.take() else { throw Vault.sealed(what) }
            do throws(Fault) {
                let result = try body(&open)
                keys = consume open
                return result
            } catch {
                keys = consume open
                throw error
            }
        }
    }

    // MARK: keys under the root key

    /// A fresh key for a project, and from now on the one its new blobs use. The caller stores the row before anything relies on it.
    package func makeProjectKey(_ project: ID, version: UInt32) throws(Fault) -> WrappedKey {
        try withKeys("make a project key") { (keys) throws(Fault) in
            let secret = SecretBytes.random(32)
            let id = ID()
            let context = WrappedKey.context(.project, store: store, project: project, subject: id, version: version)
            let bytes = Cobblestone.seal(secret, key: keys.wrap, context: context)
            keys.projects[ProjectVersion(project: project, version: version)] = Kept(secret)
            return WrappedKey(id: id, purpose: .project, subject: id, project: project, version: version, bytes: bytes)
        }
    }

    /// Opens a project's key after an unseal.
    package func open(project key: WrappedKey) throws(Fault) {
        precondition(key.purpose == .project, "this opens project keys")
        try withKeys("open a project key") { (keys) throws(Fault) in
            let secret = try Cobblestone.openSecret(key.bytes, key: keys.wrap, context: key.context(store: store))
            keys.projects[ProjectVersion(project: key.project, version: key.version)] = Kept(secret)
        }
    }

    package func wrap(_ key: Ed25519.PrivateKey) throws(Fault) -> WrappedKey { try wrapSigning(.log, key.seed) }
    package func wrap(_ key: P256.PrivateKey) throws(Fault) -> WrappedKey { try wrapSigning(.manifest, key.der) }

    package func logKey(_ wrapped: WrappedKey) throws(Fault) -> Ed25519.PrivateKey {
        guard let key = Ed25519.PrivateKey(seed: try openSigning(wrapped, .log)) else { throw Vault.corrupt("the log's signing key") }
        return key
    }

    package func manifestKey(_ wrapped: WrappedKey) throws(Fault) -> P256.PrivateKey {
        guard let key = P256.PrivateKey(der: try openSigning(wrapped, .manifest)) else { throw Vault.corrupt("the manifests' signing key") }
        return key
    }

    /// The audit log's lookup key of an epoch.
    package func redactionKey(epoch: Int) throws(Fault) -> SecretBytes {
        try withKeys("redact a record") { keys in keys.root.derive(.redaction(epoch: epoch)) }
    }

    private func wrapSigning(_ purpose: WrappedKey.Purpose, _ secret: borrowing SecretBytes) throws(Fault) -> WrappedKey {
        let secret = secret.copy()
        return try withKeys("keep a signing key") { keys in
            let id = ID()
            let context = WrappedKey.context(purpose, store: store, project: WrappedKey.wholeStore, subject: id, version: 1)
            return WrappedKey(
                id: id, purpose: purpose, subject: id, project: WrappedKey.wholeStore, version: 1, bytes: Cobblestone.seal(secret, key: keys.wrap, context: context))
        }
    }

    private func openSigning(_ wrapped: WrappedKey, _ purpose: WrappedKey.Purpose) throws(Fault) -> SecretBytes {
        precondition(wrapped.purpose == purpose, "a signing key is opened as what it is")
        return try withKeys("sign") { (keys) throws(Fault) in try Cobblestone.openSecret(wrapped.bytes, key: keys.wrap, context: wrapped.context(store: store)) }
    }

    private static func corrupt(_ what: String) -> Fault {
        Fault(.environment, "vault.key_malformed", "cannot open \(what)", why: "what is wrapped is not such a key", remedy: "restore the catalog from a backup")
    }

    // MARK: keys under a project key

    /// A fresh key for one blob, data set or run, wrapped under the project key of that version.
    package func makeKey(_ purpose: WrappedKey.Purpose, subject: ID, project: ID, version: UInt32) throws(Fault) -> WrappedKey {
        precondition(!purpose.isUnderRoot, "keys under the root key have their own makers")
        return try withProject("make a key", project, version) { projectKey in
            let context = WrappedKey.context(purpose, store: store, project: project, subject: subject, version: version)
            let bytes = Cobblestone.seal(SecretBytes.random(32), key: projectKey, context: context)
            return WrappedKey(id: ID(), purpose: purpose, subject: subject, project: project, version: version, bytes: bytes)
        }
    }

    /// The same key under a newer project key: what a rotation does to each row, in one transaction.
    package func rewrap(_ key: WrappedKey, to version: UInt32) throws(Fault) -> WrappedKey {
        let secret = try unwrap(key, "rotate a key")
        return try withProject("rotate a key", key.project, version) { projectKey in
            let context = WrappedKey.context(key.purpose, store: store, project: key.project, subject: key.subject, version: version)
            return WrappedKey(
                id: key.id, purpose: key.purpose, subject: key.subject, project: key.project, version: version,
                bytes: Cobblestone.seal(secret, key: projectKey, context: context))
        }
    }

    /// Gives the key of a data set or run to the trainer. The permit names exactly that key.
    package func release(_ key: WrappedKey, with permit: consuming Permit) throws(Fault) -> SecretBytes {
        precondition(permit.request.action == "key.release" && permit.request.resource.id == key.subject.description, "a permit releases the key it was given for")
        precondition(key.purpose.isReleasable, "keys of the registry's own blobs are never released")
        return try unwrap(key, "release a key")
    }

    /// For the registry's own files (BlobStore): blob keys do not leave this target.
    func unwrap(_ key: WrappedKey, _ what: String) throws(Fault) -> SecretBytes {
        try withProject(what, key.project, key.version) { (projectKey) throws(Fault) in
            let secret = try Cobblestone.openSecret(key.bytes, key: projectKey, context: key.context(store: store))
            guard secret.count == Cobblestone.keyCount else { throw Vault.corrupt("a \(key.purpose.rawValue) key") }
            return secret
        }
    }

    private func withProject<R: ~Copyable>(
        _ what: String, _ project: ID, _ version: UInt32, _ body: (borrowing SecretBytes) throws(Fault) -> R
    ) throws(Fault) -> R {
        let kept = try withKeys(what) { (keys) throws(Fault) -> Kept in
            guard let kept = keys.projects[ProjectVersion(project: project, version: version)] else {
                throw Fault(
                    .environment, "vault.no_project_key", "cannot \(what)", why: "version \(version) of the project's key is not in the catalog", remedy: "restore the catalog from a backup")
            }
            return kept
        }
        return try body(kept.secret)
    }
}
