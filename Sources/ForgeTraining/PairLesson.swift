import ForgeCore
import ForgeData
import ForgeObjective

/// Two answers to each prompt, the first preferred: direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290) and its relatives (`PreferenceLoss.Kind`).
struct PairLesson: Lesson {
    private var pairs: SampleCursor
    private let recipe: Recipe
    private let loss: PreferenceLoss
    /// Nil for a loss without one.
    private let reference: ReferenceScores?

    init(_ pairs: SampleCursor, _ recipe: Recipe, _ loss: PreferenceLoss, _ reference: ReferenceScores?) {
        self.pairs = pairs
        self.recipe = recipe
        self.loss = loss
        self.reference = reference
    }

    var cursor: BatchCursor.State { pairs.state }
    mutating func resume(at state: BatchCursor.State) throws(Fault) { try pairs.resume(at: state) }

    mutating func step(_ learner: Learner, number: Int) throws(Fault) -> Taught {
        let units = pairs.next(recipe.sequencesPerStep), shard = pairs.shard, targets = units.joined().reduce(0) { $0 + shard.sequences[$1].targetCount }
        var objective = PairObjective(loss), rows = 0
        for first in stride(from: 0, to: units.count, by: recipe.sequencesPerPass) {
            let some = units[first..<min(units.count, first + recipe.sequencesPerPass)].map { unit in
                PairObjective.Pair(sequences: unit.map { shard.sequences[$0] }, reference: reference.map { known in unit.map { known.logp[$0] } }, scores: scores(unit))
            }
            rows += try objective.teach(some, learner.decoder, of: units.count, targets: targets)
        }
        return Taught(loss: objective.value, targets: targets, rows: rows, measures: objective.measures(units.count))
    }

    private func scores(_ unit: [Int]) -> PreferenceLoss.Scores? {
        guard loss.kind.needsScores, let chosen = pairs.shard.sequences[unit[0]].value, let rejected = pairs.shard.sequences[unit[1]].value else { return nil }
        return .init(chosen: chosen, rejected: rejected)
    }
}
