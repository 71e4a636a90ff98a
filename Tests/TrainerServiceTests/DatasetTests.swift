import ForgeAudit
import ForgeCore
import ForgeHTTP
import ForgeOS
import RegistryAPI
import Synchronization
import Testing
import TrainerAPI

@testable import TrainerService

@Suite struct DatasetTests {
    @Test func `documents become a data set with a report, registered and sealed`() async throws {
        try await Bench.with { bench in
            let canary = Array("the canary sings in cell forty-two, write to secret.person@example.org".utf8)
            let reply = try await bench.add(
                "policies", Prose.files(12) + [("copy.md", Prose.text(3)), ("bad.pdf", Array("%PDF-1.4".utf8)), ("latin.txt", [0x64, 0xe9, 0x6a, 0xe0]), ("canary.txt", canary)])
            #expect(reply.report.received == 16 && reply.report.accepted == 14 && reply.report.refused == 2)
            #expect(reply.report.duplicates.exact + reply.report.duplicates.near == 1)
            #expect(reply.report.personal.found == ["email": 1])
            #expect(reply.report.heldout.documents >= 1)
            #expect(reply.report.refusals.map(\.reason).sorted() == ["encoding", "not-yet"])
            #expect(bench.registry.state.withLock { $0.datasets.map(\.digest) } == [reply.dataset.digest])
            let outcomes = bench.registry.state.withLock { $0.entries.filter { $0.action == .dataAdd && $0.phase == .outcome }.map(\.outcome) }
            #expect(outcomes == [.ok])

            let again = try await bench.client.dataset("policies")
            #expect(again == reply.dataset)
            let report = try await bench.client.report(of: reply.dataset.digest.description)
            #expect(report == reply.report)
            let open = try Bench.search(bench.directory, for: "canary sings")
            #expect(open == [])
        }
    }

    @Test func `the same documents twice, a stream that breaks off and a refusal leave nothing behind`() async throws {
        try await Bench.with { bench in
            _ = try await bench.add("one", Prose.files(4))
            await #expect(throws: Fault.self) { try await bench.add("two", Prose.files(4).reversed()) }
            let whole = Bench.stream(Prose.files(9))
            await #expect(throws: Fault.self) { try await bench.client.ingest(name: "three", pieces: Pieces(Array(whole.dropLast(40)))) }
            var flipped = whole
            flipped[whole.count / 2] ^= 1
            await #expect(throws: Fault.self) { try await bench.client.ingest(name: "four", pieces: Pieces(flipped)) }
            await #expect(throws: Fault.self) { try await bench.add("five", [("a.pdf", Array("%PDF-1".utf8))]) }
            await #expect(throws: Fault.self) { try await bench.add("Not A Name", Prose.files(1)) }
            bench.registry.state.withLock { $0.isSealed = true }
            await #expect(throws: Fault.self) { try await bench.add("six", Prose.files(5)) }
            let names = try await bench.client.datasets().map(\.name)
            #expect(names == ["one"])
            let left = try Path.list(Path.join(bench.directory, "state", "incoming"))
            #expect(left == [])
        }
        try await Bench.with(denied: ["data.add"]) { bench in
            let fault = await #expect(throws: Fault.self) { try await bench.add("one", Prose.files(2)) }
            #expect(fault?.kind == .denied)
        }
    }

    @Test func `redacted documents hold no personal data any more`() async throws {
        try await Bench.with { bench in
            let reply = try await bench.add("clean", [("a.txt", Array("ask ada@example.org or call +49 30 1234567 today".utf8)), ("b.txt", Prose.text(9))], redact: true)
            #expect(reply.report.personal.found == ["email": 1, "phone": 1])
            #expect(reply.report.personal.redacted)
        }
    }

    @Test func `data sets are there again after a restart`() async throws {
        let place = "/tmp/forge-trainer-\(ID().description.prefix(12))"
        defer { try? Path.removeTree(place) }
        let registry = StandInRegistry()
        let first = try await Bench.with(place, registry: registry) { try await $0.add("kept", Prose.files(6)).dataset }
        try Durable.makeDirectory(Path.join(place, "state", "incoming", "half"))
        try await Bench.with(place, registry: registry) { bench in
            let found = try await bench.client.datasets()
            #expect(found == [first])
            let left = try Path.list(Path.join(place, "state", "incoming"))
            #expect(left == [])
        }
    }
}

extension Bench {
    /// Files under `directory` that hold the bytes of `text`.
    static func search(_ directory: String, for text: String) throws -> [String] {
        let needle = Array(text.utf8)
        return try Path.list(directory).flatMap { name -> [String] in
            let path = Path.join(directory, name)
            switch try Path.information(path)?.kind {
            case .directory: return try search(path, for: text)
            case .file:
                let bytes = try File(path, .read).readAll(limit: .gib(1))
                guard bytes.count >= needle.count else { return [] }
                for at in 0...(bytes.count - needle.count) where bytes[at] == needle[0] && bytes[at...].starts(with: needle) { return [path] }
                return []
            default: return []
            }
        }
    }
}
