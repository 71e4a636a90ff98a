import ForgeCore
import ForgeData
import ForgeTokenizer

/// Answers to tasks, drawn from the weights as they are and judged.
struct TaskDrawing {
    /// A prompt's answers side by side, `group` of them, the groups in the order of the prompts.
    struct Drawn {
        let answers: [Rollouts.Answer]
        let rewards: [Double]
    }

    private let tasks: TaskShard
    private let judges: [Reward]
    private let policy: Recipe.Policy
    private let seed: UInt64
    private let tokenizer: Tokenizer

    init(_ tasks: TaskShard, _ recipe: Recipe, _ tokenizer: Tokenizer) throws(Fault) {
        guard let policy = recipe.policy else { preconditionFailure("a recipe of this method has a policy") }
        self.tasks = tasks
        judges = try tasks.rewards.map { (reward) throws(Fault) in try Reward(reward) }
        self.policy = policy
        seed = recipe.seed
        self.tokenizer = tokenizer
    }

    /// - Parameters:
    ///   - units: numbers of tasks.
    ///   - number: of the step: each prompt of a step has a seed of its own, and its answers differ in their choice.
    func draw(_ units: [Int], _ learner: Learner, number: Int) throws(Fault) -> Drawn {
        let requests = units.enumerated().flatMap { place, task in
            let seed = SplitMix64.mix(SplitMix64.mix(seed ^ UInt64(number) << 20) ^ UInt64(place))
            return (0..<policy.group).map { Rollouts.Request(prompt: tasks.prompts.sequences[task].tokens, choice: $0, seed: seed) }
        }
        let rollouts = Rollouts(temperature: policy.temperature, tokensMax: policy.answerTokens, end: tokenizer.control.end)
        let answers = try learner.draw(requests, rollouts)
        let rewards = answers.enumerated().map { place, answer in
            if !answer.isWhole, let cut = policy.cutReward { return cut }
            return judges[units[place / policy.group]].judge(tokenizer.decode(answer.drawn))
        }
        return Drawn(answers: answers, rewards: rewards)
    }
}

extension Rollouts.Answer {
    /// What was drawn is what is learnt from.
    var learnt: LearntSequence { LearntSequence(tokens, learnt: [promptCount..<tokens.count]) }
}
