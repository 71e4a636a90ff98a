import ForgeArtifact
import ForgeAudit
import ForgeCore
import ForgeCrypto
import ForgeOS
import RegistryAPI
import RegistryService
import Testing

/// What forge-serve does at weights.sock, in a few lines: asks, checks, accepts, and waits for the word to let go.
private final class Taker: Sendable {
    let socket: Int32

    init(_ store: StoreFixture) throws {
        socket = try UnixSocket.connectBlocking(Path.join(store.directory, "weights.sock"))
        try UnixSocket.setBlocking(socket, true)
        try UnixSocket.setTimeout(socket, .seconds(20))
    }

    deinit { UnixSocket.close(socket) }

    func say(_ message: JSON) throws { try UnixSocket.sendAll(socket, Array(message.text.utf8) + [0x0a]) }

    /// A byte at a time, so that no descriptor is swallowed with the line.
    func line() throws -> JSON? {
        var line: [UInt8] = []
        while true {
            let (bytes, _) = try UnixSocket.receiveFDs(socket, count: 1, max: 0)
            guard let byte = bytes.first else { return nil }
            if byte == 0x0a { return try JSON.parse(line) }
            line.append(byte)
        }
    }

    func files(_ count: Int) throws -> [[UInt8]] {
        var files: [[UInt8]] = []
        for _ in 0..<count {
            let (bytes, descriptors) = try UnixSocket.receiveFDs(socket, count: 1, max: 1)
            guard bytes == [0x46], descriptors.count == 1 else { throw Fault(.environment, "test.handover", "one byte and one descriptor a file") }
            let memory = Memfd(adopting: descriptors[0], name: "received")
            let mapping = try memory.map()
            files.append(unsafe mapping.withUnsafeBytes { unsafe Array($0) })
        }
        return files
    }
}

@Suite struct WeightsTests {
    private func onThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in OSThread.start("taker") { continuation.resume(with: Result { try body() }) } }
    }

    private func withModel(_ body: (StoreFixture, ModelView) async throws -> Void) async throws {
        let store = try await StoreFixture.open()
        try await store.initialise()
        let data = try await store.dataset(["a": "alpha"])
        let view = try await store.put("policies", seed: 1, dataset: data.digest)
        _ = try await store.client("olga").promote("policies@1")
        do { try await body(store, view) } catch {
            await store.remove()
            throw error
        }
        await store.remove()
    }

    private func outcomes(_ store: StoreFixture) async throws -> [AuditEntry.Outcome] {
        try await store.client("olga").records(.init(action: "model.load")).records.compactMap(\.entry.outcome)
    }

    @Test func `a daemon gets the model it asked for in sealed memory, and gives it back when the store is sealed`() async throws {
        try await withModel { store, view in
            let taker = try Taker(store)
            let (header, files) = try await onThread {
                try taker.say(["v": 1, "purpose": "serve", "model": "policies@production", "bearer": "serve"])
                let header = try taker.line() ?? .null
                return (header, try taker.files(header["files"]?.array?.count ?? 0))
            }
            #expect(header["model"]?["digest"]?.string == view.digest.description && header["alias"]?.string == "production" && header["record"]?.int != nil)
            let listed = header["files"]!.array!
            #expect(listed.map { $0["name"]!.string! } == ModelFile.allCases.map(\.rawValue).sorted())
            for (item, bytes) in zip(listed, files) {
                #expect(item["sha256"]?.string == Digest.sha256(bytes).hex && item["size"]?.int == Int64(bytes.count))
            }
            let manifest = try SignedStatement(parsing: Base64.decode(header["manifest"]!.string!)!, source: "test")
            #expect(manifest.payload.count > 100)
            try taker.say(["accepted": true])

            // Sealing calls the weights back; the lease ends when the taker closes.
            async let sealed = store.client("olga").seal()
            let word = try await onThread { try taker.line() }
            #expect(word?["drop"]?.string == "sealed")
            UnixSocket.shutDownWriting(taker.socket)
            #expect(try await sealed.isSealed)
            #expect(store.registry.leases.count == 0)
            #expect(try await outcomes(store) == [.ok])

            let late = try Taker(store)
            let refusal = try await onThread {
                try late.say(["v": 1, "purpose": "serve", "model": "policies@1", "bearer": "serve"])
                return try late.line()
            }
            #expect(refusal?["error"]?["code"]?.string == "registry.sealed")
            #expect(try await outcomes(store) == [.ok, .failed(code: "registry.sealed")])
        }
    }

    @Test func `nobody else gets anything, and what fails is on record`() async throws {
        try await withModel { store, view in
            func ask(_ message: JSON) async throws -> JSON? {
                let taker = try Taker(store)
                return try await onThread {
                    try taker.say(message)
                    return try taker.line()
                }
            }
            func code(_ answer: JSON?) -> String? { answer?["error"]?["code"]?.string }
            #expect(code(try await ask(["v": 1, "purpose": "serve", "model": "policies@1"])) == "auth.services_only")
            #expect(code(try await ask(["v": 1, "purpose": "serve", "model": "policies@1", "bearer": "olga"])) == "auth.services_only")
            #expect(code(try await ask(["v": 1, "purpose": "serve", "model": "policies@9", "bearer": "serve"])) == "model.not_found")
            #expect(code(try await ask(["v": 1, "purpose": "look", "model": "policies@1", "bearer": "serve"])) == "handover.malformed")
            #expect(code(try await ask(["v": 2])) == "handover.malformed")
            #expect(code(try await ask(["v": 1, "purpose": "evaluate", "model": "policies@1", "bearer": "serve"])) == "auth.services_only")
            #expect(code(try await ask(["v": 1, "purpose": "serve", "model": "policies@1", "bearer": "trainer"])) == "auth.services_only")
            #expect(try await outcomes(store) == [])
            #expect(try await ask(["v": 1, "purpose": "evaluate", "model": "policies@1", "bearer": "trainer"])?["model"]?["version"]?.int == 1)

            for (goodbye, expected) in [(["accepted": false, "why": "digest"], "handover.refused"), (nil, "handover.lost")] as [(JSON?, String)] {
                let taker = try Taker(store)
                try await onThread {
                    try taker.say(["v": 1, "purpose": "serve", "model": .string(view.digest.description), "bearer": "serve"])
                    let header = try taker.line()
                    _ = try taker.files(header?["files"]?.array?.count ?? 0)
                    if let goodbye { try taker.say(goodbye) } else { UnixSocket.shutDownWriting(taker.socket) }
                    while try taker.line() != nil {}
                }
                #expect(try await outcomes(store).last == .failed(code: expected))
            }
            store.rules.deny("model.load")
            let answer = try await ask(["v": 1, "purpose": "serve", "model": "policies@1", "bearer": "serve"])
            #expect(answer?["error"]?["kind"]?.string == "denied" && answer?["error"]?["record"]?.int != nil)
        }
    }
}
