package import ForgeCore
import ForgeTokenizer

extension Sample {
    /// What is wrong with a line, in words.
    package struct Malformed: Error { package let why: String }

    /// - Throws: `Malformed`, naming the member.
    package init(json: JSON) throws(Malformed) {
        guard let root = json.object else { throw Malformed(why: "it is not a JSON object") }
        let has = Set(root.keys)
        func form(_ members: [String]) -> Bool { members.allSatisfy(has.contains) }
        let reader = MemberReader(members: root, place: "")
        if form(["chosen"]) || form(["rejected"]) {
            try Sample.exclude(["text", "completion", "label", "reward"], beside: "chosen", in: has)
            let prompt = try Prompt(reader, beside: "chosen")
            let scores: Pair.Scores? = switch (try reader.number("chosen_score"), try reader.number("rejected_score")) {
            case (nil, nil): nil
            case (let chosen?, let rejected?): .init(chosen: chosen, rejected: rejected)
            default: throw Malformed(why: "one answer has a score and the other has none")
            }
            self = .pair(Pair(prompt, chosen: try Answer(reader, "chosen", after: prompt), rejected: try Answer(reader, "rejected", after: prompt), scores: scores))
        } else if form(["reward"]) {
            try Sample.exclude(["text", "completion", "label"], beside: "reward", in: has)
            guard let reward = root["reward"]?.object else { throw Malformed(why: "`reward` is not an object") }
            self = .task(try Prompt(reader, beside: "reward"), reward: reward)
        } else if form(["completion"]) {
            try Sample.exclude(["text"], beside: "completion", in: has)
            let prompt = try Prompt(reader, beside: "completion"), answer = try Answer(reader, "completion", after: prompt)
            if let label = root["label"] {
                guard let isGood = label.bool else { throw Malformed(why: "`label` is neither true nor false") }
                self = .labelled(prompt, answer, isGood: isGood)
            } else {
                self = .completion(prompt, answer)
            }
        } else if form(["messages"]) {
            try Sample.exclude(["text", "prompt", "label"], beside: "messages", in: has)
            let conversation = try reader.conversation("messages")
            guard conversation.messages.contains(where: { $0.role == .assistant && $0.weight != 0 }) else { throw Malformed(why: "the assistant says nothing in `messages`, so there is nothing to learn") }
            self = .conversation(conversation)
        } else if form(["text"]) {
            let text = try reader.string("text")
            guard !text.isEmpty else { throw Malformed(why: "`text` is empty") }
            self = .text(text)
        } else {
            throw Malformed(why: "it has none of `text`, `messages`, `completion`, `chosen` and `reward`")
        }
    }

    private static func exclude(_ others: [String], beside name: String, in members: Set<String>) throws(Malformed) {
        if let other = others.first(where: members.contains) { throw Malformed(why: "`\(other)` does not belong beside `\(name)`") }
    }

    package var json: JSON {
        var root = JSON.Object()
        func put(_ prompt: Prompt) {
            switch prompt {
            case .text(let text): root["prompt"] = .string(text)
            case .conversation(let conversation): put(conversation)
            }
        }
        func put(_ conversation: Conversation) {
            root["messages"] = .array(conversation.messages.map(\.json))
            if !conversation.tools.isEmpty {
                root["tools"] = .array(
                    conversation.tools.map { tool in
                        ["type": "function", "function": ["name": .string(tool.name), "description": .string(tool.description), "parameters": (try? JSON.parse(Array(tool.parameters.utf8))) ?? .object([:])]]
                    })
            }
        }
        func put(_ name: String, _ answer: Answer) {
            switch answer {
            case .text(let text): root[name] = .string(text)
            case .messages(let messages): root[name] = .array(messages.map(\.json))
            }
        }
        switch self {
        case .text(let text): root["text"] = .string(text)
        case .conversation(let conversation): put(conversation)
        case .completion(let prompt, let answer):
            put(prompt)
            put("completion", answer)
        case .pair(let pair):
            put(pair.prompt)
            put("chosen", pair.chosen)
            put("rejected", pair.rejected)
            if let scores = pair.scores { (root["chosen_score"], root["rejected_score"]) = (.double(scores.chosen), .double(scores.rejected)) }
        case .labelled(let prompt, let answer, let isGood):
            put(prompt)
            put("completion", answer)
            root["label"] = .bool(isGood)
        case .task(let prompt, let reward):
            put(prompt)
            root["reward"] = .object(reward)
        }
        return .object(root)
    }
}

