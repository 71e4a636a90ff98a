package import ForgeCore
package import ForgeCrypto
package import ForgeData
package import ForgeModel
import ForgeNN
import ForgeOS
package import ForgeTensor
package import ForgeTokenizer

/// One run from its first step to a model, resumed from its folder wherever it was left.
///
/// Not Sendable: the worker process drives it from one thread.
package final class TrainingRun {
    package let recipe: Recipe
    package let config: MistralConfig
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
    private let optimiser: Optimiser
    private let decoder: Decoder
    private var cursor: BatchCursor
    private let folder: CheckpointFolder
    private var savedAt = -1
    private let openedAt = Clock.monotonic

    /// Opens the run: resumes from `folder` if it holds a checkpoint, else starts from the recipe's seed.
    /// - Parameters:
    ///   - shard: the training split's tokens.
    ///   - tokenizer: its vocabulary and control tokens.
    ///   - stateDirectory: the run's own; checkpoints are sealed in it under `key`.
    ///   - threads: nil takes what the process may use. Results do not depend on it.
    /// - Throws: `.request` if recipe, tokenizer and data do not fit; `.environment` without memory, or when the folder belongs to another run.
    package init(
        _ recipe: Recipe, shard: TokenShard, tokenizer: Tokenizer, stateDirectory: String, key: borrowing SecretBytes, project: ID, store: ID,
        backend: Backend = .best, threads: Int? = nil
    ) throws(Fault) {
        self.recipe = recipe
        config = recipe.config(vocabulary: tokenizer.count, bos: Int(tokenizer.control.begin), eos: Int(tokenizer.control.end))
        try config.validate()
        let device = try Device(backend, threads: threads)
        self.device = device
        machinePeak = device.measuredPeak(precision: recipe.precision)
        let table = ParameterTable(config)
        let optimiser = try Optimiser(recipe, table: table, on: device)
        self.optimiser = optimiser
        let rows = min(recipe.sequencesPerPass, recipe.sequencesPerStep) * recipe.sequenceLength
        decoder = try Decoder(optimiser.parameters, gradients: optimiser.gradients, rows: rows, precision: recipe.precision, recompute: recipe.recompute, on: device)
        folder = try CheckpointFolder(stateDirectory, key: key, project: project, store: store)
        cursor = try BatchCursor(shard, length: recipe.sequenceLength, seed: recipe.seed, control: tokenizer.control)

        let (digest, family, shardDigest) = (recipe.digest, backend.family, cursor.state.shard)
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
            cursor = try BatchCursor(shard, resuming: header.cursor, control: tokenizer.control)
        } else {
            optimiser.parameters.initialise(seed: recipe.seed, embeddingDeviation: Float(recipe.embeddingDeviation))
        }
    }

    package var isFinished: Bool { steps >= recipe.steps }
    package var parameterCount: Int { optimiser.parameters.table.count }
    package var epoch: Int { Int(cursor.state.epoch) }
    /// Parameters, gradients, moments and activations.
    package var memory: ByteCount { Optimiser.bytes(optimiser.parameters.table) + decoder.activationBytes }
    package var kernels: String { device.backend.family }
    package var threads: Int { device.threads }

    /// One optimiser step.
    /// - Throws: `.environment` if the loss is no number any more: nothing was changed by that step then.
    package func step() throws(Fault) -> StepMetrics {
        precondition(!isFinished, "a finished run takes no more steps")
        let start = Clock.monotonic
        let batch = cursor.next(rows: recipe.sequencesPerStep)
        let count = batch.targetCount
        guard count > 0 else {
            throw Fault(
                .request, "train.no-targets", "step \(steps + 1) has nothing to learn", why: "every target of its sequences is masked",
                remedy: "use longer documents or a longer sequence_length")
        }
        decoder.beginStep()
        var logp = 0.0
        for pass in batch.passes(rows: recipe.sequencesPerPass) { logp += try decoder.forwardBackward(pass, weight: 1 / Float(count)) }
        try decoder.endStep()
        let loss = -logp / Double(count), norm = try optimiser.gradientNorm()
        guard loss.isFinite, norm.isFinite else {
            throw Fault(
                .environment, "train.diverged", "training diverged at step \(steps + 1)", why: "the loss or its gradient is no number any more",
                remedy: "lower the learning rate or the clip in the recipe; the last checkpoint is whole")
        }
        try optimiser.update(number: steps + 1, norm: norm)
        let rate = recipe.learningRate * recipe.rateFactor(step: steps)
        steps += 1
        targets += count
        let now = Clock.monotonic, took = Double(now - start) / 1e9
        let tokens = Double(recipe.sequencesPerStep * recipe.sequenceLength)
        let flops = optimiser.parameters.table.trainingFlops(perTokenWithContext: recipe.sequenceLength) * tokens
        let average = Double(now - openedAt) / 1e9 / Double(max(steps - resumedFrom, 1))
        return StepMetrics(
            step: steps, steps: recipe.steps, loss: loss, gradientNorm: norm, learningRate: rate, targets: targets, epoch: epoch, seconds: took,
            tokensPerSecond: tokens / took, shareOfPeak: machinePeak > 0 ? flops / took / machinePeak : 0, secondsLeft: average * Double(recipe.steps - steps))
    }

    /// Whether the recipe wants a checkpoint now.
    package var wantsCheckpoint: Bool { savedAt != steps && (isFinished || steps.isMultiple(of: recipe.checkpointEvery)) }

    /// Writes this state as a new generation; returns once it is durable.
    package func checkpoint() throws(Fault) {
        guard savedAt != steps else { return }
        let header = CheckpointHeader(
            step: steps, targets: targets, cursor: cursor.state, recipe: recipe.digest, kernels: device.backend.family, parameters: parameterCount)
        try folder.write(header, [optimiser.parameters.flat, optimiser.first.flat, optimiser.second.flat])
        savedAt = steps
    }

    /// SHA-256 of the parameters' bytes, in the order of their table: equal runs have equal ones at equal steps.
    package func parameterDigest() -> Digest { .sha256(optimiser.parameters.flat.bytes()) }

    /// The finished model's own files; tokenizer.json and datasets.json come from whoever made those.
    package func finish() throws(Fault) -> TrainedModel {
        guard isFinished else {
            throw Fault(.request, "train.unfinished", "the run is not finished", why: "\(steps) of \(recipe.steps) steps are done")
        }
        return TrainedModel(recipe: recipe, config: config, parameters: optimiser.parameters, kernels: device.backend.family)
    }
}

extension Batch {
    /// The batch in passes of at most `rows` sequences, each document's piece a sequence of its own.
    func passes(rows wanted: Int) -> [TokenBatch] {
        stride(from: 0, to: rows, by: wanted).map { first in
            let range = (first * length)..<(min(rows, first + wanted) * length)
            var lengths: [Int32] = []
            for place in range where Int(segments[place]) == place % length { lengths.append(Int32(place - range.lowerBound)) }
            lengths.append(Int32(range.count))
            return TokenBatch(ids: Array(inputs[range]), targets: Array(targets[range]), cumulativeLengths: lengths)
        }
    }
}
