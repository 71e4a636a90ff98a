import ForgeCore
import ForgeOS
import Testing

/// Models made from models, through the real commands.
@Suite(.serialized, .enabled(if: Appliance.isBuilt)) struct LearningTests {
    static func taught(_ more: String = "", base: String = "tiny@1", name: String = "taught") -> String {
        """
        format: forge-recipe/v1
        name: \(name)
        method: sft
        base: \(base)
        training: {steps: 6, sequence_length: 64, sequences_per_step: 2, checkpoint_every: 2}
        optimizer: {learning_rate: 0.003}
        schedule: {kind: constant}
        chat: {template: mistral-v3-tekken}
        \(more)
        """
    }

    static func samples(_ count: Int, from first: Int = 0) -> [UInt8] {
        Array((first..<first + count).map { #"{"id":\#($0),"messages":[{"role":"user","content":"say \#($0)"},{"role":"assistant","content":"\#($0 * 3)"}]}"# }.joined(separator: "\n").utf8)
    }

    static let rewarded = """
        format: forge-recipe/v1
        name: rewarded
        method: grpo
        base: taught@1
        policy: {group: 4, answer_tokens: 4}
        training: {steps: 3, sequence_length: 64, sequences_per_step: 2, checkpoint_every: 2}
        optimizer: {learning_rate: 0.001}
        schedule: {kind: constant}
        """

    static func tasks(_ count: Int) -> [UInt8] {
        Array((0..<count).map { #"{"prompt":[{"role":"user","content":"say \#($0)"}],"reward":{"kind":"exact","answer":"\#($0 * 3)"}}"# }.joined(separator: "\n").utf8)
    }

    @Test func `a model is taught by samples and rewards, whole or beside adapters, and its lineage names what it was`() async throws {
        try await Appliance.running { site in
            try await site.enrol()
            try await site.addPapers()
            let base = try await site.train(Appliance.recipe())
            let folder = site.path("talk")
            try Durable.makeDirectory(folder)
            try Durable.replace(Path.join(folder, "talk.jsonl"), with: LearningTests.samples(30))
            try Durable.replace(Path.join(folder, "talk.test.jsonl"), with: LearningTests.samples(6, from: 100))
            let added = try await site.forge("data", "add", folder, "--name", "talk", "-o", "json", as: "dana")
            #expect(added.json?["item"]?["report"]?["kinds"]?["samples"]?.int == 2, "\(added)")

            for (version, more) in [(1, ""), (2, "adapters: {rank: 4}")] {
                let run = try await site.wait(for: "finished", of: try await site.submit(LearningTests.taught(more), data: "talk"))
                #expect(run["result"]?["version"]?.int == Int64(version) && run["result"]?["name"]?.string == "taught", "\(run)")
                let lineage = try #require(try await site.forge("model", "lineage", "taught@\(version)", "-o", "json", as: "dana").json?["item"])
                let sources = lineage["sources"]?.array ?? []
                #expect(sources.contains { $0["name"]?.string == "model:tiny@1" && $0["digest"]?.string == base }, "\(lineage)")
                #expect(sources.contains { $0["name"]?.string == "dataset:talk" }, "\(lineage)")
                // Its answers are scored, on the samples that its data set holds out.
                let score = try await site.forge("eval", "taught@\(version)", "-q", "-o", "json", as: "dana")
                #expect(score.json?["item"]?["documents"]?.int == 6 && score.json?["item"]?["bytes"]?.int == 18, "\(score)")
            }

            // And by what its own answers are worth.
            try Durable.makeDirectory(site.path("tasks"))
            try Durable.replace(Path.join(site.path("tasks"), "tasks.jsonl"), with: LearningTests.tasks(12))
            try Durable.replace(Path.join(site.path("tasks"), "tasks.test.jsonl"), with: LearningTests.tasks(5))
            #expect(try await site.forge("data", "add", site.path("tasks"), "--name", "tasks", "-q", as: "dana").code == 0)
            let run = try await site.wait(for: "finished", of: try await site.submit(LearningTests.rewarded, data: "tasks"))
            #expect(run["result"]?["name"]?.string == "rewarded" && run["progress"]?["measures"]?["ratio_gap"]?.number == 0, "\(run)")
            #expect((run["progress"]?["measures"]?["reward"]?.number).map { (0...1).contains($0) } == true, "\(run)")

            // What its answers to held-out tasks earn is said, and logged.
            let score = try await site.forge("eval", "rewarded@1", "-q", "-o", "json", as: "dana"), item = score.json?["item"]
            #expect(item?["tasks"]?["count"]?.int == 5 && (item?["tasks"]?["right"]?.int).map { (0...5).contains($0) } == true && item?["microbits_per_byte"] == nil, "\(score)")
            let told = try await site.forge("eval", "rewarded@1", as: "dana")
            #expect(told.code == 0 && told.out.contains("of 5 right"), "\(told)")

            // And by judged answers, of others and of its own.
            try Durable.makeDirectory(site.path("pairs"))
            let pairs = (0..<8).map { #"{"prompt":[{"role":"user","content":"say \#($0)"}],"chosen":"\#($0 * 3)","rejected":"no"}"# }.joined(separator: "\n")
            try Durable.replace(Path.join(site.path("pairs"), "pairs.jsonl"), with: Array(pairs.utf8))
            #expect(try await site.forge("data", "add", site.path("pairs"), "--name", "pairs", "-q", as: "dana").code == 0)
            try Durable.makeDirectory(site.path("labels"))
            let labels = (0..<8).map { #"{"prompt":[{"role":"user","content":"say \#($0)"}],"completion":"\#($0 * 3)","label":\#($0 % 2 == 0)}"# }.joined(separator: "\n")
            try Durable.replace(Path.join(site.path("labels"), "labels.jsonl"), with: Array(labels.utf8))
            #expect(try await site.forge("data", "add", site.path("labels"), "--name", "labels", "-q", as: "dana").code == 0)
            for (method, data, more) in [("dpo", "pairs", ""), ("kto", "labels", ""), ("odpo", "tasks", "policy: {group: 4, answer_tokens: 4}")] {
                let recipe = LearningTests.taught(more, base: "taught@1", name: method).replacing("method: sft", with: "method: \(method)")
                let run = try await site.wait(for: "finished", of: try await site.submit(recipe, data: data))
                #expect(run["result"]?["name"]?.string == method, "\(run)")
            }

            // What cannot be: a base that is not there, and a recipe that says too little.
            let unknown = try await site.forge("train", try site.write(LearningTests.taught(base: "tiny@9"), as: "no.yaml"), "--data", "talk", "--detach", as: "dana")
            #expect(unknown.code == 1 && unknown.err.contains("tiny@9"), "\(unknown)")
            let early = try await site.forge("recipe", "check", try site.write(LearningTests.taught("training: {}"), as: "no.yaml"), "--data", "talk", as: "dana")
            #expect(early.code == 1 && early.err.contains("training"), "\(early)")
            _ = try await site.judge()
        }
    }
}
