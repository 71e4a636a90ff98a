import ForgeCore
import ForgeOS
import ServeAPI
import Testing

private func request(_ endpoint: InferenceRequest.Endpoint, _ json: String) throws -> InferenceRequest { try InferenceRequest(endpoint, json: JSON.parse(json)) }

private func refusal(_ endpoint: InferenceRequest.Endpoint, _ json: String) -> OpenAIError? {
    do {
        _ = try request(endpoint, json)
        return nil
    } catch { return (error as? Fault).map { OpenAIError($0) } }
}

@Suite struct RequestTests {
    @Test func `commitments are those of the specification`() throws {
        let path = Path.join(Path.parent(Path.parent(#filePath)), "Fixtures/serve/receipt.json")
        let cases = try JSON.parse(try File(path, .read).readAll(limit: .mib(1))).array ?? []
        #expect(cases.count == 4)
        for item in cases {
            let endpoint = try #require(item["endpoint"]?.string.flatMap(InferenceRequest.Endpoint.init(rawValue:)))
            let salt = try #require(item["salt"]?.string.flatMap { Salt(parsing: $0) })
            let read = try InferenceRequest(endpoint, json: #require(item["body"]))
            #expect(salt.commitment("request", to: read.committed).description == item["request_commitment"]?.string, "\(item["name"]?.string ?? "")")
            let choices = (item["choices"]?.array ?? []).map { choice in
                AnsweredChoice(
                    index: Int(choice["index"]!.int!), text: choice["text"]!.string!, tokens: choice["tokens"]!.array!.map { Int32($0.int!) }, finish: choice["finish"]!.string!)
            }
            #expect(salt.commitment("answer", to: AnsweredChoice.committed(choices)).description == item["answer_commitment"]?.string)
        }
    }

    @Test func `a request written and read again is the same`() throws {
        let request = InferenceRequest(
            .chat, model: "m", input: .messages([ChatTurn(role: "user", content: "é")]), maxTokens: 9, temperature: 0.3, topP: 0.5, topK: 4, n: 3, stop: ["a", "b"], seed: -1,
            logprobs: 2, stream: true, includeUsage: true)
        #expect(try InferenceRequest(.chat, json: request.json) == request)
        let other = InferenceRequest(.completions, model: "m", input: .tokens([1, 2]), logprobs: 0, echo: false)
        #expect(try InferenceRequest(.completions, json: other.json) == other)
    }

    @Test(arguments: [
        (#"{"prompt":"x"}"#, "missing_required_parameter", "model"), (#"{"model":"m"}"#, "missing_required_parameter", "prompt"),
        (#"{"model":"m","prompt":"x","temprature":1}"#, "unknown_parameter", "temprature"), (#"{"model":"m","prompt":"x","temperature":2.5}"#, "invalid_value", "temperature"),
        (#"{"model":"m","prompt":"x","temperature":"1"}"#, "invalid_value", "temperature"), (#"{"model":"m","prompt":"x","top_p":0}"#, "invalid_value", "top_p"),
        (#"{"model":"m","prompt":"x","n":9}"#, "invalid_value", "n"), (#"{"model":"m","prompt":"x","n":1.5}"#, "invalid_value", "n"),
        (#"{"model":"m","prompt":"x","max_tokens":0}"#, "invalid_value", "max_tokens"), (#"{"model":"m","prompt":"x","stop":["a","b","c","d","e"]}"#, "invalid_value", "stop"),
        (#"{"model":"m","prompt":"x","stop":[1]}"#, "invalid_value", "stop"), (#"{"model":"m","prompt":"x","stop":""}"#, "invalid_value", "stop"),
        (#"{"model":"m","prompt":"x","presence_penalty":0.5}"#, "unsupported_parameter", "presence_penalty"),
        (#"{"model":"m","prompt":"x","logit_bias":{"5":1}}"#, "unsupported_parameter", "logit_bias"), (#"{"model":"m","prompt":"x","best_of":2}"#, "unsupported_parameter", "best_of"),
        (#"{"model":"m","prompt":"x","suffix":"y"}"#, "unsupported_parameter", "suffix"), (#"{"model":"m","prompt":["x","y"]}"#, "unsupported_parameter", "prompt"),
        (#"{"model":"m","prompt":[1,"x"]}"#, "invalid_value", "prompt"), (#"{"model":"m","prompt":[]}"#, "invalid_value", "prompt"),
        (#"{"model":"m","prompt":"x","echo":true,"logprobs":1}"#, "unsupported_parameter", "echo"), (#"{"model":"m","prompt":"x","logprobs":6}"#, "invalid_value", "logprobs"),
        (#"{"model":"m","prompt":"x","stream_options":{"include_usage":true}}"#, "invalid_value", "stream_options"),
        (#"{"model":"m","prompt":"x","stream":true,"stream_options":{"x":1}}"#, "unsupported_parameter", "stream_options"),
        (#"{"model":"m","prompt":"x","seed":1e30}"#, "invalid_value", "seed"), (#"{"model":"m","prompt":"x","min_p":0.1}"#, "unknown_parameter", "min_p"),
    ])
    func `a completion's parameter that cannot be honoured is refused by name`(json: String, code: String, param: String) {
        let error = refusal(.completions, json)
        #expect(error?.code == code)
        #expect(error?.param == param)
        #expect(error?.type == "invalid_request_error")
        #expect(error?.message.contains("`\(param)`") == true)
    }

    @Test(arguments: [
        (#"{"model":"m"}"#, "missing_required_parameter", "messages"), (#"{"model":"m","messages":[]}"#, "invalid_value", "messages"),
        (#"{"model":"m","messages":[{"role":"wizard","content":"x"}]}"#, "invalid_value", "messages"), (#"{"model":"m","messages":[{"role":"user"}]}"#, "invalid_value", "messages"),
        (#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]}"#, "unsupported_parameter", "messages"),
        (#"{"model":"m","messages":[{"role":"user","content":"x","tool_calls":[1]}]}"#, "unsupported_parameter", "messages"),
        (#"{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function"}]}"#, "unsupported_parameter", "tools"),
        (#"{"model":"m","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_object"}}"#, "unsupported_parameter", "response_format"),
        (#"{"model":"m","messages":[{"role":"user","content":"x"}],"top_logprobs":2}"#, "invalid_value", "top_logprobs"),
        (#"{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":2,"max_completion_tokens":3}"#, "invalid_value", "max_completion_tokens"),
        (#"{"model":"m","messages":[{"role":"user","content":"x"}],"echo":true}"#, "unknown_parameter", "echo"),
    ])
    func `a chat's parameter that cannot be honoured is refused by name`(json: String, code: String, param: String) {
        let error = refusal(.chat, json)
        #expect(error?.code == code)
        #expect(error?.param == param)
    }

    @Test func `a parameter that asks for nothing is no reason to refuse`() throws {
        let read = try request(
            .chat,
            #"{"model":"m","messages":[{"role":"user","content":"x","name":null}],"temperature":null,"presence_penalty":0,"frequency_penalty":0.0,"logit_bias":{},"tools":[],"tool_choice":"none","response_format":{"type":"text"},"user":"u","store":false,"stop":null,"n":1,"seed":null}"#)
        #expect(read == InferenceRequest(.chat, model: "m", input: .messages([ChatTurn(role: "user", content: "x")])))
    }

    @Test func `an unknown name cannot write into the error's own fields`() {
        let error = refusal(.completions, "{\"model\":\"m\",\"prompt\":\"x\",\"a.b `c\\n\":1}")
        #expect(error?.code == "unknown_parameter")
        #expect(error?.param == "a_b__c_")
    }
}
