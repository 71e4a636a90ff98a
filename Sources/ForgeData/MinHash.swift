import ForgeCore

/// Near-duplicate signatures: MinHash (Broder 1997) over word 5-grams in datatrove's scheme of 14 buckets of 8 (docs/formats/dataset.md §2).
/// Two texts whose shingle sets overlap by s share a bucket with probability 1 − (1 − s⁸)¹⁴; the knee lies near 0.72.
enum MinHash {
    static let bucketCount = 14
    static let rows = 8
    static let shingleWords = 5
    private static let prime: UInt64 = 1 << 61 - 1

    private static let coefficients: [(a: UInt64, b: UInt64)] = {
        var random = SplitMix64(state: 1)
        return (0..<(bucketCount * rows)).map { _ in (a: 1 + random.below(prime - 1), b: random.below(prime)) }
    }()

    /// One key a bucket; texts that share a key in the same place are near-duplicates.
    static func buckets(of text: [UInt8]) -> [UInt64] {
        let words = wordHashes(text)
        var shingles = Set<UInt64>()
        if words.count < shingleWords {
            shingles.insert(fold(words[...]))
        } else {
            for i in 0...(words.count - shingleWords) { shingles.insert(fold(words[i..<(i + shingleWords)])) }
        }
        let coefficients = coefficients
        var minima = [UInt64](repeating: .max, count: bucketCount * rows)
        for x in shingles {
            for i in 0..<minima.count {
                let value = multiplyAdd(coefficients[i].a, x, coefficients[i].b)
                if value < minima[i] { minima[i] = value }
            }
        }
        return (0..<bucketCount).map { bucket in
            minima[(bucket * rows)..<((bucket + 1) * rows)].reduce(UInt64(bucket)) { SplitMix64.mix($0 ^ $1) }
        }
    }

    /// Words in lower case with digits as `0`, separated by any other ASCII character, each hashed by FNV-1a.
    private static func wordHashes(_ text: [UInt8]) -> [UInt64] {
        var out: [UInt64] = []
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        var isInWord = false
        for byte in text {
            let folded: UInt8
            switch byte {
            case 0x61...0x7a, 0x80...0xff: folded = byte
            case 0x41...0x5a: folded = byte | 0x20
            case 0x30...0x39: folded = 0x30
            default:
                if isInWord {
                    out.append(hash)
                    hash = 0xcbf2_9ce4_8422_2325
                    isInWord = false
                }
                continue
            }
            hash = (hash ^ UInt64(folded)) &* 0x0000_0100_0000_01b3
            isInWord = true
        }
        if isInWord { out.append(hash) }
        return out
    }

    /// 61 bits of the words in order.
    private static func fold(_ words: ArraySlice<UInt64>) -> UInt64 { words.reduce(0) { SplitMix64.mix($0 ^ $1) } & prime }

    /// (a·x + b) mod 2^61 − 1.
    @inline(__always)
    private static func multiplyAdd(_ a: UInt64, _ x: UInt64, _ b: UInt64) -> UInt64 {
        let product = a.multipliedFullWidth(by: x)
        var sum = (product.low & prime) &+ (product.high << 3 | product.low >> 61)
        sum = (sum & prime) &+ (sum >> 61) &+ b
        sum = (sum & prime) &+ (sum >> 61)
        return sum >= prime ? sum - prime : sum
    }
}

/// Sets that merge; the path halves as it is walked (Tarjan & van Leeuwen 1984).
struct UnionFind {
    private var parents: [Int]

    init(count: Int) { parents = Array(0..<count) }

    mutating func root(of element: Int) -> Int {
        var at = element
        while parents[at] != at {
            parents[at] = parents[parents[at]]
            at = parents[at]
        }
        return at
    }

    mutating func join(_ a: Int, _ b: Int) {
        let (first, second) = (root(of: a), root(of: b))
        if first != second { parents[max(first, second)] = min(first, second) }
    }
}
