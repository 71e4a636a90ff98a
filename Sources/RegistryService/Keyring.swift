import ForgeCore
import ForgeCrypto
import Synchronization

/// What the registry can do only while it is open: sign manifests, and make keys for its project. Gone when it is sealed.
package final class Keyring: Sendable {
    struct Open: Sendable {
        let manifest: P256.PrivateKey
        let project: ID
        /// The project key that new keys are wrapped under.
        let version: UInt32
    }

    private let state = Mutex<Open?>(nil)

    package init() {}

    func open(_ open: Open) { state.withLock { $0 = open } }
    func close() { state.withLock { $0 = nil } }

    /// - Throws: `registry.sealed`.
    func current(to what: String) throws(Fault) -> Open {
        guard let open = state.withLock({ $0 }) else {
            throw Fault(
                .environment, "registry.sealed", "cannot \(what)", why: "the registry is sealed", remedy: "an operator unseals it with `forge unseal`", retryable: true)
        }
        return open
    }
}
