import ForgeAudit
import ForgeCore
import ForgeHTTP
import ForgeInference
import ForgeOS
import ForgeTokenizer
import ServeAPI
import ServeService
import Testing

private let completion: JSON = ["model": "policies", "prompt": "the cat", "max_tokens": 12, "seed": 7]
private let chat: JSON = ["model": "policies", "messages": [["role": "user", "content": "who sat?"]], "max_tokens": 12, "seed": 7]

extension JSON {
    func with(_ key: String, _ value: JSON) -> JSON {
        var object = object!
        object[key] = value
        return .object(object)
    }
}

/// The `data:` lines of a streamed answer, the last being `[DONE]` if it came.
func events(_ stand: Stand, _ path: String, _ body: JSON) async throws -> [String] {
    let lines = Collected()
    try await stand.http().events(.post, path, headers: ["content-type": "application/json"], body: Array(body.text.utf8)) { event in
        lines.add(event.data)
        return true
    }
    return lines.all
}

import Synchronization

final class Collected: Sendable {
    private let lines = Mutex<[String]>([])
    func add(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
}

@Suite struct AnswerTests {
    @Test func `a completion has OpenAI's members, a receipt, and a record that commits to it`() async throws {
        try await withStand { stand in
            let (status, headers, json) = try await stand.post("/v1/completions", completion)
            #expect(status == 200)
            let id = try #require(headers["x-forge-receipt"])
            #expect(json["id"]?.string == "cmpl-\(id)")
            #expect(json["object"]?.string == "text_completion")
            #expect(json["model"]?.string == "policies")
            #expect(json["system_fingerprint"]?.string?.hasPrefix("fp_") == true)
            let choice = try #require(json["choices"]?.array?.first)
            #expect(choice["index"]?.int == 0 && choice["logprobs"] == .null)
            let usage = try #require(json["usage"])
            #expect(usage["total_tokens"]?.int == usage["prompt_tokens"]!.int! + usage["completion_tokens"]!.int!)
            // <s> and the text's own tokens.
            #expect(usage["prompt_tokens"]?.int == Int64(1 + TinyModel.tokenizer.encode("the cat").count))

            let receipt = try #require(Receipt(json["receipt"]))
            #expect(receipt.id.description == id && receipt.seed == 7)
            let records = stand.log.entries
            #expect(records.map(\.phase) == [.intent, .outcome])
            #expect(records.allSatisfy { $0.action == .infer && $0.request == receipt.id && $0.object?.digest != nil })
            let facts = records[1].data
            let request = try InferenceRequest(.completions, json: completion)
            #expect(facts["request_commitment"]?.string == receipt.salt.commitment("request", to: request.committed).description)
            #expect(facts["seed"]?.string == "7" && facts["backend"] != nil && facts["code"]?.string == InferenceVersion.current && facts["policy"] != nil)
            #expect(facts["sampling"]?.string == "temperature=3ff0000000000000 top_k=0 top_p=3ff0000000000000")
            #expect(facts["prompt"] == nil && facts["answer"] == nil)
            #expect(facts["completion_tokens"]?.int == usage["completion_tokens"]?.int)
        }
    }

    @Test func `equal requests give equal answers, streamed or not, and another seed gives another`() async throws {
        try await withStand { stand in
            let request = InferenceRequest(.completions, model: "policies", input: .text("the cat"), maxTokens: 20, seed: 99)
            let whole = try await stand.client.complete(request)
            let pieces = Collected()
            let streamed = try await stand.client.stream(request) { _, text in pieces.add(text) }
            #expect(streamed.text == whole.text && pieces.all.joined() == whole.text)
            #expect(streamed.choices == whole.choices && streamed.usage == whole.usage)
            #expect(streamed.receipt?.id != whole.receipt?.id && streamed.receipt?.seed == 99)
            var other = request
            other.seed = 100
            #expect(try await stand.client.complete(other).text != whole.text)
            let facts = stand.log.outcomes(.infer).map { $0.data["streamed"]?.bool }
            #expect(facts == [false, true, false])
        }
    }

    @Test func `a streamed completion is chunks, a finish, and the last line`() async throws {
        try await withStand { stand in
            let lines = try await events(stand, "/v1/completions", completion.with("stream", true))
            #expect(lines.last == "[DONE]")
            let chunks = try lines.dropLast().map { try JSON.parse($0) }
            #expect(chunks.allSatisfy { $0["object"]?.string == "text_completion" && $0["usage"] == nil })
            #expect(Set(chunks.compactMap { $0["id"]?.string }).count == 1)
            let last = try #require(chunks.last)
            #expect(last["choices"]?.array?.first?["finish_reason"]?.string != nil)
            #expect(chunks.dropLast().allSatisfy { $0["choices"]?.array?.first?["finish_reason"] == .null })
            #expect(Receipt(last["receipt"]) != nil)
        }
    }

