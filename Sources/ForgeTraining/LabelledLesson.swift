import ForgeCore
import ForgeData
import ForgeNN
import ForgeObjective

/// Single answers, each good or bad (Kahneman-Tversky optimisation: Ethayarajh et al. 2024, arXiv:2402.01306).
struct LabelledLesson: Lesson {
    private var answers: SampleCursor
    private let recipe: Recipe
    private let objective: UnpairedLoss
    private let reference: ReferenceScores
    /// By sample, its prompt with the answer to another one, and how likely that was at first: the divergence from the reference is estimated on these.
    private let mismatched: (sequences: [LearntSequence], reference: ReferenceScores)?
    private let evaluator: Decoder?

    /// - Parameter evaluator: of the weights that learn, as they are at first.
    init(_ answers: SampleCursor, _ recipe: Recipe, _ objective: UnpairedLoss, _ reference: ReferenceScores, _ evaluator: Decoder) throws(Fault) {
        self.answers = answers
        self.recipe = recipe
        self.objective = objective
        self.reference = reference
        guard objective.kind.needsBaseline else {
            (mismatched, self.evaluator) = (nil, nil)
            return
        }
        let sequences = LabelledLesson.mismatch(answers.shard.sequences, rows: recipe.sequenceLength)
        mismatched = (sequences, try ReferenceScores(sequences, evaluator, rows: recipe.rowsPerPass))
        self.evaluator = evaluator
    }

    var cursor: BatchCursor.State { answers.state }
    mutating func resume(at state: BatchCursor.State) throws(Fault) { try answers.resume(at: state) }

    mutating func step(_ learner: Learner, number: Int) throws(Fault) -> Taught {
        let units = answers.next(recipe.sequencesPerStep).map { $0[0] }, shard = answers.shard
        let baseline = try baseline(of: units)
        var taught = Taught(loss: 0, targets: units.reduce(0) { $0 + shard.sequences[$1].targetCount }, rows: 0), metrics = UnpairedLoss.Metrics()
        for first in stride(from: 0, to: units.count, by: recipe.sequencesPerPass) {
            let some = units[first..<min(units.count, first + recipe.sequencesPerPass)], sequences = some.map { shard.sequences[$0] }, batch = TokenBatch(sequences)
            try learner.decoder.forwardBackward(batch, share: 1 / Float(taught.targets)) { (logp) throws(Fault) in
                let places = LearntRows.places(sequences)
                let examples = zip(some, places).map { number, rows in
                    UnpairedLoss.Example(policy: rows.reduce(0) { $0 + Double(logp[$1]) }, reference: reference.sum(number), isDesirable: shard.sequences[number].value == 1)
                }
                let part = try objective.batch(examples, baseline: baseline, of: units.count)
                taught.loss += part.loss
                metrics.add(part.metrics)
                return LearntRows.spread(zip(part.gradients, places).map { Array(repeating: $0, count: $1.count) }, over: places, of: logp.count)
            }
            taught.rows += batch.rows
        }
        if let baseline { taught.measures["divergence"] = baseline }
        if metrics.desirable > 0 { taught.measures["desirable_reward"] = metrics.desirableReward / Double(metrics.desirable) }
        if metrics.undesirable > 0 { taught.measures["undesirable_reward"] = metrics.undesirableReward / Double(metrics.undesirable) }
        if let margin = metrics.margin { taught.measures["margin"] = margin }
        return taught
    }

    /// One for all passes of a step; nil for a loss without one.
    private func baseline(of units: [Int]) throws(Fault) -> Double? {
        guard let mismatched, let evaluator else { return nil }
        let now = try ReferenceScores(units.map { mismatched.sequences[$0] }, evaluator, rows: recipe.rowsPerPass)
        return try UnpairedLoss.baseline(policy: units.indices.map(now.sum), reference: units.map(mismatched.reference.sum))
    }

    /// Each prompt with the answer of the next sample that has another one, in a circle, cut to fit. Where all prompts are one, with any answer.
    static func mismatch(_ sequences: [LearntSequence], rows: Int) -> [LearntSequence] {
        func prompt(_ sequence: LearntSequence) -> ArraySlice<Int32> { sequence.tokens.prefix(sequence.learnt.first?.lowerBound ?? sequence.tokens.count) }
        // From the end, and once more for those whose next one lies beyond it.
        var next = Array(sequences.indices)
        for place in (0..<2 * sequences.count).reversed() {
            let i = place % sequences.count, after = (i + 1) % sequences.count
            next[i] = prompt(sequences[after]) != prompt(sequences[i]) ? after : next[after]
        }
        return sequences.indices.map { i in
            let own = prompt(sequences[i]), other = sequences[next[i]], shift = own.count - prompt(other).count, most = rows - rows % 2
            let tokens = Array((own + other.tokens.dropFirst(prompt(other).count)).prefix(most))
            let learnt = other.learnt.compactMap { range -> Range<Int>? in
                let moved = range.lowerBound + shift..<min(range.upperBound + shift, tokens.count)
                return moved.lowerBound >= 1 && moved.lowerBound < moved.upperBound ? moved : nil
            }
            return LearntSequence(tokens, learnt: learnt)
        }
    }
}
