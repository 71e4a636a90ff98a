import ForgeArtifact
import ForgeCore
import ForgeCrypto
import ForgeOS
import RegistryAPI

/// Reads one file of a model that is brought in, piece by piece in order, and hashes it on another thread one piece behind.
actor ModelReader {
    private let thread = ThreadExecutor("forge-convert")
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }
    private let model: ImportedModel
    private let name: String
    private let lane = DigestLane()
    private var waiting: [UInt8] = []
    private var at: Int64 = 0

    init(_ model: ImportedModel, _ name: String) {
        self.model = model
        self.name = name
    }

    /// - Precondition: the piece follows the one before it.
    func read(_ count: Int, at offset: Int64) async throws(Fault) -> [UInt8] {
        precondition(offset == at, "a file is sent from its beginning to its end")
        let before = waiting
        async let hashed: Void = lane.update(before)
        let piece: Result<[UInt8], Fault>
        do throws(Fault) { piece = .success(try model.bytes(name, Int(offset)..<Int(offset) + count)) } catch { piece = .failure(error) }
        await hashed
        waiting = try piece.get()
        at += Int64(count)
        return waiting
    }

    /// Of what was read.
    func digest() async -> Digest {
        await lane.update(waiting)
        waiting = []
        return await lane.digestSoFar
    }
}

/// Hashes the files that a model is made of, on a thread of its own.
actor SourceDigests {
    private let thread = ThreadExecutor("forge-sources")
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }
    /// Small enough to be hashed from a cache.
    private static let piece = 1 << 20

    /// - Returns: each file's digest and size, in their order. One is open only while it is read: a checkpoint may have hundreds.
    func read(_ source: ImportSource) throws(Fault) -> (sources: [CommitRequest.Source], counts: [Int]) {
        var sources: [CommitRequest.Source] = [], counts: [Int] = []
        for name in source.sources {
            let file = try source.open(name)
            var hasher = SHA256Hasher()
            for from in stride(from: 0, to: file.count, by: SourceDigests.piece) {
                guard !Task.isCancelled else { throw Fault(.environment, "cli.cancelled", "the import was given up") }
                hasher.update(try file.bytes(from..<min(from + SourceDigests.piece, file.count)))
            }
            sources.append(.init(name: "file:\(name)", digest: hasher.finish()))
            counts.append(file.count)
        }
        return (sources, counts)
    }
}
