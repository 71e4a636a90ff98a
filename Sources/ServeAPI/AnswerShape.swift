package import ForgeCore

/// A drawn token as answers show it.
package struct AnswerToken: Hashable, Sendable {
    package struct Alternative: Hashable, Sendable {
        package let bytes: [UInt8]
        package let logprob: Double

        package init(bytes: [UInt8], logprob: Double) {
            self.bytes = bytes
            self.logprob = logprob
        }

        /// Ill-formed pieces of a code point show as U+FFFD; `bytes` says which they were.
        var text: String { String(decoding: bytes, as: UTF8.self) }
        /// JSON has no infinity; OpenAI writes -9999 for what cannot happen.
        var finite: Double { logprob.isFinite ? logprob : -9999 }
    }

    package let drawn: Alternative
    package let top: [Alternative]

    package init(drawn: Alternative, top: [Alternative]) {
        self.drawn = drawn
        self.top = top
    }
}

package struct Usage: Hashable, Sendable {
    package var promptTokens: Int
    package var completionTokens: Int

    package init(promptTokens: Int, completionTokens: Int) {
        self.promptTokens = promptTokens
        self.completionTokens = completionTokens
    }

    package var json: JSON {
        [
            "prompt_tokens": .int(Int64(promptTokens)), "completion_tokens": .int(Int64(completionTokens)), "total_tokens": .int(Int64(promptTokens + completionTokens)),
        ]
    }
}

