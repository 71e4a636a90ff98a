import Glibc

/// Draws one token from one row of logits.
///
/// Gumbel-max in its race form: each token runs for a time `-ln(u) / p`, u being its own counter-based number, and the first to arrive wins, which
/// it does with probability p. No sum over the vocabulary enters, so nothing accumulates in an order that could matter.
package enum Sampler {
    /// - Parameters:
    ///   - logits: one row, `[vocabulary]`.
    ///   - position: the place in the sequence that the drawn token will take.
    /// - Precondition: `sampling` passed its check and there is at least one logit.
    package static func draw(_ logits: Span<Float>, _ sampling: Sampling, position: Int) -> TokenID {
        let best = argmax(logits)
        guard sampling.temperature > 0 else { return best }
        let top = Double(logits[Int(best)])
        // Not a number anywhere near the top would make every comparison false; the most probable token is then the only honest answer.
        guard top.isFinite else { return best }
        let scale = 1 / sampling.temperature
        var weights = [Double](repeating: 0, count: logits.count)
        for i in 0..<logits.count { weights[i] = exp((Double(logits[i]) - top) * scale) }
        if let candidates = nucleus(weights, sampling) {
            return race(candidates, weights, sampling, position, best)
        }
        return race(0..<Int32(logits.count), weights, sampling, position, best)
    }

    /// Log-probabilities from raw logits: of `token`, and of the `top` most probable in falling order (lower numbers first among equals).
    package static func logprobs(_ logits: Span<Float>, token: TokenID, top: Int) -> (chosen: TokenLogprob, top: [TokenLogprob]) {
        let highest = Double(logits[Int(argmax(logits))])
        var sum = 0.0
        for i in 0..<logits.count { sum += exp(Double(logits[i]) - highest) }
        let shift = highest + log(sum)
        let chosen = TokenLogprob(token: token, logprob: Double(logits[Int(token)]) - shift)
        guard top > 0 else { return (chosen, []) }
        let order = largest(top, of: logits.count) { Double(logits[$0]) }
        return (chosen, order.map { TokenLogprob(token: $0, logprob: Double(logits[Int($0)]) - shift) })
    }

    /// The lowest number among the largest logits.
    package static func argmax(_ logits: Span<Float>) -> TokenID {
        precondition(!logits.isEmpty, "a row of logits is never empty")
        var best = 0
        for i in 1..<max(1, logits.count) where logits[i] > logits[best] || logits[best].isNaN { best = i }
        return TokenID(best)
    }

    private static func race(
        _ candidates: some Sequence<TokenID>, _ weights: [Double], _ sampling: Sampling, _ position: Int, _ best: TokenID
    ) -> TokenID {
        // The favourite runs first: its time lets most others be dismissed without a logarithm, since -ln(u) ≥ 1 - u.
        var winner = best
        var time = -log(CounterGenerator.uniform(seed: sampling.seed, position: position, token: best, choice: sampling.choice)) / weights[Int(best)]
        for token in candidates where token != best {
            let weight = weights[Int(token)]
            guard weight > 0 else { continue }
            let u = CounterGenerator.uniform(seed: sampling.seed, position: position, token: token, choice: sampling.choice)
            guard (1 - u) * (1 - 0x1p-40) < time * weight else { continue }
            let own = -log(u) / weight
            if own < time || (own == time && token < winner) {
                winner = token
                time = own
            }
        }
        return winner
    }

    /// The tokens that `topK` and `topP` leave, or nil when that is all of them.
    private static func nucleus(_ weights: [Double], _ sampling: Sampling) -> [TokenID]? {
        var kept: [TokenID]?
        if sampling.topK > 0, sampling.topK < weights.count {
            kept = largest(sampling.topK, of: weights.count) { weights[$0] }
        }
        guard sampling.topP < 1 else { return kept }
        let pool = kept ?? weights.indices.map { TokenID($0) }
        let total = pool.reduce(0.0) { $0 + weights[Int($1)] }
        if kept == nil {
            // All tokens below this bound together weigh less than 1 - topP, so none is needed to reach topP: sort the few others only.
            let bound = (1 - sampling.topP) * total / Double(weights.count)
            kept = pool.filter { weights[Int($0)] >= bound }
        }
        let order = kept!.sorted { (-weights[Int($0)], $0) < (-weights[Int($1)], $1) }
        var sum = 0.0
        for (count, token) in order.enumerated() {
            sum += weights[Int(token)]
            if sum >= sampling.topP * total { return Array(order[...count]) }
        }
        return order
    }

    /// The `count` indices with the largest values, in falling order of value, lower indices first among equals.
    private static func largest(_ count: Int, of total: Int, _ value: (Int) -> Double) -> [TokenID] {
        // A small sorted list: insertion costs little, because after a short while almost nothing beats its last entry.
        var order: [(value: Double, index: Int)] = []
        order.reserveCapacity(min(count, total) + 1)
        for i in 0..<total {
            let v = value(i)
            if order.count == count, !(v > order[count - 1].value) { continue }
            var low = 0, high = order.count
            while low < high {
                let middle = (low + high) / 2
                if order[middle].value >= v { low = middle + 1 } else { high = middle }
            }
            order.insert((v, i), at: low)
            if order.count > count { order.removeLast() }
        }
        return order.map { TokenID($0.index) }
    }
}
