package import ForgeCore

/// Learns a byte-level BPE vocabulary (Sennrich, Haddow & Birch 2016, arXiv:1508.07909, on bytes) from documents.
///
/// Deterministic: the same documents in any order give the same tokenizer. Ties go to the smaller left id, then the smaller right id
/// (docs/formats/tokenizer.md §2). Memory is proportional to the distinct words, not to the text.
package struct BPETrainer: Sendable {
    private let splitter = PreTokenizer()
    private var words = WordTable(capacity: 1 << 16)
    private var counts: [Int64] = []
    private let vocabularyCount: Int

    /// Longer words are noise (encoded data, mostly) and would make the time quadratic.
    private static let wordLength = 256
    private static let leastCount: Int64 = 2

    /// - Parameter vocabularyCount: tokens wanted, control tokens and the 256 bytes included.
    /// - Throws: `.request` when that leaves no room for the bytes, or exceeds what ids are made for.
    package init(vocabularyCount: Int) throws(Fault) {
        let least = ControlTokens.standard.count + 256
        guard (least...(1 << 20)).contains(vocabularyCount) else {
            throw Fault(
                .request, "tokenizer.vocabulary", "a vocabulary of \(vocabularyCount) tokens cannot be trained",
                why: "it must hold \(ControlTokens.standard.count) control tokens and 256 bytes, and at most 1048576 in all",
                remedy: "choose a number from \(least) to 1048576")
        }
        self.vocabularyCount = vocabularyCount
    }

    package mutating func add(_ document: [UInt8]) {
        var start = 0
        while start < document.count {
            let end = splitter.wordEnd(in: document, from: start)
            if end - start <= BPETrainer.wordLength, end - start > 1 {
                let (word, isNew) = words.number(of: document, start, end)
                if isNew { counts.append(1) } else { counts[word] += 1 }
            }
            start = end
        }
    }

    /// Distinct words seen so far.
    package var distinctWords: Int { words.count }

    package func train() throws(Fault) -> Tokenizer {
        var tokens: [[UInt8]] = ControlTokens.standard.map { _ in [] }
        var byteTokens = [Token](repeating: 0, count: 256)
        for byte in ByteAlphabet.order {
            byteTokens[Int(byte)] = Token(tokens.count)
            tokens.append([byte])
        }
        var control: [String: Token] = [:]
        for (id, name) in ControlTokens.standard.enumerated() { control[name] = Token(id) }
        var learner = MergeLearner(words: words, counts: counts, byteTokens: byteTokens)
        var byBytes: [[UInt8]: Token] = [:]
        var merges: [(left: Token, right: Token)] = []
        var learnt = Set<UInt64>()
        while tokens.count < vocabularyCount, let pair = learner.best(atLeast: BPETrainer.leastCount) {
            let bytes = tokens[Int(pair.left)] + tokens[Int(pair.right)]
            let merged: Token
            if let existing = byBytes[bytes] {
                merged = existing
            } else {
                merged = Token(tokens.count)
                tokens.append(bytes)
                byBytes[bytes] = merged
            }
            // A token spelt in two ways can bring a pair back after its rule was learnt: the rule is applied again, not written again.
            if learnt.insert(PairTable.key(pair.left, pair.right)).inserted { merges.append(pair) }
            learner.merge(pair, into: merged)
        }
        return try Tokenizer(tokens: tokens, control: control, merges: merges)
    }
}

/// The counts of adjacent pairs over all words, kept exact while pairs are merged: a merge touches only the words that hold the pair.
private struct MergeLearner {
    /// Tokens of all words end to end; a word shrinks in place within its first extent.
    private var symbols: [Token] = []
    private var starts: [Int] = []
    private var lengths: [Int32] = []
    private let counts: [Int64]

    private var pairs = PairTable(capacity: 1 << 16)
    private var pairCounts: [Int64] = []
    /// Words that held the pair at some time: a superset, entries may repeat.
    private var pairWords: [[Int32]] = []
    private var heap = Heap<Entry>()
    private var visited: [Int32]
    private var round: Int32 = 0

