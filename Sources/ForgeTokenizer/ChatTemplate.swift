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

    /// The prompt: `<s>[INST]…[/INST]…`, up to where the assistant speaks next (docs/formats/tokenizer.md §5).
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
