package import ForgeCore
import ForgeCrypto

/// What a caller keeps to prove an answer later (docs/formats/receipt-commitment.md §1).
package struct Receipt: Hashable, Sendable {
    package let id: ID
    package let salt: Salt
    /// The seed that was used, the caller's or the server's.
    package let seed: Int64

    package init(id: ID, salt: Salt, seed: Int64) {
        self.id = id
        self.salt = salt
        self.seed = seed
    }

    package var json: JSON { ["id": .string(id.description), "salt": .string(salt.hex), "seed": .string(String(seed))] }

    package init?(_ json: JSON?) {
        guard let id = json?["id"]?.string.flatMap({ ID(parsing: $0) }), let salt = json?["salt"]?.string.flatMap({ Salt(parsing: $0) }),
            let seed = json?["seed"]?.string.flatMap({ Int64($0) })
        else { return nil }
        self.init(id: id, salt: salt, seed: seed)
    }
}

/// Thirty-two random bytes that keep a commitment from being guessed.
package struct Salt: Hashable, Sendable {
    package let bytes: [UInt8]

    package init() { bytes = Random.bytes(32) }

    package init?(parsing hex: String) {
        guard let bytes = Hex.decode(hex), bytes.count == 32 else { return nil }
        self.bytes = bytes
    }

    package var hex: String { Hex.encode(bytes) }

    /// `SHA-256("forge.receipt.v1." ‖ label ‖ 0x00 ‖ salt ‖ JCS(value))`.
    /// - Precondition: the value holds no floating-point number.
    package func commitment(_ label: String, to value: JSON) -> Digest {
        Digest.sha256(Array("forge.receipt.v1.\(label)".utf8) + [0] + bytes + value.canonical)
    }
}

extension InferenceRequest {
    /// The request as it is committed to (§4).
    package var committed: JSON {
        var value = JSON.Object()
        value["v"] = 1
        value["endpoint"] = .string(endpoint.rawValue)
        value["model"] = .string(model)
        switch input {
        case .text(let text): value["prompt"] = .string(text)
        case .tokens(let tokens): value["prompt"] = .array(tokens.map { .int(Int64($0)) })
        case .messages(let messages): value["messages"] = InferenceRequest.json(messages)
        }
        if let maxTokens { value["max_tokens"] = .int(Int64(maxTokens)) }
        value["n"] = .int(Int64(n))
        value["temperature"] = .string(InferenceRequest.bits(temperature))
        value["top_p"] = .string(InferenceRequest.bits(topP))
        value["top_k"] = .int(Int64(topK))
        value["stop"] = .array(stop.map { .string($0) })
        if let seed { value["seed"] = .string(String(seed)) }
        if let logprobs { value["logprobs"] = .int(Int64(logprobs)) }
        if echo { value["echo"] = true }
        return .object(value)
    }

    /// The record's word for how tokens were drawn.
    package var samplingText: String { "temperature=\(InferenceRequest.bits(temperature)) top_k=\(topK) top_p=\(InferenceRequest.bits(topP))" }

    /// IEEE 754 binary64 as 16 digits.
    static func bits(_ number: Double) -> String {
        let text = String(number.bitPattern, radix: 16)
        return String(repeating: "0", count: 16 - text.count) + text
    }
}

/// One choice of an answer as it is committed to.
package struct AnsweredChoice: Hashable, Sendable {
    package var index: Int
    package var text: String
    package var tokens: [Int32]
    package var finish: String

    package init(index: Int, text: String = "", tokens: [Int32] = [], finish: String = "") {
        self.index = index
        self.text = text
        self.tokens = tokens
        self.finish = finish
    }

    /// The answer as it is committed to (§5).
    package static func committed(_ choices: [AnsweredChoice]) -> JSON { ["v": 1, "choices": .array(choices.sorted { $0.index < $1.index }.map(\.json))] }

    package var json: JSON {
        [
            "finish": .string(finish), "index": .int(Int64(index)), "text": .string(text), "tokens": .array(tokens.map { .int(Int64($0)) }),
        ]
    }
}
