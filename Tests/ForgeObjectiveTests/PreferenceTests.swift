import ForgeCore
import ForgeObjective
import Glibc
import Testing

@Suite struct PreferenceTests {
    private let chosen = PreferenceLoss.Completion(policy: -41.5, reference: -40, tokens: 17), rejected = PreferenceLoss.Completion(policy: -63, reference: -60, tokens: 25)

    private func options(_ change: (inout PreferenceLoss.Options) -> Void) -> PreferenceLoss.Options {
        var options = PreferenceLoss.Options()
        change(&options)
        return options
    }

    @Test func `what generalises DPO gives its very bits where it adds nothing`() throws {
        let dpo = try PreferenceLoss(.sigmoid, beta: 0.1).term(chosen: chosen, rejected: rejected)
        #expect(abs(dpo.loss - log(1 + exp(-0.15))) < 1e-15)
        let same: [(PreferenceLoss.Kind, PreferenceLoss.Options, Double?, PreferenceLoss.Scores?)] = [
            (.robust, options { $0.labelSmoothing = 0 }, nil, nil), (.conservative, options { $0.labelSmoothing = 0 }, nil, nil), (.online, .init(), 1, nil), (.online, .init(), nil, nil),
            (.dpoOffset, options { $0.offsetScale = 0 }, nil, .init(chosen: 5, rejected: 1)), (.dpoOffset, .init(), nil, .init(chosen: 3, rejected: 2)),
            (.aot, .init(), nil, nil), (.aotUnpaired, .init(), nil, nil), (.sigmoid, options { $0.divergence = .alpha(1) }, nil, nil),
        ]
        for (kind, options, preference, scores) in same {
            let term = try PreferenceLoss(kind, beta: 0.1, options: options).term(chosen: chosen, rejected: rejected, preference: preference, scores: scores)
            #expect(term == dpo, "\(kind.rawValue)")
        }
    }

    @Test func `as β vanishes the loss is log 2 and nothing moves`() throws {
        let term = try PreferenceLoss(.sigmoid, beta: 1e-12).term(chosen: chosen, rejected: rejected)
        #expect(abs(term.loss - M_LN2) < 1e-11 && abs(term.chosen) < 1e-12 && abs(term.rejected) < 1e-12)
    }

    @Test func `a judge without a preference pulls the margin to nothing, whoever is named first`() throws {
        let loss = try PreferenceLoss(.online, beta: 0.1)
        let one = try loss.term(chosen: chosen, rejected: rejected, preference: 0.3), other = try loss.term(chosen: rejected, rejected: chosen, preference: 0.7)
        #expect(abs(one.loss - other.loss) < 1e-15 && abs(one.chosen - other.rejected) < 1e-15)
        let even = try loss.term(chosen: chosen, rejected: chosen, preference: 0.5)
        #expect(even.chosen == 0 && even.rejected == 0)
        let rescaled = try PreferenceLoss(.online, beta: 0.1, options: options { $0.isRescaled = true }).term(chosen: chosen, rejected: rejected, preference: 0.3)
        #expect(rescaled.loss == one.loss / 0.1 && abs(rescaled.chosen - one.chosen / 0.1) < 1e-15)
    }

    @Test func `rewards, margin and accuracy are of the log-ratios`() throws {
        let metrics = try PreferenceLoss(.sigmoid, beta: 0.1).term(chosen: chosen, rejected: rejected).metrics
        #expect(abs(metrics.chosenReward + 0.15) < 1e-15 && abs(metrics.rejectedReward + 0.3) < 1e-15 && abs(metrics.margin - 0.15) < 1e-15)
        #expect(metrics.accuracy == 1 && abs(metrics.nll - 41.5 / 17) < 1e-15)
    }

