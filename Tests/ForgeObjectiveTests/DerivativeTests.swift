import ForgeCore
import ForgeObjective
import Testing

/// The plain twin of every derivative: the difference quotient of the loss.
@Suite struct DerivativeTests {
    private static func losses(_ kind: PreferenceLoss.Kind) throws -> [PreferenceLoss] {
        var settings = [PreferenceLoss.Options()]
        func add(_ change: (inout PreferenceLoss.Options) -> Void) {
            var options = PreferenceLoss.Options()
            change(&options)
            settings.append(options)
        }
        add { $0.nll = 0.3 }
        if kind.takesLabelSmoothing { add { $0.labelSmoothing = 0.2 } }
        if kind.takesDivergence { for divergence in [Divergence.forwardKL, .jensenShannon, .alpha(0.4), .alpha(2)] { add { $0.divergence = divergence } } }
        if kind == .online { add { $0.isRescaled = true } }
        if kind == .dpoOffset { for offset in PreferenceLoss.Offset.allCases { add { ($0.offset, $0.offsetScale) = (offset, 0.5) } } }
        return try settings.map { try PreferenceLoss(kind, options: $0) }
    }

    @Test(arguments: PreferenceLoss.Kind.allCases)
    func `a pair's derivatives are its loss's slopes`(kind: PreferenceLoss.Kind) throws {
        var random = Seeded(1)
        for loss in try Self.losses(kind) {
            for round in 0..<20 {
                let pair = random.pair(kind), term = try loss.term(pair)
                let note = "\(kind.rawValue) \(loss.options.divergence.name) \(round)"
                func moved(_ path: WritableKeyPath<PreferenceLoss.Pair, Double>, _ x: Double) throws -> Double {
                    var pair = pair
                    pair[keyPath: path] = x
                    return try loss.term(pair).loss
                }
                // A hinge has no slope where it bends.
                if kind == .hinge, abs(term.loss) < 1e-4 { continue }
                try expect(term.chosen, isSlopeOf: { try moved(\.chosen.policy, $0) }, at: pair.chosen.policy, "\(note), chosen")
                try expect(term.rejected, isSlopeOf: { try moved(\.rejected.policy, $0) }, at: pair.rejected.policy, "\(note), rejected")
            }
        }
    }

    @Test(arguments: [PreferenceLoss.Kind.aot, .aotUnpaired, .sigmoid, .orpo])
    func `a batch's derivatives are its loss's slopes, sorted or not`(kind: PreferenceLoss.Kind) throws {
        var random = Seeded(2), options = PreferenceLoss.Options()
        options.nll = 0.1
        let loss = try PreferenceLoss(kind, beta: 0.3, options: options), pairs = (0..<6).map { _ in random.pair(kind) }, batch = try loss.batch(pairs, of: 9)
        for i in pairs.indices {
            for (path, slope) in [(\PreferenceLoss.Pair.chosen.policy, batch.chosen[i]), (\.rejected.policy, batch.rejected[i])] {
                let moved = { (x: Double) in
                    var pairs = pairs
                    pairs[i][keyPath: path] = x
                    return try loss.batch(pairs, of: 9).loss
                }
                try expect(slope, isSlopeOf: moved, at: pairs[i][keyPath: path], "\(kind.rawValue) \(i)")
            }
        }
    }

    @Test func `a token's derivative is the loss's slope where tokens are weighed`() throws {
        var random = Seeded(3), options = PreferenceLoss.Options()
        (options.tailWeight, options.nll) = (0.3, 0.2)
        let loss = try PreferenceLoss(.sigmoid, beta: 0.5, options: options)
        let long = PreferenceLoss.Tokens(policy: random.list(6, -3 ... -0.1), reference: random.list(6, -3 ... -0.1))
        let short = PreferenceLoss.Tokens(policy: random.list(4, -3 ... -0.1), reference: random.list(4, -3 ... -0.1))
        for (chosen, rejected) in [(long, short), (short, long)] {
            let term = try loss.term(chosen: chosen, rejected: rejected)
            for t in chosen.policy.indices {
                let moved = { (x: Double) in
                    var chosen = chosen
                    chosen.policy[t] = x
                    return try loss.term(chosen: chosen, rejected: rejected).loss
                }
                try expect(term.chosen[t], isSlopeOf: moved, at: chosen.policy[t], "chosen token \(t)")
            }
            for t in rejected.policy.indices {
                let moved = { (x: Double) in
                    var rejected = rejected
                    rejected.policy[t] = x
                    return try loss.term(chosen: chosen, rejected: rejected).loss
                }
                try expect(term.rejected[t], isSlopeOf: moved, at: rejected.policy[t], "rejected token \(t)")
            }
        }
    }

