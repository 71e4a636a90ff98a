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

/// A named way to lay out a conversation as tokens: Mistral's formats, as mistral_common encodes them. A model records the name; one without a name refuses chat.
package enum ChatTemplate: String, Sendable, Hashable, CaseIterable, Codable {
    /// The system's words go before those of the last user.
    case mistralV3 = "mistral-v3-tekken"
    /// The system speaks first, between marks of its own. Versions 11 and 13 lay out text alike.
    case mistralV7 = "mistral-v7-tekken"

    /// The prompt, up to where the assistant speaks next (docs/formats/tokenizer.md §5).
    ///
    /// Control tokens are placed here and nowhere else; each text is encoded alone, so none can spell one.
    package func encode(_ messages: [ChatMessage], with tokenizer: Tokenizer) throws(Fault) -> [Token] {
        func control(_ name: String) throws(Fault) -> Token {
            guard let token = tokenizer.control[name] else {
                throw Fault(.request, "chat.template", "this model cannot chat", why: "its tokenizer has no `\(name)` control token", remedy: "ask for a completion instead")
            }
            return token
        }
        func refuse(_ why: String) -> Fault {
            Fault(
                .request, "chat.messages", "the messages do not form a conversation", why: why,
                remedy: "send an optional system message, then user and assistant in turn, a user first")
        }
        let open = try control("[INST]"), close = try control("[/INST]")
        var turns = messages[...]
        let system = turns.first?.role == .system ? turns.removeFirst().content : nil
        guard let last = turns.lastIndex(where: { $0.role == .user }) else { throw refuse("no message is from a user") }
        var encoder = Encoder(tokenizer)
        var tokens = [tokenizer.control.begin]
        if self == .mistralV7, let system {
            tokens.append(try control("[SYSTEM_PROMPT]"))
            encoder.encode(Array(system.utf8), into: &tokens)
            tokens.append(try control("[/SYSTEM_PROMPT]"))
        }
        for (i, message) in zip(turns.indices, turns) {
            let expected: ChatMessage.Role = (i - turns.startIndex).isMultiple(of: 2) ? .user : .assistant
            guard message.role == expected else {
                throw refuse("message \(i + 1) is from the \(message.role.rawValue) where the \(expected.rawValue) should speak")
            }
            if message.role == .user {
                tokens.append(open)
                let before = self == .mistralV3 && i == last ? system.map { $0 + "\n\n" } ?? "" : ""
                encoder.encode(Array((before + message.content).utf8), into: &tokens)
                tokens.append(close)
            } else {
                var text = Array(message.content.utf8)
                while text.last == UInt8(ascii: " ") { text.removeLast() }
                encoder.encode(text, into: &tokens)
                if i != turns.indices.last { tokens.append(tokenizer.control.end) }
            }
        }
        return tokens
    }
}
