import ForgeArtifact
import ForgeAudit
import ForgeCore
import ForgeCrypto
import ForgeHTTP
import ForgeOS
import Glibc
import RegistryAPI
import Synchronization
import Testing
import TrainerAPI

@testable import TrainerService

/// Whole runs with real worker processes.
@Suite(.enabled(if: Bench.isWorkerBuilt, "the program `forged` is not built beside the tests"), .serialized) struct RunTests {
    static func recipe(_ steps: Int, seed: Int = 1, every: Int = 3) -> String {
        """
        format: forge-recipe/v1
        name: tiny
        seed: \(seed)
        model:
          width: 32
          layers: 2
          query_heads: 2
          kv_heads: 1
          feed_forward: 64
          context: 64
        tokenizer:
          vocabulary: 320
        training:
          steps: \(steps)
          sequences_per_step: 4
          checkpoint_every: \(every)
        optimizer:
          learning_rate: 0.003
        schedule:
          warmup_steps: 2
        """
    }

    /// The model a run ends in when nobody disturbs it.
    private func undisturbed(_ steps: Int, every: Int = 3) async throws -> Digest {
        try await Bench.with { bench in
            _ = try await bench.add("papers", Prose.files(20))
            let run = try await bench.client.submit(.init(recipe: RunTests.recipe(steps, every: every), datasets: ["papers"]))
            let done = try await bench.wait(run.id, for: [.finished])
            return try #require(done.result).digest
        }
    }

    @Test func `a run goes from a recipe to a model in the registry`() async throws {
        try await Bench.with { bench in
            let data = try await bench.add("papers", Prose.files(20)).dataset
            let run = try await bench.client.submit(.init(recipe: RunTests.recipe(12), datasets: ["papers"], model: "tiny"))
            #expect(run.state == .queued && run.submittedBy == "ada")
            let estimate = try #require(run.estimate)
            #expect(estimate.parameters > 10_000)
            let done = try await bench.wait(run.id, for: [.finished])
            #expect(done.attempts == 1)
            #expect(done.events.map(\.state).first == .queued && done.events.map(\.state).last == .finished)
            let page = try await bench.client.metrics(of: String(run.id.description.prefix(8)))
            #expect(page.metrics.map(\.step) == Array(1...12))
            #expect(page.metrics[11].loss < page.metrics[0].loss)
            #expect(page.sparkline.count == 12)
            let svg = String(decoding: try await bench.client.lossCurve(of: run.id.description), as: UTF8.self)
            #expect(svg.hasPrefix("<svg") && svg.hasSuffix("</svg>\n"))

            let commit = try #require(bench.registry.state.withLock { $0.commits.first })
            #expect(commit.run == run.id && commit.trainedBy == "ada" && commit.sources == [.init(name: "dataset:papers", digest: data.digest)])
            #expect(try DatasetsRecord(parsing: bench.registry.file("datasets.json")).items.map(\.digest) == [data.digest])
            let actions = bench.registry.state.withLock { $0.entries.map { "\($0.action.rawValue) \($0.phase)" } }
            #expect(actions == ["data.add outcome", "run.submit outcome", "run.start outcome"])

            // Of the run only its record and numbers stay.
            let left = try Path.list(bench.trainer.store.directory(ofRun: run.id)).sorted()
            #expect(left == ["lock", "metrics.jsonl", "run.json"])

            // A worker clears away what the one before left half written, and never the record that the daemon is writing beside it.
            #expect(TrainingJob.isLeftover(".train.blob.0123456789ab.tmp") && !TrainingJob.isLeftover(".run.json.0123456789ab.tmp"))
            let half = Path.join(bench.trainer.store.directory(ofRun: run.id), ".run.json.0123456789ab.tmp")
            try Durable.replace(half, with: [1])
            _ = try TrainerStore(Path.parent(Path.parent(Path.parent(half))))
            #expect(try Path.information(half) == nil, "the next daemon takes it away")

            // A record that was changed stops the next start, by name.
            let folder = bench.trainer.store.directory(ofRun: run.id)
            let root = Path.parent(Path.parent(folder))
            #expect(try await TrainerStore(root).allRuns().map(\.id) == [run.id])
            let dataset = Path.join(root, "datasets", try Path.list(Path.join(root, "datasets"))[0], "dataset.json")
            for path in [Path.join(folder, "run.json"), dataset] {
                let bytes = try File(path, .read).readAll(limit: .mib(1))
                for at in [0, bytes.count / 2, bytes.count - 1] {
                    var changed = bytes
                    changed[at] ^= 1
                    try Durable.replace(path, with: changed)
                    let fault = #expect(throws: Fault.self) { try TrainerStore(root) }
                    #expect(fault?.code == "trainer.record" && fault?.detail.contains(path) == true, "\(path) at \(at)")
                }
                try Durable.replace(path, with: bytes)
            }
        }
    }

    @Test func `a worker killed at many moments ends in the same model`() async throws {
        let expected = try await undisturbed(14)
        for seed in 0..<3 as Range<UInt64> {
            try await Bench.with { bench in
                _ = try await bench.add("papers", Prose.files(20))
                let run = try await bench.client.submit(.init(recipe: RunTests.recipe(14), datasets: ["papers"]))
                var random = seed &* 7919 &+ 13
                for _ in 0..<4 {
                    random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                    // Somewhere between a worker's start and the end of its work.
                    try await Task.sleep(for: .milliseconds(Int(random >> 33) % 400))
                    await bench.trainer.supervisor.killWorker()
                }
                // Deaths before any checkpoint count as fruitless; a person then says go on.
                var done = try await bench.wait(run.id, for: [.finished, .failed])
                if done.state == .failed {
                    _ = try await bench.client.resume(run.id.description)
                    done = try await bench.wait(run.id, for: [.finished])
                }
                #expect(done.result?.digest == expected)
                #expect(try await bench.client.metrics(of: run.id.description).metrics.map(\.step) == Array(1...14))
            }
        }
    }

    @Test func `a stopped daemon's run goes on after a restart, to the same model`() async throws {
        let expected = try await undisturbed(14, every: 1000)
        let place = "/tmp/forge-trainer-\(ID().description.prefix(12))"
        defer { try? Path.removeTree(place) }
        let registry = StandInRegistry()
        let id = try await Bench.with(place, registry: registry) { bench in
            _ = try await bench.add("papers", Prose.files(20))
            let run = try await bench.client.submit(.init(recipe: RunTests.recipe(14, every: 1000), datasets: ["papers"]))
            _ = try await bench.client.metrics(of: run.id.description, after: 2, wait: .seconds(60))
            return run.id
        }
        let left = try await TrainerStore(Path.join(place, "state")).run(id.description)
        #expect(left.state == .paused || left.state == .finished)
        try await Bench.with(place, registry: registry) { bench in
            let done = try await bench.wait(id, for: [.finished])
            #expect(done.result?.digest == expected)
            // The recipe never asked for a checkpoint: the stop wrote one.
            #expect(done.events.contains { $0.why.hasPrefix("from the checkpoint at step") } || left.state == .finished)
        }
    }

    @Test func `a commit whose answer was lost is not made twice`() async throws {
        try await Bench.with { bench in
            _ = try await bench.add("papers", Prose.files(20))
            bench.registry.state.withLock { $0.losesCommit = true }
            let run = try await bench.client.submit(.init(recipe: RunTests.recipe(3), datasets: ["papers"]))
            let done = try await bench.wait(run.id, for: [.finished])
            #expect(done.result?.version == 1)
            #expect(bench.registry.state.withLock { $0.commits.count } == 1)
        }
    }

    @Test func `a run waits while the registry is sealed, and goes on when it is not`() async throws {
        try await Bench.with { bench in
            _ = try await bench.add("papers", Prose.files(20))
            bench.registry.state.withLock { $0.isSealed = true }
            let run = try await bench.client.submit(.init(recipe: RunTests.recipe(3), datasets: ["papers"]))
            let waiting = try await bench.wait(run.id, for: [.waiting])
            #expect(waiting.why == "the registry is sealed")
            bench.registry.state.withLock { $0.isSealed = false }
            _ = try await bench.wait(run.id, for: [.finished])
        }
    }

    @Test func `a cancelled run stops with a checkpoint and can be resumed`() async throws {
        let expected = try await undisturbed(60, every: 1000)
        try await Bench.with { bench in
            _ = try await bench.add("papers", Prose.files(20))
            let run = try await bench.client.submit(.init(recipe: RunTests.recipe(60, every: 1000), datasets: ["papers"]))
            _ = try await bench.client.metrics(of: run.id.description, after: 1, wait: .seconds(60))
            let cancelled = try await bench.client.cancel(run.id.description)
            #expect(cancelled.state == .cancelled || cancelled.state == .finished)
            if cancelled.state == .cancelled {
                await #expect(throws: Fault.self) { try await bench.client.cancel(run.id.description) }
                _ = try await bench.client.resume(run.id.description)
            }
            let done = try await bench.wait(run.id, for: [.finished])
            #expect(done.result?.digest == expected)
        }
    }

    @Test func `what cannot work is refused before it starts`() async throws {
        try await Bench.with { bench in
            _ = try await bench.add("papers", Prose.files(20))
            let typo = await #expect(throws: Fault.self) {
                try await bench.client.submit(.init(recipe: RunTests.recipe(3).split(separator: "\n").map { $0.contains("warmup") ? "  warmup_step: 2" : String($0) }.joined(separator: "\n"), datasets: ["papers"]))
            }
            #expect(typo?.message.contains("warmup_step") == true)
            await #expect(throws: Fault.self) { try await bench.client.submit(.init(recipe: RunTests.recipe(3), datasets: ["other"])) }
            await #expect(throws: Fault.self) { try await bench.client.submit(.init(recipe: RunTests.recipe(3), datasets: [])) }
            await #expect(throws: Fault.self) { try await bench.client.submit(.init(recipe: RunTests.recipe(3), datasets: ["papers", "papers"])) }
            let large = ["width:": "  width: 8192", "layers:": "  layers: 500", "query_heads:": "  query_heads: 64"]
            let huge = RunTests.recipe(3).split(separator: "\n").map { line in large.first { line.contains($0.key) }?.value ?? String(line) }.joined(separator: "\n")
            let refused = await #expect(throws: Fault.self) { try await bench.client.submit(.init(recipe: huge, datasets: ["papers"])) }
            #expect(refused?.code == "run.does_not_fit")
            #expect(try await bench.client.runs().isEmpty)
        }
        try await Bench.with(denied: ["run.start"]) { bench in
            _ = try await bench.add("papers", Prose.files(20))
            let run = try await bench.client.submit(.init(recipe: RunTests.recipe(3), datasets: ["papers"]))
            let failed = try await bench.wait(run.id, for: [.failed])
            #expect(failed.why.contains("run.start"))
        }
    }

    @Test func `nothing of the texts or weights lies open on disk while a run goes on`() async throws {
        try await Bench.with { bench in
            _ = try await bench.add("papers", Prose.files(20) + [("c.txt", Array("the canary sings in cell forty-two and every other word is a witness".utf8))])
            let run = try await bench.client.submit(.init(recipe: RunTests.recipe(400, every: 2), datasets: ["papers"]))
            _ = try await bench.client.metrics(of: run.id.description, after: 4, wait: .seconds(60))
            _ = try await bench.client.cancel(run.id.description)
            let directory = bench.trainer.store.directory(ofRun: run.id)
            #expect(try Path.list(Path.join(directory, "checkpoints")).contains { $0.hasPrefix("checkpoint-") })
            #expect(try Bench.search(bench.directory, for: "canary") == [])
            #expect(try Bench.search(bench.directory, for: "FORGETOK") == [])
            #expect(try Bench.search(bench.directory, for: "FORGETRN") == [])
            #expect(try Bench.search(bench.directory, for: "\"merges\"") == [])
        }
    }
}

@Suite struct LossCurveTests {
    @Test func `a curve without points, with one and with many is a picture`() {
        for count in [0, 1, 3, 5000] {
            let curve = LossCurve(title: "a <b> & c", steps: 5000, points: (0..<count).map { ($0 + 1, 9.0 / Double($0 + 1)) })
            #expect(curve.svg.contains("a &lt;b&gt; &amp; c"))
            #expect(curve.svg.contains("polyline") == (count > 0))
        }
        #expect(LossCurve.means((0..<600).map { Double($0) }, count: 60).count == 60)
        #expect(LossCurve.means([1, 2], count: 60) == [1, 2])
        #expect(LossCurve.text(-1.005, 2) == "-1.01" || LossCurve.text(-1.005, 2) == "-1.00")
        #expect(LossCurve.text(0.05, 1) == "0.1" && LossCurve.text(12, 0) == "12")
    }

    @Test func `runs go only where runs may go`() {
        for from in RunState.allCases { #expect(!RunRecord.mayGo(from, from)) }
        #expect(RunState.allCases.allSatisfy { !RunRecord.mayGo(.finished, $0) })
        #expect(RunRecord.mayGo(.failed, .queued) && !RunRecord.mayGo(.failed, .running))
    }
}
