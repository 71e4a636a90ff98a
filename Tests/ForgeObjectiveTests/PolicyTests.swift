import ForgeCore
import ForgeObjective
import Testing

@Suite struct PolicyTests {
    private func options(_ change: (inout PolicyLoss.Options) -> Void = { _ in }) -> PolicyLoss.Options {
        var options = PolicyLoss.Options()
        options.lengthLimit = 16
        change(&options)
        return options
    }

    /// The policy has not moved since it sampled: its gradient is that of REINFORCE, whatever the method.
    @Test(arguments: PolicyLoss.Kind.allCases)
    func `at the first step every ratio is exactly 1`(kind: PolicyLoss.Kind) throws {
        var random = Seeded(21)
        let rollouts = (0..<5).map { _ in
            var rollout = random.rollout()
            rollout.policy = rollout.old
            return rollout
        }
        let loss = try PolicyLoss(kind, options: options()), batch = try loss.batch(rollouts), totals = StepTotals(of: rollouts)
        #expect(batch.metrics.ratioMax == 1 && batch.metrics.meanRatio == 1 && batch.metrics.clippedLow + batch.metrics.clippedHigh == 0 && batch.metrics.drift == 0)
        for (rollout, gradients) in zip(rollouts, batch.gradients) {
            let tokens = Double(rollout.activeTokens), sequences = Double(totals.sequences)
            let share = switch loss.aggregation {
            case .sequenceMean: 1 / tokens / sequences
            case .tokenMean: 1 / Double(totals.tokens)
            case .sequenceSum: 1 / sequences
            case .lengthLimit: 1 / (sequences * 16)
            }
            for t in gradients.indices {
                // A product's derivative by each factor is the whole answer's, which a mean would have shared out.
                let expected = rollout.mask[t] ? -rollout.advantages[t] * share * (kind == .rloo ? tokens : 1) : 0
                #expect(abs(gradients[t] - expected) <= 1e-15 * abs(expected), "\(kind.rawValue)")
            }
        }
        if [.dapo, .bnpo, .ppo].contains(kind) {
            // Bit for bit where nothing is shared out by hand.
            for (rollout, gradients) in zip(rollouts, batch.gradients) where rollout.mask.allSatisfy({ $0 }) {
                #expect(gradients == rollout.advantages.map { -$0 * (1 / Double(totals.tokens)) })
            }
        }
    }

    @Test(arguments: PolicyLoss.Kind.allCases)
    func `a step in eight passes is the step in one`(kind: PolicyLoss.Kind) throws {
        var random = Seeded(22)
        let loss = try PolicyLoss(kind, options: options { $0.klWeight = 0.1 }), rollouts = (0..<8).map { _ in random.rollout() }
        let whole = try loss.batch(rollouts), totals = StepTotals(of: rollouts)
        for size in [1, 2, 3] {
            var gradients: [[Double]] = [], sum = 0.0, metrics = PolicyLoss.Metrics()
            for start in stride(from: 0, to: 8, by: size) {
                let part = try loss.batch(Array(rollouts[start..<min(start + size, 8)]), of: totals)
                gradients += part.gradients
                sum += part.loss
                metrics += part.metrics
            }
            #expect(gradients == whole.gradients && abs(sum - whole.loss) <= 1e-14 * max(1, abs(whole.loss)), "\(kind.rawValue) \(size)")
            #expect(metrics.tokens == whole.metrics.tokens && metrics.clippedHigh == whole.metrics.clippedHigh && abs(metrics.meanDivergence - whole.metrics.meanDivergence) < 1e-14)
        }
    }

    @Test(arguments: PolicyLoss.Kind.allCases)
    func `without an advantage nothing moves, and a masked token never does`(kind: PolicyLoss.Kind) throws {
        let wild = Rollout(policy: [-1, .nan, -2], old: [-1.5, .infinity, -2.5], mask: [true, false, true], advantages: [0, .nan, 0])
        let batch = try PolicyLoss(kind, options: options()).batch([wild])
        #expect(batch.gradients[0].allSatisfy { $0 == 0 } && batch.loss == 0 && batch.metrics.tokens == 2)
        let silent = Rollout(policy: [-1], old: [-1], mask: [false], advantage: 2), loud = Rollout(policy: [-1], old: [-1], advantage: 2)
        #expect(try PolicyLoss(kind, options: options()).batch([silent, loud]).gradients[0] == [0])
        #expect(throws: Fault.self) { try PolicyLoss(kind, options: options()).batch([silent]) }
    }

