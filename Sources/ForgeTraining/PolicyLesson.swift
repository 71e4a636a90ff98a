import ForgeCore
import ForgeData
import ForgeNN
import ForgeObjective
import ForgeTokenizer

/// The model's own answers to tasks, each made likelier or less likely by how much better it was judged than the others to the same prompt (group relative policy optimisation:
/// Shao et al. 2024, arXiv:2402.03300, and its relatives). Answers are drawn anew for every step, from the weights that learn from them: the ratio of new to old
/// probabilities is 1, and nothing is clipped.
struct PolicyLesson: Lesson {
    private let drawing: TaskDrawing
    private var prompts: SampleCursor
    private let recipe: Recipe
    private let policy: Recipe.Policy
    private let objective: PolicyLoss
    /// Of the weights the run starts from, where the divergence from them counts.
    private let reference: Decoder?

    init(_ tasks: TaskShard, _ prompts: SampleCursor, _ recipe: Recipe, _ tokenizer: Tokenizer, _ reference: Decoder?) throws(Fault) {
        guard let policy = recipe.policy else { preconditionFailure("a recipe of this method has a policy") }
        drawing = try TaskDrawing(tasks, recipe, tokenizer)
        self.prompts = prompts
        self.recipe = recipe
        self.policy = policy
        var options = PolicyLoss.Options()
        options.lengthLimit = policy.answerTokens
        (options.klWeight, options.klEstimator) = (policy.kl, policy.klEstimator)
        self.reference = reference
        objective = try PolicyLoss(policy.loss, options: options)
    }

    var cursor: BatchCursor.State { prompts.state }
    mutating func resume(at state: BatchCursor.State) throws(Fault) { try prompts.resume(at: state) }

    mutating func step(_ learner: Learner, number: Int) throws(Fault) -> Taught {
        let drawn = try drawing.draw(prompts.next(recipe.sequencesPerStep).map { $0[0] }, learner, number: number), rewards = drawn.rewards
        let groups = stride(from: 0, to: rewards.count, by: policy.group).map { Array(rewards[$0..<$0 + policy.group]) }
        return try teach(learner, drawn.answers, try Advantages(policy.advantage, rewards: groups))
    }

    private func teach(_ learner: Learner, _ answers: [Rollouts.Answer], _ advantages: Advantages) throws(Fault) -> Taught {
        let worth = Array(advantages.values.joined()), totals = StepTotals(sequences: answers.count, tokens: answers.reduce(0) { $0 + $1.drawn.count })
        let known = try reference.map { (decoder) throws(Fault) in try ReferenceScores(answers.map(\.learnt), decoder, rows: recipe.rowsPerPass) }
        var loss = 0.0, gap = 0.0, rows = 0, metrics = PolicyLoss.Metrics()
        for first in stride(from: 0, to: answers.count, by: recipe.sequencesPerPass) {
            let some = first..<min(answers.count, first + recipe.sequencesPerPass)
            let sequences = some.map { answers[$0].learnt }, batch = TokenBatch(sequences)
            try learner.decoder.forwardBackward(batch, share: 1 / Float(totals.tokens)) { (logp) throws(Fault) in
                let places = LearntRows.places(sequences)
                let rollouts = zip(some, places).map { number, drawn in
                    let now = drawn.map { Double(logp[$0]) }
                    for (new, old) in zip(now, answers[number].logp) { gap = max(gap, abs(new - Double(old))) }
                    // Where drawing computes otherwise (merged adapters, a GPU), what was drawn has the probability that the training pass gives it.
                    return Rollout(
                        policy: now, old: learner.drawsWithTrainingsBits ? answers[number].logp.map(Double.init) : now, reference: known?.logp[number].map(Double.init), advantage: worth[number])
                }
                // Answers that were not drawn from the weights that learn from them would be judged against other odds than they had.
                guard gap == 0 || !learner.drawsWithTrainingsBits else {
                    throw Fault(
                        .environment, "train.ratio", "the answers are not this model's", why: "a token's log-probability was drawn with one value and learnt with another, \(gap) apart",
                        remedy: "report this: serving and training should compute the same bits")
                }
                let part = try objective.batch(rollouts, of: totals)
                loss += part.loss
                metrics += part.metrics
                return LearntRows.spread(part.gradients, over: places, of: logp.count)
            }
            rows += batch.rows
        }
        let count = Double(answers.count)
        var taught = Taught(
            loss: loss, targets: totals.tokens, rows: rows,
            measures: [
                "reward": advantages.metrics.mean ?? 0, "answer_tokens": Double(totals.tokens) / count, "cut": Double(answers.count { !$0.isWhole }) / count,
                "flat_groups": Double(advantages.metrics.silentGroups) / Double(advantages.values.count), "ratio_gap": gap,
            ])
        if reference != nil { taught.measures["divergence"] = metrics.meanDivergence }
        return taught
    }
}
