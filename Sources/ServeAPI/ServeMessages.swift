package import ForgeCore

/// A model as `/v1/models` shows it, OpenAI's members first.
package struct ServedModel: Hashable, Sendable {
    package var id: String
    package var created: Int64
    package var digest: Digest
    package var version: Int
    /// The alias it was loaded by, which it follows.
    package var alias: String?
    package var hasChat: Bool
    package var contextMax: Int

    package init(id: String, created: Int64, digest: Digest, version: Int, alias: String?, hasChat: Bool, contextMax: Int) {
        self.id = id
        self.created = created
        self.digest = digest
        self.version = version
        self.alias = alias
        self.hasChat = hasChat
        self.contextMax = contextMax
    }

    package var json: JSON {
        [
            "id": .string(id), "object": "model", "created": .int(created), "owned_by": "forge", "max_model_len": .int(Int64(contextMax)),
            "forge": [
                "digest": .string(digest.description), "version": .int(Int64(version)), "alias": alias.map { .string($0) } ?? .null, "chat": .bool(hasChat),
            ],
        ]
    }

    package init(_ json: JSON) throws(Fault) {
        guard let id = json["id"]?.string, let created = json["created"]?.int, let context = json["max_model_len"]?.int, let forge = json["forge"],
            let digest = forge["digest"]?.string.flatMap({ Digest(parsing: $0) }), let version = forge["version"]?.int, let chat = forge["chat"]?.bool
        else { throw ServeClient.nonsense("a model of its list does not read") }
        self.init(id: id, created: created, digest: digest, version: Int(version), alias: forge["alias"]?.string, hasChat: chat, contextMax: Int(context))
    }
}

/// `POST /v1/load` on the operator's socket.
package struct LoadRequest: Codable, Hashable, Sendable {
    /// `NAME@ALIAS`, `NAME@VERSION` or a digest. An alias is followed: when it moves, the model it then names is loaded.
    package var model: String
    package init(model: String) { self.model = model }
}

/// `GET /v1/loaded`, and the answer of load and unload.
package struct LoadedState: Codable, Hashable, Sendable {
    package enum State: String, Codable, Sendable, Hashable { case empty, loading, ready, draining }

    package var state: State
    /// What was asked for.
    package var reference: String?
    package var name: String?
    package var version: Int?
    package var digest: Digest?
    package var backend: String?
    /// Why there is none, when there should be.
    package var reason: String?

    package init(
        state: State, reference: String? = nil, name: String? = nil, version: Int? = nil, digest: Digest? = nil, backend: String? = nil, reason: String? = nil
    ) {
        self.state = state
        self.reference = reference
        self.name = name
        self.version = version
        self.digest = digest
        self.backend = backend
        self.reason = reason
    }
}

/// `POST /v1/replay` on the operator's socket.
package struct ReplayRequest: Hashable, Sendable {
    package var receipt: ID
    /// The body that was sent.
    package var request: JSON
    /// As it came with the answer, or from the receipt's bundle.
    package var salt: Salt
    /// The C2SP tlog-proof of the outcome's record, with its leaf: one of the texts under `records` in the receipt's bundle.
    package var proof: String

    package init(receipt: ID, request: JSON, salt: Salt, proof: String) {
        self.receipt = receipt
        self.request = request
        self.salt = salt
        self.proof = proof
    }

    package var json: JSON {
        ["receipt": .string(receipt.description), "request": request, "salt": .string(salt.hex), "proof": .string(proof)]
    }

    package init(_ json: JSON) throws(Fault) {
        guard let receipt = json["receipt"]?.string.flatMap({ ID(parsing: $0) }) else { throw ParameterReader.invalid("receipt", "it is no receipt id", "send its 32 digits") }
        guard let request = json["request"], request.object != nil else { throw ParameterReader.missing("request") }
        guard let salt = json["salt"]?.string.flatMap({ Salt(parsing: $0) }) else {
            throw ParameterReader.invalid("salt", "it is not 64 hexadecimal digits", "send the salt that came with the answer")
        }
        guard let proof = json["proof"]?.string else { throw ParameterReader.missing("proof") }
        self.init(receipt: receipt, request: request, salt: salt, proof: proof)
    }

    /// Which endpoint a body was meant for.
    package var endpoint: InferenceRequest.Endpoint { request["messages"] == nil ? .completions : .chat }
}

/// What a replay found.
package struct ReplayResult: Hashable, Sendable {
    package var receipt: ID
    /// Whether the answer computed again has the recorded commitment.
    package var isEqual: Bool
    package var recorded: Digest
    package var computed: Digest
    package var model: Digest
    package var backend: String
    package var code: String
    package var choices: [AnsweredChoice]

    package init(receipt: ID, isEqual: Bool, recorded: Digest, computed: Digest, model: Digest, backend: String, code: String, choices: [AnsweredChoice]) {
        self.receipt = receipt
        self.isEqual = isEqual
        self.recorded = recorded
        self.computed = computed
        self.model = model
        self.backend = backend
        self.code = code
        self.choices = choices
    }

    package var json: JSON {
        [
            "receipt": .string(receipt.description), "equal": .bool(isEqual), "recorded": .string(recorded.description), "computed": .string(computed.description),
            "model": .string(model.description), "backend": .string(backend), "code": .string(code), "choices": .array(choices.map(\.json)),
        ]
    }

    package init(_ json: JSON) throws(Fault) {
        func digest(_ name: String) -> Digest? { json[name]?.string.flatMap { Digest(parsing: $0) } }
        guard let receipt = json["receipt"]?.string.flatMap({ ID(parsing: $0) }), let isEqual = json["equal"]?.bool, let recorded = digest("recorded"),
            let computed = digest("computed"), let model = digest("model"), let backend = json["backend"]?.string, let code = json["code"]?.string,
            let items = json["choices"]?.array
        else { throw ServeClient.nonsense("the result of a replay does not read") }
        let choices = items.map { item in
            AnsweredChoice(
                index: Int(item["index"]?.int ?? 0), text: item["text"]?.string ?? "", tokens: (item["tokens"]?.array ?? []).compactMap { $0.int.flatMap { Int32(exactly: $0) } },
                finish: item["finish"]?.string ?? "")
        }
        self.init(receipt: receipt, isEqual: isEqual, recorded: recorded, computed: computed, model: model, backend: backend, code: code, choices: choices)
    }
}