    @Test(arguments: PolicyLoss.Kind.allCases)
    func `nothing overflows`(kind: PolicyLoss.Kind) throws {
        let ends: [Double] = [-1000, -20, -1e-9, 0]
        for correction in kind == .vespo ? [] : RolloutCorrection.Mode.allCases {
            let loss = try PolicyLoss(kind, options: options { ($0.klWeight, $0.correction) = (0.1, try? RolloutCorrection(correction)) })
            for (policy, old, reference) in ends.flatMap({ a in ends.flatMap { b in ends.map { (a, b, $0) } } }) {
                for advantage in [-2.0, 0, 2] {
                    let batch = try loss.batch([Rollout(policy: [policy, -1], old: [old, -1], reference: [reference, -1], sampler: [reference, -1], advantage: advantage)])
                    #expect(batch.loss.isFinite && batch.gradients[0].allSatisfy(\.isFinite), "\(kind.rawValue) \(policy) \(old) \(reference)")
                }
            }
        }
        let far = try PolicyLoss(kind, options: options()).batch([Rollout(policy: [-1000, -1], old: [-0.1, -900], advantage: -1)])
        #expect(far.loss.isFinite && far.gradients[0].allSatisfy(\.isFinite))
    }

    @Test func `k3 beyond its bound goes on as a tangent that still pulls back`() throws {
        let near = DivergenceEstimator.k3.value(policy: -20, reference: 0), far = DivergenceEstimator.k3.value(policy: -1000, reference: 0)
        #expect(far.isFinite && far > near)
        let batch = try PolicyLoss(.grpo, options: options { $0.klWeight = 1 }).batch([Rollout(policy: [-1000], old: [-1000], reference: [-1], advantage: 0)])
        #expect(batch.gradients[0][0] < -1e8)
    }

    @Test func `a correction that finds nothing to correct changes no bit`() throws {
        var random = Seeded(23)
        let rollouts = (0..<4).map { _ in
            var rollout = random.rollout()
            rollout.sampler = rollout.old
            return rollout
        }
        let plain = try PolicyLoss(.grpo).batch(rollouts)
        for mode in RolloutCorrection.Mode.allCases {
            let batch = try PolicyLoss(.grpo, options: options { $0.correction = try? RolloutCorrection(mode) }).batch(rollouts)
            #expect(batch.gradients == plain.gradients && batch.metrics.uncorrected == 0)
        }
        var far = rollouts
        far[0].sampler = rollouts[0].old.map { $0 - 5 }
        let batch = try PolicyLoss(.grpo, options: options { $0.correction = try? RolloutCorrection(.sequenceMask) }).batch(far)
        #expect(batch.gradients[0].allSatisfy { $0 == 0 } && batch.gradients[1] == plain.gradients[1] && batch.metrics.uncorrected == rollouts[0].activeTokens)
    }

    @Test func `equal rewards teach exactly nothing, and a reward that was not given never spreads`() throws {
        for kind in Advantages.Kind.allCases {
            let equal = try Advantages(kind, rewards: [[0.1, 0.1, 0.1], [0.7], [.nan, .nan], [.nan, 0.3]])
            #expect(equal.values.joined().allSatisfy { $0 == 0 } && equal.teaches == [false, false, false, false] && equal.metrics.silentGroups == 4 && equal.metrics.unscored == 3)
            // The unscored answer is as if it had not been sampled.
            let with = try Advantages(kind, rewards: [[1, .nan, 0, 0.5], [0, 1, 0.25, .nan]]), without = try Advantages(kind, rewards: [[1, 0, 0.5], [0, 1, 0.25]])
            #expect(with.values[0] == [without.values[0][0], 0, without.values[0][1], without.values[0][2]] && with.values[1] == without.values[1] + [0], "\(kind.rawValue)")
            #expect(with.metrics.unscored == 2 && with.metrics.mean == without.metrics.mean && with.teaches == [true, true])
        }
        #expect(try Advantages(.rloo, rewards: [[1, 0, 0.5]]).values == [[0.75, -0.75, 0]])
        #expect(try Advantages(.drGRPO, rewards: [[1, 0], [3, 2, 1]]).values == [[0.5, -0.5], [1, 0, -1]])
    }

    @Test func `an advantage that is whitened has mean 0 and variance 1`() throws {
        var random = Seeded(24)
        let rows = (0..<5).map { _ in AdvantageEstimator.Trajectory(rewards: random.list(6, -1...1), values: random.list(6, -1...1), mask: [true, false, true, true, true, false]) }
        let found = try AdvantageEstimator().estimate(rows), active = zip(found.advantages, rows).flatMap { zip($0, $1.mask).filter(\.1).map(\.0) }
        let mean = active.reduce(0, +) / Double(active.count), variance = active.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(active.count - 1)
        #expect(abs(mean) < 1e-14 && abs(variance - 1) < 1e-6)
        #expect(found.advantages.allSatisfy { $0[1] == 0 && $0[5] == 0 })
        // λ = 1 and γ = 1: what was still to come, less what was expected.
        let plain = try AdvantageEstimator(discount: 1, trace: 1, whitens: false).estimate([.init(rewards: [0, 0, 1], values: [0.5, 0.25, 0.75], mask: [true, true, true])])
        #expect(plain.advantages == [[0.5, 0.75, 0.25]] && plain.returns == [[1, 1, 1]])
        #expect(try AdvantageEstimator().estimate([.init(rewards: [1], values: [0], mask: [true])]).advantages == [[0]])
    }