    @Test(arguments: UnpairedLoss.Kind.allCases)
    func `a single answer's derivative is the loss's slope`(kind: UnpairedLoss.Kind) throws {
        var random = Seeded(4)
        let loss = try UnpairedLoss(kind, beta: 0.2, desirableWeight: 1.2, undesirableWeight: 0.6)
        let examples = (0..<6).map { UnpairedLoss.Example(policy: random.number(-20 ... -10), reference: random.number(-20 ... -10), isDesirable: $0 % 2 == 0) }
        let batch = try loss.batch(examples, baseline: 0.7, of: 8)
        for i in examples.indices {
            let moved = { (x: Double) in
                var examples = examples
                examples[i].policy = x
                return try loss.batch(examples, baseline: 0.7, of: 8).loss
            }
            try expect(batch.gradients[i], isSlopeOf: moved, at: examples[i].policy, "answer \(i)")
        }
    }

    @Test func `a reward's derivative is the loss's slope`() throws {
        var random = Seeded(5)
        let loss = try RewardLoss(centring: 0.01)
        for _ in 0..<20 {
            let (c, r, m) = (random.number(-5...5), random.number(-5...5), random.number(0...2)), term = try loss.term(chosen: c, rejected: r, margin: m, share: 0.25)
            try expect(term.chosen, isSlopeOf: { try loss.term(chosen: $0, rejected: r, margin: m, share: 0.25).loss }, at: c, "chosen")
            try expect(term.rejected, isSlopeOf: { try loss.term(chosen: c, rejected: $0, margin: m, share: 0.25).loss }, at: r, "rejected")
        }
    }

    /// Kinds whose loss has a constant weight in it (`cispo`, `vespo`) have no loss whose slope is their derivative; their golden vectors are autograd's.
    @Test(arguments: PolicyLoss.Kind.allCases.filter { $0 != .cispo && $0 != .vespo })
    func `a sampled token's derivative is the loss's slope`(kind: PolicyLoss.Kind) throws {
        var random = Seeded(6)
        for (klWeight, estimator, aggregation) in [(0, DivergenceEstimator.k3, nil), (0.3, .k3, PolicyLoss.Aggregation.sequenceSum), (0.3, .k2, .tokenMean), (0.1, .k1, .lengthLimit)] {
            var options = PolicyLoss.Options()
            (options.klWeight, options.klEstimator, options.aggregation, options.lengthLimit) = (klWeight, estimator, aggregation, 32)
            if kind.clips { (options.clip, options.ratioMax, options.dualClip) = (.init(low: 0.2, high: 0.3), 1.6, 1.5) }
            options.correction = try RolloutCorrection(.tokenTruncate, most: 1.2)
            let loss = try PolicyLoss(kind, options: options), rollouts = (0..<4).map { _ in random.rollout() }
            let batch = try loss.batch(rollouts)
            for (i, rollout) in rollouts.enumerated() {
                for t in rollout.policy.indices {
                    guard rollout.mask[t] else {
                        #expect(batch.gradients[i][t] == 0)
                        continue
                    }
                    let moved = { (x: Double) in
                        var rollouts = rollouts
                        rollouts[i].policy[t] = x
                        return try loss.batch(rollouts).loss
                    }
                    try expect(batch.gradients[i][t], isSlopeOf: moved, at: rollout.policy[t], "\(kind.rawValue) \(i) \(t)")
                }
            }
        }
    }

    @Test func `a value's derivative is the loss's slope`() throws {
        var random = Seeded(7)
        let loss = try ValueLoss(clip: 0.2)
        let rows = (0..<4).map { _ in ValueLoss.Sequence(values: random.list(5, -1...1), old: random.list(5, -1...1), returns: random.list(5, -1...1), mask: [true, true, false, true, true]) }
        let batch = try loss.batch(rows, of: 50)
        #expect(batch.clipped > 0)
        for i in rows.indices {
            for t in rows[i].values.indices {
                let moved = { (x: Double) in
                    var rows = rows
                    rows[i].values[t] = x
                    return try loss.batch(rows, of: 50).loss
                }
                try expect(batch.gradients[i][t], isSlopeOf: moved, at: rows[i].values[t], "value \(i) \(t)")
            }
        }
    }
}
