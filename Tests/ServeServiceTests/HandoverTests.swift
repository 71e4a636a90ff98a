import ForgeArtifact
import ForgeAudit
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeHTTP
import ForgeOS
import RegistryAPI
import ServeService
import Synchronization
import Testing

/// The registry's end of `weights.sock`, written from docs/formats/weights-handover.md, with a way to go wrong.
private final class Hander: Sendable {
    enum Wrong: String, CaseIterable, Sendable { case nothing, unsealed, otherBytes, otherSize, missingDescriptor, otherModel, twice, notJSON, refusal, hangUp }

    let path: String
    private let listener: Int32
    let heard = Mutex<[String]>([])

    init(_ wrong: Wrong, _ files: [ModelFile: [UInt8]], in directory: String) throws {
        path = Path.join(directory, "weights.sock")
        listener = try UnixSocket.listen(path)
        try UnixSocket.setBlocking(listener, true)
        OSThread.start("hander") { [listener, self] in
            guard let socket = try? UnixSocket.accept(listener) else { return }
            do { try self.serve(socket, wrong, files) } catch { self.heard.withLock { $0.append("error: \(error)") } }
            UnixSocket.close(socket)
        }
    }

    deinit { UnixSocket.close(listener) }

    private func line(_ socket: Int32) throws -> String {
        var bytes: [UInt8] = []
        while !bytes.contains(0x0a) {
            let (more, _) = try UnixSocket.receiveFDs(socket, count: 4096, max: 0)
            if more.isEmpty { break }
            bytes += more
        }
        return String(decoding: bytes.prefix { $0 != 0x0a }, as: UTF8.self)
    }

    private func serve(_ socket: Int32, _ wrong: Wrong, _ files: [ModelFile: [UInt8]]) throws {
        try UnixSocket.setBlocking(socket, true)
        try UnixSocket.setTimeout(socket, .seconds(10))
        let request = try line(socket)
        heard.withLock { $0.append(request) }
        if wrong == .hangUp { return }
        if wrong == .notJSON { return try UnixSocket.sendAll(socket, Array("hello\n".utf8)) }
        if wrong == .refusal {
            return try UnixSocket.sendAll(
                socket, Array(#"{"error":{"code":"registry.sealed","kind":"environment","record":7,"remedy":"unseal it","what":"cannot hand over","why":"it is sealed"},"v":1}"#.utf8) + [0x0a])
        }
        var sorted = files.sorted { $0.key < $1.key }
        var list: [JSON] = sorted.map { file, bytes in
            ["name": .string(file.rawValue), "sha256": .string(Digest.sha256(bytes).hex), "size": .int(Int64(bytes.count + (wrong == .otherSize && file == .config ? 1 : 0)))]
        }
        if wrong == .twice { list[0] = list[1] }
        let digest = wrong == .otherModel ? Digest.sha256("another") : try TinyModel.digest(files)
        let header: JSON = [
            "v": 1, "files": .array(list), "model": ["name": "policies", "version": 3, "digest": .string(digest.description)], "alias": "production", "record": 9,
            "policy": "sha256:00", "req": "00",
        ]
        try UnixSocket.sendAll(socket, Array(header.text.utf8) + [0x0a])
        if wrong == .missingDescriptor { sorted.removeLast() }
        for (file, bytes) in sorted {
            var bytes = bytes
            if wrong == .otherBytes, file == .weights { bytes[bytes.count - 1] ^= 1 }
            let memory = try Memfd(file.rawValue, size: bytes.count)
            try memory.fill(bytes, at: 0)
            if wrong != .unsealed { try memory.seal() }
            try UnixSocket.sendFDs(socket, [0x46], descriptors: [memory.descriptor])
        }
        if wrong == .missingDescriptor { return }
        let answer = try line(socket)
        heard.withLock { $0.append(answer) }
        try UnixSocket.sendAll(socket, Array(#"{"drop":"sealed"}"#.utf8) + [0x0a])
        let end = try line(socket)
        heard.withLock { $0.append(end) }
    }
}

@Suite struct HandoverTests {
    private func client(_ hander: Hander) -> WeightsClient {
        WeightsClient(socket: hander.path, bearer: "forge_peer_test", registry: RegistryClient(HTTPClient(socket: "/nowhere")))
    }

    private func scratch<R>(_ body: (String) async throws -> R) async throws -> R {
        let directory = Path.join(Environment["TMPDIR"] ?? "/tmp", "forge-hand-\(String(describing: ID()).prefix(12))")
        try Durable.makeDirectory(directory)
        defer { try? Path.removeTree(directory) }
        return try await body(directory)
    }

    @Test func `a model comes over a socket as sealed memory, and the lease ends with the registry's word`() async throws {
        try await scratch { directory in
            let files = try TinyModel.files()
            let hander = try Hander(.nothing, files, in: directory)
            let handed = try await client(hander).obtain("policies@production")
            #expect(handed.name == "policies" && handed.version == 3 && handed.alias == "production")
            #expect(handed.digest == (try TinyModel.digest(files)))
            for (file, bytes) in files { #expect(handed.files[file]?.withSpan { $0.byteCount } == bytes.count) }
            #expect(await handed.lease.ended() == "sealed")
            handed.lease.close()
            let model = try LoadedModel(handed, .init(threads: 1))
            #expect(model.digest == handed.digest)
            let heard = hander.heard.withLock { $0 }
            let request = try JSON.parse(heard[0])
            #expect(request == ["v": 1, "model": "policies@production", "purpose": "serve", "bearer": "forge_peer_test"])
            #expect(heard[1] == #"{"accepted":true}"#)
        }
    }

    @Test(arguments: Hander.Wrong.allCases.filter { $0 != .nothing })
    fileprivate func `whatever does not hold is refused`(wrong: Hander.Wrong) async throws {
        try await scratch { directory in
            let hander = try Hander(wrong, try TinyModel.files(), in: directory)
            do throws(Fault) {
                _ = try await client(hander).obtain("policies@production")
                Issue.record("accepted although \(wrong)")
            } catch {
                switch wrong {
                case .refusal: #expect(error.code == "registry.sealed" && error.record == 7 && error.remedy == "unseal it")
                case .unsealed: #expect(error.code == "os.memfd_unsealed")
                case .twice: #expect(error.code == "model.files" || error.code == "weights.handover")
                default: #expect(error.code == "weights.handover")
                }
            }
        }
    }

    @Test func `another model than the digest that was asked for is refused`() async throws {
        try await scratch { directory in
            let hander = try Hander(.nothing, try TinyModel.files(), in: directory)
            await #expect(throws: Fault.self) { _ = try await client(hander).obtain(Digest.sha256("x").description) }
        }
    }

    @Test func `records of many requests share a call, and one that does not read refuses itself alone`() async throws {
        let log = TestLog()
        let queue = AppendQueue(log)
        let who = AuditEntry.Subject(.app("crm"), method: .apikey, uid: 1)
        func entry(_ fact: JSON) -> AuditEntry {
            var data = JSON.Object()
            data["count"] = fact
            return AuditEntry(.modelsList, .event, request: ID(), who: who, data: data)
        }
        let results = await withTaskGroup(of: Bool.self) { group in
            for i in 0..<40 { group.addTask { (try? await queue.append(entry(i == 13 ? "not a number" : .int(Int64(i))))) != nil } }
            return await group.reduce(into: 0) { if $1 { $0 += 1 } }
        }
        #expect(results == 39)
        #expect(log.entries.count == 39)
        #expect(log.state.withLock { $0.calls } <= 80)
    }
}
