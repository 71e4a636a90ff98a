package import ForgeCore

/// Generalised advantage estimation over tokens: Schulman et al. 2015 (arXiv:1506.02438), eq. 16. Tokens that tools wrote are stepped over, as in verl: neither
/// their values nor their rewards enter.
package struct AdvantageEstimator: Sendable, Hashable {
    package struct Trajectory: Sendable, Hashable {
        /// Of each token.
        package var rewards: [Double]
        package var values: [Double]
        /// False where a tool wrote the token.
        package var mask: [Bool]

        package init(rewards: [Double], values: [Double], mask: [Bool]) {
            self.rewards = rewards
            self.values = values
            self.mask = mask
        }
    }

    package struct Estimate: Sendable, Hashable {
        /// 0 where masked.
        package var advantages: [[Double]]
        /// What the value model is to learn: the advantage before whitening, plus the value. The value itself where masked.
        package var returns: [[Double]]
    }

    package let discount: Double
    package let trace: Double
    /// Mean 0 and variance 1 over all tokens given, as PPO's programs do. Give a whole step at once.
    package let whitens: Bool

    /// - Parameters:
    ///   - discount: γ, 1 for answers that are judged at their end.
    ///   - trace: λ.
    package init(discount: Double = 1, trace: Double = 0.95, whitens: Bool = true) throws(Fault) {
        guard discount >= 0, discount <= 1 else { throw .setting("gamma", discount, needs: "a number from 0 to 1") }
        guard trace >= 0, trace <= 1 else { throw .setting("lambda", trace, needs: "a number from 0 to 1") }
        self.discount = discount
        self.trace = trace
        self.whitens = whitens
    }

    package func estimate(_ trajectories: [Trajectory]) throws(Fault) -> Estimate {
        var estimate = Estimate(advantages: [], returns: [])
        for (i, one) in trajectories.enumerated() {
            guard one.rewards.count == one.mask.count, one.values.count == one.mask.count else {
                throw .shape("sequence \(i) has \(one.rewards.count) rewards, \(one.values.count) values and a mask of \(one.mask.count)")
            }
            var advantages = Array(repeating: 0.0, count: one.mask.count), returns = one.values
            var next = 0.0, last = 0.0
            for t in one.mask.indices.reversed() where one.mask[t] {
                guard one.rewards[t].isFinite, one.values[t].isFinite else { throw .notFinite("the reward or the value at token \(t)", of: "sequence \(i)") }
                last = one.rewards[t] + discount * next - one.values[t] + discount * trace * last
                next = one.values[t]
                advantages[t] = last
                returns[t] = last + one.values[t]
            }
            estimate.advantages.append(advantages)
            estimate.returns.append(returns)
        }
        if whitens { whiten(&estimate.advantages, trajectories.map(\.mask)) }
        return estimate
    }

    /// A single token, compared with itself, is as good as the mean: 0.
    private func whiten(_ advantages: inout [[Double]], _ masks: [[Bool]]) {
        let spread = Spread(zip(advantages, masks).flatMap { zip($0, $1).filter(\.1).map(\.0) })
        let scale = 1 / (spread.deviation * spread.deviation + 1e-8).squareRoot()
        for i in advantages.indices {
            for t in advantages[i].indices where masks[i][t] { advantages[i][t] = (advantages[i][t] - spread.mean) * scale }
        }
    }
}

extension DivergenceEstimator {
    /// Rewards of each token for PPO: −β times the divergence from the reference at every token of the policy, and the answer's score at the last. 0 where masked.
    /// - Parameter policy: log-probabilities of the policy that sampled.
    package func rewards(score: Double, policy: [Double], reference: [Double], mask: [Bool], beta: Double) throws(Fault) -> [Double] {
        var rewards = try penalties(policy: policy, reference: reference, mask: mask, beta: beta)
        guard score.isFinite else { throw .notFinite("the score", of: "the answer") }
        guard let last = mask.lastIndex(of: true) else { throw .shape("the answer has no token of the policy's own") }
        rewards[last] += score
        return rewards
    }

    /// What RLOO adds to an answer's reward: −β times the divergence summed over its tokens (`k1`, by its authors).
    package func penalty(policy: [Double], reference: [Double], mask: [Bool], beta: Double) throws(Fault) -> Double {
        try penalties(policy: policy, reference: reference, mask: mask, beta: beta).reduce(0, +)
    }

    private func penalties(policy: [Double], reference: [Double], mask: [Bool], beta: Double) throws(Fault) -> [Double] {
        guard policy.count == mask.count, reference.count == mask.count else { throw .shape("\(policy.count) tokens of the policy stand beside \(reference.count) of the reference and a mask of \(mask.count)") }
        guard beta.isFinite, beta >= 0 else { throw .setting("kl_beta", beta, needs: "a finite number, 0 or above") }
        var penalties = Array(repeating: 0.0, count: mask.count)
        for t in mask.indices where mask[t] {
            guard policy[t].isFinite, reference[t].isFinite else { throw .notFinite("a log-probability", of: "token \(t)") }
            penalties[t] = -beta * value(policy: policy[t], reference: reference[t])
        }
        return penalties
    }
}