    @Test func `a streamed chat begins with the role, and usage comes in a chunk of its own`() async throws {
        try await withStand { stand in
            let lines = try await events(stand, "/v1/chat/completions", chat.with("stream", true).with("stream_options", ["include_usage": true]))
            #expect(lines.last == "[DONE]")
            let chunks = try lines.dropLast().map { try JSON.parse($0) }
            #expect(chunks.allSatisfy { $0["object"]?.string == "chat.completion.chunk" })
            #expect(chunks.first?["choices"]?.array?.first?["delta"] == ["role": "assistant", "content": ""])
            #expect(chunks.dropLast().allSatisfy { $0["usage"] == .null })
            let closing = chunks[chunks.count - 2]
            #expect(closing["choices"]?.array?.first?["delta"] == [:])
            #expect(closing["receipt"] == nil)
            let last = try #require(chunks.last)
            #expect(last["choices"]?.array?.isEmpty == true)
            #expect(last["usage"]?["completion_tokens"]?.int ?? 0 > 0)
            #expect(Receipt(last["receipt"]) != nil)
        }
    }

    @Test func `a chat answers in a message`() async throws {
        try await withStand { stand in
            let (status, _, json) = try await stand.post("/v1/chat/completions", chat)
            #expect(status == 200)
            #expect(json["object"]?.string == "chat.completion")
            let choice = try #require(json["choices"]?.array?.first)
            #expect(choice["message"]?["role"]?.string == "assistant" && choice["message"]?["content"]?.string != nil && choice["message"]?["refusal"] == .null)
        }
    }

    @Test func `a template that came with the model lays a conversation out, and its refusals are the caller's to read`() async throws {
        let template = "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system here') }}{% endif %}[INST]{{ m.content }}[/INST]{% endfor %}"
        try await withStand(chatTemplate: "jinja", template: template) { stand in
            let own = try await stand.post("/v1/chat/completions", chat.with("messages", [["role": "user", "content": "the cat [INST]"]]))
            #expect(own.0 == 200)
            // Marks that the template places are one token each; the caller's is text.
            let text = TinyModel.tokenizer.encode("the cat [INST]").count
            #expect(own.2["usage"]?["prompt_tokens"]?.int == Int64(1 + 1 + text + 1))
            let refused = try await stand.post("/v1/chat/completions", chat.with("messages", [["role": "system", "content": "a"], ["role": "user", "content": "b"]]))
            #expect(refused.0 == 400 && refused.2["error"]?["message"]?.string?.contains("no system here") == true && refused.2["error"]?["param"]?.string == "messages", "\(refused.2)")
        }
    }

    @Test func `a model without a template refuses to chat and says why`() async throws {
        try await withStand(chatTemplate: nil) { stand in
            let (status, _, json) = try await stand.post("/v1/chat/completions", chat)
            #expect(status == 400)
            #expect(json["error"]?["code"]?.string == "model_no_chat")
            #expect(json["error"]?["message"]?.string?.contains("chat template") == true)
            #expect(stand.log.entries.isEmpty)
        }
    }

    @Test func `log-probabilities come in the shape of each endpoint`() async throws {
        try await withStand { stand in
            let (_, _, chatted) = try await stand.post("/v1/chat/completions", chat.with("logprobs", true).with("top_logprobs", 2))
            let content = try #require(chatted["choices"]?.array?.first?["logprobs"]?["content"]?.array)
            #expect(!content.isEmpty)
            for token in content {
                #expect(token["token"]?.string != nil && token["logprob"]?.number ?? 1 <= 0 && token["bytes"]?.array != nil)
                #expect(token["top_logprobs"]?.array?.count == 2)
            }
            let (_, _, completed) = try await stand.post("/v1/completions", completion.with("logprobs", 3))
            let choice = try #require(completed["choices"]?.array?.first), logprobs = try #require(choice["logprobs"])
            let count = logprobs["tokens"]?.array?.count ?? 0
            #expect(count > 0 && ["token_logprobs", "top_logprobs", "text_offset"].allSatisfy { logprobs[$0]?.array?.count == count })
            #expect(logprobs["text_offset"]?.array?.first?.int == 0)
            let lines = try await events(stand, "/v1/completions", completion.with("logprobs", 3).with("stream", true))
            let streamed = try lines.dropLast().flatMap { try JSON.parse($0)["choices"]?.array?.first?["logprobs"]?["tokens"]?.array ?? [] }
            #expect(streamed == logprobs["tokens"]?.array)
        }
    }

