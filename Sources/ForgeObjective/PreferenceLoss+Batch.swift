package import ForgeCore

extension PreferenceLoss {
    /// What the pairs of one pass give: sums over them, divided by the pairs of the whole step.
    package struct Batch: Sendable, Hashable {
        package var loss: Double
        /// Of each pair, in the order given.
        package var chosen: [Double]
        package var rejected: [Double]
        /// Mean over this pass's pairs.
        package var metrics: Metrics
    }

    /// - Parameter total: pairs of the whole optimiser step, when the pass is one of several: 1×8 then gives what 8×1 gives. (Not so where `kind.spansBatch`.)
    /// - Throws: `.request` or `.environment`, naming the pair by its index.
    package func batch(_ pairs: [Pair], of total: Int? = nil) throws(Fault) -> Batch {
        let total = total ?? pairs.count
        guard !pairs.isEmpty, total >= pairs.count else { throw .shape("a pass of \(pairs.count) pairs cannot be part of a step of \(total)") }
        for (i, pair) in pairs.enumerated() { try check(pair, named: "pair \(i)") }
        var terms: [Term] = []
        if kind.spansBatch {
            terms = sorted(pairs)
        } else {
            for pair in pairs { terms.append(try term(checked: pair)) }
        }
        for (i, term) in terms.enumerated() { _ = try term.finite("pair \(i)") }
        let share = 1 / Double(total)
        return Batch(
            loss: terms.reduce(0) { $0 + $1.loss } * share, chosen: terms.map { $0.chosen * share }, rejected: terms.map { $0.rejected * share },
            metrics: .mean(terms.map(\.metrics)))
    }

    /// Alignment by optimal transport: the k-th smallest of one distribution is to exceed the k-th smallest of the other.
    private func sorted(_ pairs: [Pair]) -> [Term] {
        // `aot` compares chosen − rejected under the policy with the same under the reference; `aot_unpaired` chosen log-ratios with rejected ones.
        let upper = pairs.map { kind == .aot ? $0.chosen.policy - $0.rejected.policy : $0.chosen.policy - ($0.chosen.reference ?? 0) }
        let lower = pairs.map { kind == .aot ? ($0.chosen.reference ?? 0) - ($0.rejected.reference ?? 0) : $0.rejected.policy - ($0.rejected.reference ?? 0) }
        let byUpper = upper.indices.sorted { (upper[$0], $0) < (upper[$1], $1) }, byLower = lower.indices.sorted { (lower[$0], $0) < (lower[$1], $1) }
        var gradients = Array(repeating: Gradient(), count: pairs.count)
        for (i, j) in zip(byUpper, byLower) {
            let curve = curve(beta * (upper[i] - lower[j]))
            gradients[i].loss = curve.value
            gradients[i].chosen = beta * curve.slope
            gradients[kind == .aot ? i : j].rejected = -beta * curve.slope
        }
        return zip(gradients, pairs).map { withLikelihood($0, $1) }
    }
}

extension PreferenceLoss.Metrics {
    static func mean(_ all: [Self]) -> Self {
        let count = Double(all.count)
        func mean(_ one: (Self) -> Double) -> Double { all.reduce(0) { $0 + one($1) } / count }
        return Self(chosenReward: mean(\.chosenReward), rejectedReward: mean(\.rejectedReward), accuracy: mean(\.accuracy), nll: mean(\.nll))
    }
}
