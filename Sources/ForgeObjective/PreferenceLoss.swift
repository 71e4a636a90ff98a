package import ForgeCore
import Glibc

/// Learning from pairs of answers to one prompt, one preferred: the loss, and what to multiply the derivative of each answer's log-probability by.
///
/// ```swift
/// let dpo = try PreferenceLoss(.sigmoid, beta: 0.1)
/// let term = try dpo.term(chosen: .init(policy: -41.5, reference: -40, tokens: 17), rejected: .init(policy: -63, reference: -60, tokens: 25))
/// term.loss, term.chosen, term.rejected, term.metrics.margin
/// ```
package struct PreferenceLoss: Sendable, Hashable {
    /// Sums of an answer's token log-probabilities.
    package struct Completion: Sendable, Hashable {
        package var policy: Double
        package var reference: Double?
        package var tokens: Int

        package init(policy: Double, reference: Double? = nil, tokens: Int) {
            self.policy = policy
            self.reference = reference
            self.tokens = tokens
        }
    }

    package struct Pair: Sendable, Hashable {
        package var chosen: Completion
        package var rejected: Completion
        /// The judge's probability that `chosen` is the better; `odpo` alone takes it, nil is 1.
        package var preference: Double?
        /// How good each answer is; `dpo_offset` alone takes them.
        package var scores: Scores?

        package init(chosen: Completion, rejected: Completion, preference: Double? = nil, scores: Scores? = nil) {
            self.chosen = chosen
            self.rejected = rejected
            self.preference = preference
            self.scores = scores
        }
    }

    package struct Scores: Sendable, Hashable {
        package var chosen: Double
        package var rejected: Double

        package init(chosen: Double, rejected: Double) {
            self.chosen = chosen
            self.rejected = rejected
        }
    }

    /// What one pair gives.
    package struct Term: Sendable, Hashable {
        package var loss: Double
        /// Derivative of the loss by the policy's sum over the chosen answer's tokens.
        package var chosen: Double
        package var rejected: Double
        package var metrics: Metrics
    }

    package struct Metrics: Sendable, Hashable {
        /// β times the log-ratio; without a reference, β times the mean log-probability.
        package var chosenReward = 0.0
        package var rejectedReward = 0.0
        /// 1 if the chosen answer's reward is the larger.
        package var accuracy = 0.0
        /// The negative log-likelihood of a chosen token, whether it is part of the loss or not.
        package var nll = 0.0
        package var margin: Double { chosenReward - rejectedReward }
    }

    package let kind: Kind
    package let beta: Double
    package let options: Options

    /// - Throws: `.request` for a setting out of its range, or one that the kind does not take.
    package init(_ kind: Kind, beta: Double? = nil, options: Options = Options()) throws(Fault) {
        self.kind = kind
        self.beta = beta ?? kind.defaultBeta
        self.options = options
        try check()
    }

    package var labelSmoothing: Double { options.labelSmoothing ?? kind.defaultLabelSmoothing }
    package var nll: Double { options.nll ?? kind.defaultLikelihood }
    /// SimPO's γ.
    package var margin: Double { options.margin ?? beta / 2 }

    package func term(chosen: Completion, rejected: Completion, preference: Double? = nil, scores: Scores? = nil) throws(Fault) -> Term {
        try term(Pair(chosen: chosen, rejected: rejected, preference: preference, scores: scores))
    }

    /// One pair. A kind that spans its batch sees a batch of one.
    package func term(_ pair: Pair) throws(Fault) -> Term {
        try check(pair, named: "the pair")
        return try term(checked: pair).finite("the pair")
    }

    func term(checked pair: Pair) throws(Fault) -> Term {
        guard options.tailWeight == nil, !options.isWeighted else { throw .missing("the log-probability of each token", options.isWeighted ? "wpo" : "ld_dpo") }
        return withLikelihood(preferred(pair), pair)
    }

    /// Adds the chosen answer's negative log-likelihood, and the metrics.
    func withLikelihood(_ gradient: Gradient, _ pair: Pair) -> Term {
        let count = Double(pair.chosen.tokens)
        var term = Term(loss: gradient.loss, chosen: gradient.chosen, rejected: gradient.rejected, metrics: metrics(pair))
        if nll != 0 {
            term.loss += nll * term.metrics.nll
            term.chosen -= nll / count
        }
        return term
    }

    private func metrics(_ pair: Pair) -> Metrics {
        func reward(_ answer: Completion) -> Double {
            kind.needsReference ? beta * (answer.policy - (answer.reference ?? 0)) : beta * (answer.policy / Double(answer.tokens))
        }
        let chosen = reward(pair.chosen), rejected = reward(pair.rejected)
        return Metrics(chosenReward: chosen, rejectedReward: rejected, accuracy: chosen > rejected ? 1 : 0, nll: -pair.chosen.policy / Double(pair.chosen.tokens))
    }
}

