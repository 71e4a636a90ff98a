/// Encodes texts one after another and remembers the words it has seen. Not shared between threads: give each its own.
package struct Encoder: Sendable {
    private let tokenizer: Tokenizer
    private let splitter = PreTokenizer()
    private var words = WordTable(capacity: Encoder.wordLimit)
    private var known: [Token] = []
    private var knownEnds: [Int] = []
    private var scratch: [Token] = []
    private var ranks: [UInt64] = []

    /// Distinct words remembered; at the limit the memory starts afresh, which costs time and changes nothing.
    private static let wordLimit = 1 << 15
    /// Longer words are rare and are not remembered.
    private static let rememberedLength = 64

    package init(_ tokenizer: Tokenizer) { self.tokenizer = tokenizer }

    package mutating func encode(_ bytes: [UInt8]) -> [Token] {
        var tokens: [Token] = []
        tokens.reserveCapacity(bytes.count / 3)
        encode(bytes, into: &tokens)
        return tokens
    }

    /// Appends the ids of `bytes` to `tokens`. Time is O(n log n) for any input.
    package mutating func encode(_ bytes: [UInt8], into tokens: inout [Token]) {
        var start = 0
        while start < bytes.count {
            let end = splitter.wordEnd(in: bytes, from: start)
            if end - start == 1 {
                tokens.append(tokenizer.byteTokens[Int(bytes[start])])
            } else if end - start > Encoder.rememberedLength {
                if let whole = tokenizer.word(bytes[start..<end]) { tokens.append(whole) } else { mergeLong(bytes, start, end, into: &tokens) }
            } else {
                appendRemembered(bytes, start, end, into: &tokens)
            }
            start = end
        }
    }

    @inline(__always)
    private mutating func appendRemembered(_ bytes: [UInt8], _ start: Int, _ end: Int, into tokens: inout [Token]) {
        let (word, isNew) = words.number(of: bytes, start, end)
        if isNew {
            let from = tokens.count
            if let whole = tokenizer.word(bytes[start..<end]) { tokens.append(whole) } else { mergeShort(bytes, start, end, into: &tokens) }
            known.append(contentsOf: tokens[from...])
            knownEnds.append(known.count)
            if words.count >= Encoder.wordLimit { forget() }
            return
        }
        let from = word == 0 ? 0 : knownEnds[word - 1]
        for i in from..<knownEnds[word] { tokens.append(known[i]) }
    }

    private mutating func forget() {
        words = WordTable(capacity: Encoder.wordLimit)
        known.removeAll(keepingCapacity: true)
        knownEnds.removeAll(keepingCapacity: true)
    }

    /// Scans for the lowest rank each time: quadratic, and the fastest way for a word of a few bytes.
    private mutating func mergeShort(_ bytes: [UInt8], _ start: Int, _ end: Int, into tokens: inout [Token]) {
        scratch.removeAll(keepingCapacity: true)
        ranks.removeAll(keepingCapacity: true)
        for i in start..<end { scratch.append(tokenizer.byteTokens[Int(bytes[i])]) }
        for i in 0..<(scratch.count - 1) { ranks.append(rule(scratch[i], scratch[i + 1])) }
        while let (at, best) = lowest(ranks) {
            scratch[at] = Token(truncatingIfNeeded: best & 0xffff_ffff)
            scratch.remove(at: at + 1)
            ranks.remove(at: at)
            if at > 0 { ranks[at - 1] = rule(scratch[at - 1], scratch[at]) }
            if at < ranks.count { ranks[at] = rule(scratch[at], scratch[at + 1]) }
        }
        tokens.append(contentsOf: scratch)
    }

    @inline(__always)
    private func rule(_ left: Token, _ right: Token) -> UInt64 { tokenizer.rules[PairTable.key(left, right)] ?? .max }

    /// The leftmost pair with the lowest rank; nil if no rule applies.
    private func lowest(_ ranks: [UInt64]) -> (Int, UInt64)? {
        var best = UInt64.max
        var at = -1
        for (i, rank) in ranks.enumerated() where rank < best {
            best = rank
            at = i
        }
        return at < 0 ? nil : (at, best)
    }

    /// A doubly linked list of tokens and a heap of mergeable pairs, for words of any length.
    private func mergeLong(_ bytes: [UInt8], _ start: Int, _ end: Int, into tokens: inout [Token]) {
        let count = end - start
        var ids = bytes[start..<end].map { tokenizer.byteTokens[Int($0)] }
        var next = Array(1...count)
        var previous = Array(-1..<(count - 1))
        var heap = Heap<Candidate>()
        for i in 0..<(count - 1) {
            let found = rule(ids[i], ids[i + 1])
            if found != .max { heap.push(Candidate(rule: found, at: i, left: ids[i], right: ids[i + 1])) }
        }
        while let top = heap.pop() {
            let right = next[top.at]
            // An entry is stale when either side has been merged away since.
            guard ids[top.at] == top.left, right < count, ids[right] == top.right else { continue }
            ids[top.at] = Token(truncatingIfNeeded: top.rule & 0xffff_ffff)
            ids[right] = -1
            next[top.at] = next[right]
            if next[right] < count { previous[next[right]] = top.at }
            for at in [previous[top.at], top.at] where at >= 0 && next[at] < count {
                let found = rule(ids[at], ids[next[at]])
                if found != .max { heap.push(Candidate(rule: found, at: at, left: ids[at], right: ids[next[at]])) }
            }
        }
        var at = 0
        while at < count {
            tokens.append(ids[at])
            at = next[at]
        }
    }

    private struct Candidate: HeapElement {
        let rule: UInt64
        let at: Int
        let left: Token
        let right: Token
        func precedes(_ other: Candidate) -> Bool { rule != other.rule ? rule < other.rule : at < other.at }
    }
}
