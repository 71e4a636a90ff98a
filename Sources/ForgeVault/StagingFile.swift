package import ForgeCore
import ForgeCrypto
import ForgeOS

/// A blob on its way in: the file under `incoming/` that its segments are sealed into, each as it comes. One writer at a time; another thread may `sync`.
///
/// A segment counts once `sync` has returned after its end, and until then its bytes on disk are nobody's.
package final class StagingFile: Sendable {
    private let file: File
    private let header: SealedHeader
    private let key: WrappedKey
    private let vault: Vault

    init(_ file: consuming File, _ header: SealedHeader, _ key: WrappedKey, _ vault: Vault) {
        self.file = file
        self.header = header
        self.key = key
        self.vault = vault
    }

    /// Begins a segment under a fresh salt.
    /// - Throws: `.environment` when the registry is sealed.
    package func segment(_ index: Int) throws(Fault) -> Segment {
        guard index >= 0, index < 1 << 24 else { throw StagingFile.refusal(header) }
        return Segment(self, index, Cobblestone.Sealer(key: try vault.unwrap(key, "store a model"), context: header.context(ofSegment: index)))
    }

    /// Everything that was written is on the disk, the segments that have ended among it. An error is final for this file: open it anew and send again.
    package func sync() throws(Fault) { try file.syncData() }

    fileprivate static func refusal(_ header: SealedHeader) -> Fault {
        Fault(.request, "blob.segment", "this segment is not accepted", why: "a segment has at most \(ByteCount(header.segmentCount)) and a number below 2^24")
    }

    /// One segment, sealed piece by piece into its place.
    package struct Segment: ~Copyable, Sendable {
        private let staging: StagingFile
        package let index: Int
        private var sealer: Cobblestone.Sealer
        private let offset: Int64
        /// Bytes of plaintext, and on disk.
        package private(set) var count = 0
        package private(set) var sealedCount = 0

        fileprivate init(_ staging: StagingFile, _ index: Int, _ sealer: consuming Cobblestone.Sealer) {
            self.staging = staging
            self.index = index
            self.sealer = sealer
            offset = staging.header.offset(ofSegment: index)
        }

        /// - Returns: the ciphertext that was written; its digest is the caller's to make.
        package mutating func append(_ plaintext: [UInt8]) throws(Fault) -> [UInt8] {
            guard count + plaintext.count <= staging.header.segmentCount else { throw StagingFile.refusal(staging.header) }
            var sealed = begun()
            sealed.reserveCapacity(sealed.count + Cobblestone.sealedCount(plaintext.count) + Cobblestone.chunkCount)
            sealer.update(plaintext[...], into: &sealed)
            count += plaintext.count
            try write(sealed)
            return sealed
        }

        /// Writes the last chunk.
        /// - Returns: its ciphertext, and what the segment has in all.
        package consuming func end() throws(Fault) -> (sealed: [UInt8], count: Int, sealedCount: Int) {
            var sealed = begun()
            let whole = sealedCount
            sealer.finish(into: &sealed)
            try staging.file.write(sealed, at: offset + Int64(whole))
            return (sealed, count, whole + sealed.count)
        }

        private func begun() -> [UInt8] { sealedCount == 0 ? sealer.prefix : [] }

        private mutating func write(_ sealed: [UInt8]) throws(Fault) {
            try staging.file.write(sealed, at: offset + Int64(sealedCount))
            sealedCount += sealed.count
        }
    }
}
