import ForgeCore

/// A byte-level BPE tokenizer: a vocabulary of byte strings, the rules that merge them, and control tokens. A value; share it freely.
package struct Tokenizer: Sendable {
    package let control: ControlTokens
    /// All token bytes end to end, in the order of ids. Control tokens hold none here.
    private let arena: [UInt8]
    private let ends: [Int]
    /// The id of each single byte.
    let byteTokens: [Token]
    /// Pairs in the order learnt.
    let merges: [(left: Token, right: Token)]
    /// Pair → rank in the high half, merged token in the low half.
    let rules: PairTable
    /// Tokens by their bytes, where a word that is a token comes out whole, however its merges would go; else empty.
    private let words: [[UInt8]: Token]

    /// - Parameters:
    ///   - tokens: bytes of each token by id, empty for control tokens.
    ///   - control: ids of control tokens by name, `<s>` and `</s>` among them.
    ///   - wholeWords: a word that is a token comes out whole, and merges next to one another that spell one token have one rank: what byte-pair encoders do
    ///     that know ranks of tokens and no list of merges.
    /// - Throws: `.request` if a byte has no token, or a merge names tokens that do not spell its result.
    init(tokens: [[UInt8]], control: [String: Token], merges: [(left: Token, right: Token)], wholeWords: Bool = false) throws(Fault) {
        func broken(_ why: String) -> Fault {
            Fault(.request, "tokenizer.malformed", "the tokenizer cannot be used", why: why, remedy: "export it again from where it was made")
        }
        guard control["<s>"] != nil, control["</s>"] != nil else { throw broken("it has no `<s>` and `</s>` control tokens") }
        guard tokens.count < Int(Int32.max) else { throw broken("more than 2^31 tokens") }
        var byBytes: [[UInt8]: Token] = [:]
        var arena: [UInt8] = []
        var ends: [Int] = []
        let controlIDs = Set(control.values)
        for (id, bytes) in tokens.enumerated() {
            arena += bytes
            ends.append(arena.count)
            guard !controlIDs.contains(Token(id)) else { continue }
            guard !bytes.isEmpty else { throw broken("token \(id) is empty") }
            guard byBytes.updateValue(Token(id), forKey: bytes) == nil else { throw broken("token \(id) is written twice") }
        }
        var byteTokens: [Token] = []
        for byte in UInt8.min...UInt8.max {
            guard let token = byBytes[[byte]] else { throw broken("byte \(byte) has no token") }
            byteTokens.append(token)
        }
        var rules = PairTable(capacity: merges.count), rank = -1, former: Token?
        for (number, merge) in merges.enumerated() {
            guard tokens.indices.contains(Int(merge.left)), tokens.indices.contains(Int(merge.right)) else { throw broken("merge \(number) names an unknown token") }
            guard let merged = byBytes[tokens[Int(merge.left)] + tokens[Int(merge.right)]] else { throw broken("the result of merge \(number) is no token") }
            let key = PairTable.key(merge.left, merge.right)
            guard rules[key] == nil else { throw broken("merge \(number) is written twice") }
            if !wholeWords || merged != former { rank += 1 }
            former = merged
            rules.insert(UInt64(rank) << 32 | UInt64(UInt32(bitPattern: merged)), for: key)
        }
        self.control = ControlTokens(control)
        self.arena = arena
        self.ends = ends
        self.byteTokens = byteTokens
        self.merges = merges
        self.rules = rules
        words = wholeWords ? byBytes : [:]
    }

    var wholeWords: Bool { !words.isEmpty }

    /// The token that a word is by itself, where such words come out whole.
    func word(_ bytes: ArraySlice<UInt8>) -> Token? { words.isEmpty ? nil : words[Array(bytes)] }

    /// Rows the model's embedding table needs.
    package var count: Int { ends.count }

    /// The bytes `token` stands for; none for a control token or an id outside the vocabulary.
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

    /// The bytes of all tokens in order; control tokens and unknown ids contribute nothing.
    package func decode(_ tokens: some Sequence<Token>) -> [UInt8] {
        var out: [UInt8] = []
        for token in tokens { out += bytes(of: token) }
        return out
    }
}
