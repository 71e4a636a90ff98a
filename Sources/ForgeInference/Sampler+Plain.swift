import Glibc

extension Sampler {
    /// The plain twin of `draw`: says what is meant in float64, sorts everything, skips nothing. Tests hold the fast one against it.
    package static func drawPlain(_ logits: [Float], _ sampling: Sampling, position: Int) -> TokenID {
        let ranked = logits.indices.sorted { (-logits[$0], $0) < (-logits[$1], $1) }
        guard sampling.temperature > 0 else { return TokenID(ranked[0]) }
        let kept = sampling.topK > 0 ? Array(ranked.prefix(sampling.topK)) : ranked
        let weights = kept.map { exp((Double(logits[$0]) - Double(logits[ranked[0]])) / sampling.temperature) }
        let total = weights.sorted().reduce(0, +)
        var sum = 0.0
        var nucleus: [(token: Int, probability: Double)] = []
        for (token, weight) in zip(kept, weights) {
            nucleus.append((token, weight / total))
            sum += weight / total
            if sum >= sampling.topP { break }
        }
        let keys = nucleus.map { token, probability in
            let u = CounterGenerator.uniform(seed: sampling.seed, position: position, token: TokenID(token), choice: sampling.choice)
            return log(probability) - log(-log(u))
        }
        return TokenID(nucleus[keys.indices.max { keys[$0] < keys[$1] }!].token)
    }
}
