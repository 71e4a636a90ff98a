import ForgeAudit
import ForgeCatalog
import ForgeCore
import ForgeGate
import ForgeOS
import RegistryAPI
import RegistryService
import Synchronization
import Testing

@Suite struct LogTests {
    @Test func `a record is acknowledged with its index, and proven to whoever has the log's key`() async throws {
        let scratch = try Scratch()
        try await Bench.with(scratch) { bench in
            let serve = bench.client("serve")
            let indexes = try await serve.append(infer())
            #expect(indexes == [1, 2])
            let proof = try await serve.proof(of: 2)
            let proven = try proof.verify(log: Bench.signer().key)
            let record = try AuditRecord(parsing: proven.leaf)
            #expect(record.entry.action == .infer && record.entry.phase == .outcome && record.stamp.service.unit == .serve)
            #expect(record.stamp.service.pid == Int64(ThisProcess.pid))
            #expect(record.entry.data["note"]?.string == Bench.redactor.hash("hidden", path: "data.note"))
            let first = try await serve.checkpoint()
            _ = try await serve.append(infer())
            let second = try await serve.checkpoint()
            let (a, b) = (try SignedTreeHead(first, log: Bench.signer().key).head, try SignedTreeHead(second, log: Bench.signer().key).head)
            #expect(a.size == 3 && b.size == 5)
            #expect(try await serve.consistency(from: a.size, to: b.size).verifies(a.root, b.root))
        }
    }

    @Test func `only daemons append, and only what is theirs to say`() async throws {
        let scratch = try Scratch()
        try await Bench.with(scratch) { bench in
            for bearer in [nil, "olga"] {
                await #expect(throws: Fault.self) { try await bench.client(bearer).append(infer()) }
            }
            await #expect(throws: Fault.self) { try await bench.client("serve").append(AuditEntry(.clockStep, .event, request: ID(), who: dana)) }
            let records = try await bench.client("serve").status().records
            #expect(records == 1)
        }
    }

    @Test func `all entries of a request are recorded, or none`() async throws {
        let scratch = try Scratch()
        try await Bench.with(scratch) { bench in
            var entries = infer()
            entries.append(AuditEntry(.infer, .outcome, request: ID(), who: dana, outcome: .ok))
            let fault = await #expect(throws: Fault.self) { try await bench.client("serve").append(entries) }
            #expect(fault?.code == "audit.no_intent")
            #expect(try await bench.client("serve").status().records == 1)
            let twice = infer()
            _ = try await bench.client("serve").append(twice)
            #expect(await #expect(throws: Fault.self) { try await bench.client("serve").append(twice[1]) }?.code == "audit.exists")
            #expect(await #expect(throws: Fault.self) { try await bench.client("serve").append(twice[0]) }?.code == "audit.exists")
        }
    }

