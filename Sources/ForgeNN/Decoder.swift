package import ForgeAutograd
package import ForgeCore
package import ForgeModel
package import ForgeTensor

/// A Mistral decoder on a tape: pre-norm residual blocks of rotary grouped-query attention and SwiGLU
/// (Jiang et al. 2023, arXiv:2310.06825), or of a mixture of such experts (Jiang et al. 2024, arXiv:2401.04088).
package final class Decoder {
    package let config: MistralConfig
    package let mode: Tape.Mode
    /// What the gradients belong to: laid out as the parameters, or as the adapters; nil if the decoder only evaluates.
    package let gradients: Parameters?
    private let weights: any DecoderWeights
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

    /// A decoder whose every weight learns. Plans memory for up to `rows` rows a pass; takes it at the first pass.
    /// - Parameters:
    ///   - gradients: where gradients add up; nil plans an evaluation.
    ///   - recompute: keep only what goes from layer to layer and compute a layer again when its gradients are due: a third more arithmetic for a fraction of the
    ///     memory, and the same bits.
    ///   - routing: of a mixture; nil routes as its model type does.
    package convenience init(
        _ parameters: Parameters, gradients: Parameters? = nil, rows: Int, precision: Precision = .f32, recompute: Bool = false, routing: Routing? = nil,
        on device: Device
    ) throws(Fault) {
        let config = parameters.table.config
        try config.validate()
        let lookupGradient = gradients != nil && config.tiedEmbeddings ? try device.tensor(rows: config.vocabulary, columns: config.width) : nil
        var loads: ExpertLoads?, routerBias: Tensor?
        if let experts = config.experts {
            let routing = routing ?? experts.routing
            precondition(routing.experts == experts.count, "a mixture is routed to its own experts")
            loads = try ExpertLoads(layers: config.layers, routing, on: device)
            routerBias = try device.tensor(rows: config.layers, columns: experts.count)
        }
        let weights = LearningWeights(parameters: parameters, gradients: gradients, lookupGradient: lookupGradient, routerBias: routerBias)
        try self.init(
            weights, gradients: gradients, rows: rows, precision: precision, recompute: recompute, lookupGradient: lookupGradient, loads: loads, routerBias: routerBias, on: device)
    }

    /// A frozen decoder whose adapters learn. Its weights may have any format; what goes back through them is computed in `precision`.
    /// - Parameters:
    ///   - adapters: of a table of adapters; `gradients` likewise, nil plans an evaluation.
    package convenience init(
        _ frozen: PackedWeights, adapters: Parameters, gradients: Parameters? = nil, rows: Int, precision: Precision = .f32, recompute: Bool = false, on device: Device
    ) throws(Fault) {
        try frozen.config.validate()
        guard let config = adapters.table.adapters, adapters.table.config == frozen.config else { preconditionFailure("adapters lie beside the model they were made for") }
        let model = frozen.config
        var latentUps: [(made: Tensor, gradient: Tensor?)] = []
        if model.latent != nil, config.targets.contains(.latentUp) {
            let (rows, columns) = model.extents(.latentUp)
            for _ in 0..<model.layers {
                latentUps.append((try device.tensor(rows: rows, columns: columns), gradients == nil ? nil : try device.tensor(rows: rows, columns: columns)))
            }
        }
        let weights = AdaptedWeights(frozen: frozen, adapters: adapters, scale: config.scale, gradients: gradients, latentUps: latentUps)
        let loads = try model.experts.map { (experts) throws(Fault) in try ExpertLoads(layers: model.layers, experts.routing, on: device) }
        try self.init(weights, gradients: gradients, rows: rows, precision: precision, recompute: recompute, lookupGradient: nil, loads: loads, routerBias: nil, on: device)
    }

    private init(
        _ weights: any DecoderWeights, gradients: Parameters?, rows: Int, precision: Precision, recompute: Bool, lookupGradient: Tensor?, loads: ExpertLoads?,
        routerBias: Tensor?, on device: Device
    ) throws(Fault) {
        let config = weights.config
        self.config = config
        self.weights = weights
        self.gradients = gradients
        self.lookupGradient = lookupGradient
        self.loads = loads
        self.routerBias = routerBias
        mode = gradients == nil ? .evaluate : .train
        let tape = try Tape(capacity: rows, precision: precision, on: device)
        let rotation = try Rotation(config, positions: min(rows, config.contextMax), on: device)
        var stream = weights.embed(on: tape)
        var branch: Buffer?
        func record(_ layer: Int) {
            let attention = tape.normalise(stream, add: branch, weights.attentionNorm(layer), eps: config.normEps)
            let heads = weights.attend(attention.out, layer, rotation: rotation, on: tape)
            let middle = tape.normalise(attention.sum, add: weights.output(heads, layer, on: tape), weights.feedForwardNorm(layer), eps: config.normEps)
            branch = weights.feedForward(middle.out, layer, loads: loads, on: tape)
            stream = middle.sum
        }
        for layer in 0..<config.layers {
            if recompute { tape.recomputed { record(layer) } } else { record(layer) }
        }
        if let loads { tape.balance(loads) }
        let last = tape.normalise(stream, add: branch, weights.finalNorm, eps: config.normEps)
        lastHidden = last.out
        logp = weights.crossEntropy(last.out, mode: mode, on: tape)
        tape.keep(logp)
        if mode == .evaluate { tape.keep(lastHidden) }
        tape.plan(mode)
        self.tape = tape
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
        try run(batch, .likelihood(weight: weight), share: weight)
        return sum()
    }

    /// The same for any objective of the targets' log-probabilities: adds its gradient.
    /// - Parameters:
    ///   - share: of the step's targets that one target of the pass is, for the balancing loss of a mixture.
    ///   - derivative: takes the log-probability of every target, in the order of the rows, and gives the objective's derivative by each; where a row has none, it is
    ///     given 0 and what it gives is not looked at.
    package func forwardBackward(_ batch: TokenBatch, share: Float, derivative: ([Float]) throws(Fault) -> [Float]) throws(Fault) {
        precondition(mode == .train, "a decoder without gradients only evaluates")
        try withoutActuallyEscaping(derivative) { (derivative) throws(Fault) in
            // The tape lets go of it before it is gone.
            defer { tape.inputs.objective = .likelihood(weight: 0) }
            try run(batch, .derivative(derivative), share: share)
        }
    }

    /// The log-probability of every target, in the order of the rows; 0 where a row has none.
    package func logProbabilities(_ batch: TokenBatch) throws(Fault) -> [Float] {
        precondition(mode == .evaluate, "evaluate with a decoder planned for it: a training pass also adds gradients")
        try run(batch, .likelihood(weight: 0), share: 0)
        return tape[logp].values()
    }

    /// `[rows, vocabulary]`, for small batches: the trainer itself never stores logits.
    package func logits(_ batch: TokenBatch) throws(Fault) -> [Float] {
        precondition(mode == .evaluate, "only an evaluating decoder shows its logits")
        try run(batch, .likelihood(weight: 0), share: 0)
        return try weights.logits(tape[lastHidden], precision: tape.precision, on: tape.device).values()
    }

    private func run(_ batch: TokenBatch, _ objective: Objective, share: Float) throws(Fault) {
        try check(batch)
        tape.inputs.ids.write(batch.ids)
        tape.inputs.targets.write(batch.targets)
        tape.inputs.positions.write(batch.positions)
        tape.inputs.cumulativeLengths.write(batch.cumulativeLengths)
        tape.inputs.rows = batch.rows
        tape.inputs.sequences = batch.sequences
        tape.inputs.objective = objective
        if let experts = config.experts, experts.balances { tape.inputs.balanceWeight = Float(experts.balance * Double(share) * Double(batch.targetCount)) }
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
