import ForgeCore
import ForgeData
import ForgeNN
import ForgeObjective

/// A preference loss on a pass: from the log-probability of each row to the loss's derivative by it.
struct PairObjective {
    /// What is known of a pair before the pass.
    struct Pair {
        var sequences: [LearntSequence]
        /// By answer, of each token; nil for a loss without a reference.
        var reference: [[Float]]?
        /// A judge's probability that the first is the better; nil is 1.
        var preference: Double?
        var scores: PreferenceLoss.Scores?
    }

    private let loss: PreferenceLoss
    private(set) var value = 0.0
    private var accuracy = 0.0, chosen = 0.0, rejected = 0.0, nll = 0.0

    init(_ loss: PreferenceLoss) { self.loss = loss }

    /// Adds the gradient of some of a step's pairs.
    /// - Parameters:
    ///   - total: pairs of the step.
    ///   - targets: learnt tokens of the step.
    /// - Returns: the rows of the pass.
    mutating func teach(_ pairs: [Pair], _ decoder: Decoder, of total: Int, targets: Int) throws(Fault) -> Int {
        let sequences = pairs.flatMap(\.sequences), batch = TokenBatch(sequences), places = LearntRows.places(sequences)
        try decoder.forwardBackward(batch, share: 1 / Float(targets)) { (logp) throws(Fault) in
            LearntRows.spread(try derivatives(pairs, places.map { $0.map { Double(logp[$0]) } }, of: total), over: places, of: logp.count)
        }
        return batch.rows
    }

    /// By answer, the loss's derivative by each of its tokens.
    /// - Parameter policy: by answer, each token's log-probability.
    private mutating func derivatives(_ pairs: [Pair], _ policy: [[Double]], of total: Int) throws(Fault) -> [[Double]] {
        guard loss.options.tailWeight == nil else {
            // Tokens are weighed each by itself.
            var out: [[Double]] = []
            for (at, pair) in pairs.enumerated() {
                func answer(_ side: Int) -> PreferenceLoss.Tokens { .init(policy: policy[2 * at + side], reference: pair.reference.map { $0[side].map(Double.init) }) }
                let term = try loss.term(chosen: answer(0), rejected: answer(1), preference: pair.preference, scores: pair.scores), share = 1 / Double(total)
                value += term.loss * share
                add(term.metrics, times: 1)
                out += [term.chosen.map { $0 * share }, term.rejected.map { $0 * share }]
            }
            return out
        }
        let batch = try loss.batch(
            pairs.enumerated().map { at, pair in
                func answer(_ side: Int) -> PreferenceLoss.Completion {
                    .init(policy: policy[2 * at + side].reduce(0, +), reference: pair.reference.map { $0[side].reduce(0) { $0 + Double($1) } }, tokens: policy[2 * at + side].count)
                }
                return .init(chosen: answer(0), rejected: answer(1), preference: pair.preference, scores: pair.scores)
            }, of: total)
        value += batch.loss
        add(batch.metrics, times: pairs.count)
        return zip(batch.chosen, batch.rejected).enumerated().flatMap { at, sides in
            [Array(repeating: sides.0, count: policy[2 * at].count), Array(repeating: sides.1, count: policy[2 * at + 1].count)]
        }
    }

    private mutating func add(_ mean: PreferenceLoss.Metrics, times count: Int) {
        accuracy += mean.accuracy * Double(count)
        chosen += mean.chosenReward * Double(count)
        rejected += mean.rejectedReward * Double(count)
        nll += mean.nll * Double(count)
    }

    /// Over the pairs of the step; nothing where there was none.
    func measures(_ pairs: Int) -> [String: Double] {
        guard pairs > 0 else { return [:] }
        let count = Double(pairs)
        return ["accuracy": accuracy / count, "chosen_reward": chosen / count, "rejected_reward": rejected / count, "margin": (chosen - rejected) / count, "nll": nll / count]
    }
}
