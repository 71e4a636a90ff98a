import ForgeCore
import ForgeCrypto
import ForgeHTTP
import ForgeOS
import ForgeVault

/// Takes the segments of one file in as they come: while a piece is sealed and written, it is hashed, the ciphertext before it is hashed, the piece after it is received and the segment
/// before is made durable. Some eight pieces are in memory, however much is sent.
struct SegmentLanes: Sendable {
    static let piece = 1 << 20

    /// A segment that is durable. It counts once its row is too.
    struct Stored: Sendable {
        let segment: SealedSegment
        /// The plaintext's digest up to here, if it was seen from the beginning.
        let mark: DigestLane.Mark?
    }

    let segmentCount: Int
    /// Bytes of the whole file.
    let count: Int64
    let plaintext: DigestLane?
    private let sealing: SealingLane
    private let ciphertext = DigestLane()
    private let syncing = SyncLane()

    init(_ store: BlobStore, _ key: WrappedKey, count: Int64, plaintext: DigestLane?) {
        segmentCount = store.segmentCount
        self.count = count
        self.plaintext = plaintext
        sealing = SealingLane(store, key)
    }

    /// Bytes of a segment of this file.
    func count(of index: Int) -> Int { Int(min(Int64(segmentCount), count - Int64(index) * Int64(segmentCount))) }

    /// - Parameters:
    ///   - begin: asked before a segment's place on disk is overwritten.
    ///   - stored: told after each one, in order, once it is durable; the next one is being sealed meanwhile. It is called by one task at a time.
    /// - Throws: whatever the body, the disk or the callbacks throw. A segment that is not whole is never told of.
    func run(
        _ body: BodyReader, from first: Int, begin: @Sendable (Int) async throws -> Void, stored tell: @escaping @Sendable (Stored) async throws -> Void
    ) async throws {
        let file = try await sealing.open()
        try await withThrowingTaskGroup(of: Void.self) { telling in
            var index = first, done = 0, sealed: [UInt8] = []
            var piece = try await body.read(min(SegmentLanes.piece, count(of: index)))
            while !piece.isEmpty {
                if done == 0 {
                    guard count(of: index) > 0 else { throw SegmentLanes.partial(index, piece.count, 0) }
                    try await begin(index)
                    try await sealing.begin(index)
                }
                done += piece.count
                let (current, before, wanted) = (piece, sealed, following(index, done))
                async let coming = body.read(wanted)
                async let seen: Void? = plaintext?.update(current)
                async let hashed: Void = ciphertext.update(before)
                sealed = try await sealing.seal(current)
                _ = await (seen, hashed)
                if done == count(of: index) {
                    let end = try await sealing.end()
                    await ciphertext.update(sealed)
                    await ciphertext.update(end.sealed)
                    let stored = Stored(
                        segment: SealedSegment(index: index, count: end.count, sealedCount: end.sealedCount, digest: await ciphertext.next()), mark: await plaintext?.mark)
                    // At most one is on its way to the disk beside the one being sealed.
                    try await telling.next()
                    telling.addTask {
                        try await syncing.sync(file)
                        try await tell(stored)
                    }
                    (index, done, sealed) = (index + 1, 0, [])
                }
                piece = try await coming
            }
            guard done == 0 else { throw SegmentLanes.partial(index, done, count(of: index)) }
            try await telling.waitForAll()
        }
    }

    /// How much to ask for after so much of a segment: never beyond its end, and one byte too many at the end of the file, where nothing may follow.
    private func following(_ index: Int, _ done: Int) -> Int {
        let left = count(of: index) - done
        if left > 0 { return min(SegmentLanes.piece, left) }
        return max(1, min(SegmentLanes.piece, count(of: index + 1)))
    }

    static func partial(_ index: Int, _ count: Int, _ expected: Int) -> Fault {
        Fault(.request, "upload.segment", "segment \(index) is not accepted", why: "it has \(count) bytes where \(expected) belong")
    }
}

/// Sealing and writing, on a thread of its own.
private actor SealingLane {
    private let thread = ThreadExecutor("forge-seal")
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }
    private let store: BlobStore
    private let key: WrappedKey
    private var file: StagingFile?
    private var segment: StagingFile.Segment?

    init(_ store: BlobStore, _ key: WrappedKey) {
        self.store = store
        self.key = key
    }

    func open() throws(Fault) -> StagingFile {
        let file = try store.stage(key)
        self.file = file
        return file
    }

    func begin(_ index: Int) throws(Fault) {
        guard let file else { preconditionFailure("a staging file is opened first") }
        segment = try file.segment(index)
    }

    func seal(_ piece: [UInt8]) throws(Fault) -> [UInt8] {
        guard let sealed = try segment?.append(piece) else { preconditionFailure("a segment is begun first") }
        return sealed
    }

    func end() throws(Fault) -> (sealed: [UInt8], count: Int, sealedCount: Int) {
        guard let segment = segment.take() else { preconditionFailure("a segment is begun first") }
        return try segment.end()
    }
}

/// Waiting for the disk, on a thread of its own.
private actor SyncLane {
    private let thread = ThreadExecutor("forge-sync")
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }

    func sync(_ file: StagingFile) throws(Fault) { try file.sync() }
}
