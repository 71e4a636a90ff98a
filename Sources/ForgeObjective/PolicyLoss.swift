package import ForgeCore
import Glibc

/// An answer that a policy sampled, token by token, and what it was worth.
package struct Rollout: Sendable, Hashable {
    /// Log-probabilities under the policy that is trained, from the forward pass whose backward pass follows.
    package var policy: [Double]
    /// Under the policy that sampled, by the trainer's own forward pass. At the first step on a rollout they are `policy`, bit for bit.
    package var old: [Double]
    package var reference: [Double]?
    /// Under the policy that sampled, by the engine that sampled. `correction` needs it.
    package var sampler: [Double]?
    /// False where a tool wrote the token. Numbers there are not looked at.
    package var mask: [Bool]
    package var advantages: [Double]

    package init(policy: [Double], old: [Double], reference: [Double]? = nil, sampler: [Double]? = nil, mask: [Bool]? = nil, advantages: [Double]) {
        self.policy = policy
        self.old = old
        self.reference = reference
        self.sampler = sampler
        self.mask = mask ?? Array(repeating: true, count: policy.count)
        self.advantages = advantages
    }

    package init(policy: [Double], old: [Double], reference: [Double]? = nil, sampler: [Double]? = nil, mask: [Bool]? = nil, advantage: Double) {
        self.init(policy: policy, old: old, reference: reference, sampler: sampler, mask: mask, advantages: Array(repeating: advantage, count: policy.count))
    }

    package var activeTokens: Int { mask.count { $0 } }
}

/// What a whole optimiser step holds. Every divisor comes from here and none from a pass, so that 1×8 gives what 8×1 gives.
package struct StepTotals: Sendable, Hashable {
    package var sequences: Int
    /// Tokens that are learnt from.
    package var tokens: Int

    package init(sequences: Int, tokens: Int) {
        self.sequences = sequences
        self.tokens = tokens
    }

    package init(of rollouts: [Rollout]) { self.init(sequences: rollouts.count, tokens: rollouts.reduce(0) { $0 + $1.activeTokens }) }
}

/// Learning from sampled answers: the loss, and the derivative by the policy's log-probability of each token.
package struct PolicyLoss: Sendable, Hashable {
    package struct Batch: Sendable, Hashable {
        package var loss: Double
        /// Rollout by rollout, token by token; 0 where masked.
        package var gradients: [[Double]]
        package var metrics: Metrics
    }

    package let kind: Kind
    package let options: Options

    /// - Throws: `.request` for a setting out of its range, or one that the kind does not take.
    package init(_ kind: Kind, options: Options = Options()) throws(Fault) {
        self.kind = kind
        self.options = options
        try check()
    }

    package var clip: Clip { options.clip ?? kind.defaultClip }
    package var ratio: Ratio { options.ratio ?? kind.ratio }
    package var aggregation: Aggregation { options.aggregation ?? kind.aggregation }
    package var needsReference: Bool { options.klWeight > 0 }

    /// A log-ratio beyond this counts as this and has no slope, as in verl: e²⁰ is past every clip.
    static let logRatioMax = 20.0

    /// The rollouts of one pass.
    /// - Parameter totals: of the whole step; nil if this pass is all of it.
    /// - Throws: `.request` or `.environment`, naming the sequence by its index.
    package func batch(_ rollouts: [Rollout], of totals: StepTotals? = nil) throws(Fault) -> Batch {
        let own = StepTotals(of: rollouts), totals = totals ?? own
        guard totals.sequences >= own.sequences, totals.tokens >= own.tokens else { throw .shape("a pass of \(own.sequences) sequences and \(own.tokens) tokens is larger than its step") }
        guard totals.tokens > 0 else { throw .shape("every token of the step is masked, so there is nothing to learn from") }
        var batch = Batch(loss: 0, gradients: [], metrics: Metrics())
        for (i, rollout) in rollouts.enumerated() {
            try check(rollout, "sequence \(i)")
            let share = share(of: rollout, in: totals)
            var part = Part(rollout, klWeight: options.klWeight, estimator: options.klEstimator)
            weigh(rollout, &part)
            learn(rollout, &part)
            guard part.loss.isFinite, part.gradients.allSatisfy(\.isFinite) else { throw .notFinite("the loss", of: "sequence \(i)") }
            batch.loss += share * part.loss
            batch.gradients.append(part.gradients.map { share * $0 })
            batch.metrics += part.metrics
        }
        return batch
    }

    /// What one token of a rollout weighs in the step's loss.
    private func share(of rollout: Rollout, in totals: StepTotals) -> Double {
        switch aggregation {
        case .sequenceMean: 1 / Double(max(rollout.activeTokens, 1)) / Double(totals.sequences)
        case .tokenMean: 1 / Double(totals.tokens)
        case .sequenceSum: 1 / Double(totals.sequences)
        case .lengthLimit: 1 / (Double(totals.sequences) * Double(options.lengthLimit ?? 1))
        }
    }
}

