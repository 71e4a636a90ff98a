import ForgeAutograd
import ForgeCore
import ForgeModel
import ForgeTensor

/// How a decoder's weights get onto its tape.
protocol DecoderWeights {
    var config: MistralConfig { get }
    func embed(on tape: Tape) -> Buffer
    func attentionNorm(_ layer: Int) -> Weight
    /// What the heads of a layer read, side by side.
    func attend(_ x: Buffer, _ layer: Int, rotation: Rotation, on tape: Tape) -> Buffer
    func output(_ x: Buffer, _ layer: Int, on tape: Tape) -> Buffer
    func feedForwardNorm(_ layer: Int) -> Weight
    /// - Parameter loads: of a mixture.
    func feedForward(_ x: Buffer, _ layer: Int, loads: ExpertLoads?, on tape: Tape) -> Buffer
    var finalNorm: Weight { get }
    func crossEntropy(_ x: Buffer, mode: Tape.Mode, on tape: Tape) -> Buffer
    /// `[rows, vocabulary]`
    func logits(_ hidden: Tensor, precision: Precision, on device: Device) throws(Fault) -> Tensor
}

/// Weights that learn themselves, all of them.
struct LearningWeights: DecoderWeights {
    let parameters: Parameters
    /// An evaluation has none.
    let gradients: Parameters?
    /// Where the gradient of the looked-up rows goes.
    let lookupGradient: Tensor?
    /// `[layers, experts]`
    let routerBias: Tensor?

    var config: MistralConfig { parameters.table.config }

    private func weight(_ pick: (Parameters) -> Tensor) -> Weight { Weight(pick(parameters), gradient: gradients.map(pick)) }
    // An evaluation never touches gradients; the group stands in for its own.
    private func group(_ pick: (Parameters) -> TensorGroup) -> WeightGroup { WeightGroup(pick(parameters), gradient: pick(gradients ?? parameters)) }

    func embed(on tape: Tape) -> Buffer { tape.embed(lookupGradient.map { Weight(parameters.embedding, gradient: $0) } ?? weight(\.embedding)) }
    func attentionNorm(_ layer: Int) -> Weight { weight { $0.attentionNorm(layer) } }

    func attend(_ x: Buffer, _ layer: Int, rotation: Rotation, on tape: Tape) -> Buffer {
        let attention = config.attention(of: layer, precision: tape.precision)
        guard let latent = config.latent else { return tape.attend(tape.linear(x, weight { $0.qkv(layer) }), shape: attention, rotation: rotation) }
        var squeezed = x
        if latent.queryRank != nil {
            squeezed = tape.normalise(tape.linear(x, weight { $0.queryDown(layer) }), weight { $0.queryNorm(layer) }, eps: LatentAttention.normEps).out
        }
        return tape.attend(
            tape.linear(squeezed, weight { $0.query(layer) }), tape.linear(x, weight { $0.latentDown(layer) }),
            LatentWeights(norm: weight { $0.latentNorm(layer) }, up: weight { $0.latentUp(layer) }), eps: LatentAttention.normEps, shape: LatentShape(config, latent),
            attention: attention, rotation: rotation)
    }

    func output(_ x: Buffer, _ layer: Int, on tape: Tape) -> Buffer { tape.linear(x, weight { $0.output(layer) }) }
    func feedForwardNorm(_ layer: Int) -> Weight { weight { $0.feedForwardNorm(layer) } }
    var finalNorm: Weight { weight(\.finalNorm) }
    func crossEntropy(_ x: Buffer, mode: Tape.Mode, on tape: Tape) -> Buffer { tape.crossEntropy(x, weight(\.head), mode: mode) }

    func feedForward(_ x: Buffer, _ layer: Int, loads: ExpertLoads?, on tape: Tape) -> Buffer {
        guard let loads, let routerBias else { return tape.gatedLinear(tape.linear(x, weight { $0.gateUp(layer) }), weight { $0.down(layer) }) }
        let weights = ExpertWeights(
            router: weight { $0.router(layer) }, bias: routerBias.view(from: layer * routerBias.columns, rows: 1, columns: routerBias.columns),
            gateUp: group { $0.expertGateUp(layer) }, down: group { $0.expertDown(layer) },
            shared: config.experts?.shared == 0 ? nil : (gateUp: weight { $0.sharedGateUp(layer) }, down: weight { $0.sharedDown(layer) }))
        return tape.experts(x, weights, layer: layer, loads: loads)
    }

    func logits(_ hidden: Tensor, precision: Precision, on device: Device) throws(Fault) -> Tensor {
        let packed = try device.tensor(rows: 1, columns: Device.packedCount(k: config.width, n: config.vocabulary))
        try device.pack(packed, from: parameters.head, as: .weight, precision: precision)
        let out = try device.tensor(rows: hidden.rows, columns: config.vocabulary)
        try device.multiply(out, hidden, packed: packed, precision: precision)
        return out
    }
}