    /// Log-ratios and odds as far as a broken run takes them.
    @Test(arguments: PreferenceLoss.Kind.allCases)
    func `nothing overflows`(kind: PreferenceLoss.Kind) throws {
        let ends: [Double] = [-1000, -30, -1e-9, 0]
        var settings = [PreferenceLoss.Options()]
        if kind.takesDivergence { settings += [Divergence.forwardKL, .jensenShannon, .alpha(0.3), .alpha(2)].map { divergence in options { $0.divergence = divergence } } }
        for setting in settings {
            let loss = try PreferenceLoss(kind, beta: 1, options: setting)
            for (c, r, cr, rr) in ends.flatMap({ a in ends.flatMap { b in ends.flatMap { c in ends.map { (a, b, c, $0) } } } }) {
                let term = try loss.term(
                    chosen: .init(policy: c, reference: cr, tokens: 3), rejected: .init(policy: r, reference: rr, tokens: 5), scores: kind.needsScores ? .init(chosen: 2, rejected: 1) : nil)
                #expect(term.loss.isFinite && term.chosen.isFinite && term.rejected.isFinite, "\(kind.rawValue) \(setting.divergence.name) \(c) \(r) \(cr) \(rr)")
            }
        }
    }

    @Test(arguments: PreferenceLoss.Kind.allCases.filter { !$0.spansBatch })
    func `a step in eight passes is the step in one`(kind: PreferenceLoss.Kind) throws {
        var random = Seeded(11)
        let loss = try PreferenceLoss(kind), pairs = (0..<8).map { _ in random.pair(kind) }, whole = try loss.batch(pairs)
        let parts = try pairs.map { try loss.batch([$0], of: 8) }
        #expect(parts.flatMap(\.chosen) == whole.chosen && parts.flatMap(\.rejected) == whole.rejected)
        #expect(abs(parts.reduce(0) { $0 + $1.loss } - whole.loss) <= 1e-14 * abs(whole.loss))
    }

    @Test func `KTO's passes share one divergence, which no derivative sees`() throws {
        let z = try UnpairedLoss.baseline(policy: [-10, -11], reference: [-12, -12])
        #expect(z == 1.5)
        #expect(try UnpairedLoss.baseline(policy: [-13], reference: [-12]) == 0)
        let loss = try UnpairedLoss(), examples = (0..<8).map { UnpairedLoss.Example(policy: -Double($0), reference: -3.5, isDesirable: $0 < 3) }
        let whole = try loss.batch(examples, baseline: z), parts = try examples.map { try loss.batch([$0], baseline: z, of: 8) }
        #expect(parts.flatMap(\.gradients) == whole.gradients && abs(parts.reduce(0) { $0 + $1.loss } - whole.loss) < 1e-15)
        #expect(whole.metrics.desirable == 3 && whole.metrics.undesirable == 5)
        let even = try loss.batch([.init(policy: -2, reference: -3.5, isDesirable: true)], baseline: 1.5)
        #expect(even.loss == 0.5 && even.gradients == [-0.1 / 4])
    }

    @Test func `what a kind needs is known before it runs`() {
        #expect(PreferenceLoss.Kind.allCases.filter { !$0.needsReference } == [.simpo, .orpo])
        #expect(PreferenceLoss.Kind.allCases.filter(\.needsLengths) == [.sigmoidNorm, .ipo, .simpo, .orpo])
        #expect(PreferenceLoss.Kind(rawValue: "dpo")?.defaultBeta == 0.1 && PreferenceLoss.Kind(rawValue: "dpo_norm")?.defaultBeta == 5)
    }

    @Test func `a number that is none is refused, by the name of whose it is`() throws {
        let loss = try PreferenceLoss(.sigmoid), good = PreferenceLoss.Pair(chosen: chosen, rejected: rejected)
        for bad in [Double.nan, .infinity, -.infinity] {
            var pair = good
            pair.rejected.policy = bad
            let fault = #expect(throws: Fault.self) { try loss.batch([good, good, pair]) }
            #expect(fault?.kind == .environment && fault?.code == "objective.not-finite" && fault?.why.contains("rejected answer of pair 2") == true && fault?.remedy.isEmpty == false)
            pair = good
            pair.chosen.reference = bad
            #expect(throws: Fault.self) { try loss.term(pair) }
            let unpaired = #expect(throws: Fault.self) { try UnpairedLoss(.apoZero).batch([.init(policy: bad, reference: 0, isDesirable: true)]) }
            #expect(unpaired?.kind == .environment && unpaired?.why.contains("answer 0") == true)
            #expect(throws: Fault.self) { try RewardLoss().term(chosen: bad, rejected: 0) }
        }
        // Finite, but not what is made of them.
        let absurd = PreferenceLoss.Completion(policy: -1e200, reference: 0, tokens: 1)
        #expect(throws: Fault.self) { try PreferenceLoss(.ipo).term(chosen: absurd, rejected: rejected) }
        #expect(throws: Fault.self) { try PreferenceLoss(.sppoHard).batch([.init(chosen: absurd, rejected: rejected)]) }
        #expect(throws: Fault.self) { try RewardLoss(centring: 1).term(chosen: 1e200, rejected: 0) }
        let weighed = PreferenceLoss.Tokens(policy: [-1], reference: [-1], logSumOfSquares: [-2000])
        #expect(throws: Fault.self) { try PreferenceLoss(.sigmoid, options: options { $0.isWeighted = true }).term(chosen: weighed, rejected: weighed) }
    }

