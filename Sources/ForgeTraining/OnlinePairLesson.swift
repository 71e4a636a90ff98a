import ForgeCore
import ForgeData
import ForgeNN
import ForgeObjective
import ForgeTokenizer

/// The better and the worse of the model's own answers to a task, drawn anew for every step and told apart by what they earned (online direct preference optimisation: Guo et al. 2024,
/// arXiv:2402.04792). A prompt whose answers earned alike teaches nothing that step.
struct OnlinePairLesson: Lesson {
    private let drawing: TaskDrawing
    private var prompts: SampleCursor
    private let recipe: Recipe
    private let policy: Recipe.Policy
    private let loss: PreferenceLoss
    /// Of the weights the run starts from, as they were.
    private let reference: Decoder

    init(_ tasks: TaskShard, _ prompts: SampleCursor, _ recipe: Recipe, _ loss: PreferenceLoss, _ tokenizer: Tokenizer, _ reference: Decoder) throws(Fault) {
        guard let policy = recipe.policy else { preconditionFailure("a recipe of this method has a policy") }
        drawing = try TaskDrawing(tasks, recipe, tokenizer)
        self.prompts = prompts
        self.recipe = recipe
        self.policy = policy
        self.loss = loss
        self.reference = reference
    }

    var cursor: BatchCursor.State { prompts.state }
    mutating func resume(at state: BatchCursor.State) throws(Fault) { try prompts.resume(at: state) }

    mutating func step(_ learner: Learner, number: Int) throws(Fault) -> Taught {
        let drawn = try drawing.draw(prompts.next(recipe.sequencesPerStep).map { $0[0] }, learner, number: number), count = Double(drawn.answers.count)
        let chosen = OnlinePairLesson.pairs(drawn.rewards, group: policy.group).filter { drawn.answers[$0].tokens != drawn.answers[$1].tokens }
        let sequences = chosen.flatMap { [drawn.answers[$0].learnt, drawn.answers[$1].learnt] }, targets = sequences.reduce(0) { $0 + $1.targetCount }
        let known = try ReferenceScores(sequences, reference, rows: recipe.rowsPerPass)
        let pairs = chosen.indices.map { PairObjective.Pair(sequences: Array(sequences[2 * $0...2 * $0 + 1]), reference: Array(known.logp[2 * $0...2 * $0 + 1])) }
        var objective = PairObjective(loss), rows = 0
        for first in stride(from: 0, to: pairs.count, by: recipe.sequencesPerPass) {
            rows += try objective.teach(Array(pairs[first..<min(pairs.count, first + recipe.sequencesPerPass)]), learner.decoder, of: pairs.count, targets: targets)
        }
        var measures = objective.measures(pairs.count)
        measures["reward"] = drawn.rewards.reduce(0, +) / count
        measures["answer_tokens"] = Double(drawn.answers.reduce(0) { $0 + $1.drawn.count }) / count
        measures["cut"] = Double(drawn.answers.count { !$0.isWhole }) / count
        measures["pairs"] = Double(pairs.count)
        return Taught(loss: objective.value, targets: targets, rows: rows, measures: measures)
    }

    /// Of each group the first of those that earned most and the first of those that earned least; none where all earned alike.
    static func pairs(_ rewards: [Double], group: Int) -> [(better: Int, worse: Int)] {
        stride(from: 0, to: rewards.count, by: group).compactMap { first in
            let group = first..<first + group
            guard let best = group.map({ rewards[$0] }).max(), let worst = group.map({ rewards[$0] }).min(), best > worst else { return nil }
            return (group.first { rewards[$0] == best }!, group.first { rewards[$0] == worst }!)
        }
    }
}