extension Sample.Prompt {
    /// `prompt`, or `messages` where a file writes them so.
    fileprivate init(_ reader: MemberReader, beside name: String) throws(Sample.Malformed) {
        switch (reader.members["prompt"], reader.members["messages"]) {
        case (.some, .some): throw Sample.Malformed(why: "both `prompt` and `messages` stand beside `\(name)`")
        case (nil, nil): throw Sample.Malformed(why: "neither `prompt` nor `messages` stands beside `\(name)`")
        case (.string(let text)?, nil): self = .text(text)
        case (.some, nil): self = .conversation(try reader.conversation("prompt"))
        case (nil, .some): self = .conversation(try reader.conversation("messages"))
        }
    }
}

extension Sample.Answer {
    fileprivate init(_ reader: MemberReader, _ name: String, after prompt: Sample.Prompt) throws(Sample.Malformed) {
        if let text = reader.members[name]?.string {
            self = .text(text)
            return
        }
        guard case .conversation = prompt else { throw Sample.Malformed(why: "`\(name)` is not a string, and the prompt is one") }
        let messages = try reader.messages(name)
        guard messages.last?.role == .assistant else { throw Sample.Malformed(why: "`\(name)` does not end with the assistant") }
        self = .messages(messages)
    }
}

/// The members of an object, each of the kind it should have.
private struct MemberReader {
    let members: JSON.Object
    /// Where the object stands, for errors; ends with a dot unless empty.
    let place: String

    func bad(_ name: String, _ why: String) -> Sample.Malformed { Sample.Malformed(why: "`\(place)\(name)` \(why)") }

    func string(_ name: String) throws(Sample.Malformed) -> String {
        guard let value = members[name] else { throw bad(name, "is missing") }
        guard let text = value.string else { throw bad(name, "is not a string") }
        return text
    }

    func optional(_ name: String) throws(Sample.Malformed) -> String? { members[name] == nil || members[name] == .null ? nil : try string(name) }

    func number(_ name: String) throws(Sample.Malformed) -> Double? {
        guard let value = members[name], value != .null else { return nil }
        guard let number = value.number, number.isFinite else { throw bad(name, "is not a number") }
        return number
    }

    func list(_ name: String) throws(Sample.Malformed) -> [JSON] {
        guard let list = members[name]?.array else { throw bad(name, "is not a list") }
        return list
    }

    func object(_ value: JSON, _ name: String, only known: Set<String>) throws(Sample.Malformed) -> MemberReader {
        guard let object = value.object else { throw bad(name, "is not an object") }
        if let other = object.keys.first(where: { !known.contains($0) }) { throw bad(name, "has a member `\(other.prefix(40))`, which is not known") }
        return MemberReader(members: object, place: place + name + ".")
    }

    func conversation(_ name: String) throws(Sample.Malformed) -> Conversation {
        var conversation = Conversation(try messages(name))
        guard let tools = members["tools"], tools != .null else { return conversation }
        guard let tools = tools.array else { throw bad("tools", "is not a list") }
        for (i, tool) in tools.enumerated() {
            var reader = try object(tool, "tools[\(i)]", only: ["type", "function", "name", "description", "parameters", "strict"])
            if let function = reader.members["function"] { reader = try reader.object(function, "function", only: ["name", "description", "parameters", "strict"]) }
            let parameters = reader.members["parameters"] ?? .object([:])
            guard parameters.object != nil else { throw reader.bad("parameters", "is not an object") }
            conversation.tools.append(ChatTool(try reader.string("name"), description: try reader.optional("description") ?? "", parameters: parameters.text))
        }
        return conversation
    }

