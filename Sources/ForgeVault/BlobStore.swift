package import ForgeCore
package import ForgeCrypto
import ForgeOS

/// The registry's sealed files: staged under `incoming/`, kept under `blobs/xx/`, named by random ids.
///
/// The order of every write is the crash order: bytes durable, then the row, then the answer. So a row never points to bytes that are not
/// there, and what a crash leaves over is a file without a row (`leftovers`).
package struct BlobStore: Sendable {
    private let incoming: String
    private let blobs: String
    private let segmentLog2: Int
    private let vault: Vault

    /// - Parameter segmentLog2: smaller segments than 64 MiB are for tests.
    package init(_ directory: String, vault: Vault, segmentLog2: Int = SealedHeader.standardSegmentLog2) {
        self.vault = vault
        self.segmentLog2 = segmentLog2
        incoming = Path.join(directory, "incoming")
        blobs = Path.join(directory, "blobs")
    }

    package var segmentCount: Int { 1 << segmentLog2 }

    private func header(_ blob: ID, _ project: ID) -> SealedHeader { SealedHeader(blob: blob, project: project, store: vault.store, segmentLog2: segmentLog2) }
    private func staged(_ blob: ID) -> String { Path.join(incoming, blob.description) }
    private func place(_ blob: ID) -> String { Path.join(blobs, String(blob.description.prefix(2)), blob.description) }

    // MARK: writing

    /// The staging file of a blob, made when it is not there yet: what it holds counts for nothing before its rows say so.
    package func stage(_ key: WrappedKey) throws(Fault) -> StagingFile {
        precondition(key.purpose == .blob, "blobs have blob keys")
        let header = header(key.subject, key.project), path = staged(key.subject)
        try Durable.makeDirectory(incoming)
        let file = try File(path, updateOrCreate: 0o600)
        // Each time, for a crash may have come between any two of these.
        try file.write(header.bytes, at: 0)
        try Durable.syncDirectory(incoming)
        return StagingFile(file, header, key, vault)
    }

    /// Seals one segment under a fresh salt and makes it durable in the staging file. The caller then writes its row, then answers.
    ///
    /// Sent again, a segment replaces what was there; the old bytes were never part of a finished blob.
    package func put(_ plaintext: [UInt8], segment index: Int, of key: WrappedKey) throws(Fault) -> SealedSegment {
        let file = try stage(key)
        var segment = try file.segment(index), hasher = SHA256Hasher()
        hasher.update(try segment.append(plaintext))
        let end = try segment.end()
        hasher.update(end.sealed)
        try file.sync()
        return SealedSegment(index: index, count: end.count, sealedCount: end.sealedCount, digest: hasher.finish())
    }

    /// Makes the staged segments the blob and puts it in place for good. Whoever saw all of its plaintext pass, in order, says its digest; otherwise the file is read back and opened.
    /// - Parameters:
    ///   - stored: the segments that were acknowledged, as their rows say, from the first on.
    ///   - digest: of the plaintext, nil if nobody saw it whole.
    /// - Returns: the finished blob, durable; its row may be written now. Called again after a crash, it gives the same answer.
    package func finish(_ key: WrappedKey, _ stored: [SealedSegment], digest: Digest? = nil) throws(Fault) -> StoredBlob {
        let header = header(key.subject, key.project)
        let target = place(key.subject)
        guard try Path.information(target) == nil else { return try inspect(key) }
        var segments = stored
        // A last segment is always short: an empty one ends the file.
        if stored.last?.count ?? header.segmentCount == header.segmentCount { segments.append(try put([], segment: stored.count, of: key)) }
        let count = segments.reduce(0) { $0 + Int64($1.count) }
        let file = try File(staged(key.subject), .update)
        try file.truncate(to: header.fileCount(plaintext: count))
        try file.sync()
        try Path.setMode(staged(key.subject), 0o400)
        try Durable.makeDirectory(Path.parent(target))
        try Durable.move(staged(key.subject), to: target)
        guard let digest else { return try inspect(key) }
        return StoredBlob(key: key, count: count, digest: digest, segments: segments)
    }

    /// Reads a whole finished blob: its plaintext's digest, and its ciphertext's by segment.
    private func inspect(_ key: WrappedKey) throws(Fault) -> StoredBlob {
        let header = header(key.subject, key.project)
        let secret = try vault.unwrap(key, "check a stored model")
        let reader = try SealedReader(place(key.subject), key: secret, expecting: header)
        var hasher = SHA256Hasher()
        var at: Int64 = 0
        while at < reader.count {
            let piece = try reader.read(1 << 20, at: at)
            hasher.update(piece)
            at += Int64(piece.count)
        }
        return StoredBlob(key: key, count: reader.count, digest: hasher.finish(), segments: try ciphertext(key.subject, header, plaintext: reader.count))
    }

    private func ciphertext(_ blob: ID, _ header: SealedHeader, plaintext count: Int64) throws(Fault) -> [SealedSegment] {
        let file = try File(place(blob), .read)
        var segments: [SealedSegment] = []
        for index in 0...Int(count >> Int64(header.segmentLog2)) {
            let plain = Int(min(Int64(header.segmentCount), count - Int64(index) << Int64(header.segmentLog2)))
            segments.append(
                SealedSegment(
                    index: index, count: plain, sealedCount: Cobblestone.sealedCount(plain),
                    digest: try BlobStore.hash(file, Cobblestone.sealedCount(plain), at: header.offset(ofSegment: index))))
        }
        return segments
    }

    private static func hash(_ file: borrowing File, _ count: Int, at offset: Int64) throws(Fault) -> Digest {
        var hasher = SHA256Hasher()
        var done = 0
        while done < count {
            let piece = try file.readExactly(min(1 << 20, count - done), at: offset + Int64(done))
            hasher.update(piece)
            done += piece.count
        }
        return hasher.finish()
    }

    // MARK: reading

    /// Opens a blob. Only the hand-over and the registry's own small files use it.
    func open(_ key: WrappedKey) throws(Fault) -> SealedReader {
        try SealedReader(place(key.subject), key: try vault.unwrap(key, "read a stored model"), expecting: header(key.subject, key.project))
    }

    /// A small file of a model, such as its recipe: lineage shows it, and it holds no weights.
    package func read(_ key: WrappedKey, limit: ByteCount) throws(Fault) -> [UInt8] { try open(key).readAll(limit: limit) }

    /// Compares the bytes on disk with the digests in the catalog. Needs no key, so it runs while the registry is sealed.
    /// - Throws: `.environment` naming the first segment that differs.
    package func scrub(_ blob: ID, project: ID, segments: [SealedSegment]) throws(Fault) {
        let path = place(blob)
        guard try Path.information(path) != nil else { throw BlobStore.damaged(blob, "its file is missing", path) }
        let file = try File(path, .read)
        // The header is known byte for byte, so it needs no digest of its own.
        guard try file.read(SealedHeader.count, at: 0) == header(blob, project).bytes else { throw BlobStore.damaged(blob, "its header was changed", path) }
        var offset = Int64(SealedHeader.count)
        for segment in segments {
            let digest: Digest
            do throws(Fault) { digest = try BlobStore.hash(file, segment.sealedCount, at: offset) } catch {
                throw BlobStore.damaged(blob, "segment \(segment.index) is cut short", path)
            }
            guard digest == segment.digest else { throw BlobStore.damaged(blob, "segment \(segment.index) was changed", path) }
            offset += Int64(segment.sealedCount)
        }
        guard try file.size() == offset else { throw BlobStore.damaged(blob, "bytes follow its last segment", path) }
    }

    private static func damaged(_ blob: ID, _ why: String, _ path: String) -> Fault {
        Fault(.environment, "blob.damaged", "stored blob `\(blob)` is damaged", why: why, remedy: "restore it from a backup", detail: path)
    }

    // MARK: removing

    /// Files without a row: what crashes and abandoned uploads leave. The caller knows the rows.
    package func leftovers(known: Set<ID>, staged open: Set<ID>) throws(Fault) -> [ID] {
        var found: [ID] = []
        for directory in try BlobStore.list(blobs) {
            for name in try Path.list(Path.join(blobs, directory)) {
                if let id = ID(parsing: name), !known.contains(id) { found.append(id) }
            }
        }
        for name in try BlobStore.list(incoming) {
            if let id = ID(parsing: name), !open.contains(id) { found.append(id) }
        }
        return found
    }

    private static func list(_ directory: String) throws(Fault) -> [String] { try Path.information(directory) == nil ? [] : Path.list(directory) }

    /// Removes a blob's file, staged or finished. Its key's row goes first: without it these bytes are noise already.
    package func remove(_ blob: ID) throws(Fault) {
        for path in [staged(blob), place(blob)] where try Path.information(path) != nil { try Durable.remove(path) }
    }
}

/// A finished blob, as its row will say.
package struct StoredBlob: Hashable, Sendable {
    package let key: WrappedKey
    package var id: ID { key.subject }
    /// Bytes of plaintext, and their digest.
    package let count: Int64
    package let digest: Digest
    package let segments: [SealedSegment]
    package var sealedCount: Int64 { Int64(SealedHeader.count) + segments.reduce(0) { $0 + Int64($1.sealedCount) } }

    package init(key: WrappedKey, count: Int64, digest: Digest, segments: [SealedSegment]) {
        self.key = key
        self.count = count
        self.digest = digest
        self.segments = segments
    }
}
