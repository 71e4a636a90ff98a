package import ForgeCore
import ForgeOS

/// SHA-256 on a thread of its own, so that it runs beside whatever else is done with the same bytes: it is the slowest thing that happens to a model on its way in or out.
///
/// Calls are taken in the order in which one caller awaits them.
package actor DigestLane {
    private let thread = ThreadExecutor("forge-digest")
    package nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }
    private var hasher: SHA256Hasher

    /// - Parameter start: what came before; left out, nothing did.
    package init(after start: Mark? = nil) { hasher = start?.hasher.copy() ?? SHA256Hasher() }

    package func update(_ bytes: [UInt8]) { hasher.update(bytes) }

    /// The digest of what came so far; more may follow.
    package var digestSoFar: Digest { hasher.digestSoFar() }

    /// Where the digest is now, to go on from another time.
    package var mark: Mark { Mark(hasher.copy()) }

    /// The digest of what came since the last of these; the next one begins.
    package func next() -> Digest {
        let digest = hasher.digestSoFar()
        hasher = SHA256Hasher()
        return digest
    }

    /// A digest on its way. It is only read, so any number of lanes may go on from it.
    package final class Mark: Sendable {
        fileprivate let hasher: SHA256Hasher
        fileprivate init(_ hasher: consuming SHA256Hasher) { self.hasher = hasher }
        package var digest: Digest { hasher.digestSoFar() }
    }
}
