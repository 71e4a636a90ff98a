/// Strings to be looked for in text, the longest one that starts at a place: a trie over bytes.
struct Lexicon: Sendable {
    private var children = PairTable(capacity: 16)
    /// Per node, the number of the string that ends there, or -1.
    private var ends: [Int32] = [-1]
    private var starts = [Bool](repeating: false, count: 256)
    private(set) var count = 0

    /// Longer strings are refused by who reads them, so that a place of the text is looked at in bounded time.
    static let longest = 256
    /// So are more bytes of strings than this in all: each may cost a node of the trie.
    static let bytesMax = 1 << 20

    /// Of two equal strings the first keeps its number.
    /// - Precondition: `text` is not empty.
    mutating func add(_ text: [UInt8]) {
        precondition(!text.isEmpty, "an empty string is everywhere")
        var node = 0
        for byte in text {
            let key = PairTable.key(Token(node), Token(byte))
            if let child = children[key] {
                node = Int(child)
            } else {
                children.insert(UInt64(ends.count), for: key)
                node = ends.count
                ends.append(-1)
            }
        }
        starts[Int(text[0])] = true
        if ends[node] < 0 { ends[node] = Int32(count) }
        count += 1
    }

    var isEmpty: Bool { count == 0 }

    /// The number of the longest string that starts at `at`, and where it ends.
    @inline(__always)
    func match(_ bytes: [UInt8], _ at: Int) -> (number: Int, end: Int)? {
        starts[Int(bytes[at])] ? longestMatch(bytes, at) : nil
    }

    private func longestMatch(_ bytes: [UInt8], _ start: Int) -> (number: Int, end: Int)? {
        var node = 0, at = start, best: (Int, Int)?
        while at < bytes.count, let child = children[PairTable.key(Token(node), Token(bytes[at]))] {
            node = Int(child)
            at += 1
            if ends[node] >= 0 { best = (Int(ends[node]), at) }
        }
        return best
    }
}
