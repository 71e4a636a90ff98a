import ForgeArtifact
import ForgeCore
import ForgeCrypto
import ForgeOS

extension TrainerSite {
    /// Borrows a model, waiting on a thread of its own.
    func borrow(_ reference: String, for purpose: ModelLoan.Purpose) async throws(Fault) -> ModelLoan {
        let site = self
        let result: Result<ModelLoan, Fault> = await withCheckedContinuation { continuation in
            OSThread.start("model-loan") {
                do throws(Fault) { continuation.resume(returning: .success(try ModelLoan(reference, for: purpose, socket: site.weightsSocket, bearer: site.bearer))) } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }
}

/// A model's files on loan from the registry, as sealed memory (docs/formats/weights-handover.md). Given back when the value goes.
final class ModelLoan: Sendable {
    struct File: Sendable {
        let name: String
        let bytes: Int
        let memory: Memory
    }

    final class Memory: Sendable {
        let memfd: Memfd
        init(_ memfd: consuming Memfd) { self.memfd = memfd }
    }

    let name: String
    let version: Int64
    let digest: Digest
    let files: [File]
    /// The lease: closing it says that nothing of the model is in use here any more.
    private let socket: Int32

    /// What the model is wanted for (docs/formats/weights-handover.md §1).
    enum Purpose: String { case evaluate, train, describe }

    private let isGivenBack = Flag()

    deinit {
        isGivenBack.set()
        UnixSocket.shutDown(socket)
        UnixSocket.close(socket)
    }

    var reference: String { "\(name)@\(version)" }

    /// Blocks. - Parameter reference: `name@version`, `name@alias` or a digest.
    init(_ reference: String, for purpose: Purpose, socket path: String, bearer: String?) throws(Fault) {
        let socket = try UnixSocket.connectBlocking(path)
        do throws(Fault) {
            try UnixSocket.setBlocking(socket, true)
            try UnixSocket.setTimeout(socket, .seconds(300))
            var request = JSON.Object()
            if let bearer { request["bearer"] = .string(bearer) }
            request["model"] = .string(reference)
            request["purpose"] = .string(purpose.rawValue)
            request["v"] = 1
            try UnixSocket.sendAll(socket, Array(JSON.object(request).text.utf8) + [0x0a])
            let (line, marks, descriptors) = try ModelLoan.answer(socket)
            var memory = descriptors.map { Memory(Memfd(adopting: $0, name: "model")) }
            guard let json = try? JSON.parse(line) else { throw ModelLoan.broken("its answer is not JSON") }
            if let error = json["error"] {
                throw Fault(
                    error["kind"]?.string.flatMap(Fault.Kind.init(rawValue:)) ?? .environment, error["code"]?.string ?? "weights.refused", error["what"]?.string ?? "the registry does not lend the model",
                    why: error["why"]?.string ?? "", remedy: error["remedy"]?.string ?? "", record: error["record"]?.int.flatMap { UInt64(exactly: $0) })
            }
            guard json["v"]?.int == 1, let name = json["model"]?["name"]?.string, let version = json["model"]?["version"]?.int,
                let digest = json["model"]?["digest"]?.string.flatMap({ Digest(parsing: $0) }), let items = json["files"]?.array, items.count <= 16
            else { throw ModelLoan.broken("its answer lacks what this version needs") }
            let sent = items.filter { $0["withheld"]?.bool != true }
            var seen = marks
            while seen < sent.count {
                let (bytes, more) = try UnixSocket.receiveFDs(socket, count: sent.count - seen, max: 8)
                memory += more.map { Memory(Memfd(adopting: $0, name: "model")) }
                guard !bytes.isEmpty, bytes.allSatisfy({ $0 == UInt8(ascii: "F") }) else { throw ModelLoan.broken("it broke off between the files") }
                seen += bytes.count
            }
            guard seen == sent.count, memory.count == sent.count else { throw ModelLoan.broken("\(memory.count) files came of \(sent.count)") }
            var files: [File] = []
            var entries: [ModelFiles.Entry] = []
            var next = 0
            for item in items {
                guard let file = item["name"]?.string.flatMap(ModelFile.init(rawValue:)), let claimed = item["sha256"]?.string.flatMap({ Digest(parsing: $0) }), let size = item["size"]?.int, size > 0
                else { throw ModelLoan.broken("a file lacks its name, size or digest") }
                entries.append(.init(file, claimed, bytes: size))
                if item["withheld"]?.bool == true { continue }
                let memory = memory[next]
                next += 1
                guard memory.memfd.isSealed, try memory.memfd.size() == Int(size) else { throw ModelLoan.broken("a file is not sealed memory of its size") }
                guard try memory.memfd.map().withSpan({ Digest.sha256($0) }) == claimed else { throw ModelLoan.broken("`\(file.rawValue)` is not what its digest says") }
                files.append(File(name: file.rawValue, bytes: Int(size), memory: memory))
            }
            guard try ModelFiles(entries).digest == digest else { throw ModelLoan.broken("its files do not make the model that was announced") }
            try UnixSocket.sendAll(socket, Array(#"{"accepted":true}"#.utf8) + [0x0a])
            self.name = name
            self.version = version
            self.digest = digest
            self.files = files
            self.socket = socket
        } catch {
            UnixSocket.close(socket)
            throw error
        }
    }

    /// The first line, how many file marks came with it, and their descriptors.
    private static func answer(_ socket: Int32) throws(Fault) -> (line: [UInt8], marks: Int, descriptors: [Int32]) {
        var bytes: [UInt8] = []
        var descriptors: [Int32] = []
        while true {
            if let end = bytes.firstIndex(of: 0x0a) {
                let rest = bytes[(end + 1)...]
                guard rest.allSatisfy({ $0 == UInt8(ascii: "F") }) else { throw broken("something stands between its answer and the files") }
                return (Array(bytes[..<end]), rest.count, descriptors)
            }
            guard bytes.count <= 65_536 else { throw broken("its answer is too long") }
            let (piece, more) = try UnixSocket.receiveFDs(socket, count: 4096, max: 8)
            descriptors += more
            guard !piece.isEmpty else { throw broken("it hung up before an answer") }
            bytes += piece
        }
    }

    /// A file's bytes, for the short ones the daemon itself reads.
    func bytes(_ file: ModelFile) throws(Fault) -> [UInt8] {
        guard let found = files.first(where: { $0.name == file.rawValue }) else { throw ModelLoan.broken("`\(file.rawValue)` did not come") }
        return unsafe try found.memory.memfd.map().withUnsafeBytes { unsafe Array($0) }
    }

    /// Calls `body`, once, when the registry wants the model back or is gone; not when the loan is given back first.
    func whenRecalled(_ body: @escaping @Sendable () -> Void) {
        // The thread has a descriptor of its own: it must not read whatever takes this number after the loan.
        guard let own = try? UnixSocket.duplicate(socket) else { return body() }
        try? UnixSocket.setTimeout(own, .zero)
        let isGivenBack = isGivenBack
        OSThread.start("model-recall") {
            // Whatever comes, a line, an end or an error, ends the loan.
            _ = try? UnixSocket.receiveFDs(own, count: 4096, max: 0)
            UnixSocket.close(own)
            if !isGivenBack.isSet { body() }
        }
    }

    private static func broken(_ why: String) -> Fault {
        Fault(.environment, "weights.handover", "the registry's hand-over of weights is refused", why: why, remedy: "check that both daemons are of one release", retryable: true)
    }
}
