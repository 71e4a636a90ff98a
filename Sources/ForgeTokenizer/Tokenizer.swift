import ForgeCore

/// A tokenizer: the bytes each token stands for, the way text becomes tokens, and control tokens. A value; share it freely.
package struct Tokenizer: Sendable {
    /// How text becomes tokens.
    enum Model: Sendable {
        case bytes(BytePairs)
        case pieces(PiecePairs)
    }

    package let control: ControlTokens
    let model: Model
    /// Tokens looked for in text before it is split.
    let added: AddedTokens
    /// The `tokenizer.model` this one was read from, for those of SentencePiece: its bytes say everything.
    package let sentencePiece: [UInt8]?
    /// All token bytes end to end, in the order of ids. Control tokens hold none here.
    private let arena: [UInt8]
    private let ends: [Int]
    /// Pieces that stand for one byte each, any sequence of them; empty where every token is bytes.
    private let byteTokens: Set<Token>

    init(_ model: Model, bytes tokens: [[UInt8]], control: ControlTokens, added: AddedTokens = .none, sentencePiece: [UInt8]? = nil) {
        var arena: [UInt8] = [], ends: [Int] = []
        ends.reserveCapacity(tokens.count)
        for bytes in tokens {
            arena += bytes
            ends.append(arena.count)
        }
        self.arena = arena
        self.ends = ends
        self.control = control
        self.model = model
        self.added = added
        self.sentencePiece = sentencePiece
        if case .pieces(let pairs) = model { byteTokens = Set(pairs.byteTokens) } else { byteTokens = [] }
    }

    /// A byte-level BPE tokenizer.
    /// - Parameters:
    ///   - tokens: bytes of each token by id, empty for control tokens.
    ///   - control: ids of control tokens by name, `<s>` and `</s>` among them.
    ///   - wholeWords: see `BytePairs`.
    /// - Throws: `.request` if a byte has no token, or a merge names tokens that do not spell its result.
    init(
        tokens: [[UInt8]], control: [String: Token], merges: [(left: Token, right: Token)], wholeWords: Bool = false, expression: SplitExpression = .mistral,
        added: AddedTokens = .none, apart: Set<Token> = []
    ) throws(Fault) {
        guard let names = ControlTokens(control) else { throw Tokenizer.broken("it has no `<s>` and `</s>` control tokens") }
        guard tokens.count < Int(Int32.max) else { throw Tokenizer.broken("more than 2^31 tokens") }
        let pairs = try BytePairs(expression, tokens: tokens, apart: apart.union(control.values), merges: merges, wholeWords: wholeWords)
        self.init(.bytes(pairs), bytes: tokens, control: names, added: added)
    }

    static func broken(_ why: String) -> Fault {
        Fault(.request, "tokenizer.malformed", "the tokenizer cannot be used", why: why, remedy: "export it again from where it was made")
    }

    var bytePairs: BytePairs? { if case .bytes(let pairs) = model { pairs } else { nil } }

    /// Whether a text is encoded with a blank before it that is no part of the text.
    package var dropsPrefix: Bool { if case .pieces(let pairs) = model { pairs.form.dropsPrefix } else { false } }

    /// Whether tokens are text, and bytes stand between them in runs of their own: ill-formed ones become U+FFFD one by one, as SentencePiece does.
    var hasRunsOfBytes: Bool { if case .pieces = model { true } else { false } }

    /// What to say of a tokenizer that has Mistral's marks and splits words by Llama's expression: some conversions do by mistake (transformers#42299), and the
    /// release's own `tekken.json` gives other ids. It is honoured as written, for those that were trained with it.
    package var splitsUnlikeRelease: String? {
        guard bytePairs?.expression == .llama3, control["[INST]"] != nil else { return nil }
        return "this tokenizer.json splits words by Llama's expression, Mistral's models were trained with another: bring the release's `tekken.json` instead"
    }

    /// Rows the model's embedding table needs.
    package var count: Int { ends.count }

    /// The bytes `token` stands for, wherever it stands in a text: a blank for `▁`. None for a control token or an id outside the vocabulary.
    package func bytes(of token: Token) -> ArraySlice<UInt8> {
        guard token >= 0, Int(token) < ends.count else { return [] }
        let id = Int(token)
        return arena[(id == 0 ? 0 : ends[id - 1])..<ends[id]]
    }

    /// Ids of a text, never control tokens. For many texts keep one `Encoder`: it remembers words.
    package func encode(_ bytes: [UInt8]) -> [Token] {
        var encoder = Encoder(self)
        return encoder.encode(bytes)
    }

    package func encode(_ text: String) -> [Token] { encode(Array(text.utf8)) }

    /// The bytes of all tokens in order; control tokens and unknown ids contribute nothing. Where texts are encoded with a blank before them, the text lacks it,
    /// and bytes that are no UTF-8 are U+FFFD.
    package func decode(_ tokens: some Sequence<Token>) -> [UInt8] {
        var out: [UInt8] = []
        guard case .bytes = model else {
            var stream = StreamDecoder(self)
            for token in tokens { out += stream.push(token).utf8 }
            return out + stream.finish().utf8
        }
        for token in tokens { out += bytes(of: token) }
        return out
    }

    /// Whether the token stands for one byte of a run of bytes.
    func isByte(_ token: Token) -> Bool { byteTokens.contains(token) }

    /// Whether the token stands for what no piece spells: such text has no blank before it.
    func isUnknown(_ token: Token) -> Bool { if case .pieces(let pairs) = model { token == pairs.unknown } else { false } }
}
