#if canImport(Glibc)
import Glibc
#endif

/// A byte-level n-gram model with interpolated modified Kneser–Ney smoothing: Chen & Goodman 1998 (TR-10-98), section 3.
///
/// The baseline every trained model is measured against: no network, no training, one pass over the same documents. The
/// alphabet is the 256 byte values; a document starts after a mark that is only ever context, never predicted.
///
/// With c the raw counts at the highest order and, below it, c(hw) = the number of distinct symbols before hw:
/// ```
/// P(w|h) = max(c(hw) − D(c(hw)), 0) / c(h·) + γ(h) · P(w|h′)        h′ is h without its first symbol
/// γ(h)   = (D₁N₁(h·) + D₂N₂(h·) + D₃N₃₊(h·)) / c(h·)                P(w) at the bottom is mixed with 1/256
/// D₁ = 1 − 2Y n₂/n₁   D₂ = 2 − 3Y n₃/n₂   D₃ = 3 − 4Y n₄/n₃   Y = n₁/(n₁ + 2n₂)
/// ```
package struct KneserNey: Sendable {
    package let order: Int
    private let levels: [Level]

    /// Nine bits a symbol, so that the mark before a document has a code of its own and seven symbols fit a word.
    private static let symbolBits: UInt64 = 9
    private static let documentStart: UInt64 = 256
    private static let alphabetCount = 256.0

    /// One order's counts, grouped by context.
    private struct Level: Sendable {
        /// Symbols and their counts, contexts one after another, symbols ascending within each.
        var symbols: [UInt16] = []
        var counts: [UInt32] = []
        var contexts: [UInt64: Context] = [:]
        var discounts: [Double] = [0, 0, 0]

        func count(of symbol: UInt16, in context: Context) -> UInt32 {
            var low = context.start, high = context.end
            while low < high {
                let middle = (low + high) / 2
                if symbols[middle] < symbol { low = middle + 1 } else { high = middle }
            }
            return low < context.end && symbols[low] == symbol ? counts[low] : 0
        }
    }

    private struct Context: Sendable {
        var start: Int
        var end: Int
        var total: Double
        /// Σ of the discounts taken here: γ(h)·c(h·).
        var mass: Double
    }

    /// - Parameter order: the longest n-gram, 1 to 7 symbols.
    package init(order: Int = 5, documents: some Sequence<[UInt8]>) {
        precondition((1...7).contains(order), "an order of 1 to 7 symbols fits a word")
        self.order = order
        let mask = order == 7 ? UInt64(1) << 63 - 1 : UInt64(1) << (UInt64(order) * KneserNey.symbolBits) - 1
        var grams: [UInt64] = []
        for document in documents {
            var window = KneserNey.start(order)
            for byte in document {
                window = (window << KneserNey.symbolBits | UInt64(byte)) & mask
                grams.append(window)
            }
        }
        grams.sort()
        var runs = KneserNey.runs(of: grams)
        var levels: [Level] = []
        for length in stride(from: order, through: 1, by: -1) {
            levels.append(KneserNey.level(keys: runs.keys, counts: runs.counts))
            guard length > 1 else { break }
            // Each distinct n-gram is one left neighbour of its suffix.
            let suffixMask = UInt64(1) << (UInt64(length - 1) * KneserNey.symbolBits) - 1
            var suffixes = runs.keys.map { $0 & suffixMask }
            suffixes.sort()
            runs = KneserNey.runs(of: suffixes)
        }
        self.levels = levels.reversed()
    }

    // MARK: Asking

    /// - Parameter context: the bytes before, oldest first; only the last `order − 1` matter. Fewer mean that the document starts there.
    /// - Returns: P(byte | context), above zero; the 256 probabilities of one context sum to 1.
    package func probability(of byte: UInt8, after context: some BidirectionalCollection<UInt8>) -> Double {
        var window = KneserNey.start(order)
        for symbol in context.suffix(order - 1) { window = window << KneserNey.symbolBits | UInt64(symbol) }
        return probability(of: byte, window: window)
    }

    /// - Returns: −log₂ P(document), in bits. Divide by the document's bytes for bits per byte.
    package func bits(_ document: [UInt8]) -> Double {
        var window = KneserNey.start(order)
        var bits = 0.0
        for byte in document {
            bits -= log2(probability(of: byte, window: window))
            window = window << KneserNey.symbolBits | UInt64(byte)
        }
        return bits
    }

    /// From the shortest context to the longest, each order correcting the one below it.
    private func probability(of byte: UInt8, window: UInt64) -> Double {
        var p = 1 / KneserNey.alphabetCount
        for (length, level) in levels.enumerated() {
            let key = length == 0 ? 0 : window & (UInt64(1) << (UInt64(length) * KneserNey.symbolBits) - 1)
            guard let context = level.contexts[key] else { break }
            let count = level.count(of: UInt16(byte), in: context)
            let discounted = count == 0 ? 0 : Double(count) - level.discounts[min(Int(count), 3) - 1]
            p = (discounted + context.mass * p) / context.total
        }
        return p
    }

    // MARK: Building

    private static func start(_ order: Int) -> UInt64 {
        (0..<max(order - 1, 0)).reduce(0) { window, _ in window << symbolBits | documentStart }
    }

    private static func runs(of sorted: [UInt64]) -> (keys: [UInt64], counts: [UInt32]) {
        var keys: [UInt64] = [], counts: [UInt32] = []
        for key in sorted {
            if keys.last == key {
                counts[counts.count - 1] += 1
            } else {
                keys.append(key)
                counts.append(1)
            }
        }
        return (keys, counts)
    }

    private static func level(keys: [UInt64], counts: [UInt32]) -> Level {
        var level = Level()
        level.counts = counts
        level.symbols = keys.map { UInt16($0 & (1 << symbolBits - 1)) }
        level.discounts = discounts(counts)
        var start = 0
        while start < keys.count {
            let key = keys[start] >> symbolBits
            var end = start
            var total = 0.0, mass = 0.0
            while end < keys.count, keys[end] >> symbolBits == key {
                total += Double(counts[end])
                mass += level.discounts[min(Int(counts[end]), 3) - 1]
                end += 1
            }
            level.contexts[key] = Context(start: start, end: end, total: total, mass: mass)
            start = end
        }
        return level
    }

    /// D₁, D₂, D₃₊ of one order. Where the data are too few for an estimate (a count of counts is zero) or the estimate leaves
    /// (0, k), half of each count's least value is taken off, so that every probability stays above zero.
    private static func discounts(_ counts: [UInt32]) -> [Double] {
        var n = [0.0, 0.0, 0.0, 0.0, 0.0]
        for count in counts where count <= 4 { n[Int(count)] += 1 }
        let fallback = [0.5, 1.0, 1.5]
        guard n[1...4].allSatisfy({ $0 > 0 }) else { return fallback }
        let y = n[1] / (n[1] + 2 * n[2])
        let estimate = [1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]]
        return zip(estimate, 1...3).map { d, k in d > 0 && d < Double(k) ? d : fallback[k - 1] }
    }
}
