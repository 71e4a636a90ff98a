package import ForgeCore

/// One turn of a conversation.
package struct ChatMessage: Sendable, Hashable, Codable {
    package enum Role: String, Sendable, Hashable, Codable { case system, user, assistant }
    package var role: Role
    package var content: String

    package init(_ role: Role, _ content: String) {
        self.role = role
        self.content = content
    }
}

/// A named way to lay out a conversation as tokens. A model records the name; a model without one refuses chat.
package enum ChatTemplate: String, Sendable, Hashable, CaseIterable, Codable {
    case mistralV3 = "mistral-v3-tekken"

    /// The prompt: `<s>[INST]…[/INST]…`, up to where the assistant speaks next (docs/formats/tokenizer.md §6).
    ///
    /// Control tokens are placed here and nowhere else; each text is encoded alone, so none can spell one.
    package func encode(_ messages: [ChatMessage], with tokenizer: Tokenizer) throws(Fault) -> [Token] {
        guard let open = tokenizer.control["[INST]"], let close = tokenizer.control["[/INST]"] else {
            throw Fault(
                .request, "chat.template", "this model cannot chat", why: "its tokenizer has no `[INST]` and `[/INST]` control tokens",
                remedy: "ask for a completion instead")
        }
        func refuse(_ why: String) -> Fault {
            Fault(
                .request, "chat.messages", "the messages do not form a conversation", why: why,
                remedy: "send an optional system message, then user and assistant in turn, a user first")
        }
        var turns = messages[...]
        let system = turns.first?.role == .system ? turns.removeFirst().content : nil
        guard let last = turns.lastIndex(where: { $0.role == .user }) else { throw refuse("no message is from a user") }
        var encoder = Encoder(tokenizer)
        var tokens = [tokenizer.control.begin]
        for (i, message) in zip(turns.indices, turns) {
            let expected: ChatMessage.Role = (i - turns.startIndex).isMultiple(of: 2) ? .user : .assistant
            guard message.role == expected else {
                throw refuse("message \(i + 1) is from the \(message.role.rawValue) where the \(expected.rawValue) should speak")
            }
            if message.role == .user {
                tokens.append(open)
                let text = i == last ? (system.map { $0 + "\n\n" } ?? "") + message.content : message.content
                encoder.encode(Array(text.utf8), into: &tokens)
                tokens.append(close)
            } else {
                var text = Array(message.content.utf8)
                while let byte = text.last, byte == 0x20 || (0x09...0x0d).contains(byte) { text.removeLast() }
                encoder.encode(text, into: &tokens)
                if i != turns.indices.last { tokens.append(tokenizer.control.end) }
            }
        }
        return tokens
    }
}

/// `generation.json`: how a model's tokens begin and end, and how it is spoken to (docs/formats/tokenizer.md §5).
package struct Generation: Sendable, Hashable {
    package static let format = "forge-generation/v1"
    package static let fileName = "generation.json"

    package var begin: Token
    package var end: Token
    package var template: ChatTemplate?

    package init(begin: Token, end: Token, template: ChatTemplate?) {
        self.begin = begin
        self.end = end
        self.template = template
    }

    package var json: [UInt8] {
        let value: JSON = [
            "format": .string(Generation.format), "bos_token_id": .int(Int64(begin)), "eos_token_id": .int(Int64(end)),
            "chat_template": template.map { .string($0.rawValue) } ?? .null,
        ]
        return value.canonical
    }

    /// - Throws: `.request` for anything but the members of §5, an unknown template among them.
    package init(parsing json: [UInt8]) throws(Fault) {
        func refuse(_ why: String) -> Fault {
            Fault(.request, "generation.malformed", "generation.json cannot be used", why: why, remedy: "write it as docs/formats/tokenizer.md §5 says")
        }
        let value: JSON
        do { value = try JSON.parse(json, limits: .init(bytes: 1 << 16, depth: 4)) } catch { throw refuse("it is not JSON: \(error)") }
        guard let object = value.object, Set(object.keys) == ["format", "bos_token_id", "eos_token_id", "chat_template"] else {
            throw refuse("its members are not `format`, `bos_token_id`, `eos_token_id` and `chat_template`")
        }
        guard value["format"]?.string == Generation.format else { throw refuse("its format is not `\(Generation.format)`") }
        guard let begin = value["bos_token_id"]?.int.flatMap(Token.init(exactly:)), let end = value["eos_token_id"]?.int.flatMap(Token.init(exactly:)), begin >= 0,
            end >= 0
        else { throw refuse("a token id is not a whole number") }
        var template: ChatTemplate?
        if let name = value["chat_template"]?.string {
            guard let known = ChatTemplate(rawValue: name) else { throw refuse("the chat template `\(name.prefix(64))` is not known") }
            template = known
        } else if value["chat_template"] != .null {
            throw refuse("`chat_template` is neither a name nor null")
        }
        self.init(begin: begin, end: end, template: template)
    }
}
