/// The control tokens of a tokenizer: ids with a meaning no text can spell.
package struct ControlTokens: Sendable, Hashable {
    /// In the order of their ids, which start at 0 in every tokenizer Forge trains.
    package static let standard = [
        "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]",
        "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
    ]

    private let ids: [String: Token]
    private let names: [Token: String]
    /// Begin and end of a document; every tokenizer Forge accepts has both.
    package let begin: Token
    package let end: Token

    /// What begin and end of a document are called, Mistral's names first.
    static let begins = ["<s>", "<|begin_of_text|>", "<|endoftext|>"]
    static let ends = ["</s>", "<|end_of_text|>", "<|endoftext|>"]

    /// - Returns: nil if none of the names begins, or none ends, a document.
    init?(_ ids: [String: Token], begins: [String] = ControlTokens.begins, ends: [String] = ControlTokens.ends) {
        guard let begin = begins.lazy.compactMap({ ids[$0] }).first, let end = ends.lazy.compactMap({ ids[$0] }).first else { return nil }
        (self.begin, self.end) = (begin, end)
        self.ids = ids
        names = Dictionary(ids.map { ($0.value, $0.key) }, uniquingKeysWith: { a, b in min(a, b) })
    }

    package var count: Int { ids.count }
    package subscript(name: String) -> Token? { ids[name] }
    package func name(of token: Token) -> String? { names[token] }
    package func contains(_ token: Token) -> Bool { names[token] != nil }

    package var padding: Token? { ids["<pad>"] }

    package var sorted: [(token: Token, name: String)] { names.sorted { $0.key < $1.key }.map { (token: $0.key, name: $0.value) } }
}