    func messages(_ name: String) throws(Sample.Malformed) -> [ChatMessage] {
        let list = try list(name)
        guard !list.isEmpty else { throw bad(name, "is empty") }
        var messages: [ChatMessage] = []
        for (i, value) in list.enumerated() {
            let reader = try object(value, "\(name)[\(i)]", only: ["role", "content", "tool_calls", "tool_call_id", "name", "weight"])
            guard let role = ChatMessage.Role(rawValue: try reader.string("role")) else { throw reader.bad("role", "is none of system, user, assistant and tool") }
            var message = ChatMessage(role, try reader.chunks())
            message.calls = try reader.calls()
            message.callID = try reader.optional("tool_call_id")
            message.name = try reader.optional("name")
            if let weight = reader.members["weight"], weight != .null {
                guard let weight = weight.number, weight == 0 || weight == 1 else { throw reader.bad("weight", "is neither 0 nor 1") }
                message.weight = Int(weight)
            }
            messages.append(message)
        }
        return messages
    }

    private func chunks() throws(Sample.Malformed) -> [ChatMessage.Chunk] {
        guard let content = members["content"], content != .null else { return [] }
        if let text = content.string { return text.isEmpty ? [] : [.text(text)] }
        guard let parts = content.array else { throw bad("content", "is neither a string nor a list") }
        var chunks: [ChatMessage.Chunk] = []
        for (i, part) in parts.enumerated() {
            let reader = try object(part, "content[\(i)]", only: ["type", "text", "thinking", "closed"])
            switch try reader.string("type") {
            case "text": chunks.append(.text(try reader.string("text")))
            case "thinking": chunks.append(.reasoning(try reader.string("thinking"), closed: reader.members["closed"]?.bool ?? true))
            case let other: throw reader.bad("type", "is `\(other.prefix(40))`, which is not learnt from: text and thinking are")
            }
        }
        return chunks
    }

    private func calls() throws(Sample.Malformed) -> [ToolCall] {
        guard let calls = members["tool_calls"], calls != .null else { return [] }
        guard let calls = calls.array else { throw bad("tool_calls", "is not a list") }
        var out: [ToolCall] = []
        for (i, call) in calls.enumerated() {
            let reader = try object(call, "tool_calls[\(i)]", only: ["id", "type", "function", "index"])
            guard let value = reader.members["function"] else { throw reader.bad("function", "is missing") }
            let function = try reader.object(value, "function", only: ["name", "arguments"])
            let arguments: String
            switch function.members["arguments"] {
            case .string(let text)?: arguments = text
            case .object(let object)?: arguments = JSON.object(object).text
            case nil, .null?: arguments = ""
            default: throw function.bad("arguments", "is neither a string nor an object")
            }
            out.append(ToolCall(id: try reader.optional("id"), name: try function.string("name"), arguments: arguments))
        }
        return out
    }
}

extension ChatMessage {
    fileprivate var json: JSON {
        var root: JSON.Object = ["role": .string(role.rawValue)]
        if chunks.count <= 1, chunks.allSatisfy({ if case .text = $0 { true } else { false } }) {
            root["content"] = .string(content)
        } else {
            root["content"] = .array(
                chunks.map {
                    switch $0 {
                    case .text(let text): ["type": "text", "text": .string(text)]
                    case .reasoning(let text, let closed): ["type": "thinking", "thinking": .string(text), "closed": .bool(closed)]
                    }
                })
        }
        if !calls.isEmpty {
            root["tool_calls"] = .array(
                calls.map { call in
                    var out = JSON.Object()
                    if let id = call.id { out["id"] = .string(id) }
                    out["function"] = ["name": .string(call.name), "arguments": .string(call.arguments)]
                    return .object(out)
                })
        }
        if let callID { root["tool_call_id"] = .string(callID) }
        if let name { root["name"] = .string(name) }
        if let weight { root["weight"] = .int(Int64(weight)) }
        return .object(root)
    }
}