    private struct Entry: HeapElement {
        let count: Int64
        let key: UInt64
        func precedes(_ other: Entry) -> Bool { count != other.count ? count > other.count : key < other.key }
    }

    init(words: WordTable, counts: [Int64], byteTokens: [Token]) {
        self.counts = counts
        visited = Array(repeating: 0, count: words.count)
        symbols.reserveCapacity(words.arena.count)
        for word in 0..<words.count {
            let range = words.range(of: word)
            starts.append(symbols.count)
            lengths.append(Int32(range.count))
            for i in range { symbols.append(byteTokens[Int(words.arena[i])]) }
        }
        for word in 0..<words.count {
            let start = starts[word]
            for i in start..<(start + Int(lengths[word]) - 1) { add(counts[word], PairTable.key(symbols[i], symbols[i + 1]), word) }
        }
        var entries: [Entry] = []
        entries.reserveCapacity(pairCounts.count)
        for (key, index) in pairs.entries { entries.append(Entry(count: pairCounts[Int(index)], key: key)) }
        heap = Heap(entries)
    }

    @inline(__always)
    private mutating func add(_ count: Int64, _ key: UInt64, _ word: Int) {
        if let index = pairs[key] {
            let index = Int(index)
            pairCounts[index] += count
            if pairWords[index].last != Int32(word) { pairWords[index].append(Int32(word)) }
        } else {
            pairs.insert(UInt64(pairCounts.count), for: key)
            pairCounts.append(count)
            pairWords.append([Int32(word)])
        }
    }

    /// The most frequent pair; nil when none occurs `least` times.
    mutating func best(atLeast least: Int64) -> (left: Token, right: Token)? {
        while let top = heap.pop() {
            let current = pairCounts[Int(pairs[top.key]!)]
            if current != top.count {
                // Counts that fell are put back where they belong now; counts that rose were pushed again when they did.
                if current < top.count, current >= least { heap.push(Entry(count: current, key: top.key)) }
                continue
            }
            guard current >= least else { return nil }
            return (Token(truncatingIfNeeded: top.key >> 32), Token(truncatingIfNeeded: top.key & 0xffff_ffff))
        }
        return nil
    }

    mutating func merge(_ pair: (left: Token, right: Token), into merged: Token) {
        round += 1
        let pairIndex = Int(pairs[PairTable.key(pair.left, pair.right)]!)
        let affected = pairWords[pairIndex]
        pairWords[pairIndex] = []
        var risen: [UInt64] = []
        for word in affected where visited[Int(word)] != round {
            visited[Int(word)] = round
            merge(pair, into: merged, word: Int(word), risen: &risen)
        }
        var pushed = Set<UInt64>()
        for key in risen where pushed.insert(key).inserted {
            let count = pairCounts[Int(pairs[key]!)]
            if count > 0 { heap.push(Entry(count: count, key: key)) }
        }
    }

    private mutating func merge(_ pair: (left: Token, right: Token), into merged: Token, word: Int, risen: inout [UInt64]) {
        let start = starts[word]
        let end = start + Int(lengths[word])
        let count = counts[word]
        var read = start
        var write = start
        while read < end {
            guard read + 1 < end, symbols[read] == pair.left, symbols[read + 1] == pair.right else {
                symbols[write] = symbols[read]
                read += 1
                write += 1
                continue
            }
            subtract(count, PairTable.key(pair.left, pair.right))
            if write > start {
                let before = symbols[write - 1]
                subtract(count, PairTable.key(before, pair.left))
                add(count, PairTable.key(before, merged), word)
                risen.append(PairTable.key(before, merged))
            }
            if read + 2 < end {
                let after = symbols[read + 2]
                subtract(count, PairTable.key(pair.right, after))
                add(count, PairTable.key(merged, after), word)
                risen.append(PairTable.key(merged, after))
            }
            symbols[write] = merged
            read += 2
            write += 1
        }
        lengths[word] = Int32(write - start)
    }

    @inline(__always)
    private mutating func subtract(_ count: Int64, _ key: UInt64) {
        if let index = pairs[key] { pairCounts[Int(index)] -= count }
    }
}
