import ForgeArtifact
import ForgeCore
import ForgeCrypto
import ForgeOS
import RegistryAPI

/// Writes the parts of an export as files and checks every digest: a piece is hashed on another thread while it is written, and the disk begins with it meanwhile.
actor ModelReceiver {
    private let thread = ThreadExecutor("forge-receive")
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }

    private struct Open: ~Copyable {
        let number: Int
        let file: File
        var count: Int64 = 0
        /// Up to here the disk has begun.
        var begun: Int64 = 0
    }

    /// Bytes that are left to the disk at a time.
    private static let share: Int64 = 8 << 20

    private let directory: String
    private let digest: Digest
    private let isKept: Bool
    private let lane = DigestLane()
    private var header: ExportHeader?
    private var open: Open?
    private var entries: [ModelFiles.Entry] = []
    private var record: UInt64?

    /// - Parameters:
    ///   - digest: what the registry says that the model is.
    ///   - isKept: whether the files are to be durable.
    init(_ directory: String, _ digest: Digest, isKept: Bool) {
        self.directory = directory
        self.digest = digest
        self.isKept = isKept
    }

    /// Parts come one at a time, in their order.
    func take(_ part: ExportReader.Part) async throws(Fault) {
        switch part {
        case .header(let header):
            // Nothing is on disk before the registry has agreed, and then for the person's own eyes.
            try Durable.makeDirectory(directory)
            self.header = header
        case .piece(let number, let bytes):
            if open?.number != number { try await next(number) }
            async let hashed: Void = lane.update(bytes)
            var failure: Fault?
            do throws(Fault) { try write(bytes) } catch { failure = error }
            await hashed
            if let failure { throw failure }
        case .end(let end):
            try await close()
            record = end.record
        }
    }

    /// - Returns: the record that the model left.
    func finish() throws(Fault) -> UInt64 {
        guard let record, try ModelFiles(entries).digest == digest else {
            throw Fault(.environment, "export.digest", "the export is not the model", why: "its files do not make \(digest)", remedy: "try again; if it happens again, `forge doctor`")
        }
        return record
    }

    private func write(_ bytes: [UInt8]) throws(Fault) {
        guard var open = self.open.take() else { preconditionFailure("a file is opened for its first piece") }
        try open.file.write(bytes, at: open.count)
        open.count += Int64(bytes.count)
        if isKept, open.count - open.begun >= ModelReceiver.share {
            open.file.startWriting(Int(open.count - open.begun), at: open.begun)
            open.begun = open.count
        }
        self.open = consume open
    }

    private func known(_ number: Int) throws(Fault) -> (file: ModelFile, announced: ModelView.File) {
        guard let file = header?.files[number], let known = ModelFile(rawValue: file.name) else {
            throw Fault(.environment, "registry.malformed_answer", "the export has a file that no model has")
        }
        return (known, file)
    }

    private func next(_ number: Int) async throws(Fault) {
        try await close()
        open = Open(number: number, file: try File(Path.join(directory, try known(number).file.rawValue), .create))
    }

    private func close() async throws(Fault) {
        guard let open = open.take() else { return }
        if isKept { try open.file.sync() }
        let (file, announced) = try known(open.number), digest = await lane.next()
        guard digest == announced.digest, open.count == announced.bytes else {
            throw Fault(
                .environment, "export.digest", "`\(file.rawValue)` did not arrive whole", why: "its digest is \(digest), announced was \(announced.digest)", remedy: "try again")
        }
        entries.append(.init(file, digest, bytes: open.count))
    }
}
