import Glibc

extension PolicyLoss {
    /// One rollout's loss, not yet shared out, and its derivatives.
    struct Part {
        var loss = 0.0
        var gradients: [Double]
        /// What a token's part in the policy's loss is multiplied by; the divergence from the reference is not.
        var weights: [Double]
        var metrics = Metrics()

        /// Begins with the divergence from the reference, at each token.
        init(_ rollout: Rollout, klWeight: Double, estimator: DivergenceEstimator) {
            gradients = Array(repeating: 0, count: rollout.policy.count)
            weights = Array(repeating: 1, count: rollout.policy.count)
            metrics.sequences = 1
            for t in rollout.policy.indices where rollout.mask[t] {
                metrics.tokens += 1
                metrics.drift += rollout.old[t] - rollout.policy[t]
                guard let reference = rollout.reference else { continue }
                let curve = estimator.curve(policy: rollout.policy[t], reference: reference[t])
                metrics.divergence += curve.value
                loss += klWeight * curve.value
                gradients[t] = klWeight * curve.slope
            }
        }
    }

    /// Leaves out or truncates what was not sampled by this policy.
    func weigh(_ rollout: Rollout, _ part: inout Part) {
        guard part.metrics.tokens > 0 else { return }
        if let correction = options.correction, let sampler = rollout.sampler {
            part.weights = correction.weights(old: rollout.old, sampler: sampler, mask: rollout.mask)
            part.metrics.uncorrected = zip(part.weights, rollout.mask).count { $1 && $0 == 0 }
        }
        guard let most = options.driftMax else { return }
        let sampler = rollout.sampler ?? rollout.old
        var drift = 0.0
        for t in rollout.policy.indices where rollout.mask[t] { drift += sampler[t] - rollout.policy[t] }
        guard drift / Double(part.metrics.tokens) > most else { return }
        for t in rollout.policy.indices where rollout.advantages[t] < 0 { part.weights[t] = 0 }
        part.metrics.drifted = zip(rollout.advantages, rollout.mask).contains { $1 && $0 < 0 } ? 1 : 0
    }

    /// Adds the policy's own loss.
    func learn(_ rollout: Rollout, _ part: inout Part) {
        guard part.metrics.tokens > 0 else { return }
        if kind == .vespo { return weighted(rollout, &part, by: gamma(rollout)) }
        guard ratio != .token else {
            for t in rollout.policy.indices where rollout.mask[t] {
                let ratio = Curve.ratio(rollout.policy[t] - rollout.old[t]), curve = surrogate(ratio.value, rollout, t)
                part.count(ratio.value, rollout.advantages[t], beyond: bounds)
                part.loss += part.weights[t] * curve.value
                part.gradients[t] += part.weights[t] * curve.slope * (kind == .cispo ? 1 : ratio.slope)
            }
            return
        }
        var log = 0.0
        for t in rollout.policy.indices where rollout.mask[t] { log += rollout.policy[t] - rollout.old[t] }
        let count = ratio == .product ? 1 : Double(part.metrics.tokens), whole = Curve.ratio(log / count)
        if let first = rollout.mask.firstIndex(of: true) { part.count(whole.value, rollout.advantages[first], beyond: bounds) }
        // The ratio is every token's, so each token's derivative holds what all tokens' losses make of it.
        var slope = 0.0
        for t in rollout.policy.indices where rollout.mask[t] {
            let curve = surrogate(whole.value, rollout, t)
            part.loss += part.weights[t] * curve.value
            if kind == .cispo { part.gradients[t] += part.weights[t] * curve.slope } else { slope += part.weights[t] * curve.slope }
        }
        for t in rollout.policy.indices where rollout.mask[t] { part.gradients[t] += slope * whole.slope / count }
    }

    /// Ratios beyond these count as clipped.
    private var bounds: ClosedRange<Double> { kind == .cispo ? 0...options.weightMax : kind.clips ? (1 - clip.low)...(1 + clip.high) : 0...Double.infinity }

    /// A token's loss at a ratio, and its slope by the ratio; by log π for `cispo`, whose ratio is a constant weight.
    private func surrogate(_ ratio: Double, _ rollout: Rollout, _ t: Int) -> Curve {
        let advantage = rollout.advantages[t]
        switch kind {
        case .cispo:
            let weight = min(ratio, options.weightMax) * advantage
            return Curve(value: -weight * rollout.policy[t], slope: -weight)
        case .sapo:
            let tau = advantage > 0 ? options.gate.above : options.gate.below, x = tau * (ratio - 1)
            return Curve(value: -4 / tau * sigmoid(x) * advantage, slope: -4 * sigmoid(x) * sigmoid(-x) * advantage)
        default:
            let plain = min(ratio, options.ratioMax ?? .infinity), held = clamp(ratio, 1 - clip.low, 1 + clip.high)
            let byPlain = plain < ratio ? 0 : advantage, byHeld = held == ratio ? advantage : 0
            var curve = Curve(value: -min(plain * advantage, held * advantage), slope: 0)
            // Where both are least, each has half a part in the derivative, as in torch.
            curve.slope = plain * advantage < held * advantage ? -byPlain : held * advantage < plain * advantage ? -byHeld : -(byPlain + byHeld) / 2
            if let c = options.dualClip, advantage < 0, -c * advantage < curve.value { curve = Curve(value: -c * advantage, slope: 0) }
            return curve
        }
    }

    /// −φ·A·log π with a constant φ for the answer.
    private func weighted(_ rollout: Rollout, _ part: inout Part, by phi: BySign<Double>) {
        for t in rollout.policy.indices where rollout.mask[t] {
            let ratio = Curve.ratio(rollout.policy[t] - rollout.old[t]), by = part.weights[t] * (rollout.advantages[t] >= 0 ? phi.above : phi.below) * rollout.advantages[t]
            part.count(ratio.value, rollout.advantages[t], beyond: bounds)
            part.loss -= by * rollout.policy[t]
            part.gradients[t] -= by
        }
    }

    /// VESPO's φ(w) = exp(λ + k log w − λw), w the ratio of the whole answer from 10⁻⁸ to e²⁰.
    private func gamma(_ rollout: Rollout) -> BySign<Double> {
        var sum = 0.0
        for t in rollout.policy.indices where rollout.mask[t] { sum += clamp(rollout.policy[t] - rollout.old[t], -PolicyLoss.logRatioMax, PolicyLoss.logRatioMax) }
        let log = clamp(sum, Glibc.log(1e-8), PolicyLoss.logRatioMax)
        func phi(_ of: Gamma) -> Double { exp(of.rate + of.power * log - of.rate * exp(log)) }
        return BySign(above: phi(options.weighting.above), below: phi(options.weighting.below))
    }
}

extension Curve {
    /// e^x, flat beyond the bounds.
    fileprivate static func ratio(_ x: Double) -> Curve {
        let value = exp(clamp(x, -PolicyLoss.logRatioMax, PolicyLoss.logRatioMax))
        return Curve(value: value, slope: abs(x) > PolicyLoss.logRatioMax ? 0 : value)
    }
}
