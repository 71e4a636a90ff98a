import ForgeCore
import ForgeInference
import Testing

@Suite struct SamplerTests {
    @Test func `the counter generator gives the published vectors`() {
        // Random123 1.14, tests/kat_vectors, philox4x32 10.
        #expect(CounterGenerator.philox(counter: (0, 0, 0, 0), key: (0, 0)) == (0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8))
        let ones = UInt32.max
        #expect(CounterGenerator.philox(counter: (ones, ones, ones, ones), key: (ones, ones)) == (0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd))
        #expect(
            CounterGenerator.philox(counter: (0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344), key: (0xa409_3822, 0x299f_31d0))
                == (0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1))
    }

    @Test(arguments: 0..<120 as Range<UInt64>)
    func `the fast draw is the plain draw`(seed: UInt64) {
        var random = SplitMix(state: seed)
        let count = [1, 2, 7, 64, 513][Int(seed % 5)]
        let spread: Float = [0.1, 3, 20][Int(random.next() % 3)]
        let logits = (0..<count).map { _ in (Float(random.next() >> 40) / Float(1 << 24) - 0.5) * spread }
        for position in 0..<8 {
            let sampling = Sampling(
                temperature: [0, 0.3, 1, 2][Int(random.next() % 4)], topK: [0, 1, 5, 600][Int(random.next() % 4)],
                topP: [1, 0.95, 0.5, 0.01][Int(random.next() % 4)], seed: random.next(), choice: Int(random.next() % 3))
            #expect(Sampler.draw(logits.span, sampling, position: position) == Sampler.drawPlain(logits, sampling, position: position), "\(sampling)")
        }
    }

    @Test func `draws follow the distribution`() {
        let logits: [Float] = [0, 1, 2, -1]
        let weights = [1.0, 2.718281828, 7.389056099, 0.367879441]
        let total = weights.reduce(0, +)
        var counts = [0, 0, 0, 0]
        let draws = 20_000
        for position in 0..<draws { counts[Int(Sampler.draw(logits.span, Sampling(seed: 5), position: position))] += 1 }
        // Chi-square with three degrees of freedom: 16.3 is passed once in a thousand times; the seed is fixed, so this is no lottery.
        var chi = 0.0
        for (count, weight) in zip(counts, weights) {
            let expected = Double(draws) * weight / total
            chi += (Double(count) - expected) * (Double(count) - expected) / expected
        }
        #expect(chi < 16.3)
    }

    @Test func `zero temperature takes the lowest number among the most probable`() {
        let logits: [Float] = [1, 3, 3, -2]
        #expect(Sampler.draw(logits.span, Sampling(temperature: 0), position: 9) == 1)
    }

    @Test func `topK counts and topP measures what topK left`() {
        // Probabilities 0.5, 0.25, 0.125, 0.125: two hold 0.75, and after topK 2 the first alone holds two thirds.
        let logits: [Float] = [Float(0.5).logarithm, Float(0.25).logarithm, Float(0.125).logarithm, Float(0.125).logarithm]
        func seen(_ sampling: Sampling) -> Set<TokenID> {
            Set((0..<500).map { Sampler.draw(logits.span, sampling, position: $0) })
        }
        #expect(seen(Sampling(topK: 2)) == [0, 1])
        #expect(seen(Sampling(topP: 0.7)) == [0, 1])
        #expect(seen(Sampling(topP: 0.76)) == [0, 1, 2])
        #expect(seen(Sampling(topK: 2, topP: 0.6)) == [0])
        #expect(seen(Sampling()) == [0, 1, 2, 3])
    }

    @Test func `a draw depends on seed, position, token and choice`() {
        let base = CounterGenerator.uniform(seed: 1, position: 2, token: 3)
        #expect(base == CounterGenerator.uniform(seed: 1, position: 2, token: 3))
        #expect(base > 0 && base < 1)
        let others = [
            CounterGenerator.uniform(seed: 2, position: 2, token: 3), CounterGenerator.uniform(seed: 1, position: 3, token: 3),
            CounterGenerator.uniform(seed: 1, position: 2, token: 4), CounterGenerator.uniform(seed: 1, position: 2, token: 3, choice: 1),
            CounterGenerator.uniform(seed: 1 << 32 | 1, position: 2, token: 3),
        ]
        #expect(Set(others + [base]).count == 6)
    }

    @Test func `log-probabilities come from the raw logits and rank by probability, then by number`() {
        let logits: [Float] = [0, 2, 2, 1]
        let (chosen, top) = Sampler.logprobs(logits.span, token: 3, top: 3)
        let sum = 1 + 7.38905609893065 * 2 + 2.718281828459045
        #expect(abs(chosen.logprob - (1 - sum.logarithm)) < 1e-12)
        #expect(top.map(\.token) == [1, 2, 3])
        #expect(top[2] == chosen)
    }

    @Test func `logits that are no numbers end in a token, not in a trap`() {
        for logits: [Float] in [[.nan, .nan], [.nan, 1, 2], [-.infinity, -.infinity], [.infinity, 0]] {
            let token = Sampler.draw(logits.span, Sampling(topK: 2, topP: 0.9), position: 0)
            #expect(token >= 0 && token < logits.count)
        }
    }

    @Test func `parameters out of bounds are refused by name`() {
        for (sampling, name) in [
            (Sampling(temperature: 2.1), "temperature"), (Sampling(temperature: .nan), "temperature"), (Sampling(topK: -1), "top_k"), (Sampling(topP: 0), "top_p"),
            (Sampling(topP: 1.5), "top_p"),
        ] {
            #expect(throws: Fault.self) { try sampling.check() }
            do { try sampling.check() } catch { #expect(error.what.contains("`\(name)`")) }
        }
    }
}

import Glibc

extension Float {
    var logarithm: Float { log(self) }
}

extension Double {
    var logarithm: Double { log(self) }
}
