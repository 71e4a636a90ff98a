/// Joins neighbouring tokens, the pair with the lowest rank first and the leftmost among equals, until no rule applies. Keeps its memory from word to word.
struct Merger: Sendable {
    /// The tokens of the word at hand; put there by the caller, joined by `merge`.
    var tokens: [Token] = []
    private var found: [UInt64] = []

    /// Words of up to this many tokens are scanned again for each merge: quadratic, and the fastest way for a few.
    private static let scanned = 64

    /// - Parameter rules: pair → rank in the high half, the token it becomes in the low half.
    mutating func merge(_ rules: PairTable) {
        guard tokens.count > 1 else { return }
        if tokens.count <= Merger.scanned { scan(rules) } else { walk(rules) }
    }

    private mutating func scan(_ rules: PairTable) {
        found.removeAll(keepingCapacity: true)
        for i in 0..<(tokens.count - 1) { found.append(rules[PairTable.key(tokens[i], tokens[i + 1])] ?? .max) }
        while let (at, best) = lowest() {
            tokens[at] = Token(truncatingIfNeeded: best & 0xffff_ffff)
            tokens.remove(at: at + 1)
            found.remove(at: at)
            if at > 0 { found[at - 1] = rules[PairTable.key(tokens[at - 1], tokens[at])] ?? .max }
            if at < found.count { found[at] = rules[PairTable.key(tokens[at], tokens[at + 1])] ?? .max }
        }
    }

    /// The leftmost pair with the lowest rank; nil if no rule applies.
    private func lowest() -> (Int, UInt64)? {
        var best = UInt64.max >> 32
        var at = -1
        for (i, rule) in found.enumerated() where rule >> 32 < best {
            best = rule >> 32
            at = i
        }
        return at < 0 ? nil : (at, found[at])
    }

    /// A doubly linked list of tokens and a heap of pairs that can be joined, for words of any length: O(n log n).
    private mutating func walk(_ rules: PairTable) {
        let count = tokens.count
        var next = Array(1...count)
        var previous = Array(-1..<(count - 1))
        var heap = Heap<Candidate>()
        for i in 0..<(count - 1) {
            if let rule = rules[PairTable.key(tokens[i], tokens[i + 1])] { heap.push(Candidate(rule: rule, at: i, left: tokens[i], right: tokens[i + 1])) }
        }
        while let top = heap.pop() {
            let right = next[top.at]
            // An entry is stale when either side has been merged away since.
            guard tokens[top.at] == top.left, right < count, tokens[right] == top.right else { continue }
            tokens[top.at] = Token(truncatingIfNeeded: top.rule & 0xffff_ffff)
            tokens[right] = Merger.gone
            next[top.at] = next[right]
            if next[right] < count { previous[next[right]] = top.at }
            for at in [previous[top.at], top.at] where at >= 0 && next[at] < count {
                let (left, right) = (tokens[at], tokens[next[at]])
                if let rule = rules[PairTable.key(left, right)] { heap.push(Candidate(rule: rule, at: at, left: left, right: right)) }
            }
        }
        tokens.removeAll { $0 == Merger.gone }
    }

    private static let gone: Token = -1

    private struct Candidate: HeapElement {
        let rule: UInt64
        let at: Int
        let left: Token
        let right: Token
        func precedes(_ other: Candidate) -> Bool { rule >> 32 != other.rule >> 32 ? rule >> 32 < other.rule >> 32 : at < other.at }
    }
}
