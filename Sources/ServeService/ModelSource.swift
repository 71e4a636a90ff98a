package import ForgeArtifact
package import ForgeCore
package import ForgeOS

/// A model's files in this process's memory, and the lease they are held under (docs/formats/weights-handover.md).
package struct HandedModel: Sendable {
    /// As it was asked for.
    package var reference: String
    package var name: String
    package var version: Int
    package var digest: Digest
    package var alias: String?
    package var files: [ModelFile: SealedMapping]
    package var lease: any Lease

    package init(
        reference: String, name: String, version: Int, digest: Digest, alias: String?, files: [ModelFile: SealedMapping], lease: any Lease
    ) {
        self.reference = reference
        self.name = name
        self.version = version
        self.digest = digest
        self.alias = alias
        self.files = files
        self.lease = lease
    }
}

/// The right to keep a model in memory.
package protocol Lease: AnyObject, Sendable {
    /// Returns once the right has ended, with the registry's word for why.
    func ended() async -> String
    /// Gives the right back.
    func close()
}

package protocol ModelSource: Sendable {
    /// - Throws: what the registry refused with, or `.environment` when it cannot be reached or handed over something that does not hold.
    func obtain(_ reference: String) async throws(Fault) -> HandedModel
    /// The digest a reference names now; nil when it names nothing.
    func resolve(_ reference: String) async throws(Fault) -> Digest?
    /// A reference to what is promoted, the newest if several are; nil when nothing is.
    func promoted() async throws(Fault) -> String?
    /// A number that changes whenever anything in the registry may have; nil while it could hand nothing over.
    func mark() async throws(Fault) -> UInt64?
}

/// Runs what blocks on a thread of its own.
func offPool<T: Sendable>(_ name: String, _ body: @escaping @Sendable () throws(Fault) -> T) async throws(Fault) -> T {
    let result: Result<T, Fault> = await withCheckedContinuation { continuation in
        OSThread.start(name) {
            do throws(Fault) { continuation.resume(returning: .success(try body())) } catch { continuation.resume(returning: .failure(error)) }
        }
    }
    return try result.get()
}
