import ForgeCore

/// Byte-level BPE: words, a token for each of the 256 bytes, and rules that join neighbours.
struct BytePairs: Sendable {
    let expression: SplitExpression
    /// Ids that no word spells: control tokens, and added ones that the vocabulary lacks.
    let apart: Set<Token>
    /// The id of each single byte.
    let byteTokens: [Token]
    /// Pairs in the order learnt.
    let merges: [(left: Token, right: Token)]
    /// Pair → rank in the high half, merged token in the low half.
    let rules: PairTable
    /// Tokens by their bytes, where a word that is a token comes out whole, however its merges would go; else empty.
    private let words: [[UInt8]: Token]

    /// - Parameters:
    ///   - tokens: bytes of each token by id.
    ///   - wholeWords: a word that is a token comes out whole, and merges next to one another that spell one token have one rank: what byte-pair encoders do
    ///     that know ranks of tokens and no list of merges.
    /// - Throws: `.request` if a byte has no token, or a merge names tokens that do not spell its result.
    init(_ expression: SplitExpression, tokens: [[UInt8]], apart: Set<Token>, merges: [(left: Token, right: Token)], wholeWords: Bool) throws(Fault) {
        var byBytes: [[UInt8]: Token] = [:]
        byBytes.reserveCapacity(tokens.count)
        for (id, bytes) in tokens.enumerated() where !apart.contains(Token(id)) {
            guard !bytes.isEmpty else { throw Tokenizer.broken("token \(id) is empty") }
            guard byBytes.updateValue(Token(id), forKey: bytes) == nil else { throw Tokenizer.broken("token \(id) is written twice") }
        }
        var byteTokens: [Token] = []
        for byte in UInt8.min...UInt8.max {
            guard let token = byBytes[[byte]] else { throw Tokenizer.broken("byte \(byte) has no token") }
            byteTokens.append(token)
        }
        var rules = PairTable(capacity: merges.count), rank = -1, former: Token?
        for (number, merge) in merges.enumerated() {
            guard tokens.indices.contains(Int(merge.left)), tokens.indices.contains(Int(merge.right)) else { throw Tokenizer.broken("merge \(number) names an unknown token") }
            guard let merged = byBytes[tokens[Int(merge.left)] + tokens[Int(merge.right)]] else { throw Tokenizer.broken("the result of merge \(number) is no token") }
            let key = PairTable.key(merge.left, merge.right)
            guard rules[key] == nil else { throw Tokenizer.broken("merge \(number) is written twice") }
            if !wholeWords || merged != former { rank += 1 }
            former = merged
            rules.insert(UInt64(rank) << 32 | UInt64(UInt32(bitPattern: merged)), for: key)
        }
        self.expression = expression
        self.apart = apart
        self.byteTokens = byteTokens
        self.merges = merges
        self.rules = rules
        words = wholeWords ? byBytes : [:]
    }

    var wholeWords: Bool { !words.isEmpty }

    /// The token that a word is by itself, where such words come out whole.
    func word(_ bytes: ArraySlice<UInt8>) -> Token? { words.isEmpty ? nil : words[Array(bytes)] }
}
