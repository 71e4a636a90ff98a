import ForgeCore
import ForgeHTTP
import ForgeOS
import Synchronization
import Testing

/// The main job, as people do it: documents, a model, its score, votes, an answer.
extension Appliance {
    /// A recipe for the smallest of decoders.
    static func recipe(steps: Int = 12, every: Int = 4, width: Int = 32, layers: Int = 2, context: Int = 64, sequences: Int = 4) -> String {
        """
        format: forge-recipe/v1
        name: tiny
        seed: 1
        model:
          width: \(width)
          layers: \(layers)
          query_heads: 2
          kv_heads: 1
          feed_forward: \(2 * width)
          context: \(context)
        tokenizer:
          vocabulary: 320
        training:
          steps: \(steps)
          sequences_per_step: \(sequences)
          checkpoint_every: \(every)
        optimizer:
          learning_rate: 0.003
        schedule:
          warmup_steps: 1

        """
    }

    /// A context long enough, and a model slow enough, that something can happen in the middle of an answer.
    static let talkative = recipe(steps: 2, width: 256, layers: 4, context: 4096, sequences: 1)

    func write(_ recipe: String, as name: String = "tiny.yaml") throws -> String {
        try Durable.replace(path(name), with: Array(recipe.utf8), mode: 0o644)
        return path(name)
    }

    /// Documents that no other resembles: each has words of its own.
    static func prose(_ seed: UInt64) -> [UInt8] {
        var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
        func next(_ count: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % count
        }
        let letters = Array("aeioubcdfghklmnprstvw")
        let words = (0..<60).map { _ in String((0..<(2 + next(6))).map { _ in letters[next(letters.count)] }) }
        return Array((0..<8).map { _ in (0..<40).map { _ in words[next(words.count)] }.joined(separator: " ") }.joined(separator: "\n\n").utf8)
    }

    /// Adds documents as the data set `papers`.
    func addPapers() async throws {
        let folder = path("papers")
        try Durable.makeDirectory(folder)
        for seed in 0..<24 as Range<UInt64> { try Durable.replace(Path.join(folder, "\(seed).txt"), with: Appliance.prose(seed + 1)) }
        let said = try await forge("data", "add", folder, "--name", "papers", "--held-out-permille", "200", "-q", "-o", "json", as: "dana")
        try #require(said.code == 0, "\(said.err)\n\(lastWords())")
        acknowledge(said.json?["item"]?["dataset"]?["record"], "data.add")
    }

    /// Submits a run and does not wait for it.
    /// - Returns: its id.
    func submit(_ recipe: String, data: String = "papers") async throws -> String {
        let said = try await forge("train", try write(recipe), "--data", data, "--detach", "-q", "-o", "json", as: "dana")
        try #require(said.code == 0, "\(said.err)\n\(lastWords())")
        acknowledge(said.json?["item"]?["record"], "run.submit")
        return try #require(said.json?["item"]?["id"]?.string)
    }

    func run(_ id: String) async throws -> JSON {
        let said = try await forge("run", "show", id, "-q", "-o", "json", as: "dana")
        return try #require(said.json?["item"], "\(said.err)\n\(lastWords())")
    }

    /// Waits until a run is in that state.
    @discardableResult
    func wait(for state: String, of id: String, within time: Duration = .seconds(60)) async throws -> JSON {
        var last: JSON?
        let isThere = await eventually(within: time) {
            last = try? await self.run(id)
            return last?["state"]?.string == state
        }
        try #require(isThere, "the run is \(last?["state"]?.string ?? "unknown"): \(last?["why"]?.string ?? "")\n\(lastWords())")
        return try #require(last)
    }

    /// Trains to the end.
    /// - Returns: the model's digest.
    @discardableResult
    func train(_ recipe: String) async throws -> String {
        let run = try await wait(for: "finished", of: try await submit(recipe))
        return try #require(run["result"]?["digest"]?.string)
    }

