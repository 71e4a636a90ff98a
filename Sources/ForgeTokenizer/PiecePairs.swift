import ForgeCore

/// BPE over characters: pieces of text in which a blank is `▁`, rules that join neighbours, and bytes for what no piece spells.
struct PiecePairs: Sendable {
    /// Where a text may be cut before its characters are joined.
    enum Cut: Sendable { case nowhere, beforeRunOfBlanks, beforeEveryBlank }

    let form: PieceForm
    let cut: Cut
    /// What each token is called in the vocabulary, by id.
    let names: [String]
    /// Pairs in the order of the file; for SentencePiece, in the order of the scores of what they become.
    let merges: [(left: Token, right: Token)]
    /// Pair → rank in the high half, merged token in the low half.
    let rules: PairTable
    /// Tokens of the 256 bytes; none where what no piece spells becomes `unknown`.
    let byteTokens: [Token]
    let unknown: Token?
    /// Neighbouring unknown characters become one token.
    let fusesUnknown: Bool
    /// Pieces found in the text before its characters are joined, and kept whole.
    let kept: Lexicon
    let keptTokens: [Token]
    /// Words that are tokens come out whole.
    let whole: [[UInt8]: Token]

    /// Characters by their scalar.
    private var scalars: PairTable
    /// Characters that no piece spells alone and that rules join all the same; their ids follow those of the vocabulary.
    private let ghosts: [[UInt8]]
    private let firstGhost: Token

    /// - Parameter text: each token's text by id; nil for those that no text spells.
    init(
        _ form: PieceForm, names: [String], text: [[UInt8]?], merges: [(left: Token, right: Token)], rules: PairTable, ghosts: [[UInt8]] = [], byteTokens: [Token], unknown: Token?,
        fusesUnknown: Bool, kept: [(text: [UInt8], token: Token)] = [], wholeWords: Bool = false
    ) {
        self.form = form
        self.names = names
        self.merges = merges
        self.rules = rules
        self.byteTokens = byteTokens
        self.unknown = unknown
        self.fusesUnknown = fusesUnknown
        self.ghosts = ghosts
        firstGhost = Token(text.count)
        var kept = kept, lexicon = Lexicon()
        kept.removeAll { $0.text.isEmpty }
        for entry in kept { lexicon.add(entry.text) }
        self.kept = lexicon
        keptTokens = kept.map(\.token)
        var scalars = PairTable(capacity: 1 << 12), whole: [[UInt8]: Token] = [:]
        for (id, text) in text.enumerated() {
            guard let text, !text.isEmpty else { continue }
            if UTF8Form.scalar(text, 0).next == text.count { scalars.insert(UInt64(id), for: PiecePairs.key(text, 0).key) }
            if wholeWords { whole[text] = Token(id) }
        }
        for (i, ghost) in ghosts.enumerated() { scalars.insert(UInt64(text.count + i), for: PiecePairs.key(ghost, 0).key) }
        self.scalars = scalars
        self.whole = whole
        // A rule across a blank that follows a word would be missed by cutting there, and so would unknown blanks that belong together.
        let crosses = text.contains { $0.map(PiecePairs.hasInnerBlank) ?? false }
        let blankIsKnown = scalars[PiecePairs.key(PieceForm.blank, 0).key] != nil
        cut = form.splits ? .beforeEveryBlank : crosses || !blankIsKnown ? .nowhere : .beforeRunOfBlanks
    }

    /// A scalar that lies at `at` as a key of `scalars`.
    @inline(__always)
    private static func key(_ text: [UInt8], _ at: Int) -> (key: UInt64, next: Int) {
        let (scalar, next) = UTF8Form.scalar(text, at)
        return (UInt64(scalar), next)
    }

    private static func hasInnerBlank(_ text: [UInt8]) -> Bool {
        guard text.count > 3 else { return false }
        return (1...(text.count - 3)).contains { text[$0..<($0 + 3)].elementsEqual(PieceForm.blank) && !($0 >= 3 && text[($0 - 3)..<$0].elementsEqual(PieceForm.blank)) }
    }

    /// The end of the stretch from `start` that can be joined by itself.
    func wordEnd(in text: [UInt8], from start: Int, to end: Int) -> Int {
        guard cut != .nowhere else { return end }
        var at = start, inWord = false
        while at < end {
            if isBlank(text, at, end) {
                if inWord || cut == .beforeEveryBlank && at > start { return at }
                at += 3
            } else {
                inWord = true
                at += 1
            }
        }
        return end
    }

    @inline(__always)
    private func isBlank(_ text: [UInt8], _ at: Int, _ end: Int) -> Bool {
        text[at] == 0xe2 && at + 2 < end && text[at + 1] == 0x96 && text[at + 2] == 0x81
    }

    /// The tokens of a stretch of well-formed text.
    func encode(_ text: [UInt8], _ start: Int, _ end: Int, with merger: inout Merger, into tokens: inout [Token]) {
        merger.tokens.removeAll(keepingCapacity: true)
        var at = start
        while at < end {
            let (key, next) = PiecePairs.key(text, at)
            if let token = scalars[key] { merger.tokens.append(Token(truncatingIfNeeded: token)) } else { spell(text[at..<next], into: &merger.tokens) }
            at = next
        }
        merger.merge(rules)
        let from = tokens.count
        for token in merger.tokens {
            if token >= firstGhost {
                spell(ghosts[Int(token - firstGhost)][...], into: &tokens)
            } else if !(fusesUnknown && token == unknown && tokens.count > from && tokens.last == unknown) {
                tokens.append(token)
            }
        }
    }

    private func spell(_ character: ArraySlice<UInt8>, into tokens: inout [Token]) {
        if !byteTokens.isEmpty {
            for byte in character { tokens.append(byteTokens[Int(byte)]) }
        } else if let unknown {
            tokens.append(unknown)
        }
    }
}
