package import ForgeCore
internal import ForgeOS

/// What one sealed segment became on disk.
package struct SealedSegment: Hashable, Sendable {
    package let index: Int
    /// Bytes of plaintext, and bytes on disk.
    package let count: Int
    package let sealedCount: Int
    /// SHA-256 of the bytes on disk: checked by a scrub that has no key.
    package let digest: Digest

    package init(index: Int, count: Int, sealedCount: Int, digest: Digest) {
        self.index = index
        self.count = count
        self.sealedCount = sealedCount
        self.digest = digest
    }
}

/// A finished sealed file.
package struct SealedSummary: Hashable, Sendable {
    package let header: SealedHeader
    /// Bytes of plaintext, and its SHA-256.
    package let count: Int64
    package let digest: Digest
    package let segments: [SealedSegment]
    package var fileCount: Int64 { header.fileCount(plaintext: count) }
}

/// Writes a sealed file from beginning to end under a temporary name; `commit` gives it its place. Dropped without `commit`, it leaves nothing.
///
/// ```
/// var writer = try SealedWriter(path, header: header, key: key)
/// try writer.append(bytes)                     // any number of times, in pieces of any size
/// let summary = try writer.commit()            // durable, mode 0400, at `path`
/// ```
package struct SealedWriter: ~Copyable, Sendable {
    private static let flushCount = 1 << 20

    private let file: File
    private let path: String
    private let temporary: String
    private let header: SealedHeader
    private let key: SecretBytes
    private var sealer: Cobblestone.Sealer
    private var plaintext = SHA256Hasher()
    private var ciphertext = SHA256Hasher()
    private var buffer: [UInt8] = []
    private var count: Int64 = 0
    private var filled = 0
    private var sealed = 0
    private var segments: [SealedSegment] = []
    private var isCommitted = false

    package init(_ path: String, header: SealedHeader, key: borrowing SecretBytes) throws(Fault) {
        let temporary = Path.join(Path.parent(path), ".\(Path.name(path)).\(String(describing: ID()).prefix(12)).tmp")
        file = try SealedWriter.begin(temporary, header)
        self.path = path
        self.temporary = temporary
        self.header = header
        self.key = key.copy()
        sealer = Cobblestone.Sealer(key: key, context: header.context(ofSegment: 0))
        buffer.reserveCapacity(SealedWriter.flushCount + Cobblestone.strideCount)
        buffer += sealer.prefix
    }

    private static func begin(_ temporary: String, _ header: SealedHeader) throws(Fault) -> File {
        let file = try File(temporary, .create)
        do throws(Fault) { try file.write(header.bytes) } catch {
            try? Path.removeTree(temporary)
            throw error
        }
        return file
    }

    deinit { if !isCommitted { try? Path.removeTree(temporary) } }

    /// - Throws: `.environment` when the disk is full or failing; the writer is of no further use then.
    package mutating func append(_ bytes: [UInt8]) throws(Fault) {
        plaintext.update(bytes)
        var rest = bytes[...]
        while !rest.isEmpty {
            // Pieces of at most a buffer, so that the ciphertext in memory stays bounded.
            let piece = rest.prefix(min(SealedWriter.flushCount, header.segmentCount - filled))
            sealer.update(piece, into: &buffer)
            rest = rest.dropFirst(piece.count)
            filled += piece.count
            count += Int64(piece.count)
            if buffer.count >= SealedWriter.flushCount { try flush() }
            if filled == header.segmentCount { try endSegment() }
        }
    }

    /// - Returns: what was written, once it is durable at `path`. An older file there is replaced.
    package consuming func commit() throws(Fault) -> SealedSummary {
        try endSegment()
        try file.sync()
        try Path.setMode(temporary, 0o400)
        try Durable.move(temporary, to: path)
        isCommitted = true
        return SealedSummary(header: header, count: count, digest: plaintext.digestSoFar(), segments: segments)
    }

    private mutating func flush() throws(Fault) {
        ciphertext.update(buffer)
        sealed += buffer.count
        try file.write(buffer)
        buffer.removeAll(keepingCapacity: true)
    }

    /// Ends the segment and opens the next one; at the end of the file that one is never written.
    private mutating func endSegment() throws(Fault) {
        let index = segments.count + 1
        var next = Cobblestone.Sealer(key: key, context: header.context(ofSegment: index))
        swap(&next, &sealer)
        next.finish(into: &buffer)
        try flush()
        segments.append(SealedSegment(index: index - 1, count: filled, sealedCount: sealed, digest: ciphertext.digestSoFar()))
        ciphertext = SHA256Hasher()
        filled = 0
        sealed = 0
        buffer += sealer.prefix
    }
}
