import ForgeCore
import ForgeData
import ForgeModel
import ForgeNN
import ForgeTensor
import ForgeTokenizer

/// Tasks that are held out, and what a model's likeliest answers to them earn.
package struct TaskScore: Sendable, Hashable {
    package var count: Int
    /// Answers that earned everything there was to earn.
    package var right: Int
    /// The mean over all tasks.
    package var reward: Double

    /// Tokens an answer may have, where the model's context leaves as many.
    package static let answerTokensMax = 512
}

/// A prompt that was held out, and what judges the answer.
struct HeldOutTask {
    let prompt: [Token]
    let reward: Reward

    /// Each task answered once, by the likeliest token every time; an answer that does not end by itself is judged as it stands.
    static func score(_ tasks: [HeldOutTask], _ model: StoredModel, _ parameters: Parameters, on device: Device) throws(Fault) -> TaskScore {
        let room = model.config.contextMax - (tasks.map(\.prompt.count).max() ?? 0)
        guard room > 0 else {
            throw Fault(
                .request, "evaluation.too_long", "a task cannot be answered", why: "its prompt fills the model's context of \(model.config.contextMax) tokens", remedy: "leave it out of what is held out")
        }
        let rollouts = Rollouts(temperature: 0, tokensMax: min(room, TaskScore.answerTokensMax), end: model.tokenizer.control.end)
        let answers = try rollouts.draw(
            tasks.map { .init(prompt: $0.prompt, choice: 0, seed: 0) }, from: try PackedWeights(parameters, as: .f32, on: device), rows: 256, on: device)
        let rewards = zip(tasks, answers).map { $0.reward.judge(model.tokenizer.decode($1.drawn)) }
        return TaskScore(count: tasks.count, right: rewards.count { $0 >= 1 }, reward: rewards.reduce(0, +) / Double(tasks.count))
    }
}
