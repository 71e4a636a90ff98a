import ForgeAudit
import ForgeCore
import ForgeHTTP
import ForgeInference
import ForgeOS
import ForgeTensor
import ServeAPI
import ServeService
import Synchronization
import Testing

/// Long enough to be under way when something happens to it.
private let long = InferenceRequest(.completions, model: "policies", input: .text("a"), maxTokens: 150, temperature: 0, seed: 1)

private func eventually(_ what: String, _ condition: () async -> Bool) async {
    let end = ContinuousClock.now + .seconds(10)
    while ContinuousClock.now < end {
        if await condition() { return }
        await Task.yield()
    }
    Issue.record("never: \(what)")
}

@Suite struct BadDayTests {
    @Test func `an answer whose outcome cannot be recorded is not given`() async throws {
        try await withStand { stand in
            // Room for the intent alone.
            stand.log.fill(after: 1)
            let streamed = try await events(stand, "/v1/completions", InferenceRequest(.completions, model: "policies", input: .text("a"), maxTokens: 30, stream: true).json)
            let last = try JSON.parse(try #require(streamed.last))
            #expect(last["error"]?["code"]?.string == "audit_unavailable")
            #expect(last["error"]?["type"]?.string == "server_error")
            #expect(!streamed.contains("[DONE]"))
            let mentions = streamed.filter { $0.contains(#""receipt""#) }
            #expect(mentions.isEmpty)
            stand.log.fill(after: 1)
            let whole = try await stand.post("/v1/completions", long.json)
            #expect(whole.status == 503 && whole.json["choices"] == nil)
            // And without a log, no answer begins.
            let drawn = await stand.house.loaded?.engine.counters.now.drawnTokens
            let (status, headers, _) = try await stand.post("/v1/completions", long.json)
            #expect(status == 503 && headers["retry-after"] != nil)
            #expect(await stand.house.loaded?.engine.counters.now.drawnTokens == drawn)
        }
    }

    @Test func `a client that goes away in mid-stream frees its blocks, and its record says so`() async throws {
        try await withStand { stand in
            let seen = Collected()
            try await stand.http().events(.post, "/v1/completions", body: Array(long.json.text.utf8.dropLast()) + Array(#","stream":true}"#.utf8)) { event in
                seen.add(event.data)
                return seen.all.count < 2
            }
            let engine = try #require(await stand.house.loaded).engine
            await eventually("the sequence leaves") { engine.counters.now.running == 0 }
            await eventually("the outcome is on record") { !stand.log.outcomes(.infer).isEmpty }
            let outcome = try #require(stand.log.outcomes(.infer).first)
            #expect(outcome.data["finish"]?.string == "cancelled" || outcome.data["finish"]?.string == "length")
            #expect(engine.counters.now.cacheUsage == 0)
        }
    }

    @Test func `a drain refuses what is new and finishes what was begun`() async throws {
        try await withStand { stand in
            async let answer = stand.client.complete(long)
            await eventually("it runs") { await stand.house.loaded?.engine.counters.now.running ?? 0 > 0 }
            async let drained: Void = stand.house.drain(within: .seconds(30))
            await eventually("it drains") { await stand.house.state.state == .draining }
            let (status, headers, json) = try await stand.post("/v1/completions", long.json)
            #expect(status == 503 && headers["retry-after"] != nil && json["error"]?["code"]?.string == "serve_draining")
            #expect(try await answer.choices[0].finish == "length")
            await drained
            #expect(stand.log.outcomes(.infer).map { $0.data["finish"]?.string } == ["length"])
        }
    }

    @Test func `a drain at its deadline cuts with a whole last chunk`() async throws {
        try await withStand(settings: .init(threads: 1, tokensPerStep: 64)) { stand in
            var request = long
            request.stream = true
            let lines = Collected()
            try await stand.http().events(.post, "/v1/completions", body: Array(request.json.text.utf8)) { event in
                if lines.all.isEmpty { Task { await stand.house.drain(within: .zero) } }
                lines.add(event.data)
                return true
            }
            #expect(lines.all.last == "[DONE]")
            let closing = try JSON.parse(lines.all[lines.all.count - 2])
            #expect(closing["choices"]?.array?.first?["finish_reason"]?.string == "length")
            #expect(Receipt(closing["receipt"]) != nil)
            #expect(stand.log.outcomes(.infer).count == 1)
        }
    }

    @Test func `sealing the registry drops the weights, ends what is under way, and says why`() async throws {
        try await withStand { stand in
            let model = try #require(await stand.house.loaded)
            let lease = try #require(stand.registry.lease)
            stand.registry.state.withLock { $0.mark = nil }
            async let answer = stand.client.complete(long)
            await eventually("it runs") { model.engine.counters.now.running > 0 }
            lease.end("sealed")
            #expect(try await answer.choices[0].finish == "length")
            await eventually("the weights are gone") { await stand.house.loaded == nil }
            #expect(lease.isClosed.withLock { $0 })
            let (status, headers, json) = try await stand.post("/v1/completions", long.json)
            #expect(status == 503 && headers["retry-after"] != nil)
            #expect(json["error"]?["message"]?.string?.contains("sealed") == true)
            // Unsealed again, the same model comes back by itself.
            stand.registry.state.withLock { $0.mark = 5 }
            await stand.house.look()
            #expect(try await stand.client.complete(long).choices.count == 1)
        }
    }

    @Test func `a moved alias changes the model without dropping a request`() async throws {
        try await withStand { stand in
            stand.registry.add("policies@2", try TinyModel.files(seed: 2))
            let former = try #require(await stand.house.loaded)
            async let answer = stand.client.complete(long)
            await eventually("it runs") { former.engine.counters.now.running > 0 }
            stand.registry.point("policies@production", at: "policies@2")
            await stand.house.look()
            let now = try #require(await stand.house.loaded)
            #expect(now.version == 2 && now.digest != former.digest)
            #expect(try await answer.choices[0].finish == "length")
            _ = try await stand.client.complete(long)
            #expect(stand.log.outcomes(.infer).map { $0.data["model_digest"]?.string } == [former.digest.description, now.digest.description])
            await eventually("the former lease ends") { stand.registry.state.withLock { $0.leases[0] }.isClosed.withLock { $0 } }
        }
    }

    @Test func `without a model the answer is to try again, and what is promoted is found`() async throws {
        try await withStand(load: nil) { stand in
            let (status, headers, json) = try await stand.post("/v1/completions", long.json)
            #expect(status == 503 && headers["retry-after"] != nil && json["error"]?["code"]?.string == "serve_no_model")
            await stand.house.look()
            #expect(await stand.house.state.reference == "policies@production")
            #expect(try await stand.client.complete(long).choices.count == 1)
        }
    }

    @Test func `a load that meets another waits for its turn, and the last one stands`() async throws {
        try await withStand(load: nil) { stand in
            stand.registry.add("policies@2", try TinyModel.files(seed: 2))
            async let one = stand.operatorClient.load("policies@1")
            async let other = stand.operatorClient.load("policies@2")
            async let third = stand.operatorClient.load("policies@1")
            let versions = try await [one.version, other.version, third.version]
            #expect(versions.allSatisfy { $0 == 1 || $0 == 2 })
            #expect(stand.log.outcomes(.serveLoad).map(\.outcome) == [.ok, .ok, .ok])
            let now = try #require(await stand.house.loaded)
            await eventually("the former two are given back") {
                stand.registry.state.withLock { $0.leases.count { $0.isClosed.withLock { $0 } } } == 2
            }
            #expect(try await stand.client.complete(long).choices.count == 1)
            #expect(await stand.house.loaded === now)
        }
    }

    @Test func `operators load and unload, each on record`() async throws {
        try await withStand(load: nil) { stand in
            let state = try await stand.operatorClient.load("policies@1")
            #expect(state.state == .ready && state.version == 1)
            #expect(try await stand.operatorClient.loaded().digest == state.digest)
            #expect(try await stand.operatorClient.unload().state == .empty)
            // What an operator took away does not come back by itself.
            await stand.house.look()
            #expect(await stand.house.loaded == nil)
            await #expect(throws: Fault.self) { _ = try await stand.operatorClient.load("nothing@9") }
            #expect(stand.log.outcomes(.serveLoad).map(\.outcome) == [.ok, .failed(code: "model.not_found")])
            #expect(stand.log.outcomes(.serveUnload).count == 1)
        }
    }
}

@Suite struct ReplayTests {
    @Test(arguments: [InferenceRequest.Endpoint.completions, .chat])
    func `a replay computes the same tokens`(endpoint: InferenceRequest.Endpoint) async throws {
        try await withStand { stand in
            let request = InferenceRequest(
                endpoint, model: "policies", input: endpoint == .chat ? .messages([ChatTurn(role: "user", content: "who?")]) : .text("the cat"), maxTokens: 25, temperature: 0.8,
                topP: 0.9, n: 2)
            let answer = try await stand.client.stream(request) { _, _ in }
            let receipt = try #require(answer.receipt)
            // Other work meanwhile changes nothing.
            async let other = stand.client.complete(long)
            let proof = try stand.log.proof(of: try #require(stand.log.outcomes(.infer).first))
            let result = try await stand.operatorClient.replay(ReplayRequest(receipt: receipt.id, request: request.json, salt: receipt.salt, proof: proof))
            #expect(result.isEqual && result.recorded == result.computed)
            #expect(result.choices.map(\.text) == answer.choices.map(\.text))
            _ = try await other
            #expect(stand.log.outcomes(.receiptReplay).map(\.outcome) == [.ok])
        }
    }

    @Test(arguments: WeightFormat.allCases)
    func `the format of the weights is on record, and only a server with the same one replays`(format: WeightFormat) async throws {
        let request = InferenceRequest(.completions, model: "policies", input: .text("the cat"), maxTokens: 8)
        try await withStand(settings: .init(threads: 1, tokensPerStep: 64, weights: format)) { stand in
            let receipt = try #require(try await stand.client.complete(request).receipt)
            let outcome = try #require(stand.log.outcomes(.infer).first)
            #expect(outcome.data["backend"] == .string("\(Backend.best.family)+\(format.rawValue)"))
            let replay = ReplayRequest(receipt: receipt.id, request: request.json, salt: receipt.salt, proof: try stand.log.proof(of: outcome))
            #expect(try await stand.operatorClient.replay(replay).isEqual)
            var other = outcome
            other.data["backend"] = .string("\(Backend.best.family)+\(format == .f32 ? "q8" : "f32")")
            let moved = ReplayRequest(receipt: receipt.id, request: request.json, salt: receipt.salt, proof: try stand.log.proof(of: other))
            do throws(Fault) {
                _ = try await stand.operatorClient.replay(moved)
                Issue.record("an answer of other weights was computed again")
            } catch { #expect(error.code == "receipt.other_kernels") }
        }
    }

    @Test func `a replay that cannot be the same is refused with its reason`() async throws {
        try await withStand { stand in
            let request = InferenceRequest(.completions, model: "policies", input: .text("the cat"), maxTokens: 8)
            let receipt = try #require(try await stand.client.complete(request).receipt)
            var outcome = try #require(stand.log.outcomes(.infer).first)
            let proof = try stand.log.proof(of: outcome)
            func code(_ replay: ReplayRequest) async -> String {
                do { return try await stand.operatorClient.replay(replay).isEqual ? "equal" : "differs" } catch { return error.code }
            }
            var altered = request
            altered.input = .text("the dog")
            #expect(await code(.init(receipt: receipt.id, request: altered.json, salt: receipt.salt, proof: proof)) == "receipt.other_request")
            #expect(await code(.init(receipt: receipt.id, request: request.json, salt: Salt(), proof: proof)) == "receipt.other_request")
            #expect(await code(.init(receipt: ID(), request: request.json, salt: receipt.salt, proof: proof)) == "receipt.unproven")
            #expect(await code(.init(receipt: receipt.id, request: request.json, salt: receipt.salt, proof: proof.replacingLast("A", "B"))) == "receipt.unproven")
            for (field, value, wanted) in [
                ("backend", "reference", "receipt.other_kernels"), ("code", "inference-0", "receipt.other_kernels"), ("finish", "cut", "receipt.cut"),
                ("model_digest", Digest(repeatElement(3, count: 32))!.description, "receipt.other_model"),
                ("answer_commitment", Digest(repeatElement(3, count: 32))!.description, "differs"),
            ] {
                let former = outcome.data[field]
                outcome.data[field] = .string(value)
                #expect(await code(.init(receipt: receipt.id, request: request.json, salt: receipt.salt, proof: (try? stand.log.proof(of: outcome)) ?? "")) == wanted)
                outcome.data[field] = former
            }
            let replays = stand.log.outcomes(.receiptReplay)
            #expect(replays.count == 9 && replays.allSatisfy { $0.outcome != .ok })
        }
    }
}

extension String {
    /// The last occurrence of a character, changed: damage that keeps the shape.
    fileprivate func replacingLast(_ from: Character, _ to: Character) -> String {
        guard let index = lastIndex(of: from) else { return self + "x" }
        var text = self
        text.replaceSubrange(index...index, with: [to])
        return text
    }
}
