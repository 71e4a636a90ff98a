package import ForgeCore

/// A named way to lay out a conversation as tokens: Mistral's formats, as mistral_common encodes them (docs/formats/tokenizer.md §5). A model records the name; one
/// without a name refuses chat.
package enum ChatTemplate: String, Sendable, Hashable, CaseIterable, Codable {
    case mistralV1 = "mistral-v1"
    case mistralV2 = "mistral-v2"
    case mistralV3Pieces = "mistral-v3"
    case mistralV3 = "mistral-v3-tekken"
    case mistralV7Pieces = "mistral-v7"
    case mistralV7 = "mistral-v7-tekken"
    case mistralV11 = "mistral-v11-tekken"
    case mistralV13 = "mistral-v13-tekken"
    case mistralV15 = "mistral-v15-tekken"

    package enum Version: Int, Sendable, Hashable, Comparable, CaseIterable {
        case v1 = 1
        case v2 = 2
        case v3 = 3
        case v7 = 7
        case v11 = 11
        case v13 = 13
        case v15 = 15

        /// As `tekken.json` writes it.
        package var name: String { "v\(rawValue)" }
        package static func < (a: Version, b: Version) -> Bool { a.rawValue < b.rawValue }
    }

    package var version: Version {
        switch self {
        case .mistralV1: .v1
        case .mistralV2: .v2
        case .mistralV3, .mistralV3Pieces: .v3
        case .mistralV7, .mistralV7Pieces: .v7
        case .mistralV11: .v11
        case .mistralV13: .v13
        case .mistralV15: .v15
        }
    }

    /// Whether its tokenizers are SentencePiece models, which put a space before every text they encode.
    package var usesPieces: Bool {
        switch self {
        case .mistralV1, .mistralV2, .mistralV3Pieces, .mistralV7Pieces: true
        default: false
        }
    }

    /// The prompt, up to where the assistant speaks next. A last message from the assistant is continued, whether it says so or not.
    package func encode(_ messages: [ChatMessage], with tokenizer: Tokenizer) throws(Fault) -> [Token] {
        var conversation = Conversation(messages)
        if let last = messages.indices.last, messages[last].role == .assistant { conversation.messages[last].continues = true }
        return try encode(conversation, with: tokenizer)
    }

    /// The prompt, up to where the assistant speaks next.
    ///
    /// Control tokens are placed by the layout and by nothing else; each text is encoded alone, so none can spell one.
    /// - Parameter rule: the model's own settings; without it those of the conversation are written as they are.
    /// - Throws: `.request` naming the message, by its index, or the tool that does not fit the format.
    package func encode(_ conversation: Conversation, with tokenizer: Tokenizer, settings rule: ModelSettingsRule? = nil) throws(Fault) -> [Token] {
        try ChatTokens(try ChatLayout(self, conversation, .prompt, rule).pieces, tokenizer).tokens
    }

    /// A whole conversation that ends with the assistant, and which of its tokens the assistant spoke: what a model is trained to say.
    package func encodeForTraining(_ conversation: Conversation, with tokenizer: Tokenizer, settings rule: ModelSettingsRule? = nil) throws(Fault) -> ChatTokens {
        try ChatTokens(try ChatLayout(self, conversation, .training, rule).pieces, tokenizer)
    }

    /// A prompt for what stands between two texts: Bavarian et al. 2022 (arXiv:2207.14255), the suffix first.
    package func encodeInfilling(prompt: String, suffix: String = "", with tokenizer: Tokenizer) throws(Fault) -> [Token] {
        try ChatTokens(try ChatLayout.infilling(self, prompt: prompt, suffix: suffix), tokenizer).tokens
    }
}

/// A conversation as tokens.
package struct ChatTokens: Sendable, Hashable {
    package private(set) var tokens: [Token]
    /// Where the assistant spoke: its words, its calls with their marks, and the `</s>` that ends its turn. Ascending, apart from one another.
    package private(set) var spoken: [Range<Int>] = []

    init(_ pieces: [ChatPiece], _ tokenizer: Tokenizer) throws(Fault) {
        var encoder = Encoder(tokenizer)
        try self.init(pieces, tokenizer.control) { (text, tokens) in encoder.encode(Array(text.utf8), into: &tokens) }
    }

    /// - Parameter encode: appends the ids of one text, which stands alone.
    init(_ pieces: [ChatPiece], _ control: ControlTokens, encode: (String, inout [Token]) -> Void) throws(Fault) {
        tokens = [control.begin]
        for piece in pieces {
            let start = tokens.count
            switch piece.kind {
            case .control(let name):
                guard let token = control[name] else {
                    throw Fault(.request, "chat.template", "this model cannot chat", why: "its tokenizer has no `\(name)` control token", remedy: "ask for a completion instead")
                }
                tokens.append(token)
            case .text(let text): encode(text, &tokens)
            case .infill(let text):
                // As mistral_common does with either kind of tokenizer, though it is meant for the space that SentencePiece puts in front.
                var marked: [Token] = []
                encode("☺" + text, &marked)
                tokens += marked.dropFirst(2)
            }
            guard piece.isSpoken, tokens.count > start else { continue }
            let joined = spoken.last?.upperBound == start ? spoken.removeLast().lowerBound : start
            spoken.append(joined..<tokens.count)
        }
    }

    /// For each token, whether the assistant spoke it.
    package var mask: [Bool] {
        var mask = [Bool](repeating: false, count: tokens.count)
        for range in spoken { for i in range { mask[i] = true } }
        return mask
    }
}
