import ForgeCore
import ForgeData
import ForgeNN
import ForgeTokenizer

/// The model's own answers to tasks, each made likelier or less likely by how much better it was judged than the others to the same prompt (group relative policy optimisation:
/// Shao et al. 2024, arXiv:2402.03300), averaged over all tokens of the step (DAPO: Yu et al. 2025, arXiv:2503.14476). Answers are drawn anew for every step, from the
/// weights that learn from them: the ratio of new to old probabilities is 1, and nothing is clipped.
struct PolicyLesson: Lesson {
    private let tasks: TaskShard
    private let judges: [Reward]
    private var prompts: SampleCursor
    private let recipe: Recipe
    private let policy: Recipe.Policy
    private let tokenizer: Tokenizer

    init(_ tasks: TaskShard, _ prompts: SampleCursor, _ recipe: Recipe, _ tokenizer: Tokenizer) throws(Fault) {
        guard let policy = recipe.policy else { preconditionFailure("a recipe of this method has a policy") }
        self.tasks = tasks
        judges = try tasks.rewards.map { (reward) throws(Fault) in try Reward(reward) }
        self.prompts = prompts
        self.recipe = recipe
        self.policy = policy
        self.tokenizer = tokenizer
    }

    var cursor: BatchCursor.State { prompts.state }

    mutating func step(_ learner: Learner, number: Int) throws(Fault) -> Taught {
        let units = prompts.next(recipe.sequencesPerStep).map { $0[0] }
        // Each prompt of a step has a seed of its own; its answers differ in their choice.
        let requests = units.enumerated().flatMap { place, task in
            let seed = SplitMix64.mix(SplitMix64.mix(recipe.seed ^ UInt64(number) << 20) ^ UInt64(place))
            return (0..<policy.group).map { Rollouts.Request(prompt: tasks.prompts.sequences[task].tokens, choice: $0, seed: seed) }
        }
        let rollouts = Rollouts(temperature: policy.temperature, tokensMax: policy.answerTokens, end: tokenizer.control.end)
        let answers = try learner.draw(requests, rollouts)
        let rewards = answers.enumerated().map { place, answer in
            if !answer.isWhole, let cut = policy.cutReward { return cut }
            return judges[units[place / policy.group]].judge(tokenizer.decode(answer.drawn))
        }
        let advantages = stride(from: 0, to: rewards.count, by: policy.group).flatMap { first in
            GroupAdvantage.of(Array(rewards[first..<first + policy.group]), scale: policy.scale)
        }
        return try teach(learner, answers, advantages, rewards)
    }

    private func teach(_ learner: Learner, _ answers: [Rollouts.Answer], _ advantages: [Double], _ rewards: [Double]) throws(Fault) -> Taught {
        let tokens = answers.reduce(0) { $0 + $1.drawn.count }
        var loss = 0.0, gap = 0.0, rows = 0
        for first in stride(from: 0, to: answers.count, by: recipe.sequencesPerPass) {
            let some = first..<min(answers.count, first + recipe.sequencesPerPass)
            let sequences = some.map { LearntSequence(answers[$0].tokens, learnt: [answers[$0].promptCount..<answers[$0].tokens.count]) }, batch = TokenBatch(sequences)
            try learner.decoder.forwardBackward(batch, share: 1 / Float(tokens)) { logp in
                var derivative = [Float](repeating: 0, count: logp.count), row = 0
                for (number, sequence) in zip(some, sequences) {
                    let answer = answers[number], drawn = row + answer.promptCount - 1..<row + answer.tokens.count - 1
                    for (place, old) in zip(drawn, answer.logp) {
                        gap = max(gap, abs(Double(logp[place]) - Double(old)))
                        derivative[place] = Float(-advantages[number] / Double(tokens))
                    }
                    loss -= advantages[number] * Double(drawn.count) / Double(tokens)
                    row += sequence.rows
                }
                return derivative
            }
            rows += batch.rows
        }
        // Answers that were not drawn from the weights that learn from them would be judged against other odds than they had.
        guard gap == 0 || !learner.drawsWithTrainingsBits else {
            throw Fault(
                .environment, "train.ratio", "the answers are not this model's", why: "a token's log-probability was drawn with one value and learnt with another, \(gap) apart",
                remedy: "report this: serving and training should compute the same bits")
        }
        let count = Double(answers.count), groups = Double(answers.count / policy.group)
        let flat = stride(from: 0, to: advantages.count, by: policy.group).count { first in advantages[first..<first + policy.group].allSatisfy { $0 == 0 } }
        return Taught(
            loss: loss, targets: tokens, rows: rows,
            measures: [
                "reward": rewards.reduce(0, +) / count, "answer_tokens": Double(tokens) / count, "cut": Double(answers.count { !$0.isWhole }) / count,
                "flat_groups": Double(flat) / groups, "ratio_gap": gap,
            ])
    }
}

/// How much better each answer to one prompt is than the others.
enum GroupAdvantage {
    /// r less the mean, over the standard deviation of the group (n - 1) plus 10⁻⁴ where it is scaled; nothing where all are equal.
    static func of(_ rewards: [Double], scale: Recipe.Policy.Scale) -> [Double] {
        let mean = rewards.reduce(0, +) / Double(rewards.count)
        guard scale == .group, rewards.count > 1 else { return rewards.map { $0 - mean } }
        let variance = rewards.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(rewards.count - 1)
        return rewards.map { ($0 - mean) / (variance.squareRoot() + 1e-4) }
    }
}