extension PreferenceLoss.Term {
    /// Finite numbers of an absurd size can still have a square that is none.
    func finite(_ whom: String) throws(Fault) -> Self {
        guard loss.isFinite, chosen.isFinite, rejected.isFinite else { throw .notFinite("the loss", of: whom) }
        return self
    }
}

// MARK: - What is refused

extension PreferenceLoss {
    private func check() throws(Fault) {
        guard beta.isFinite, beta > 0 else { throw .setting("beta", beta, needs: "a finite number above 0") }
        if let given = options.labelSmoothing {
            guard kind.takesLabelSmoothing else { throw .combination("`\(kind.rawValue)` has no label smoothing", "leave `label_smoothing` out, or choose `cdpo` or `robust`") }
            guard given >= 0, given <= 0.5 else { throw .setting("label_smoothing", given, needs: "a number from 0 to 0.5") }
        }
        // Half of the labels flipped leaves nothing to learn, and a division by zero.
        guard kind != .robust || labelSmoothing < 0.5 else { throw .setting("label_smoothing", labelSmoothing, needs: "a number below 0.5") }
        guard kind != .exoPair || labelSmoothing > 0 else { throw .setting("label_smoothing", labelSmoothing, needs: "a number above 0, such as 0.001") }
        guard nll.isFinite, nll >= 0 else { throw .setting("nll", nll, needs: "a finite number, 0 or above") }
        guard margin.isFinite, margin >= 0 else { throw .setting("simpo_gamma", margin, needs: "a finite number, 0 or above") }
        guard options.offsetScale.isFinite, options.offsetScale >= 0 else { throw .setting("offset_scale", options.offsetScale, needs: "a finite number, 0 or above") }
        // Above 1 its exponential outgrows the weight that holds it down.
        guard options.temperature > 0, options.temperature <= 1 else { throw .setting("discopop_tau", options.temperature, needs: "a number above 0, at most 1") }
        if let weight = options.tailWeight, !(weight >= 0 && weight <= 1) { throw .setting("ld_alpha", weight, needs: "a number from 0 to 1") }
        if case .alpha(let alpha) = options.divergence, !alpha.isFinite { throw .setting("alpha", alpha, needs: "a finite number") }
        guard kind.takesDivergence || options.divergence == .reverseKL else {
            throw .combination("`\(kind.rawValue)` has no form for `\(options.divergence.name)`", "use `reverse_kl` with it, or `dpo` with this divergence")
        }
        guard !(kind.spansBatch && (options.isWeighted || options.tailWeight != nil)) else {
            throw .combination("`\(kind.rawValue)` sorts its batch, which would part a pair from its weights", "leave the weighting out, or choose `dpo`")
        }
        guard kind.needsReference || options.tailWeight == nil else { throw .combination("`\(kind.rawValue)` divides by length already", "leave `ld_alpha` out") }
    }

    func check(_ pair: Pair, named name: String) throws(Fault) {
        try check(pair.chosen, "the chosen answer of \(name)")
        try check(pair.rejected, "the rejected answer of \(name)")
        if let p = pair.preference {
            guard kind.takesPreference else { throw .combination("`\(kind.rawValue)` takes no probability of preference", "choose `odpo`, or leave it out") }
            guard p >= 0, p <= 1 else { throw .setting("preference", p, needs: "a number from 0 to 1") }
        }
        guard kind.needsScores else {
            guard pair.scores == nil else { throw .combination("`\(kind.rawValue)` takes no scores", "choose `dpo_offset`, or leave them out") }
            return
        }
        guard let scores = pair.scores else { throw .missing("the score of both answers", kind.rawValue) }
        guard scores.chosen.isFinite, scores.rejected.isFinite, scores.chosen > scores.rejected else {
            throw .combination("the chosen answer of \(name) does not have the higher score", "give finite scores, and leave ties out")
        }
        guard options.offset != .logRatio || scores.rejected > 0 else { throw .setting("score", scores.rejected, needs: "a number above 0 for `log_ratio`") }
    }

    private func check(_ answer: Completion, _ whom: String) throws(Fault) {
        guard answer.tokens > 0 else { throw .shape("\(whom) has no token") }
        guard answer.policy.isFinite else { throw .notFinite("the policy's log-probability", of: whom) }
        guard kind.needsReference else { return }
        guard let reference = answer.reference else { throw .missing("the reference's log-probability", kind.rawValue) }
        guard reference.isFinite else { throw .notFinite("the reference's log-probability", of: whom) }
    }
}