// MARK: - What is refused

extension PolicyLoss {
    private func check() throws(Fault) {
        guard clip.low >= 0, clip.low < 1 else { throw .setting("epsilon_low", clip.low, needs: "a number from 0, below 1") }
        guard clip.high >= 0, clip.high.isFinite else { throw .setting("epsilon_high", clip.high, needs: "a finite number, 0 or above") }
        if let most = options.ratioMax {
            guard kind.clips else { throw .combination("`\(kind.rawValue)` does not clip", "leave `delta` out") }
            guard most.isFinite, most > 1 + clip.high else { throw .setting("delta", most, needs: "a finite number above 1 + `epsilon_high`") }
        }
        if let c = options.dualClip {
            guard kind.clips else { throw .combination("`\(kind.rawValue)` does not clip", "leave `dual_clip` out") }
            guard c.isFinite, c > 1 else { throw .setting("dual_clip", c, needs: "a finite number above 1") }
        }
        guard options.weightMax.isFinite, options.weightMax > 0 else { throw .setting("cispo_weight_max", options.weightMax, needs: "a finite number above 0") }
        guard options.klWeight.isFinite, options.klWeight >= 0 else { throw .setting("kl_beta", options.klWeight, needs: "a finite number, 0 or above") }
        for gate in [options.gate.above, options.gate.below] where !(gate.isFinite && gate > 0) { throw .setting("sapo_temperature", gate, needs: "a finite number above 0") }
        for one in [options.weighting.above, options.weighting.below] where !(one.power.isFinite && one.power >= 0 && one.rate.isFinite && one.rate >= 1e-4) {
            throw .setting("vespo", one.rate, needs: "a rate of 0.0001 or above and a power of 0 or above, both finite")
        }
        guard aggregation != .lengthLimit || options.lengthLimit ?? 0 > 0 else { throw .missing("the greatest length of an answer", kind.rawValue) }
        guard kind != .vespo || (options.correction == nil && ratio == .token) else {
            throw .combination("`vespo` weighs whole answers already", "leave the correction and the ratio out, or choose another method")
        }
        if let most = options.driftMax, !(most.isFinite && most >= 0) { throw .setting("drift_max", most, needs: "a finite number, 0 or above") }
    }

    private func check(_ rollout: Rollout, _ name: String) throws(Fault) {
        let count = rollout.policy.count
        let lists = [("old policy", rollout.old.count), ("reference", rollout.reference?.count), ("sampler", rollout.sampler?.count), ("mask", rollout.mask.count), ("advantages", rollout.advantages.count)]
        for (what, length) in lists { if let length, length != count { throw .shape("\(name) has \(count) tokens, and \(length) of the \(what)") } }
        guard rollout.reference != nil || !needsReference else { throw .missing("the reference's log-probabilities", "kl_beta") }
        guard rollout.sampler != nil || options.correction == nil else { throw .missing("the sampler's log-probabilities", "rollout correction") }
        for t in 0..<count where rollout.mask[t] {
            let numbers = [("the policy's log-probability", rollout.policy[t]), ("the old policy's log-probability", rollout.old[t]), ("the advantage", rollout.advantages[t])]
            for (what, number) in numbers where !number.isFinite { throw .notFinite("\(what) at token \(t)", of: name) }
            if let reference = rollout.reference, !reference[t].isFinite { throw .notFinite("the reference's log-probability at token \(t)", of: name) }
            if let sampler = rollout.sampler, !sampler[t].isFinite { throw .notFinite("the sampler's log-probability at token \(t)", of: name) }
        }
    }
}