    @Test func `what cannot be meant is refused`() throws {
        func refuses(_ code: String, _ body: () throws -> Void, location: SourceLocation = #_sourceLocation) {
            let fault = #expect(throws: Fault.self, sourceLocation: location) { try body() }
            #expect(fault?.kind == .request && fault?.code == code && fault?.remedy.isEmpty == false, "\(fault?.message ?? "")", sourceLocation: location)
        }
        for beta in [0, -1, Double.nan, .infinity] { refuses("objective.setting") { _ = try PreferenceLoss(.sigmoid, beta: beta) } }
        refuses("objective.setting") { _ = try PreferenceLoss(.robust, options: options { $0.labelSmoothing = 0.5 }) }
        refuses("objective.setting") { _ = try PreferenceLoss(.exoPair, options: options { $0.labelSmoothing = 0 }) }
        refuses("objective.setting") { _ = try PreferenceLoss(.discopop, options: options { $0.temperature = 2 }) }
        refuses("objective.combination") { _ = try PreferenceLoss(.sigmoid, options: options { $0.labelSmoothing = 0.1 }) }
        refuses("objective.combination") { _ = try PreferenceLoss(.apoZero, options: options { $0.divergence = .forwardKL }) }
        refuses("objective.combination") { _ = try PreferenceLoss(.aot, options: options { $0.isWeighted = true }) }
        refuses("objective.combination") { _ = try PreferenceLoss(.sigmoid).term(chosen: chosen, rejected: rejected, preference: 0.5) }
        refuses("objective.combination") { _ = try PreferenceLoss(.sigmoid).term(chosen: chosen, rejected: rejected, scores: .init(chosen: 2, rejected: 1)) }
        refuses("objective.missing") { _ = try PreferenceLoss(.dpoOffset).term(chosen: chosen, rejected: rejected) }
        refuses("objective.combination") { _ = try PreferenceLoss(.dpoOffset).term(chosen: chosen, rejected: rejected, scores: .init(chosen: 1, rejected: 1)) }
        refuses("objective.setting") { _ = try PreferenceLoss(.online).term(chosen: chosen, rejected: rejected, preference: 1.1) }
        refuses("objective.missing") { _ = try PreferenceLoss(.sigmoid).term(chosen: .init(policy: -1, tokens: 1), rejected: rejected) }
        refuses("objective.shape") { _ = try PreferenceLoss(.sigmoid).term(chosen: .init(policy: -1, reference: -1, tokens: 0), rejected: rejected) }
        refuses("objective.shape") { _ = try PreferenceLoss(.sigmoid).batch([]) }
        refuses("objective.shape") { _ = try PreferenceLoss(.sigmoid).batch([.init(chosen: chosen, rejected: rejected)], of: 0) }
        refuses("objective.missing") { _ = try PreferenceLoss(.sigmoid, options: options { $0.tailWeight = 0.5 }).term(chosen: chosen, rejected: rejected) }
        refuses("objective.missing") { _ = try UnpairedLoss(.kto).batch([.init(policy: -1, reference: -1, isDesirable: true)]) }
        refuses("objective.shape") { _ = try UnpairedLoss.baseline(policy: [1], reference: []) }
        refuses("objective.setting") { _ = try RewardLoss().term(chosen: 1, rejected: 0, margin: -1) }
    }
}
