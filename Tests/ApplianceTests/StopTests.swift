import ForgeCore
import ForgeHTTP
import ForgeOS
import Glibc
import Testing

/// SIGTERM, SIGKILL and no room left, in the middle of the work.
@Suite(.serialized, .enabled(if: Appliance.isBuilt)) struct StopTests {
    /// Long enough to be interrupted; the recipe itself asks for no checkpoint.
    private static let unhurried = Appliance.recipe(steps: 700, every: 100_000)

    @Test func `a stop during training keeps what was done, and the run ends in the same model`() async throws {
        try await Appliance.running { site in
            try await site.enrol()
            try await site.addPapers()
            let alone = try await site.train(StopTests.unhurried)
            let run = try await site.submit(StopTests.unhurried)
            #expect(await eventually { (try? await site.run(run)["progress"]?["step"]?.int ?? 0) ?? 0 > 20 })
            #expect(await site.stop() == .code(0), "\(site.lastWords())")
            let kept = try Path.list(Path.join(site.root, "state/trainer/runs/\(run)/checkpoints"))
            #expect(kept.contains { $0.hasPrefix("checkpoint-") }, "the stop writes what no recipe asked for: \(kept)")

            try await site.start()
            try await site.signIn()
            // The registry starts sealed, and the run waits for its keys.
            #expect(await eventually { (try? await site.run(run)["why"]?.string?.contains("sealed")) == true })
            #expect(try await site.run(run)["state"]?.string == "waiting")
            try await site.unseal()
            let done = try await site.wait(for: "finished", of: run)
            #expect(done["result"]?["digest"]?.string == alone)
            let history = (done["events"]?.array ?? []).compactMap { $0["why"]?.string }
            #expect(history.contains { $0.hasPrefix("from the checkpoint at step") }, "\(history)")
            try await site.judge()
        }
    }

    @Test func `a stop while an answer is given lets it end, with its receipt`() async throws {
        try await Appliance.running { site in
            let key = try await site.serve(Appliance.talkative)
            let answer = site.stream(key, tokens: 1500)
            try await answer.begun()
            #expect(await site.stop() == .code(0), "\(site.lastWords())")
            let lines = try await answer.end()
            #expect(lines.last == "[DONE]")
            let closing = try JSON.parse(try #require(lines.dropLast().last))
            #expect(closing["choices"]?.array?.first?["finish_reason"]?.string == "length")
            let receipt = try #require(closing["receipt"]?["id"]?.string)
            site.acknowledge(receipt: receipt)
            try await site.start()
            try await site.signIn()
            try await site.unseal()
            let outcome = try await site.judge().first { $0["phase"]?.string == "outcome" && $0["req"]?.string == receipt }
            #expect(outcome?["data"]?["finish"]?.string == "length" && outcome?["data"]?["completion_tokens"]?.int == 1500, "it was given whole: \(String(describing: outcome))")
            // The model that was served is served again by itself.
            #expect(await eventually { (try? await site.ask(key).status) == 200 }, "\(site.lastWords())")
        }
    }
}