/// Frozen weights with low-rank adapters beside them (Hu et al. 2021, arXiv:2106.09685): only the adapters learn.
struct AdaptedWeights: DecoderWeights {
    let frozen: PackedWeights
    let adapters: Parameters
    let scale: Float
    let gradients: Parameters?
    /// By layer, where adapters lie beside what leads out of the latent: the sum of both, and its gradient.
    let latentUps: [(made: Tensor, gradient: Tensor?)]

    var config: MistralConfig { frozen.config }

    /// Those of matrices that lie under one another, in their order.
    private func adapters(_ layer: Int, _ targets: AdapterConfig.Target...) -> [Adapter] {
        var first = 0
        return targets.compactMap { target in
            defer { first += config.extents(target).out }
            guard let value = adapters.adapter(layer, target) else { return nil }
            let gradient = gradients?.adapter(layer, target)
            return Adapter(down: Weight(value.down, gradient: gradient?.down), up: Weight(value.up, gradient: gradient?.up), scale: scale, firstOutput: first)
        }
    }

    func embed(on tape: Tape) -> Buffer { tape.embed(Weight(frozen.embedding, gradient: nil)) }
    func attentionNorm(_ layer: Int) -> Weight { Weight(frozen.layers[layer].attentionNorm, gradient: nil) }
    func attend(_ x: Buffer, _ layer: Int, rotation: Rotation, on tape: Tape) -> Buffer {
        let attention = config.attention(of: layer, precision: tape.precision)
        guard let latent = config.latent, case .latent(let weights) = frozen.layers[layer].attention else {
            let qkv = tape.linear(x, frozen: frozen.layers[layer].qkv, adapters: adapters(layer, .query, .key, .value))
            return tape.attend(qkv, shape: attention, rotation: rotation)
        }
        var squeezed = x
        if let (norm, matrix) = weights.queryDown {
            squeezed = tape.normalise(tape.linear(x, frozen: matrix, adapters: adapters(layer, .queryDown)), Weight(norm, gradient: nil), eps: LatentAttention.normEps).out
        }
        let up = adapters(layer, .latentUp).first.map { tape.adapted(weights.up, $0, made: latentUps[layer].made, gradient: latentUps[layer].gradient) } ?? Weight(weights.up, gradient: nil)
        return tape.attend(
            tape.linear(squeezed, frozen: weights.query, adapters: adapters(layer, latent.queryRank == nil ? .query : .queryUp)),
            tape.linear(x, frozen: weights.down, adapters: adapters(layer, .latentDown)), LatentWeights(norm: Weight(weights.norm, gradient: nil), up: up),
            eps: LatentAttention.normEps, shape: LatentShape(config, latent), attention: attention, rotation: rotation)
    }

    func output(_ x: Buffer, _ layer: Int, on tape: Tape) -> Buffer { tape.linear(x, frozen: frozen.layers[layer].output, adapters: adapters(layer, .output)) }
    func feedForwardNorm(_ layer: Int) -> Weight { Weight(frozen.layers[layer].feedForwardNorm, gradient: nil) }
    var finalNorm: Weight { Weight(frozen.finalNorm, gradient: nil) }
    func crossEntropy(_ x: Buffer, mode: Tape.Mode, on tape: Tape) -> Buffer { tape.crossEntropy(x, frozen: frozen.head, mode: mode) }

    func feedForward(_ x: Buffer, _ layer: Int, loads: ExpertLoads?, on tape: Tape) -> Buffer {
        func gated(_ weights: PackedWeights.Gated, _ gate: AdapterConfig.Target, _ up: AdapterConfig.Target, _ down: AdapterConfig.Target) -> Buffer {
            tape.gatedLinear(tape.linear(x, frozen: weights.gateUp, adapters: adapters(layer, gate, up)), frozen: weights.down, adapters: adapters(layer, down))
        }
        switch frozen.layers[layer].feedForward {
        case .dense(let weights): return gated(weights, .gate, .up, .down)
        case .mixture(let router, let experts, let shared):
            guard let loads else { preconditionFailure("a mixture has loads") }
            let said = shared.map { gated($0, .sharedGate, .sharedUp, .sharedDown) }
            return tape.experts(x, frozen: FrozenExperts(router: router, experts: experts.map { ($0.gateUp, $0.down) }), shared: said, layer: layer, loads: loads)
        }
    }

    func logits(_ hidden: Tensor, precision: Precision, on device: Device) throws(Fault) -> Tensor {
        let out = try device.tensor(rows: hidden.rows, columns: config.vocabulary)
        let workspace = try device.tensor(rows: 1, columns: frozen.format.workspaceFloats(rows: hidden.rows, k: config.width))
        try device.multiply(out, hidden, by: frozen.head, workspace: workspace)
        return out
    }
}
