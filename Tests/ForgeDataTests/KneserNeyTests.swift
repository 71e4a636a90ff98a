import ForgeData
import Testing

#if canImport(Glibc)
import Glibc
#endif

/// The definitions of Chen & Goodman written out over dictionaries: no packing, no sorting, no shared line.
private struct PlainKneserNey {
    /// counts[n] maps an n-gram of symbols (256 marks the start of a document) to its count.
    var counts: [[[Int]: Int]]
    let order: Int

    init(order: Int, documents: [[UInt8]]) {
        self.order = order
        counts = Array(repeating: [:], count: order + 1)
        for document in documents {
            let symbols = Array(repeating: 256, count: order - 1) + document.map(Int.init)
            for end in (order - 1)..<symbols.count { counts[order][Array(symbols[(end - order + 1)...end]), default: 0] += 1 }
        }
        for n in stride(from: order - 1, through: 1, by: -1) {
            for gram in counts[n + 1].keys { counts[n][Array(gram.dropFirst()), default: 0] += 1 }
        }
    }

    func discount(_ n: Int, _ count: Int) -> Double {
        let of = (1...4).map { k in Double(counts[n].values.count { $0 == k }) }
        let half = [0.5, 1.0, 1.5][min(count, 3) - 1]
        guard of.allSatisfy({ $0 > 0 }) else { return half }
        let y = of[0] / (of[0] + 2 * of[1])
        let k = min(count, 3)
        let d = Double(k) - Double(k + 1) * y * of[k] / of[k - 1]
        return d > 0 && d < Double(k) ? d : half
    }

    func probability(_ byte: UInt8, _ context: [Int]) -> Double {
        guard let first = context.indices.first else { return mix(byte, [], below: 1 / 256.0) }
        return mix(byte, context, below: probability(byte, Array(context[(first + 1)...])))
    }

    private func mix(_ byte: UInt8, _ context: [Int], below: Double) -> Double {
        let n = context.count + 1
        let followers = counts[n].filter { $0.key.dropLast() == context[...] }
        let total = followers.values.reduce(0, +)
        guard total > 0 else { return below }
        let count = counts[n][context + [Int(byte)]] ?? 0
        let kept = count == 0 ? 0 : max(Double(count) - discount(n, count), 0)
        let gamma = followers.values.map { discount(n, $0) }.reduce(0, +)
        return (kept + gamma * below) / Double(total)
    }
}

@Suite struct KneserNeyTests {
    private static let documents = [
        "the cat sat on the mat and the cat ate the rat", "a man, a plan, a canal: panama", "the theme of the thesis is the thing",
        "sat sat sat sat mat mat rat", "",
    ].map { Array($0.utf8) }

    @Test(arguments: 1...5)
    func `the packed model says what the definition says`(order: Int) {
        let model = KneserNey(order: order, documents: KneserNeyTests.documents)
        let plain = PlainKneserNey(order: order, documents: KneserNeyTests.documents)
        for text in ["the mat", "xyz the", "", "q"] {
            var history: [UInt8] = []
            for byte in Array(text.utf8) {
                let padded = Array(repeating: 256, count: order - 1) + history.map(Int.init)
                let expected = plain.probability(byte, Array(padded.suffix(order - 1)))
                #expect(abs(model.probability(of: byte, after: history) - expected) < 1e-12)
                history.append(byte)
            }
        }
    }

    @Test(arguments: ["", "t", "the ", "zzzz", "the cat sat", "\u{1}\u{2}"])
    func `the probabilities of one context sum to one and none is zero`(context: String) {
        let model = KneserNey(documents: KneserNeyTests.documents)
        let all = (0...255).map { model.probability(of: UInt8($0), after: Array(context.utf8)) }
        #expect(abs(all.reduce(0, +) - 1) < 1e-12)
        #expect(all.allSatisfy { $0 > 0 })
    }

    @Test func `bits of a document are the sum over its bytes`() {
        let model = KneserNey(documents: KneserNeyTests.documents)
        let text = Array("the cat".utf8)
        let sum = text.indices.map { -log2(model.probability(of: text[$0], after: Array(text[..<$0]))) }.reduce(0, +)
        #expect(abs(model.bits(text) - sum) < 1e-9)
    }

    @Test func `what was seen costs less than what was not`() {
        let model = KneserNey(documents: KneserNeyTests.documents)
        #expect(model.bits(Array("the cat sat on the mat".utf8)) < 0.5 * model.bits(Array("vwx qyz kjb of gjk ppq".utf8)))
    }

    @Test func `no documents leave the uniform model`() {
        #expect(KneserNey(documents: []).bits([1, 2, 3]) == 24)
    }
}
