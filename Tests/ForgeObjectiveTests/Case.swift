import ForgeCore
import ForgeObjective
import Testing

/// A case as Tests/Fixtures/objective/make.py writes it, and what we make of it: lists of numbers by name.
struct Case {
    let json: JSON

    var of: String { json["of"]?.string ?? "" }
    var kind: String { json["kind"]?.string ?? "" }
    var name: String { "\(of) \(kind) \(json["options"]?.text ?? "")" }

    func number(_ key: String) throws -> Double { try #require(json[key]?.number, "\(key) of \(name)") }
    func option(_ key: String) -> Double? { json["options"]?[key]?.number }
    func word(_ key: String) -> String? { json["options"]?[key]?.string }
    func numbers(_ key: String) throws -> [Double] { try Case.numbers(json[key]) }
    func rows(_ key: String) throws -> [[Double]] { try #require(json[key]?.array).map { try Case.numbers($0) } }

    /// Null is NaN.
    static func numbers(_ value: JSON?) throws -> [Double] { try #require(value?.array).map { $0 == .null ? .nan : try #require($0.number) } }

    func outcome() throws -> [String: [Double]] {
        switch of {
        case "preference": try preference()
        case "tokens": try tokens()
        case "unpaired": try unpaired()
        case "reward": try reward()
        case "advantages": try advantages()
        case "overlong": try overlong()
        case "policy": try policy()
        case "gae": try gae()
        case "value": try value()
        case "estimator": try estimator()
        case "token_rewards":
            ["rewards": try DivergenceEstimator.k1.rewards(
                score: number("score"), policy: numbers("policy"), reference: numbers("reference"), mask: Array(repeating: true, count: numbers("policy").count), beta: number("beta"))]
        default: try #require(nil, "\(of) is no case")
        }
    }

    private func loss() throws -> PreferenceLoss {
        var options = PreferenceLoss.Options()
        let kind = try #require(PreferenceLoss.Kind(rawValue: kind))
        // TRL's default is 0 for every kind; ours are the papers'.
        options.labelSmoothing = kind.takesLabelSmoothing ? option("label_smoothing") ?? 0 : nil
        options.nll = option("nll")
        options.margin = option("margin")
        options.offsetScale = option("offset_scale") ?? 1
        options.offset = try word("offset").map { try #require(.init(rawValue: $0)) } ?? .log
        options.temperature = option("tau") ?? 0.05
        options.isRescaled = json["options"]?["rescaled"] == true
        options.divergence = try word("divergence").map { try #require(.init(name: $0, alpha: option("alpha") ?? 0.5)) } ?? .reverseKL
        options.tailWeight = option("ld_alpha")
        options.isWeighted = json["options"]?["wpo"] == true
        return try PreferenceLoss(kind, beta: number("beta"), options: options)
    }

    private func preference() throws -> [String: [Double]] {
        let loss = try loss()
        let pairs = try #require(json["pairs"]?.array).map { pair in
            func answer(_ side: String) throws -> PreferenceLoss.Completion {
                let numbers = try Case.numbers(pair[side])
                return .init(policy: numbers[0], reference: loss.kind.needsReference ? numbers[1] : nil, tokens: Int(numbers[2]))
            }
            let scores = try pair["scores"].map { try Case.numbers($0) }
            return PreferenceLoss.Pair(
                chosen: try answer("chosen"), rejected: try answer("rejected"), preference: pair["preference"]?.number, scores: scores.map { .init(chosen: $0[0], rejected: $0[1]) })
        }
        let batch = try loss.batch(pairs), metrics = batch.metrics
        return ["loss": [batch.loss], "chosen": batch.chosen, "rejected": batch.rejected, "metrics": [metrics.chosenReward, metrics.rejectedReward, metrics.accuracy]]
    }

    private func tokens() throws -> [String: [Double]] {
        func answer(_ side: String) throws -> PreferenceLoss.Tokens {
            .init(policy: try Case.numbers(json[side]?["policy"]), reference: try Case.numbers(json[side]?["reference"]), logSumOfSquares: try Case.numbers(json[side]?["squares"]))
        }
        let term = try loss().term(chosen: answer("chosen"), rejected: answer("rejected"))
        return ["loss": [term.loss], "chosen": term.chosen, "rejected": term.rejected]
    }

    private func unpaired() throws -> [String: [Double]] {
        let weights = try numbers("weights"), mismatched = try rows("mismatched")
        let loss = try UnpairedLoss(try #require(.init(rawValue: kind)), beta: number("beta"), desirableWeight: weights[0], undesirableWeight: weights[1])
        let baseline = try UnpairedLoss.baseline(policy: mismatched[0], reference: mismatched[1])
        let batch = try loss.batch(try rows("examples").map { .init(policy: $0[0], reference: $0[1], isDesirable: $0[2] == 1) }, baseline: baseline)
        return ["loss": [batch.loss], "gradients": batch.gradients, "baseline": [batch.metrics.baseline], "margin": [try #require(batch.metrics.margin)]]
    }

    private func reward() throws -> [String: [Double]] {
        let chosen = try numbers("chosen"), rejected = try numbers("rejected"), margins = json["margin"] == nil ? nil : try numbers("margin")
        let loss = try RewardLoss(centring: json["centring"]?.number ?? 0), share = 1 / Double(chosen.count)
        let terms = try chosen.indices.map { try loss.term(chosen: chosen[$0], rejected: rejected[$0], margin: margins?[$0] ?? 0, share: share) }
        func sum(_ one: (RewardLoss.Term) -> Double) -> Double { terms.reduce(0) { $0 + one($1) } }
        return ["loss": [sum(\.loss)], "chosen": terms.map(\.chosen), "rejected": terms.map(\.rejected), "metrics": [sum(\.margin) * share, sum(\.accuracy) * share]]
    }

    private func advantages() throws -> [String: [Double]] {
        let found = try Advantages(try #require(.init(rawValue: kind)), rewards: try rows("groups"))
        return [
            "values": Array(found.values.joined()), "teaches": found.teaches.map { $0 ? 1 : 0 },
            "metrics": [try #require(found.metrics.mean), try #require(found.metrics.deviation), Double(found.metrics.unscored)],
        ]
    }

    private func overlong() throws -> [String: [Double]] {
        let penalty = try OverlongPenalty(limit: Int(number("limit")), buffer: Int(number("buffer")))
        return ["penalties": try numbers("tokens").map { penalty.penalty(tokens: Int($0)) }]
    }

    private func policy() throws -> [String: [Double]] {
        let kind = try #require(PolicyLoss.Kind(rawValue: kind))
        var options = PolicyLoss.Options()
        if let low = option("low"), let high = option("high") { options.clip = .init(low: low, high: high) }
        if kind == .cispo, let high = option("high") { options.weightMax = high }
        options.ratioMax = option("delta")
        options.dualClip = option("dual_clip")
        options.klWeight = option("kl_beta") ?? 0
        options.ratio = try word("ratio").map { try #require(.init(rawValue: $0)) }
        options.lengthLimit = option("length_limit").map { Int($0) }
        options.driftMax = option("drift_max")
        options.correction = try word("correction").map { try RolloutCorrection(try #require(.init(rawValue: $0)), least: option("rollout_min") ?? 0, most: option("rollout_max") ?? 3) }
        let rollouts = try #require(json["rollouts"]?.array).map { row in
            func list(_ key: String) throws -> [Double] { try Case.numbers(row[key]) }
            return Rollout(policy: try list("policy"), old: try list("old"), reference: try list("reference"), sampler: options.correction == nil ? nil : try list("sampler"),
                           mask: try list("mask").map { $0 == 1 }, advantages: try list("advantages"))
        }
        let totals = try json["totals"].map { try Case.numbers($0) }.map { StepTotals(sequences: Int($0[0]), tokens: Int($0[1])) }
        let batch = try PolicyLoss(kind, options: options).batch(rollouts, of: totals), metrics = batch.metrics
        let clipped = kind == .ppo ? [metrics.clippedLowShare + metrics.clippedHighShare] : [metrics.clippedLowShare, metrics.clippedHighShare]
        return ["loss": [batch.loss], "gradients": zip(batch.gradients, rollouts).flatMap { zip($0, $1.mask).filter(\.1).map(\.0) }, "clipped": clipped, "divergence": [metrics.meanDivergence]]
    }

    private func gae() throws -> [String: [Double]] {
        let masks = try rows("masks").map { $0.map { $0 == 1 } }, rewards = try rows("rewards"), values = try rows("values")
        let estimator = try AdvantageEstimator(discount: number("gamma"), trace: number("lambda"), whitens: json["whitens"] == true)
        let found = try estimator.estimate(masks.indices.map { .init(rewards: rewards[$0], values: values[$0], mask: masks[$0]) })
        func active(_ rows: [[Double]]) -> [Double] { zip(rows, masks).flatMap { zip($0, $1).filter(\.1).map(\.0) } }
        return ["advantages": active(found.advantages), "returns": active(found.returns)]
    }

    private func value() throws -> [String: [Double]] {
        let masks = try rows("masks").map { $0.map { $0 == 1 } }, values = try rows("values"), old = try rows("old"), returns = try rows("returns")
        let batch = try ValueLoss(clip: number("clip")).batch(masks.indices.map { .init(values: values[$0], old: old[$0], returns: returns[$0], mask: masks[$0]) })
        return ["loss": [batch.loss], "gradients": zip(batch.gradients, masks).flatMap { zip($0, $1).filter(\.1).map(\.0) }, "clipped": [Double(batch.clipped) / Double(batch.tokens)]]
    }

    private func estimator() throws -> [String: [Double]] {
        let estimator = try #require(DivergenceEstimator(rawValue: kind)), reference = try numbers("reference")
        // The slope as the loss of a policy whose advantage is nothing.
        var options = PolicyLoss.Options()
        (options.klWeight, options.klEstimator, options.aggregation) = (1, estimator, .sequenceSum)
        let policy = try numbers("policy"), batch = try PolicyLoss(.grpo, options: options).batch([.init(policy: policy, old: policy, reference: reference, advantage: 0)])
        return ["values": zip(policy, reference).map { estimator.value(policy: $0, reference: $1) }, "slopes": batch.gradients[0]]
    }
}
