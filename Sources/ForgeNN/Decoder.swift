package import ForgeAutograd
package import ForgeCore
package import ForgeModel
package import ForgeTensor

/// A Mistral decoder on a tape: pre-norm residual blocks of rotary grouped-query attention and SwiGLU
/// (Jiang et al. 2023, arXiv:2310.06825).
package final class Decoder {
    package let config: MistralConfig
    package let parameters: Parameters
    /// Laid out as the parameters; nil if the decoder only evaluates.
    package let gradients: Parameters?
    package let mode: Tape.Mode
    private let tape: Tape
    private let logp: Buffer
    private let lastHidden: Buffer
    /// With tied embeddings one matrix gets gradients from both ends of the tape. They are summed apart and joined once a step,
    /// so that their order does not depend on how the step was cut into passes.
    private let lookupGradient: Tensor?

    /// Plans memory for up to `rows` rows a pass; takes it at the first pass.
    /// - Parameters:
    ///   - gradients: where gradients add up; nil plans an evaluation.
    ///   - recompute: keep only what goes from layer to layer and compute a layer again when its gradients are due: a third more arithmetic for a fraction of the
    ///     memory, and the same bits.
    package init(
        _ parameters: Parameters, gradients: Parameters? = nil, rows: Int, precision: Precision = .f32, recompute: Bool = false, on device: Device
    ) throws(Fault) {
        let config = parameters.table.config
        try config.validate()
        self.config = config
        self.parameters = parameters
        self.gradients = gradients
        mode = gradients == nil ? .evaluate : .train
        let tape = try Tape(capacity: rows, precision: precision, on: device)
        let rotary = try RotaryTable(config, positions: min(rows, config.contextMax), on: device)
        // An evaluation never touches gradients; the weight stands in for its own.
        func weight(_ pick: (Parameters) -> Tensor) -> Weight { Weight(pick(parameters), gradient: pick(gradients ?? parameters)) }

        let shape = AttentionShape(queryHeads: config.queryHeads, kvHeads: config.kvHeads, headDim: config.headDim, window: config.window ?? 0)
        lookupGradient = gradients != nil && config.tiedEmbeddings ? try device.tensor(rows: config.vocabulary, columns: config.width) : nil
        var stream = tape.embed(lookupGradient.map { Weight(parameters.embedding, gradient: $0) } ?? weight(\.embedding))
        var branch: Buffer?
        func record(_ layer: Int) {
            let attention = tape.normalise(stream, add: branch, weight { $0.attentionNorm(layer) }, eps: config.normEps)
            let qkv = tape.linear(attention.out, weight { $0.qkv(layer) })
            let heads = tape.attend(qkv, shape: shape, cosines: rotary.cosines, sines: rotary.sines)
            let mixed = tape.linear(heads, weight { $0.output(layer) })
            let feedForward = tape.normalise(attention.sum, add: mixed, weight { $0.feedForwardNorm(layer) }, eps: config.normEps)
            let gateUp = tape.linear(feedForward.out, weight { $0.gateUp(layer) })
            branch = tape.gatedLinear(gateUp, weight { $0.down(layer) })
            stream = feedForward.sum
        }
        for layer in 0..<config.layers {
            if recompute { tape.recomputed { record(layer) } } else { record(layer) }
        }
        let last = tape.normalise(stream, add: branch, weight(\.finalNorm), eps: config.normEps)
        lastHidden = last.out
        logp = tape.crossEntropy(last.out, weight(\.head), mode: mode)
        tape.keep(logp)
        if mode == .evaluate { tape.keep(lastHidden) }
        tape.plan(mode)
        self.tape = tape
    }

    /// What a pass takes besides parameters and gradients.
    package var activationBytes: ByteCount { tape.plannedBytes + ByteCount((lookupGradient?.count ?? 0) * 4) }

    /// Sets the gradients to zero: the start of an optimiser step.
    package func beginStep() {
        gradients?.flat.fill(0)
        lookupGradient?.fill(0)
    }

    /// After the last pass of an optimiser step: from here on `gradients` is whole.
    package func endStep() throws(Fault) {
        if let lookupGradient, let gradients { try tape.device.combine(gradients.embedding, 1, gradients.embedding, 1, lookupGradient) }
    }

    /// Adds `weight` times the gradient of the summed negative log-probabilities of a pass to what `endStep` makes whole.
    /// - Returns: the sum of the log-probabilities of the targets, in double, row by row.
    package func forwardBackward(_ batch: TokenBatch, weight: Float) throws(Fault) -> Double {
        precondition(mode == .train, "a decoder without gradients only evaluates")
        try run(batch, weight: weight)
        return sum()
    }

    /// The log-probability of every target, in the order of the rows; 0 where a row has none.
    package func logProbabilities(_ batch: TokenBatch) throws(Fault) -> [Float] {
        precondition(mode == .evaluate, "evaluate with a decoder planned for it: a training pass also adds gradients")
        try run(batch, weight: 0)
        return tape[logp].values()
    }

    /// `[rows, vocabulary]`, for small batches: the trainer itself never stores logits.
    package func logits(_ batch: TokenBatch) throws(Fault) -> [Float] {
        precondition(mode == .evaluate, "only an evaluating decoder shows its logits")
        try run(batch, weight: 0)
        let hidden = tape[lastHidden], device = tape.device
        let packed = try device.tensor(rows: 1, columns: Device.packedCount(k: config.width, n: config.vocabulary))
        try device.pack(packed, from: parameters.head, as: .weight, precision: tape.precision)
        let out = try device.tensor(rows: batch.rows, columns: config.vocabulary)
        try device.multiply(out, hidden, packed: packed, precision: tape.precision)
        return out.values()
    }

    private func run(_ batch: TokenBatch, weight: Float) throws(Fault) {
        try check(batch)
        tape.inputs.ids.write(batch.ids)
        tape.inputs.targets.write(batch.targets)
        tape.inputs.positions.write(batch.positions)
        tape.inputs.cumulativeLengths.write(batch.cumulativeLengths)
        tape.inputs.rows = batch.rows
        tape.inputs.sequences = batch.sequences
        tape.inputs.lossWeight = weight
        try tape.run(mode)
    }

    private func sum() -> Double { tape[logp].values().reduce(0.0) { $0 + Double($1) } }

    /// Tokens come from files: one outside the vocabulary is a fault, not a trap.
    private func check(_ batch: TokenBatch) throws(Fault) {
        func fault(_ why: String) -> Fault {
            Fault(.request, "train.batch", "a batch does not fit the model", why: why, remedy: "use the tokenizer and context length the model was made with")
        }
        guard batch.rows <= tape.capacity else { throw fault("it has \(batch.rows) rows; \(tape.capacity) were planned") }
        let longest = zip(batch.cumulativeLengths, batch.cumulativeLengths.dropFirst()).map { $1 - $0 }.max() ?? 0
        guard Int(longest) <= config.contextMax else { throw fault("a sequence has \(longest) tokens; the context holds \(config.contextMax)") }
        let limit = Int32(config.vocabulary)
        guard batch.ids.allSatisfy({ $0 >= 0 && $0 < limit }), batch.targets.allSatisfy({ $0 < limit }) else {
            throw fault("it holds a token outside the vocabulary of \(config.vocabulary)")
        }
    }
}