/// Writes one answer, whole or in chunks, in the shape of its endpoint. Ids stay the same over a stream.
package struct AnswerShape: Sendable {
    package let endpoint: InferenceRequest.Endpoint
    package let id: String
    package let created: Int64
    package let model: String
    package let fingerprint: String
    /// Every chunk then says `usage`, null until the last.
    package let includeUsage: Bool

    package init(_ endpoint: InferenceRequest.Endpoint, receipt: ID, created: Timestamp, model: String, fingerprint: String, includeUsage: Bool) {
        self.endpoint = endpoint
        id = (endpoint == .chat ? "chatcmpl-" : "cmpl-") + receipt.description
        self.created = created.seconds
        self.model = model
        self.fingerprint = fingerprint
        self.includeUsage = includeUsage
    }

    /// One choice of a whole answer.
    package struct Choice: Sendable {
        package var index: Int
        package var text: String
        package var finish: String
        package var tokens: [AnswerToken]?
        /// Characters before the answer in `text`: of an echoed prompt.
        package var textStart: Int

        package init(index: Int, text: String, finish: String, tokens: [AnswerToken]?, textStart: Int = 0) {
            self.index = index
            self.text = text
            self.finish = finish
            self.tokens = tokens
            self.textStart = textStart
        }
    }

    private func envelope(_ object: String, _ choices: [JSON]) -> JSON.Object {
        var body = JSON.Object()
        body["id"] = .string(id)
        body["object"] = .string(object)
        body["created"] = .int(created)
        body["model"] = .string(model)
        body["system_fingerprint"] = .string(fingerprint)
        body["choices"] = .array(choices)
        return body
    }

    package func whole(_ choices: [Choice], usage: Usage, receipt: Receipt) -> JSON {
        let items = choices.map { choice -> JSON in
            switch endpoint {
            case .chat:
                [
                    "index": .int(Int64(choice.index)), "message": ["role": "assistant", "content": .string(choice.text), "refusal": .null],
                    "logprobs": chatLogprobs(choice.tokens), "finish_reason": .string(choice.finish),
                ]
            case .completions:
                [
                    "index": .int(Int64(choice.index)), "text": .string(choice.text),
                    "logprobs": completionLogprobs(choice.tokens, from: choice.textStart), "finish_reason": .string(choice.finish),
                ]
            }
        }
        var body = envelope(endpoint == .chat ? "chat.completion" : "text_completion", items)
        body["usage"] = usage.json
        body["receipt"] = receipt.json
        return .object(body)
    }

    // MARK: Chunks

    /// The first chunk of a chat's choice: whose turn it is. Completions have none.
    package func opening(_ index: Int) -> JSON? {
        guard endpoint == .chat else { return nil }
        return chunk([chatChunk(index, ["role": "assistant", "content": ""], logprobs: .null, finish: nil)])
    }

    /// Some text, with the tokens it came from where log-probabilities were asked for.
    package func piece(_ index: Int, text: String, tokens: [AnswerToken]?, textStart: Int) -> JSON {
        switch endpoint {
        case .chat: chunk([chatChunk(index, ["content": .string(text)], logprobs: chatLogprobs(tokens), finish: nil)])
        case .completions: chunk([completionChunk(index, text, logprobs: completionLogprobs(tokens, from: textStart), finish: nil)])
        }
    }

    /// The last chunk of a choice. `receipt` comes with the last one of all, unless a usage chunk follows.
    package func closing(_ index: Int, finish: String, receipt: Receipt?) -> JSON {
        var body =
            switch endpoint {
            case .chat: chunkObject([chatChunk(index, [:], logprobs: .null, finish: finish)])
            case .completions: chunkObject([completionChunk(index, "", logprobs: .null, finish: finish)])
            }
        if let receipt { body["receipt"] = receipt.json }
        return .object(body)
    }

    /// The extra chunk `include_usage` asks for.
    package func usage(_ usage: Usage, receipt: Receipt) -> JSON {
        var body = chunkObject([])
        body["usage"] = usage.json
        body["receipt"] = receipt.json
        return .object(body)
    }

    private func chunkObject(_ choices: [JSON]) -> JSON.Object {
        var body = envelope(endpoint == .chat ? "chat.completion.chunk" : "text_completion", choices)
        if includeUsage { body["usage"] = .null }
        return body
    }

    private func chunk(_ choices: [JSON]) -> JSON { .object(chunkObject(choices)) }

    private func chatChunk(_ index: Int, _ delta: JSON, logprobs: JSON, finish: String?) -> JSON {
        ["index": .int(Int64(index)), "delta": delta, "logprobs": logprobs, "finish_reason": finish.map { .string($0) } ?? .null]
    }

    private func completionChunk(_ index: Int, _ text: String, logprobs: JSON, finish: String?) -> JSON {
        ["index": .int(Int64(index)), "text": .string(text), "logprobs": logprobs, "finish_reason": finish.map { .string($0) } ?? .null]
    }

    // MARK: Log-probabilities

    private func chatLogprobs(_ tokens: [AnswerToken]?) -> JSON {
        guard let tokens else { return .null }
        func entry(_ alternative: AnswerToken.Alternative) -> JSON.Object {
            var object = JSON.Object()
            object["token"] = .string(alternative.text)
            object["logprob"] = .double(alternative.finite)
            object["bytes"] = .array(alternative.bytes.map { .int(Int64($0)) })
            return object
        }
        let content = tokens.map { token -> JSON in
            var object = entry(token.drawn)
            object["top_logprobs"] = .array(token.top.map { .object(entry($0)) })
            return .object(object)
        }
        return ["content": .array(content), "refusal": .null]
    }

    private func completionLogprobs(_ tokens: [AnswerToken]?, from start: Int) -> JSON {
        guard let tokens else { return .null }
        var offset = start
        var offsets: [JSON] = [], tops: [JSON] = []
        for token in tokens {
            offsets.append(.int(Int64(offset)))
            offset += token.drawn.text.unicodeScalars.count
            var top = JSON.Object()
            // Two tokens may read the same where bytes are no text; the likelier one stands.
            for alternative in token.top where top[alternative.text] == nil { top[alternative.text] = .double(alternative.finite) }
            tops.append(.object(top))
        }
        return [
            "tokens": .array(tokens.map { .string($0.drawn.text) }), "token_logprobs": .array(tokens.map { .double($0.drawn.finite) }),
            "top_logprobs": .array(tops), "text_offset": .array(offsets),
        ]
    }
}
