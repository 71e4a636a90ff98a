/// Encodes texts one after another and remembers the words it has seen. Not shared between threads: give each its own.
package struct Encoder: Sendable {
    private let tokenizer: Tokenizer
    private var memory: WordMemory

    package init(_ tokenizer: Tokenizer) {
        self.tokenizer = tokenizer
        if case .bytes(let pairs) = tokenizer.model { memory = WordMemory(pairs.expression) } else { memory = WordMemory(.mistral) }
    }

    package mutating func encode(_ bytes: [UInt8]) -> [Token] {
        var tokens: [Token] = []
        tokens.reserveCapacity(bytes.count / 3)
        encode(bytes, into: &tokens)
        return tokens
    }

    /// Appends the ids of `bytes` to `tokens`. Time is O(n log n) for any input.
    package mutating func encode(_ bytes: [UInt8], into tokens: inout [Token]) {
        switch tokenizer.model {
        case .bytes(let pairs):
            guard !tokenizer.added.isEmpty else { return memory.encode(bytes, pairs, into: &tokens) }
            for part in tokenizer.added.cut(bytes) {
                switch part {
                case .token(let token): tokens.append(token)
                case .text(let range):
                    let stretch = Array(bytes[range])
                    for part in tokenizer.added.cutNormalized(stretch) {
                        switch part {
                        case .token(let token): tokens.append(token)
                        case .text(let range): memory.encode(Array(stretch[range]), pairs, into: &tokens)
                        }
                    }
                }
            }
        case .pieces(let pairs):
            // Characters are joined, so there must be characters.
            let text = UTF8Form.repaired(bytes)
            for part in tokenizer.added.cut(text) {
                switch part {
                case .token(let token): tokens.append(token)
                case .text(let range):
                    let stretch = pairs.form.normalize(Array(text[range]))
                    for part in tokenizer.added.cutNormalized(stretch) {
                        switch part {
                        case .token(let token): tokens.append(token)
                        case .text(let inner):
                            let isFirst = range.lowerBound == 0 && inner.lowerBound == 0
                            memory.encode(pairs.form.finish(Array(stretch[inner]), isFirst: isFirst), pairs, into: &tokens)
                        }
                    }
                }
            }
        }
    }
}

/// The tokens of words seen before, and what turns new ones into tokens.
private struct WordMemory: Sendable {
    private let splitter: PreTokenizer
    private var words = WordTable(capacity: WordMemory.wordLimit)
    private var known: [Token] = []
    private var knownEnds: [Int] = []
    private var merger = Merger()

    /// Distinct words remembered; at the limit the memory starts afresh, which costs time and changes nothing.
    private static let wordLimit = 1 << 15
    /// Longer words are rare and are not remembered.
    private static let rememberedLength = 64

    init(_ expression: SplitExpression) { splitter = PreTokenizer(expression) }

    mutating func encode(_ bytes: [UInt8], _ pairs: BytePairs, into tokens: inout [Token]) {
        var start = 0
        while start < bytes.count {
            let end = splitter.wordEnd(in: bytes, from: start)
            if end - start == 1 {
                tokens.append(pairs.byteTokens[Int(bytes[start])])
            } else if end - start > WordMemory.rememberedLength {
                join(bytes, start, end, pairs, into: &tokens)
            } else if !recall(bytes, start, end, into: &tokens) {
                let from = tokens.count
                join(bytes, start, end, pairs, into: &tokens)
                remember(tokens[from...])
            }
            start = end
        }
    }

    mutating func encode(_ text: [UInt8], _ pairs: PiecePairs, into tokens: inout [Token]) {
        // Between pieces kept whole, and there only, characters are joined.
        var start = 0, at = 0
        while at < text.count, !pairs.kept.isEmpty {
            guard let (number, end) = pairs.kept.match(text, at) else {
                at += 1
                continue
            }
            join(text, start, at, pairs, into: &tokens)
            tokens.append(pairs.keptTokens[number])
            (start, at) = (end, end)
        }
        join(text, start, text.count, pairs, into: &tokens)
    }

    private mutating func join(_ text: [UInt8], _ first: Int, _ last: Int, _ pairs: PiecePairs, into tokens: inout [Token]) {
        if !pairs.whole.isEmpty, pairs.cut != .beforeEveryBlank, let whole = pairs.whole[Array(text[first..<last])] { return tokens.append(whole) }
        var start = first
        while start < last {
            let end = pairs.wordEnd(in: text, from: start, to: last)
            if end - start > WordMemory.rememberedLength {
                joinWord(text, start, end, pairs, into: &tokens)
            } else if !recall(text, start, end, into: &tokens) {
                let from = tokens.count
                joinWord(text, start, end, pairs, into: &tokens)
                remember(tokens[from...])
            }
            start = end
        }
    }

    private mutating func joinWord(_ text: [UInt8], _ start: Int, _ end: Int, _ pairs: PiecePairs, into tokens: inout [Token]) {
        if !pairs.whole.isEmpty, pairs.cut == .beforeEveryBlank, let whole = pairs.whole[Array(text[start..<end])] { return tokens.append(whole) }
        pairs.encode(text, start, end, with: &merger, into: &tokens)
    }

    private mutating func join(_ bytes: [UInt8], _ start: Int, _ end: Int, _ pairs: BytePairs, into tokens: inout [Token]) {
        if let whole = pairs.word(bytes[start..<end]) { return tokens.append(whole) }
        merger.tokens.removeAll(keepingCapacity: true)
        for i in start..<end { merger.tokens.append(pairs.byteTokens[Int(bytes[i])]) }
        merger.merge(pairs.rules)
        tokens.append(contentsOf: merger.tokens)
    }

    /// - Returns: false for a word not seen before; what it becomes must be remembered next.
    @inline(__always)
    private mutating func recall(_ bytes: [UInt8], _ start: Int, _ end: Int, into tokens: inout [Token]) -> Bool {
        let (word, isNew) = words.number(of: bytes, start, end)
        if isNew { return false }
        let from = word == 0 ? 0 : knownEnds[word - 1]
        for i in from..<knownEnds[word] { tokens.append(known[i]) }
        return true
    }

    private mutating func remember(_ tokens: ArraySlice<Token>) {
        known.append(contentsOf: tokens)
        knownEnds.append(known.count)
        guard words.count >= WordMemory.wordLimit else { return }
        words = WordTable(capacity: WordMemory.wordLimit)
        known.removeAll(keepingCapacity: true)
        knownEnds.removeAll(keepingCapacity: true)
    }
}
