import AdminService
import ForgeAudit
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeHTTP
import ForgeOS
import Logging
import RegistryAPI
import Synchronization
import Testing

/// The registry's side of witnessing: a log in memory, signed like the real one, that can be made to lie.
private final class TestRegistry: Sendable {
    struct State {
        var leaves: [Digest] = []
        var cosignatures: [(size: UInt64, line: NoteSignature)] = []
        var witnesses: [String] = []
    }
    let state = Mutex(State())
    let key = Ed25519.PrivateKey()
    var noteKey: NoteKey { NoteKey("kontor/forge-1/audit", .ed25519, publicKey: key.publicKey.raw)! }

    func append(_ texts: [String]) { state.withLock { $0.leaves += texts.map { Merkle.leafHash(Array($0.utf8)) } } }

    var head: TreeHead {
        let leaves = state.withLock { $0.leaves }
        return TreeHead(origin: "kontor/forge-1/audit", size: UInt64(leaves.count), root: Merkle.root(of: leaves))
    }

    var routes: [Route] {
        [
            Route(.get, "/v1/status") { _ in
                let head = self.head
                return try .json(
                    RegistryStatus(
                        health: .well, reason: "", isSealed: false, origin: head.origin, logKey: self.noteKey.description, records: head.size, signed: head.size,
                        witnessed: self.state.withLock { $0.cosignatures.last?.size ?? 0 }, unwitnessedSeconds: 0, version: "", sqlite: ""))
            },
            Route(.post, "/v1/audit/records") { request in
                let entries = try request.json()["entries"]?.array ?? []
                let first = self.head.size
                self.append(entries.map(\.text))
                return .json(["records": .array(entries.indices.map { .int(Int64(first) + Int64($0)) })] as JSON)
            },
            Route(.post, "/v1/audit/witnesses") { request in
                let vkey = try request.json()["vkey"]?.string ?? ""
                self.state.withLock { $0.witnesses.append(vkey) }
                return .done
            },
            Route(.get, "/v1/audit/witness-request") { request in
                let old = UInt64(try request.queryInt("old", default: 0, in: 0...Int.max))
                let leaves = self.state.withLock { $0.leaves }
                let head = self.head
                var proof: [Digest] = []
                if old > 0, old < head.size {
                    proof = try ConsistencyProof(from: old, to: head.size) { (node) throws(Fault) in
                        let start = Int(node.index) << node.level
                        return Merkle.root(of: leaves[start..<min(leaves.count, start + 1 << node.level)])
                    }.hashes
                }
                let signer = NoteSigner(self.noteKey) { self.key.sign($0) }
                return .text(WitnessRequest(old: old, proof: proof, checkpoint: head.signed(by: signer)).text)
            },
            Route(.post, "/v1/audit/cosignatures") { request in
                let body = try request.json()
                let line = try NoteSignature(parsing: body["line"]?.string ?? "")
                self.state.withLock { $0.cosignatures.append((UInt64(body["size"]?.int ?? 0), line)) }
                return .done
            },
        ]
    }

    func serve(_ body: (RegistryClient, String) async throws -> Void) async throws {
        let folder = "/tmp/forge-witness-test-\(ID())"
        try Durable.makeDirectory(folder)
        defer { try? Path.removeTree(folder) }
        let socket = Path.join(folder, "registry.sock")
        let server = HTTPServer(door: "registry", routes: routes, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let listener = try UnixSocket.listen(socket)
        try await withThrowingTaskGroup { group in
            group.addTask { try await server.run(listener: listener) }
            do { try await body(RegistryClient(HTTPClient(socket: socket)), folder) } catch {
                await server.drain(within: .seconds(1))
                throw error
            }
            await server.drain(within: .seconds(1))
            try await group.waitForAll()
        }
    }

    func witness(_ client: RegistryClient, _ folder: String) throws -> LocalWitness {
        let steward = try Steward(state: Path.join(folder, "state"), audit: client, method: .handed, uid: ThisProcess.uid, trustsUIDs: false)
        return try LocalWitness(steward, registry: client)
    }
}

@Suite struct WitnessTests {
    @Test func `it signs what continues what it signed, also after a restart`() async throws {
        let registry = TestRegistry()
        try await registry.serve { client, folder in
            let witness = try registry.witness(client, folder)
            try await witness.step()
            registry.append(["a", "b", "c"])
            try await witness.step()
            let head = registry.head
            let last = try #require(registry.state.withLock { $0.cosignatures.last })
            #expect(last.size == head.size && last.line.name == "forge-admin/local-witness")
            let vkey = try NoteKey(parsing: try #require(registry.state.withLock { $0.witnesses.first }))
            var note = SignedNote(text: head.text)
            note.add(last.line)
            #expect(try note.verify([vkey]).count == 1)
            #expect(await witness.witnessed == head.size)

            registry.append(["d"])
            let again = try registry.witness(client, folder)
            #expect(await again.witnessed == head.size)
            try await again.step()
            #expect(await again.witnessed == registry.head.size)
        }
    }

    @Test func `it never signs a shortened or rewritten log, and says so`() async throws {
        for lie in ["shortened", "rewritten", "rewritten and grown"] {
            let registry = TestRegistry()
            try await registry.serve { client, folder in
                let witness = try registry.witness(client, folder)
                registry.append(["a", "b", "c", "d", "e"])
                try await witness.step()
                let signed = registry.state.withLock { $0.cosignatures.count }
                registry.state.withLock { state in
                    switch lie {
                    case "shortened": state.leaves.removeLast(2)
                    case "rewritten": state.leaves[2] = Merkle.leafHash(Array("x".utf8))
                    default:
                        state.leaves[2] = Merkle.leafHash(Array("x".utf8))
                        state.leaves.append(Merkle.leafHash(Array("y".utf8)))
                    }
                    state.cosignatures = state.cosignatures.map { (0, $0.line) }
                }
                let before = await witness.witnessed
                #expect(await refusal { try await witness.step() } != nil, "\(lie)")
                #expect(registry.state.withLock { $0.cosignatures.count } == signed, "\(lie)")
                #expect(await witness.witnessed == before, "\(lie)")
                let restarted = try registry.witness(client, folder)
                #expect(await restarted.witnessed == before, "\(lie)")
            }
        }
    }
}
