package import ForgeAutograd
package import ForgeCore
package import ForgeModel
package import ForgeTensor

/// A Mistral decoder on a tape: pre-norm residual blocks of rotary grouped-query attention and SwiGLU
/// (Jiang et al. 2023, arXiv:2310.06825), or of a mixture of such experts (Jiang et al. 2024, arXiv:2401.04088).
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
    private let loads: ExpertLoads?
    /// `[layers, experts]`, zero at first: added to the scores when experts are chosen, and only then (`ExpertBias`). Nil in a dense decoder.
    package let routerBias: Tensor?
    /// Pairs of (token, choice) each expert of each layer got since `beginStep`; empty in a dense decoder.
    package private(set) var expertLoads: [[Int]] = []

    /// Plans memory for up to `rows` rows a pass; takes it at the first pass.
    /// - Parameters:
    ///   - gradients: where gradients add up; nil plans an evaluation.
    ///   - recompute: keep only what goes from layer to layer and compute a layer again when its gradients are due: a third more arithmetic for a fraction of the
    ///     memory, and the same bits.
    ///   - routing: of a mixture; nil routes as its model type does.
    package init(
        _ parameters: Parameters, gradients: Parameters? = nil, rows: Int, precision: Precision = .f32, recompute: Bool = false, routing: Routing? = nil,
        on device: Device
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
        let loads: ExpertLoads?, routerBias: Tensor?
        if let experts = config.experts {
            let routing = routing ?? Routing(experts: experts.count, choices: experts.choices)
            precondition(routing.experts == experts.count, "a mixture is routed to its own experts")
            loads = try ExpertLoads(layers: config.layers, routing, on: device)
            routerBias = try device.tensor(rows: config.layers, columns: experts.count)
        } else {
            (loads, routerBias) = (nil, nil)
        }
        func group(_ pick: (Parameters) -> TensorGroup) -> WeightGroup { WeightGroup(pick(parameters), gradient: pick(gradients ?? parameters)) }
        func feedForward(_ x: Buffer, _ layer: Int) -> Buffer {
            guard let loads, let routerBias else { return tape.gatedLinear(tape.linear(x, weight { $0.gateUp(layer) }), weight { $0.down(layer) }) }
            let weights = ExpertWeights(
                router: weight { $0.router(layer) }, bias: routerBias.view(from: layer * routerBias.columns, rows: 1, columns: routerBias.columns),
                gateUp: group { $0.expertGateUp(layer) }, down: group { $0.expertDown(layer) })
            return tape.experts(x, weights, layer: layer, loads: loads)
        }

        var stream = tape.embed(lookupGradient.map { Weight(parameters.embedding, gradient: $0) } ?? weight(\.embedding))
        var branch: Buffer?
        func record(_ layer: Int) {
            let attention = tape.normalise(stream, add: branch, weight { $0.attentionNorm(layer) }, eps: config.normEps)
            let qkv = tape.linear(attention.out, weight { $0.qkv(layer) })
            let heads = tape.attend(qkv, shape: shape, cosines: rotary.cosines, sines: rotary.sines)
            let mixed = tape.linear(heads, weight { $0.output(layer) })
            let middle = tape.normalise(attention.sum, add: mixed, weight { $0.feedForwardNorm(layer) }, eps: config.normEps)
            branch = feedForward(middle.out, layer)
            stream = middle.sum
        }
        for layer in 0..<config.layers {
            if recompute { tape.recomputed { record(layer) } } else { record(layer) }
        }
        if let loads { tape.balance(loads) }
        let last = tape.normalise(stream, add: branch, weight(\.finalNorm), eps: config.normEps)
        lastHidden = last.out
        logp = tape.crossEntropy(last.out, weight(\.head), mode: mode)
        tape.keep(logp)
        if mode == .evaluate { tape.keep(lastHidden) }
        tape.plan(mode)
        self.tape = tape
        self.loads = loads
        self.routerBias = routerBias
        expertLoads = loads?.counts ?? []
    }

    /// What a pass takes besides parameters and gradients.
    package var activationBytes: ByteCount { tape.plannedBytes + ByteCount((lookupGradient?.count ?? 0) * 4) + (loads?.bytes ?? 0) }

    /// The balancing loss of the last pass, not yet weighted: the number of choices where every expert got its share. Nil in a dense decoder.
    package var balanceLoss: Double? { loads?.balanceLoss }

    /// Sets the gradients to zero: the start of an optimiser step.
    package func beginStep() {
        gradients?.flat.fill(0)
        lookupGradient?.fill(0)
        if let loads { expertLoads = Array(repeating: Array(repeating: 0, count: loads.routing.experts), count: loads.layers) }
    }

    /// After the last pass of an optimiser step: from here on `gradients` is whole.
    package func endStep() throws(Fault) {
        if let lookupGradient, let gradients { try tape.device.combine(gradients.embedding, 1, gradients.embedding, 1, lookupGradient) }
    }

    /// Adds `weight` times the gradient of the summed negative log-probabilities of a pass to what `endStep` makes whole; where a mixture's configuration says
    /// so, also that of the balancing loss, times its coefficient and the pass's share of the step's targets.
    ///
    /// The balancing loss is a product of two means over a pass, so with it a step's gradient depends on how the step was cut into passes.
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
        if let experts = config.experts, experts.balances { tape.inputs.balanceWeight = Float(experts.balance * Double(weight) * Double(batch.targetCount)) }
        try tape.run(mode)
        guard let loads else { return }
        for layer in 0..<loads.layers { for expert in loads.counts[layer].indices { expertLoads[layer][expert] += loads.counts[layer][expert] } }
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
