package import ForgeCore
package import ForgeCrypto
import ForgeData
package import ForgeModel
import ForgeNN
import ForgeObjective
import ForgeOS
package import ForgeTensor
package import ForgeTokenizer

/// The model a run begins with.
package enum RunStart {
    /// A new one, once its tokenizer is there.
    case tokenizer(Tokenizer)
    case base(StoredModel)

    var tokenizer: Tokenizer {
        switch self {
        case .tokenizer(let tokenizer): tokenizer
        case .base(let model): model.tokenizer
        }
    }

    var base: StoredModel? { if case .base(let model) = self { model } else { nil } }
}

/// One run from its first step to a model, resumed from its folder wherever it was left.
///
/// Not Sendable: the worker process drives it from one thread.
package final class TrainingRun {
    package let recipe: Recipe
    package var config: MistralConfig { learner.config }
    /// Steps done.
    package private(set) var steps = 0
    /// Targets learnt from.
    package private(set) var targets = 0
    /// Where training stood when this process took it up; 0 for a fresh run.
    package private(set) var resumedFrom = 0
    /// Checkpoints that were not whole and have been set aside, for the log.
    package private(set) var damaged: [String] = []
    /// Multiply-add rate of this machine in the recipe's precision, FLOP/s, measured when the run was opened.
    package let machinePeak: Double

    private let device: Device
    private let start: RunStart
    private let learner: Learner
    private var lesson: any Lesson
    private let folder: CheckpointFolder
    private var savedAt = -1
    private let openedAt = Clock.monotonic

    /// Opens the run: resumes from `folder` if it holds a checkpoint, else starts as the recipe says.
    /// - Parameters:
    ///   - material: what the training split holds, as the method wants it.
    ///   - start: what the recipe starts from.
    ///   - stateDirectory: the run's own; checkpoints are sealed in it under `key`.
    ///   - threads: nil takes what the process may use. Results do not depend on it.
    /// - Throws: `.request` if recipe, model and data do not fit; `.environment` without memory, or when the folder belongs to another run.
    package init(
        _ recipe: Recipe, _ material: TrainingMaterial, start: RunStart, stateDirectory: String, key: borrowing SecretBytes, project: ID, store: ID,
        backend: Backend = .best, threads: Int? = nil
    ) throws(Fault) {
        self.recipe = recipe
        self.start = start
        let config = try TrainingRun.config(recipe, start)
        let device = try Device(backend, threads: threads)
        self.device = device
        machinePeak = device.measuredPeak(precision: recipe.precision)
        let learner = try Learner(recipe, config, from: start.base, rows: recipe.rowsPerPass, on: device)
        self.learner = learner
        folder = try CheckpointFolder(stateDirectory, key: key, project: project, store: store)
        // Before a checkpoint is read: what preferences are held against is the model as it was at first.
        let lesson = try TrainingRun.lesson(recipe, material, start.tokenizer, learner), optimiser = learner.optimiser, table = optimiser.parameters.table
        self.lesson = lesson

        let (digest, family, shardDigest) = (recipe.digest, backend.family, lesson.cursor.shard)
        let found = try folder.readNewest([optimiser.parameters.flat, optimiser.first.flat, optimiser.second.flat]) { header throws(Fault) in
            func other(_ why: String) -> Fault {
                Fault(
                    .environment, "checkpoint.other", "cannot resume from this folder", why: why,
                    remedy: "start a new run, or put back the recipe, data and machine type it was started with")
            }
            guard header.recipe == digest else { throw other("its checkpoint was made with another recipe") }
            guard header.cursor.shard == shardDigest else { throw other("its checkpoint was made with other data") }
            guard header.parameters == table.count else { throw other("its checkpoint has \(header.parameters) parameters, the recipe \(table.count)") }
            guard header.kernels == family else { throw other("its checkpoint was computed by `\(header.kernels)` kernels, this machine runs `\(family)`") }
        }
        damaged = found.damaged
        if let header = found.header {
            steps = header.step
            targets = header.targets
            resumedFrom = header.step
            savedAt = header.step
            try self.lesson.resume(at: header.cursor)
        }
    }

    private static func config(_ recipe: Recipe, _ start: RunStart) throws(Fault) -> MistralConfig {
        switch (recipe.start, start) {
        case (.architecture(let model), .tokenizer(let tokenizer)):
            return model.config(vocabulary: tokenizer.count, bos: Int(tokenizer.control.begin), eos: Int(tokenizer.control.end))
        case (.base, .base(let model)):
            guard recipe.sequenceLength <= model.config.contextMax else {
                throw Fault(
                    .request, "recipe.sequence_length", "the recipe does not fit its base", why: "sequence_length is \(recipe.sequenceLength); the model's context holds \(model.config.contextMax)",
                    remedy: "lower it")
            }
            return model.config
        default: preconditionFailure("a run starts from what its recipe says")
        }
    }

    private static func lesson(_ recipe: Recipe, _ material: TrainingMaterial, _ tokenizer: Tokenizer, _ learner: Learner) throws(Fault) -> any Lesson {
        func cursor(_ shard: SampleShard, packs: Bool = false) throws(Fault) -> SampleCursor {
            try SampleCursor(shard, length: recipe.sequenceLength, packs: packs, seed: recipe.seed)
        }
        switch (recipe.method, material, recipe.preference) {
        case (.pretrain, .documents(let shard), _): return DocumentLesson(try BatchCursor(shard, length: recipe.sequenceLength, seed: recipe.seed, control: tokenizer.control), recipe)
        case (.sft, .samples(let shard), _): return SampleLesson(try cursor(shard, packs: recipe.samples?.packs ?? true), recipe)
        case (.dpo, .samples(let shard), .pairs(let loss)):
            let pairs = try cursor(shard)
            guard loss.kind.needsReference else { return PairLesson(pairs, recipe, loss, nil) }
            return PairLesson(pairs, recipe, loss, try ReferenceScores(shard.sequences, try learner.evaluator(rows: recipe.rowsPerPass), rows: recipe.rowsPerPass))
        case (.kto, .samples(let shard), .labelled(let loss)):
            let answers = try cursor(shard), evaluator = try learner.evaluator(rows: recipe.rowsPerPass)
            return try LabelledLesson(answers, recipe, loss, try ReferenceScores(shard.sequences, evaluator, rows: recipe.rowsPerPass), evaluator)
        case (.odpo, .tasks(let shard), .pairs(let loss)):
            return try OnlinePairLesson(shard, try cursor(shard.prompts), recipe, loss, tokenizer, try learner.reference(rows: recipe.rowsPerPass))
        case (.grpo, .tasks(let shard), _):
            return try PolicyLesson(shard, try cursor(shard.prompts), recipe, tokenizer, recipe.keepsReference ? try learner.reference(rows: recipe.rowsPerPass) : nil)
        default: preconditionFailure("a method learns from its own kind of material")
        }
    }

    package var isFinished: Bool { steps >= recipe.steps }
    package var parameterCount: Int { learner.optimiser.parameters.table.count }
    package var epoch: Int { Int(lesson.cursor.epoch) }
    /// Parameters, gradients, moments and activations.
    package var memory: ByteCount { Optimiser.bytes(learner.optimiser.parameters.table) + learner.decoder.activationBytes }
    package var kernels: String { device.backend.family }
    package var threads: Int { device.threads }

    /// One optimiser step.
    /// - Throws: `.environment` if the loss is no number any more: nothing was changed by that step then.
    package func step() throws(Fault) -> StepMetrics {
        precondition(!isFinished, "a finished run takes no more steps")
        let start = Clock.monotonic
        let decoder = learner.decoder, optimiser = learner.optimiser
        decoder.beginStep()
        let taught = try lesson.step(learner, number: steps + 1)
        try decoder.endStep()
        let loss = taught.loss, norm = try optimiser.gradientNorm()
        guard loss.isFinite, norm.isFinite else {
            throw Fault(
                .environment, "train.diverged", "training diverged at step \(steps + 1)", why: "the loss or its gradient is no number any more",
                remedy: "lower the learning rate or the clip in the recipe; the last checkpoint is whole")
        }
        try optimiser.update(number: steps + 1, norm: norm)
        let rate = recipe.learningRate * recipe.rateFactor(step: steps)
        steps += 1
        targets += taught.targets
        let now = Clock.monotonic, took = Double(now - start) / 1e9
        let tokens = Double(taught.rows), flops = ParameterTable(config).trainingFlops(perTokenWithContext: recipe.sequenceLength) * tokens
        let average = Double(now - openedAt) / 1e9 / Double(max(steps - resumedFrom, 1))
        return StepMetrics(
            step: steps, steps: recipe.steps, loss: loss, gradientNorm: norm, learningRate: rate, targets: targets, epoch: epoch, seconds: took,
            tokensPerSecond: tokens / took, shareOfPeak: machinePeak > 0 ? flops / took / machinePeak : 0, secondsLeft: average * Double(recipe.steps - steps), measures: taught.measures)
    }

    /// Whether the recipe wants a checkpoint now.
    package var wantsCheckpoint: Bool { savedAt != steps && (isFinished || steps.isMultiple(of: recipe.checkpointEvery)) }

    /// Writes this state as a new generation; returns once it is durable.
    package func checkpoint() throws(Fault) {
        guard savedAt != steps else { return }
        let header = CheckpointHeader(
            step: steps, targets: targets, cursor: lesson.cursor, recipe: recipe.digest, kernels: device.backend.family, parameters: parameterCount)
        let optimiser = learner.optimiser
        try folder.write(header, [optimiser.parameters.flat, optimiser.first.flat, optimiser.second.flat])
        savedAt = steps
    }

    /// SHA-256 of the parameters' bytes, in the order of their table: equal runs have equal ones at equal steps.
    package func parameterDigest() -> Digest { .sha256(learner.optimiser.parameters.flat.bytes()) }

    /// The finished model's own files; tokenizer.json and datasets.json come from whoever made those.
    package func finish() throws(Fault) -> TrainedModel {
        guard isFinished else {
            throw Fault(.request, "train.unfinished", "the run is not finished", why: "\(steps) of \(recipe.steps) steps are done")
        }
        return TrainedModel(recipe: recipe, config: config, parameters: learner.optimiser.parameters, base: start.base, kernels: device.backend.family)
    }
}