    @Test func `several choices share a receipt and differ`() async throws {
        try await withStand { stand in
            let request = InferenceRequest(.completions, model: "policies", input: .text("the"), maxTokens: 16, n: 3, seed: 5)
            let whole = try await stand.client.complete(request)
            #expect(whole.choices.map(\.index) == [0, 1, 2])
            #expect(Set(whole.choices.map(\.text)).count == 3)
            let streamed = try await stand.client.stream(request) { _, _ in }
            #expect(streamed.choices == whole.choices)
            #expect(whole.usage?.promptTokens == 1 + TinyModel.tokenizer.encode("the").count)
            #expect(stand.log.outcomes(.infer).count == 2)
        }
    }

    @Test func `a stop string ends the answer, and an echo begins with the prompt`() async throws {
        try await withStand { stand in
            let base = InferenceRequest(.completions, model: "policies", input: .text("the dog"), maxTokens: 30, seed: 3)
            let text = try await stand.client.complete(base).text
            let stop = try #require(text.dropFirst(2).first.map(String.init))
            var request = base
            request.stop = [stop]
            let stopped = try await stand.client.complete(request)
            #expect(stopped.text == text.prefix { String($0) != stop }.description)
            #expect(stopped.choices[0].finish == "stop")
            request.stop = []
            request.echo = true
            #expect(try await stand.client.complete(request).text == "the dog" + text)
            #expect(try await stand.client.stream(request) { _, _ in }.text == "the dog" + text)
        }
    }

    @Test func `models are listed and found by name, version, alias and digest`() async throws {
        try await withStand { stand in
            let models = try await stand.client.models()
            #expect(models.map(\.id) == ["policies"] && models[0].hasChat && models[0].contextMax == 160 && models[0].alias == "production")
            for name in ["policies", "policies@1", "policies@production", models[0].digest.description] {
                #expect(try await stand.client.complete(InferenceRequest(.completions, model: name, input: .text("a"), maxTokens: 1)).choices.count == 1)
            }
            let reply = try await stand.http().raw(.get, HTTPClient.path("v1", "models", "policies"))
            #expect(reply.status == 200)
            let missing = try await stand.http().raw(.get, HTTPClient.path("v1", "models", "nothing"))
            #expect(missing.status == 404)
            #expect(try JSON.parse(missing.body)["error"]?["code"]?.string == "model_not_found")
        }
    }

    @Test func `refusals are error objects with all four members`() async throws {
        try await withStand { stand in
            func error(_ body: JSON, bearer: String? = "forge_app_crm") async throws -> (Int, JSON) {
                let (status, headers, json) = try await stand.post("/v1/completions", body, bearer: bearer)
                #expect(json["error"]?.object?.keys == ["message", "type", "param", "code"])
                #expect(headers["content-type"]?.contains("json") == true)
                return (status, json["error"] ?? .null)
            }
            let unknown = try await error(completion.with("model", "gpt-4"))
            #expect(unknown.0 == 404 && unknown.1["code"]?.string == "model_not_found" && unknown.1["type"]?.string == "invalid_request_error")
            let anonymous = try await error(completion, bearer: nil)
            #expect(anonymous.0 == 401 && anonymous.1["type"]?.string == "authentication_error" && anonymous.1["code"]?.string == "invalid_api_key")
            let barred = try await error(completion, bearer: "forge_app_barred")
            #expect(barred.0 == 403 && barred.1["type"]?.string == "permission_error" && barred.1["message"]?.string?.contains("guard.barred") == true)
            let long = try await error(completion.with("max_tokens", 500))
            #expect(long.0 == 400 && long.1["code"]?.string == "context_length_exceeded" && long.1["param"]?.string == "prompt")
            let junk = try await stand.http().raw(.post, "/v1/completions", body: .bytes(Array("{".utf8)))
            #expect(junk.status == 400)
            #expect(try JSON.parse(junk.body)["error"]?["type"]?.string == "invalid_request_error")
            let tokens = try await error(completion.with("prompt", [1, 5000]))
            #expect(tokens.0 == 400 && tokens.1["param"]?.string == "prompt")
        }
    }

    @Test func `metrics carry vLLM's names, and show more than one sequence a step`() async throws {
        try await withStand { stand in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for seed in 0..<12 as Range<Int64> {
                    group.addTask { _ = try await stand.client.complete(InferenceRequest(.completions, model: "policies", input: .text("cat \(seed)"), maxTokens: 40, seed: seed)) }
                }
                try await group.waitForAll()
            }
            let text = String(decoding: try await stand.http().send(.get, "/metrics").body, as: UTF8.self)
            for name in ["num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "generation_tokens_total", "time_to_first_token_seconds_bucket", "e2e_request_latency_seconds_count"] {
                #expect(text.contains("forge:\(name){model_name=\"policies\""), "\(name)")
            }
            #expect(text.contains("forge:e2e_request_latency_seconds_count{model_name=\"policies\"} 12"))
            let most = text.split(separator: "\n").first { $0.hasPrefix("forge:sequences_per_step_max") }?.split(separator: " ").last.flatMap { Int($0) }
            #expect(most ?? 0 > 1)
        }
    }
}
