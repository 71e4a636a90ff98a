package import ForgeCore

/// One turn of a conversation.
package struct ChatTurn: Hashable, Sendable {
    package var role: String
    package var content: String

    package init(role: String, content: String) {
        self.role = role
        self.content = content
    }
}

/// `POST /v1/completions` or `POST /v1/chat/completions`, understood: every default is filled in and every value is within its bounds.
package struct InferenceRequest: Hashable, Sendable {
    package enum Endpoint: String, Hashable, Sendable, Codable {
        case completions
        case chat = "chat.completions"

        package var path: String { self == .chat ? "/v1/chat/completions" : "/v1/completions" }
    }

    package enum Input: Hashable, Sendable {
        case text(String)
        case tokens([Int32])
        case messages([ChatTurn])
    }

    package var endpoint: Endpoint
    package var model: String
    package var input: Input
    /// nil: what is usual for the endpoint (16 for a completion, the rest of the context for a chat).
    package var maxTokens: Int?
    package var temperature: Double
    package var topP: Double
    package var topK: Int
    /// How many answers.
    package var n: Int
    package var stop: [String]
    package var seed: Int64?
    /// nil: none; otherwise how many alternatives beside the drawn token.
    package var logprobs: Int?
    package var echo: Bool
    package var stream: Bool
    package var includeUsage: Bool

    package init(
        _ endpoint: Endpoint, model: String, input: Input, maxTokens: Int? = nil, temperature: Double = 1, topP: Double = 1, topK: Int = 0, n: Int = 1,
        stop: [String] = [], seed: Int64? = nil, logprobs: Int? = nil, echo: Bool = false, stream: Bool = false, includeUsage: Bool = false
    ) {
        self.endpoint = endpoint
        self.model = model
        self.input = input
        self.maxTokens = maxTokens
        self.temperature = temperature
        self.topP = topP
        self.topK = topK
        self.n = n
        self.stop = stop
        self.seed = seed
        self.logprobs = logprobs
        self.echo = echo
        self.stream = stream
        self.includeUsage = includeUsage
    }

    package static let choicesMax = 8
    package static let stopsMax = 4
    package static let stopBytesMax = 256
    package static let messagesMax = 1024
    package static let completionLogprobsMax = 5
    package static let chatLogprobsMax = 20

    package static let completionTokensDefault = 16
}

extension InferenceRequest {
    /// Reads a body.
    /// - Throws: `.request`; the code's last word is the parameter (`OpenAIError`).
    package init(_ endpoint: Endpoint, json: JSON) throws(Fault) {
        var reader = try ParameterReader(json)
        guard let model = try reader.text("model", bytesMax: 256) else { throw ParameterReader.missing("model") }
        self.init(endpoint, model: model, input: .text(""))
        input = endpoint == .chat ? .messages(try reader.messages()) : try reader.prompt()
        let limit = try reader.int("max_tokens", 1...1_048_576)
        if endpoint == .chat {
            // The newer name of the same thing.
            let completion = try reader.int("max_completion_tokens", 1...1_048_576)
            if let limit, let completion, limit != completion {
                throw ParameterReader.invalid("max_completion_tokens", "it differs from `max_tokens`", "send one of the two")
            }
            maxTokens = completion ?? limit
        } else {
            maxTokens = limit
        }
        temperature = try reader.number("temperature", 0...2) ?? 1
        topP = try reader.number("top_p", 0...1) ?? 1
        guard topP > 0 else { throw ParameterReader.invalid("top_p", "it is 0", "send a number above 0 and up to 1") }
        topK = try reader.int("top_k", -1...1_048_576).map { max(0, $0) } ?? 0
        n = try reader.int("n", 1...InferenceRequest.choicesMax) ?? 1
        stop = try reader.stops()
        seed = try reader.seed()
        if endpoint == .chat {
            let wanted = try reader.bool("logprobs") ?? false
            let top = try reader.int("top_logprobs", 0...InferenceRequest.chatLogprobsMax)
            if top != nil, !wanted { throw ParameterReader.invalid("top_logprobs", "`logprobs` is not true", "send `logprobs: true` beside it") }
            logprobs = wanted ? top ?? 0 : nil
        } else {
            logprobs = try reader.int("logprobs", 0...InferenceRequest.completionLogprobsMax)
            echo = try reader.bool("echo") ?? false
            if echo, logprobs != nil { throw ParameterReader.unsupported("echo", "log-probabilities of a prompt are not computed yet") }
        }
        stream = try reader.bool("stream") ?? false
        includeUsage = try reader.streamOptions(stream: stream)
        try reader.text("user", bytesMax: 512)
        try reader.neutral()
        try reader.finish()
    }

    /// The body that says the same; what has its default is left out.
    package var json: JSON {
        var body = JSON.Object()
        body["model"] = .string(model)
        switch input {
        case .text(let text): body["prompt"] = .string(text)
        case .tokens(let tokens): body["prompt"] = .array(tokens.map { .int(Int64($0)) })
        case .messages(let messages): body["messages"] = InferenceRequest.json(messages)
        }
        if let maxTokens { body["max_tokens"] = .int(Int64(maxTokens)) }
        if temperature != 1 { body["temperature"] = .double(temperature) }
        if topP != 1 { body["top_p"] = .double(topP) }
        if topK != 0 { body["top_k"] = .int(Int64(topK)) }
        if n != 1 { body["n"] = .int(Int64(n)) }
        if !stop.isEmpty { body["stop"] = .array(stop.map { .string($0) }) }
        if let seed { body["seed"] = .int(seed) }
        if let logprobs {
            body["logprobs"] = endpoint == .chat ? true : .int(Int64(logprobs))
            if endpoint == .chat { body["top_logprobs"] = .int(Int64(logprobs)) }
        }
        if echo { body["echo"] = true }
        if stream { body["stream"] = true }
        if includeUsage { body["stream_options"] = ["include_usage": true] }
        return .object(body)
    }

    static func json(_ messages: [ChatTurn]) -> JSON { .array(messages.map { ["content": .string($0.content), "role": .string($0.role)] }) }
}