    @Test func `the reward at the end carries the divergence of the way`() throws {
        let rewards = try DivergenceEstimator.k1.rewards(score: 1, policy: [-1, -5, -2, -9], reference: [-2, 0, -1, 0], mask: [true, false, true, false], beta: 0.5)
        #expect(rewards == [-0.5, 0, 1.5, 0])
        #expect(try DivergenceEstimator.k1.penalty(policy: [-1, -5], reference: [-2, 0], mask: [true, false], beta: 0.5) == -0.5)
    }

    @Test func `a number that is none is refused, by the sequence and token it stands at`() throws {
        let good = Rollout(policy: [-1, -2], old: [-1, -2], reference: [-1, -2], sampler: [-1, -2], advantage: 1)
        for path in [\Rollout.policy, \.old, \.advantages] {
            var bad = good
            bad[keyPath: path][1] = .nan
            let fault = #expect(throws: Fault.self) { try PolicyLoss(.grpo).batch([good, bad]) }
            #expect(fault?.kind == .environment && fault?.code == "objective.not-finite" && fault?.why.contains("token 1 of sequence 1") == true)
        }
        let reward = #expect(throws: Fault.self) { try Advantages(.grpo, rewards: [[1, 0], [1, .infinity]]) }
        #expect(reward?.kind == .request && reward?.why.contains("answer 1 in group 1") == true)
        #expect(throws: Fault.self) { try AdvantageEstimator().estimate([.init(rewards: [.nan], values: [0], mask: [true])]) }
        #expect(throws: Fault.self) { try ValueLoss().batch([.init(values: [.nan], old: [0], returns: [0])]) }
        #expect(throws: Fault.self) { try ValueLoss().batch([.init(values: [1e200], old: [0], returns: [0])]) }
        let absurd = Rollout(policy: [-1e200], old: [-1e200], reference: [-1], advantage: 1)
        #expect(throws: Fault.self) { try PolicyLoss(.grpo, options: options { ($0.klWeight, $0.klEstimator) = (1, .k2) }).batch([good, absurd]) }
    }

    @Test func `what cannot be meant is refused`() throws {
        func refuses(_ code: String, _ body: () throws -> Void, location: SourceLocation = #_sourceLocation) {
            let fault = #expect(throws: Fault.self, sourceLocation: location) { try body() }
            #expect(fault?.kind == .request && fault?.code == code && fault?.remedy.isEmpty == false, "\(fault?.message ?? "")", sourceLocation: location)
        }
        let one = Rollout(policy: [-1], old: [-1], advantage: 1)
        refuses("objective.missing") { _ = try PolicyLoss(.drGRPO) }
        refuses("objective.setting") { _ = try PolicyLoss(.grpo, options: options { $0.clip = .init(low: 1, high: 0.2) }) }
        refuses("objective.setting") { _ = try PolicyLoss(.grpo, options: options { $0.ratioMax = 1.1 }) }
        refuses("objective.combination") { _ = try PolicyLoss(.cispo, options: options { $0.dualClip = 3 }) }
        refuses("objective.combination") { _ = try PolicyLoss(.vespo, options: options { $0.correction = try? RolloutCorrection() }) }
        refuses("objective.missing") { _ = try PolicyLoss(.grpo, options: options { $0.klWeight = 0.1 }).batch([one]) }
        refuses("objective.missing") { _ = try PolicyLoss(.grpo, options: options { $0.correction = try? RolloutCorrection() }).batch([one]) }
        refuses("objective.shape") { _ = try PolicyLoss(.grpo).batch([Rollout(policy: [-1], old: [-1, -2], advantage: 1)]) }
        refuses("objective.shape") { _ = try PolicyLoss(.grpo).batch([one], of: StepTotals(sequences: 1, tokens: 0)) }
        refuses("objective.shape") { _ = try PolicyLoss(.grpo).batch([]) }
        refuses("objective.shape") { _ = try Advantages(.grpo, rewards: [[1], []]) }
        refuses("objective.setting") { _ = try OverlongPenalty(limit: 10, buffer: 0) }
        refuses("objective.setting") { _ = try RolloutCorrection(most: 0.5) }
        refuses("objective.setting") { _ = try AdvantageEstimator(discount: 1.1) }
        refuses("objective.setting") { _ = try ValueLoss(clip: 0) }
        refuses("objective.shape") { _ = try DivergenceEstimator.k1.rewards(score: 1, policy: [-1], reference: [-1], mask: [false], beta: 0.1) }
    }
}
