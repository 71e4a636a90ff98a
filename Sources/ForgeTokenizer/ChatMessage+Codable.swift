extension ChatMessage: Codable {
    private enum Key: String, CodingKey {
        case role, content, name, prefix, weight
        case calls = "tool_calls"
        case callID = "tool_call_id"
    }

    package init(from decoder: any Swift.Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        let role = try container.decode(Role.self, forKey: .role)
        if let text = try? container.decode(String.self, forKey: .content) {
            self.init(role, text)
        } else {
            self.init(role, try container.decodeIfPresent([Chunk].self, forKey: .content) ?? [])
        }
        calls = try container.decodeIfPresent([ToolCall].self, forKey: .calls) ?? []
        callID = try container.decodeIfPresent(String.self, forKey: .callID)
        name = try container.decodeIfPresent(String.self, forKey: .name)
        continues = try container.decodeIfPresent(Bool.self, forKey: .prefix) ?? false
        weight = try container.decodeIfPresent(Int.self, forKey: .weight)
    }

    package func encode(to encoder: any Swift.Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(role, forKey: .role)
        if chunks.count == 1, case .text(let text) = chunks[0], !text.isEmpty {
            try container.encode(text, forKey: .content)
        } else if chunks.isEmpty {
            try container.encode("", forKey: .content)
        } else {
            try container.encode(chunks, forKey: .content)
        }
        if !calls.isEmpty { try container.encode(calls, forKey: .calls) }
        try container.encodeIfPresent(callID, forKey: .callID)
        try container.encodeIfPresent(name, forKey: .name)
        if continues { try container.encode(true, forKey: .prefix) }
        try container.encodeIfPresent(weight, forKey: .weight)
    }
}

extension ChatMessage.Chunk: Codable {
    private enum Key: String, CodingKey { case type, text, thinking, closed }

    package init(from decoder: any Swift.Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        switch try container.decode(String.self, forKey: .type) {
        case "text": self = .text(try container.decode(String.self, forKey: .text))
        case "thinking":
            self = .reasoning(try container.decode(String.self, forKey: .thinking), closed: try container.decodeIfPresent(Bool.self, forKey: .closed) ?? true)
        case let other:
            throw DecodingError.dataCorruptedError(forKey: .type, in: container, debugDescription: "`\(other.prefix(32))` is neither `text` nor `thinking`")
        }
    }

    package func encode(to encoder: any Swift.Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        switch self {
        case .text(let text):
            try container.encode("text", forKey: .type)
            try container.encode(text, forKey: .text)
        case .reasoning(let text, let closed):
            try container.encode("thinking", forKey: .type)
            try container.encode(text, forKey: .thinking)
            try container.encode(closed, forKey: .closed)
        }
    }
}

extension ToolCall: Codable {
    private enum Key: String, CodingKey { case id, type, function }
    private enum FunctionKey: String, CodingKey { case name, arguments }

    package init(from decoder: any Swift.Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        let function = try container.nestedContainer(keyedBy: FunctionKey.self, forKey: .function)
        self.init(
            id: try container.decodeIfPresent(String.self, forKey: .id), name: try function.decode(String.self, forKey: .name),
            arguments: try function.decodeIfPresent(String.self, forKey: .arguments) ?? "")
    }

    package func encode(to encoder: any Swift.Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encodeIfPresent(id, forKey: .id)
        try container.encode("function", forKey: .type)
        var function = container.nestedContainer(keyedBy: FunctionKey.self, forKey: .function)
        try function.encode(name, forKey: .name)
        try function.encode(arguments, forKey: .arguments)
    }
}
