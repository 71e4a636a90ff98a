package import ForgeCore
package import ForgeHTTP

/// What came back for a request, whole.
package struct Completion: Hashable, Sendable {
    package struct Choice: Hashable, Sendable {
        package var index: Int
        package var text: String
        package var finish: String
    }

    package var model: String
    package var choices: [Choice]
    package var usage: Usage?
    package var receipt: Receipt?

    /// The first choice's text.
    package var text: String { choices.first?.text ?? "" }
}

/// Asks forge-serve: its app socket for answers, its operator socket for loading and replays.
package struct ServeClient: Sendable {
    package let http: HTTPClient

    package init(_ http: HTTPClient) { self.http = http }

    static func nonsense(_ why: String) -> Fault {
        Fault(.environment, "serve.malformed_answer", "forge-serve answered something that does not read", why: why, remedy: "check that both programs are of one release")
    }

    package func models() async throws(Fault) -> [ServedModel] {
        let answer = try parse(try await http.send(.get, "/v1/models").body)
        var models: [ServedModel] = []
        for item in answer["data"]?.array ?? [] { models.append(try ServedModel(item)) }
        return models
    }

    package func complete(_ request: InferenceRequest, timeout: Duration = .seconds(600)) async throws(Fault) -> Completion {
        var request = request
        request.stream = false
        request.includeUsage = false
        let reply = try await http.send(
            .post, request.endpoint.path, headers: ["content-type": "application/json"], body: Array(request.json.text.utf8), timeout: timeout)
        let answer = try parse(reply.body)
        let choices = (answer["choices"]?.array ?? []).map { choice in
            Completion.Choice(
                index: Int(choice["index"]?.int ?? 0), text: (choice["text"] ?? choice["message"]?["content"])?.string ?? "",
                finish: choice["finish_reason"]?.string ?? "")
        }
        return Completion(model: answer["model"]?.string ?? "", choices: choices, usage: usage(answer["usage"]), receipt: Receipt(answer["receipt"]))
    }

    /// Streams an answer.
    /// - Parameter use: each piece of text with its choice, as it comes.
    /// - Returns: the answer put together, once it is whole.
    package func stream(
        _ request: InferenceRequest, timeout: Duration = .seconds(600), use: @escaping @Sendable (_ choice: Int, _ text: String) async throws -> Void
    ) async throws(Fault) -> Completion {
        var request = request
        request.stream = true
        request.includeUsage = true
        return try await http.stream(
            .post, request.endpoint.path, headers: ["content-type": "application/json"], body: Array(request.json.text.utf8), timeout: timeout
        ) { _, _, body in
            var parser = SSEParser()
            var whole = Completion(model: "", choices: [], usage: nil, receipt: nil)
            for try await bytes in body {
                for event in try parser.feed(bytes) {
                    if event.data == "[DONE]" { return whole }
                    try await ServeClient.take(event.data, into: &whole, use)
                }
            }
            throw ServeClient.nonsense("a streamed answer ended without its last line")
        }
    }

    private static func take(
        _ data: String, into whole: inout Completion, _ use: @Sendable (Int, String) async throws -> Void
    ) async throws {
        let chunk: JSON
        do { chunk = try JSON.parse(data) } catch { throw nonsense("a chunk is not JSON: \(error)") }
        if chunk["error"] != nil { throw Fault(status: 503, body: Array(data.utf8), from: "forge-serve") }
        whole.model = chunk["model"]?.string ?? whole.model
        if let receipt = Receipt(chunk["receipt"]) { whole.receipt = receipt }
        if let counts = chunk["usage"], counts.object != nil {
            whole.usage = Usage(promptTokens: Int(counts["prompt_tokens"]?.int ?? 0), completionTokens: Int(counts["completion_tokens"]?.int ?? 0))
        }
        for choice in chunk["choices"]?.array ?? [] {
            let index = Int(choice["index"]?.int ?? 0)
            guard index >= 0, index < InferenceRequest.choicesMax else { throw nonsense("a chunk belongs to choice \(index)") }
            while whole.choices.count <= index { whole.choices.append(.init(index: whole.choices.count, text: "", finish: "")) }
            if let finish = choice["finish_reason"]?.string { whole.choices[index].finish = finish }
            guard let text = (choice["text"] ?? choice["delta"]?["content"])?.string, !text.isEmpty else { continue }
            whole.choices[index].text += text
            try await use(index, text)
        }
    }

    // MARK: The operator's socket

    package func load(_ model: String) async throws(Fault) -> LoadedState { try await http.call(.post, "/v1/load", body: LoadRequest(model: model), timeout: .seconds(600)) }
    package func unload() async throws(Fault) -> LoadedState { try Wire.decode(from: try await http.send(.post, "/v1/unload", timeout: .seconds(60)).body, "the answer of forge-serve") }
    package func loaded() async throws(Fault) -> LoadedState { try await http.get("/v1/loaded") }

    package func replay(_ request: ReplayRequest) async throws(Fault) -> ReplayResult {
        let reply = try await http.send(
            .post, "/v1/replay", headers: ["content-type": "application/json"], body: Array(request.json.text.utf8), timeout: .seconds(600))
        return try ReplayResult(try parse(reply.body))
    }

    private func parse(_ bytes: [UInt8]) throws(Fault) -> JSON {
        do { return try JSON.parse(bytes) } catch { throw ServeClient.nonsense("\(error)") }
    }

    private func usage(_ json: JSON?) -> Usage? {
        guard let prompt = json?["prompt_tokens"]?.int, let completion = json?["completion_tokens"]?.int else { return nil }
        return Usage(promptTokens: Int(prompt), completionTokens: Int(completion))
    }
}
