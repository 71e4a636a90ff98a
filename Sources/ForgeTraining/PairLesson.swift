import ForgeCore
import ForgeData
import ForgeNN
import ForgeObjective

/// Two answers to each prompt, the first preferred: direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290) and its relatives (`PreferenceLoss.Kind`).
struct PairLesson: Lesson {
    private var pairs: SampleCursor
    private let recipe: Recipe
    private let objective: PreferenceLoss
    /// Nil for a loss without one.
    private let reference: ReferenceScores?

    init(_ pairs: SampleCursor, _ recipe: Recipe, _ objective: PreferenceLoss, _ reference: ReferenceScores?) {
        self.pairs = pairs
        self.recipe = recipe
        self.objective = objective
        self.reference = reference
    }

    var cursor: BatchCursor.State { pairs.state }
    mutating func resume(at state: BatchCursor.State) throws(Fault) { try pairs.resume(at: state) }

    mutating func step(_ learner: Learner, number: Int) throws(Fault) -> Taught {
        let units = pairs.next(recipe.sequencesPerStep), shard = pairs.shard
        var taught = Taught(loss: 0, targets: units.joined().reduce(0) { $0 + shard.sequences[$1].targetCount }, rows: 0), metrics = Sums()
        for first in stride(from: 0, to: units.count, by: recipe.sequencesPerPass) {
            let some = units[first..<min(units.count, first + recipe.sequencesPerPass)], sequences = some.joined().map { shard.sequences[$0] }, batch = TokenBatch(sequences)
            try learner.decoder.forwardBackward(batch, share: 1 / Float(taught.targets)) { (logp) throws(Fault) in
                let places = LearntRows.places(sequences), derivatives = try derivatives(Array(some), places.map { $0.map { Double(logp[$0]) } }, of: units.count, &taught.loss, &metrics)
                var out = [Float](repeating: 0, count: logp.count)
                for (rows, values) in zip(places, derivatives) { for (row, value) in zip(rows, values) { out[row] = Float(value) } }
                return out
            }
            taught.rows += batch.rows
        }
        taught.measures = metrics.means(units.count)
        return taught
    }

    /// By answer, the loss's derivative by each of its tokens.
    /// - Parameter policy: by answer, each token's log-probability.
    private func derivatives(_ units: [[Int]], _ policy: [[Double]], of total: Int, _ loss: inout Double, _ metrics: inout Sums) throws(Fault) -> [[Double]] {
        guard objective.options.tailWeight == nil else {
            // Tokens are weighed each by itself.
            var out: [[Double]] = []
            for (at, unit) in units.enumerated() {
                func answer(_ side: Int) -> PreferenceLoss.Tokens { .init(policy: policy[2 * at + side], reference: reference?.logp[unit[side]].map(Double.init)) }
                let term = try objective.term(chosen: answer(0), rejected: answer(1), scores: scores(unit)), share = 1 / Double(total)
                loss += term.loss * share
                metrics.add(term.metrics, times: 1)
                out += [term.chosen.map { $0 * share }, term.rejected.map { $0 * share }]
            }
            return out
        }
        let batch = try objective.batch(
            units.enumerated().map { at, unit in
                func answer(_ side: Int) -> PreferenceLoss.Completion {
                    .init(policy: policy[2 * at + side].reduce(0, +), reference: reference?.sum(unit[side]), tokens: policy[2 * at + side].count)
                }
                return .init(chosen: answer(0), rejected: answer(1), scores: scores(unit))
            }, of: total)
        loss += batch.loss
        metrics.add(batch.metrics, times: units.count)
        return zip(batch.chosen, batch.rejected).enumerated().flatMap { at, sides in
            [Array(repeating: sides.0, count: policy[2 * at].count), Array(repeating: sides.1, count: policy[2 * at + 1].count)]
        }
    }

    private func scores(_ unit: [Int]) -> PreferenceLoss.Scores? {
        guard objective.kind.needsScores, let chosen = pairs.shard.sequences[unit[0]].value, let rejected = pairs.shard.sequences[unit[1]].value else { return nil }
        return .init(chosen: chosen, rejected: rejected)
    }

    private struct Sums {
        private var accuracy = 0.0, chosen = 0.0, rejected = 0.0, nll = 0.0

        mutating func add(_ mean: PreferenceLoss.Metrics, times count: Int) {
            accuracy += mean.accuracy * Double(count)
            chosen += mean.chosenReward * Double(count)
            rejected += mean.rejectedReward * Double(count)
            nll += mean.nll * Double(count)
        }

        func means(_ pairs: Int) -> [String: Double] {
            let count = Double(pairs)
            return ["accuracy": accuracy / count, "chosen_reward": chosen / count, "rejected_reward": rejected / count, "margin": (chosen - rejected) / count, "nll": nll / count]
        }
    }
}
