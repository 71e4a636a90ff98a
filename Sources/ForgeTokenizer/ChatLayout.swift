import ForgeCore

/// A mark or a text of a layout, before any of it is tokens.
struct ChatPiece: Hashable {
    enum Kind: Hashable {
        case control(String)
        case text(String)
        /// The text after a gap: encoded behind a mark that is then cut off, so that no space stands before it.
        case infill(String)
    }
    var kind: Kind
    /// The assistant said it, and may be taught to.
    var isSpoken = false
}

/// Lays out a conversation as marks and texts: one method a format, no tokenizer in sight (docs/formats/tokenizer.md §5).
struct ChatLayout {
    enum Purpose { case prompt, training }

    private(set) var pieces: [ChatPiece] = []
    private let version: ChatTemplate.Version
    private let tools: String?
    private let settings: String?
    private let system: String

    init(_ template: ChatTemplate, _ conversation: Conversation, _ purpose: Purpose, _ rule: ModelSettingsRule?) throws(Fault) {
        version = template.version
        try conversation.check(for: version, purpose)
        tools = conversation.tools.isEmpty ? nil : try conversation.toolList()
        settings = try conversation.settings(for: version, rule)
        system = version < .v7 ? conversation.systemWords : ""
        let turns = try conversation.turns(for: version)
        let users = turns.indices.filter { turns[$0].message.role == .user }
        guard let first = users.first, let last = users.last else {
            guard tools == nil else {
                throw Conversation.refuse("the tools stand before a user's words, and no message is from a user", "add a user's message, or leave the tools out")
            }
            for turn in turns { try lay(turn, isFirst: false, isLast: false, isHistory: false) }
            return
        }
        for (i, turn) in turns.enumerated() { try lay(turn, isFirst: i == first, isLast: i == last, isHistory: i < last) }
    }

    static func infilling(_ template: ChatTemplate, prompt: String, suffix: String) throws(Fault) -> [ChatPiece] {
        guard template.version > .v1 else {
            throw Fault(.request, "chat.template", "this model cannot fill in", why: "its format `\(template.rawValue)` has no marks for it", remedy: "ask for a completion instead")
        }
        let after: [ChatPiece] = suffix.isEmpty ? [] : [ChatPiece(kind: .infill(suffix))]
        return [ChatPiece(kind: .control("[SUFFIX]"))] + after + [ChatPiece(kind: .control("[PREFIX]")), ChatPiece(kind: .text(prompt))]
    }

    private mutating func mark(_ name: String, spoken: Bool = false) { pieces.append(ChatPiece(kind: .control(name), isSpoken: spoken)) }
    private mutating func text(_ text: String, spoken: Bool = false) { pieces.append(ChatPiece(kind: .text(text), isSpoken: spoken)) }

    private mutating func lay(_ turn: Turn, isFirst: Bool, isLast: Bool, isHistory: Bool) throws(Fault) {
        switch turn.message.role {
        case .system:
            mark("[SYSTEM_PROMPT]")
            chunks(turn.message.chunks)
            mark("[/SYSTEM_PROMPT]")
        case .user: user(turn.message.content, isFirst: isFirst, isLast: isLast)
        case .assistant: try assistant(turn, isHistory: isHistory)
        case .tool: try result(turn, isHistory: isHistory)
        }
    }

    private mutating func user(_ content: String, isFirst: Bool, isLast: Bool) {
        let hasSystem = !system.isEmpty && (version == .v1 ? isFirst : isLast)
        let words = hasSystem ? system + "\n\n" + content : content
        guard version > .v1 else { return text("[INST] " + words + " [/INST]") }
        // From version 13 on what comes before the first words stays where it is as the conversation grows, so that a prefix cache holds.
        if version >= .v13 ? isFirst : isLast {
            if let tools {
                mark("[AVAILABLE_TOOLS]")
                text(tools)
                mark("[/AVAILABLE_TOOLS]")
            }
            if let settings {
                mark("[MODEL_SETTINGS]")
                text(settings)
                mark("[/MODEL_SETTINGS]")
            }
        }
        mark("[INST]")
        text(words)
        mark("[/INST]")
    }

    private mutating func assistant(_ turn: Turn, isHistory: Bool) throws(Fault) {
        let message = turn.message, spoken = message.weight != 0
        if version == .v2, isHistory, !message.calls.isEmpty { return }
        if message.chunks.count == 1, case .text(let words) = message.chunks[0] {
            text(version == .v1 ? words : words.withoutTrailingSpaces, spoken: spoken)
        } else {
            chunks(message.chunks, spoken: spoken)
        }
        if !message.calls.isEmpty { try calls(turn, spoken: spoken) }
        if !message.continues { mark("</s>", spoken: spoken) }
    }

    private mutating func calls(_ turn: Turn, spoken: Bool) throws(Fault) {
        guard version < .v11 else {
            for call in turn.message.calls {
                mark("[TOOL_CALLS]", spoken: spoken)
                text(call.name, spoken: spoken)
                if version == .v11, let id = call.id {
                    mark("[CALL_ID]", spoken: spoken)
                    text(id, spoken: spoken)
                }
                mark("[ARGS]", spoken: spoken)
                text(try turn.value(call.arguments, "arguments of `\(call.name)`"), spoken: spoken)
            }
            return
        }
        var list: [String] = []
        for call in turn.message.calls {
            var members = "\"name\": " + PythonJSON.text(quoting: call.name) + ", \"arguments\": " + (try turn.value(call.arguments, "arguments of `\(call.name)`"))
            if version >= .v3, let id = call.id { members += ", \"id\": " + PythonJSON.text(quoting: id) }
            list.append("{" + members + "}")
        }
        mark("[TOOL_CALLS]", spoken: spoken)
        text("[" + list.joined(separator: ", ") + "]", spoken: spoken)
    }

    private mutating func result(_ turn: Turn, isHistory: Bool) throws(Fault) {
        if version == .v2, isHistory { return }
        let message = turn.message
        mark("[TOOL_RESULTS]")
        switch version {
        case .v1, .v2:
            let name = message.name.map { PythonJSON.text(quoting: $0) } ?? "null"
            text("[{\"name\": " + name + ", \"content\": " + (try turn.value(message.content, "content")) + "}]")
        case .v3:
            text("{\"content\": " + (try turn.value(message.content, "content")) + ", \"call_id\": " + PythonJSON.text(quoting: message.callID ?? "") + "}")
        case .v7, .v11:
            text(message.callID ?? "")
            mark("[TOOL_CONTENT]")
            text(message.content)
        case .v13, .v15: text(message.content)
        }
        mark("[/TOOL_RESULTS]")
    }

    private mutating func chunks(_ chunks: [ChatMessage.Chunk], spoken: Bool = false) {
        for chunk in chunks {
            switch chunk {
            case .text(let words): text(words, spoken: spoken)
            case .reasoning(let words, let closed):
                mark("[THINK]", spoken: spoken)
                text(words, spoken: spoken)
                if closed { mark("[/THINK]", spoken: spoken) }
            }
        }
    }
}

extension String {
    /// Without the U+0020 at its end, and no other white space.
    var withoutTrailingSpaces: String {
        var bytes = Array(utf8)
        while bytes.last == 0x20 { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension PythonJSON {
    static func text(quoting text: String) -> String { String(decoding: quoted(text), as: UTF8.self) }
}