    /// Brings a version into production: score, request, both votes, promotion.
    /// - Parameter data: the data set it is scored on, for a model that names none.
    func promote(_ model: String, data: String? = nil) async throws {
        let score = try await forge(["eval", model, "-q", "-o", "json"] + (data.map { ["--data", $0] } ?? []), as: "dana")
        try #require(score.code == 0, "\(score.err)\n\(lastWords())")
        acknowledge(score.json?["item"]?["record"], "model.evaluate")
        let asked = try await forge("model", "promote", model, "--reason", "a test", as: "rene")
        try #require(asked.code == 8, "\(asked.err)")
        try await approvePending()
        let done = try await forge("model", "promote", model, "--reason", "a test", as: "rene")
        try #require(done.code == 0, "\(done.err)")
    }

    /// The votes of an officer and an ML lead on the request that waits.
    func approvePending() async throws {
        let pending = try await forge("approval", "ls", "-o", "json", as: "rene").json?["items"]?.array ?? []
        let approval = try #require(pending.first { $0["state"]?.string == "pending" }?["id"]?.string, "\(pending)")
        for voter in ["otto", "mila"] {
            let said = try await forge("approval", "approve", approval, "--key", path("people/\(voter)"), as: voter)
            try #require(said.code == 0, "\(said.err)")
        }
    }

    /// An appliance that serves `tiny@production`.
    /// - Returns: an application's key.
    func serve(_ recipe: String = recipe()) async throws -> String {
        try await enrol()
        try await addPapers()
        try await train(recipe)
        try await promote("tiny@1")
        try #require(try await forge("serve", "load", "tiny@production", as: "rene").code == 0, "\(lastWords())")
        return try await applicationKey()
    }

    func applicationKey() async throws -> String {
        try #require(try await forge("key", "create", "app", "--file", path("people/app.key"), as: "otto").code == 0)
        return text(try File(path("people/app.key"), .read).readAll(limit: .kib(1))).filter { !$0.isWhitespace }
    }

    // MARK: asking

    /// What an application sends; the likeliest token always, so that an untrained model does not happen on its end mark.
    static func question(tokens: Int, stream: Bool = false, prompt: String = "the", model: String = "tiny") -> [UInt8] {
        let json: JSON = [
            "model": .string(model), "prompt": .string(prompt), "max_tokens": .int(Int64(tokens)), "seed": 1, "temperature": 0, "stream": .bool(stream),
        ]
        return Array(json.text.utf8)
    }

    /// Asks as an application and notes the receipt.
    func ask(_ key: String, tokens: Int = 8, prompt: String = "the", model: String = "tiny") async throws -> HTTPClient.Reply {
        let reply = try await client("serve", bearer: key).raw(
            .post, "/v1/completions", headers: ["content-type": "application/json"], body: .bytes(Appliance.question(tokens: tokens, prompt: prompt, model: model)), timeout: .seconds(60))
        if reply.status == 200 { acknowledge(receipt: try JSON.parse(reply.body)["receipt"]?["id"]?.string) }
        return reply
    }

    /// A streamed answer that goes on while the test does something else.
    func stream(_ key: String, tokens: Int) -> Streamed {
        let client = client("serve", bearer: key)
        let seen = Streamed()
        seen.start { seen in
            try await client.events(.post, "/v1/completions", headers: ["content-type": "application/json"], body: Appliance.question(tokens: tokens, stream: true), timeout: .seconds(60)) { event in
                seen.take(event.data)
            }
        }
        return seen
    }
}

/// The events of one answer as they come.
final class Streamed: Sendable {
    private struct State {
        var lines: [String] = []
        var wants = Int.max
        var task: Task<Void, any Error>?
    }
    private let state = Mutex(State())

    fileprivate func start(_ body: @escaping @Sendable (Streamed) async throws -> Void) {
        // Ends with the stream, which ends with the daemon at the latest; awaited in `end`.
        let task = Task { try await body(self) }
        state.withLock { $0.task = task }
    }

    fileprivate func take(_ line: String) -> Bool {
        state.withLock { state in
            state.lines.append(line)
            return state.lines.count < state.wants
        }
    }

    var lines: [String] { state.withLock { $0.lines } }

    /// Waits until the answer is under way.
    func begun() async throws { try #require(await eventually(within: .seconds(30)) { self.lines.count >= 3 }, "no answer began: \(lines)") }

    /// The client goes away at the next event.
    func leave() { state.withLock { $0.wants = 0 } }

    /// Waits for its end; throws what the stream threw.
    func end() async throws -> [String] {
        try await state.withLock { $0.task }?.value
        return lines
    }
}
