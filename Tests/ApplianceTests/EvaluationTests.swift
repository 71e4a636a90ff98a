import ForgeCore
import ForgeOS
import Testing

/// `POST /v1/evaluations` as `forge eval` asks for it: weights on loan from the registry, scored in a worker, the score on record.
@Suite(.serialized, .enabled(if: Appliance.isBuilt)) struct EvaluationTests {
    @Test func `a score is of this model on its held-out documents, the same each time, and stands in the registry`() async throws {
        try await Appliance.running { site in
            try await site.enrol()
            try await site.addPapers()
            let digest = try await site.train(Appliance.recipe(steps: 40))
            let data = try #require(try await site.forge("data", "show", "papers", "-o", "json", as: "dana").json?["item"]?["dataset"])
            let early = try await site.forge("model", "promote", "tiny@1", "--reason", "too early", as: "rene")
            #expect(early.code == 2 && early.err.contains("(audit record "), "without a report policy refuses: \(early)")

            var scores: [JSON] = []
            for _ in 0..<2 {
                let said = try await site.forge("eval", "tiny@1", "-q", "-o", "json", as: "dana")
                let score = try #require(said.json?["item"], "\(said.err)")
                site.acknowledge(score["record"], "model.evaluate")
                scores.append(score)
            }
            for name in ["bytes", "documents", "microbits_per_byte", "baseline_microbits_per_byte", "model_digest"] { #expect(scores[0][name] != nil && scores[0][name] == scores[1][name], "\(name): \(scores)") }
            #expect(scores[0]["model_digest"]?.string == digest && scores[0]["dataset"]?.string == data["digest"]?.string)
            #expect(scores[0]["documents"]?.int == data["heldout"]?["documents"]?.int && scores[0]["bytes"]?.int == data["heldout"]?["bytes"]?.int)
            // A model that has seen something needs fewer than the eight bits of a byte, and more than none.
            let bits = try #require(scores[0]["microbits_per_byte"]?.int)
            #expect((1_000_000..<8_000_000).contains(bits), "\(bits)")
            let kept = try #require(try await site.forge("model", "show", "tiny@1", "-o", "json", as: "dana").json?["item"]?["evaluations"]?.array)
            #expect(kept.count == 2 && kept.allSatisfy { $0["suite"]?.string == "heldout" && $0["microbits_per_byte"]?.int == bits }, "\(kept)")

            let unknown = try await site.forge("eval", "tiny@7", as: "dana")
            #expect(unknown.code == 1 && unknown.err.contains("tiny@7"), "\(unknown)")
            let vague = try await site.forge("eval", "tiny", as: "dana")
            #expect(vague.code == 1 && vague.err.contains("name@version"), "\(vague)")
            let folder = site.path("one")
            try Durable.makeDirectory(folder)
            try Durable.replace(Path.join(folder, "one.txt"), with: Appliance.prose(99))
            #expect(try await site.forge("data", "add", folder, "--name", "one", "--held-out-permille", "0", "-q", as: "dana").code == 0)
            let nothing = try await site.forge("eval", "tiny@1", "--data", "one", as: "dana")
            #expect(nothing.code == 1 && nothing.err.contains("nothing to score on"), "\(nothing)")
            let denied = try await site.forge("eval", "tiny@1", as: "otto")
            #expect(denied.code == 2 && denied.err.contains("(audit record "), "\(denied)")
            let records = try await site.judge()
            #expect(records.contains { $0["act"]?.string == "model.evaluate" && $0["data"]?["microbits_per_byte"]?.int == bits && $0["who"]?["id"]?.string == "dana" })
        }
    }
}