    @Test func `fifty daemons at once share commits, and every one is proven`() async throws {
        let scratch = try Scratch()
        try await Bench.with(scratch) { bench in
            let indexes = try await withThrowingTaskGroup(of: [AuditIndex].self) { group in
                for _ in 0..<50 { group.addTask { try await bench.client("serve").append(infer() + infer() + infer() + infer()) } }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(Set(indexes) == Set(1...400))
            let key = Bench.signer().key
            for index in stride(from: 1, through: 400, by: 57) { _ = try (try await bench.client("admin").proof(of: UInt64(index))).verify(log: key) }
            #expect(try await bench.client("olga").verify()["records"]?.int == 402)
        }
    }

    @Test func `while sealed the log grows without hashes, and the tail is signed at unseal`() async throws {
        let scratch = try Scratch()
        try await Bench.with(scratch) { bench in
            _ = try await bench.client("serve").append(infer())
            try await bench.ledger.close()
            let indexes = try await bench.client("serve").append(infer())
            let sealed = try await bench.client("serve").status()
            #expect(sealed.records == 5 && sealed.signed == 3)
            #expect(await #expect(throws: Fault.self) { try await bench.client("serve").proof(of: indexes[1]) }?.code == "audit.not_found")
            try await bench.ledger.open(Bench.signer(), Bench.redactor)
            let record = try AuditRecord(parsing: try (try await bench.client("serve").proof(of: indexes[1])).verify(log: Bench.signer().key).leaf)
            #expect(record.dropped == ["data.note"] && record.redactionEpoch == nil)
            #expect(try await bench.client("serve").status().signed == 5)
        }
    }

    @Test func `a store cannot be opened with another key than its log's`() async throws {
        let scratch = try Scratch()
        try await Bench.with(scratch) { bench in
            let other = NoteSigner(try #require(NoteKey(Bench.origin, .ed25519, publicKey: Array(repeating: 9, count: 32)))) { _ in Array(repeating: 0, count: 64) }
            #expect(await #expect(throws: Fault.self) { try await bench.ledger.open(other, Bench.redactor) }?.code == "audit.wrong_key")
        }
    }

    @Test func `before the store is founded nothing is recorded, and that is said`() async throws {
        let scratch = try Scratch()
        try await Bench.with(scratch, found: false) { bench in
            #expect(await #expect(throws: Fault.self) { try await bench.client("serve").append(infer()) }?.code == "registry.uninitialised")
            let health = try await bench.client(nil).status().health
            #expect(health == .uninitialised)
        }
    }

    @Test func `what a daemon left open is closed when it starts again`() async throws {
        let scratch = try Scratch()
        let open = infer()[0]
        try await Bench.with(scratch) { bench in
            _ = try await bench.client("serve").append(open)
            _ = try await bench.client("serve").append(AuditEntry(.daemonStart, .event, request: ID(), who: .service(.serve, method: .handed, uid: 0)))
            let page = try await bench.client("olga").records(.init(request: open.request))
            #expect(page.records.map(\.entry.phase) == [.intent, .outcome])
            #expect(page.records.last?.entry.outcome == .unknown(code: "daemon.restarted"))
        }
        // The registry's own are closed by its own start.
        let own = AuditEntry(.modelLoad, .intent, request: ID(), who: dana, object: .init("Forge::Model", "m"), decision: .allow, policy: yes)
        try await Bench.with(scratch) { bench in _ = try await bench.ledger.append([own]) }
        try await Bench.with(scratch) { bench in
            let records = try await bench.client("olga").records(.init(request: own.request)).records
            #expect(records.last?.entry.outcome == .unknown(code: "daemon.restarted"))
        }
    }

    @Test func `a page is found by action, person, object and decision, and goes on where it ended`() async throws {
        let scratch = try Scratch()
        try await Bench.with(scratch) { bench in
            for _ in 0..<30 { _ = try await bench.client("serve").append(infer()) }
            let olga = bench.client("olga")
            let first = try await olga.records(.init(limit: 20, action: "infer", who: "dana", objectType: "Forge::Model", objectID: "policies", decision: "allow"))
            #expect(first.records.count == 20 && first.records.allSatisfy { $0.entry.phase == .intent })
            let second = try await olga.records(.init(from: try #require(first.next), limit: 20, action: "infer", decision: "allow"))
            #expect(second.records.count == 10 && second.next == nil)
            // Reading was itself recorded.
            #expect(try await olga.records(.init(action: "audit.read")).records.count == 3)
            bench.authority.refused.withLock { _ = $0.insert("audit.read") }
            #expect(await #expect(throws: Fault.self) { try await olga.records() }?.kind == .denied)
        }
    }

    @Test func `a clock that was set is on record, and the log still verifies`() async throws {
        let scratch = try Scratch()
        let now = Mutex<(time: Int64, boottime: Int64)>((1_795_226_400_000_000, 1_000_000))
        let boot = ID()
        let clock = LogClock { now.withLock { .init(time: $0.time, boottime: $0.boottime, boot: boot, state: .init(isSynchronised: true, errorMax: 9, source: "kernel")) } }
        try await Bench.with(scratch, clock: clock) { bench in
            _ = try await bench.client("serve").append(infer())
            now.withLock { $0 = ($0.time - 3_600_000_000, $0.boottime + 1000) }
            _ = try await bench.client("serve").append(infer())
            let steps = try await bench.client("olga").records(.init(action: "clock.step")).records
            #expect(steps.count == 1 && steps.first?.entry.data["from"]?.int == 1_795_226_400_000_000)
        }
        let result = try await Built.verify(scratch.file("state"))
        #expect(result.code == 0 && result.output.contains("1 clock steps"), "\(result.output)")
    }

    @Test func `erased side text leaves every proof as it was`() async throws {
        let scratch = try Scratch()
        try await Bench.with(scratch) { bench in
            var entries = infer()
            entries[1].detail = Array("the salt of a receipt".utf8)
            let indexes = try await bench.client("serve").append(entries)
            let before = try await bench.client("serve").proof(of: indexes[1])
            #expect(try await bench.ledger.reader.read { database throws(Fault) in try database.detail(indexes[1])?.bytes } == entries[1].detail)
            try await bench.ledger.write { database, _ throws(Fault) in try database.eraseDetail(indexes[1]) }
            #expect(try await bench.client("serve").proof(of: indexes[1]).leaf == before.leaf)
        }
        #expect(try await Built.verify(scratch.file("state")).code == 0)
    }
}

@Suite struct WitnessTests {
    @Test func `the local witness is asked, remembers and signs`() async throws {
        let scratch = try Scratch()
        try await Bench.with(scratch) { bench in
            let admin = bench.client("admin")
            let witness = try Witness(scratch.file("admin"), log: Bench.signer().key)
            try await admin.enrol(witness: witness.key)
            try await admin.enrol(witness: witness.key)
            for _ in 0..<3 {
                _ = try await bench.client("serve").append(infer())
                try await witness.follow(admin)
            }
            let status = try await admin.status()
            #expect(status.witnessed == status.records)
            let verified = try await admin.checkpoint().verify([Bench.signer().key, witness.key])
            #expect(verified.map(\.key) == [Bench.signer().key, witness.key])
            // Nobody else hands signatures in, and a stranger's line is refused.
            await #expect(throws: Fault.self) { try await bench.client("serve").enrol(witness: witness.key) }
            let stranger = try Witness(scratch.file("stranger"), log: Bench.signer().key, name: "bank.example/stranger")
            #expect(await #expect(throws: Fault.self) { try await stranger.follow(admin) }?.code == "witness.unknown")
        }
        let result = try await Built.verify(scratch.file("state"), "--state-of-admin", scratch.file("admin"))
        #expect(result.code == 0 && result.output.contains("agrees at size 8"), "\(result.output)")
    }
}
