package import ForgeCore

extension Tokenizer {
    /// Every token as text by id: names of control tokens, everything else in the byte alphabet (docs/formats/tokenizer.md §4).
    package var pieces: [String] { (0..<count).map { control.name(of: Token($0)) ?? ByteAlphabet.text(bytes(of: Token($0))) } }

    /// Whether it is one of byte pairs that splits words as `tekken.json` says and looks for no token before: what other formats know under that name.
    package var splitsAsTekken: Bool { bytePairs?.expression == .mistral && added.entries.allSatisfy(\.isControl) }

    /// Both sides of each merge in the byte alphabet, in the order learnt; none where there are no merges.
    package var mergedPieces: [(left: String, right: String)] { (bytePairs?.merges ?? []).map { (ByteAlphabet.text(bytes(of: $0.left)), ByteAlphabet.text(bytes(of: $0.right))) } }

    /// From lists of texts, as files of other programs carry them. A word that is a token comes out whole.
    /// - Parameters:
    ///   - control: ids of the pieces that are names of control tokens.
    /// - Throws: `.request`, naming the piece or the merge that cannot be honoured.
    package init(pieces: [String], control: Set<Token>, merges: [(left: String, right: String)]) throws(Fault) {
        func refuse(_ why: String) -> Fault {
            Fault(.request, "tokenizer.malformed", "the tokenizer cannot be used", why: why, remedy: "use a byte-level BPE tokenizer with Mistral's splitting expression")
        }
        guard pieces.count <= 1 << 20 else { throw refuse("it has more than 1048576 tokens") }
        var names: [String: Token] = [:], tokens: [[UInt8]] = [], ids: [String: Token] = [:]
        for (id, piece) in pieces.enumerated() {
            guard !control.contains(Token(id)) else {
                guard !piece.isEmpty, names.updateValue(Token(id), forKey: piece) == nil else { throw refuse("control token \(id) has no name of its own") }
                tokens.append([])
                continue
            }
            guard let bytes = ByteAlphabet.decode(piece) else { throw refuse("token \(id) is not in the byte alphabet") }
            guard ids.updateValue(Token(id), forKey: piece) == nil else { throw refuse("token \(id) is written twice") }
            tokens.append(bytes)
        }
        var pairs: [(left: Token, right: Token)] = []
        for (rank, merge) in merges.enumerated() {
            guard let left = ids[merge.left], let right = ids[merge.right] else { throw refuse("merge \(rank) is not two tokens of the vocabulary") }
            pairs.append((left, right))
        }
        try self.init(tokens: tokens, control: names, merges: pairs, wholeWords: true)
    }
}
