/// The control tokens of a tokenizer: ids with a meaning no text can spell.
package struct ControlTokens: Sendable, Hashable {
    /// In the order of their ids, which start at 0 in every tokenizer Forge trains.
    package static let standard = [
        "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]",
        "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
    ]

    private let ids: [String: Token]
    private let names: [Token: String]

    init(_ ids: [String: Token]) {
        self.ids = ids
        names = Dictionary(ids.map { ($0.value, $0.key) }, uniquingKeysWith: { a, b in min(a, b) })
    }

    package var count: Int { ids.count }
    package subscript(name: String) -> Token? { ids[name] }
    package func name(of token: Token) -> String? { names[token] }
    package func contains(_ token: Token) -> Bool { names[token] != nil }

    /// Begin and end of a document; every tokenizer Forge accepts has both.
    package var begin: Token { ids["<s>"]! }
    package var end: Token { ids["</s>"]! }
    package var padding: Token? { ids["<pad>"] }

    package var sorted: [(token: Token, name: String)] { names.sorted { $0.key < $1.key }.map { (token: $0.key, name: $0.value) } }
}
