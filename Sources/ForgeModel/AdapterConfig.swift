import ForgeCore
package import ForgeTensor

/// Low-rank adapters beside a frozen decoder (Hu et al. 2021, arXiv:2106.09685), named and scaled as PEFT does.
package struct AdapterConfig: Hashable, Sendable {
    /// A matrix of each layer that gets one.
    package enum Target: String, Sendable, Hashable, CaseIterable {
        case query = "q_proj"
        case key = "k_proj"
        case value = "v_proj"
        // Of latent attention.
        case queryDown = "q_a_proj"
        case queryUp = "q_b_proj"
        case latentDown = "kv_a_proj_with_mqa"
        case latentUp = "kv_b_proj"
        case output = "o_proj"
        case gate = "gate_proj"
        case up = "up_proj"
        case down = "down_proj"
        // Of the experts that every token goes to.
        case sharedGate = "shared_experts.gate_proj"
        case sharedUp = "shared_experts.up_proj"
        case sharedDown = "shared_experts.down_proj"

        var block: String {
            switch self {
            case .query, .key, .value, .queryDown, .queryUp, .latentDown, .latentUp, .output: "self_attn"
            case .gate, .up, .down, .sharedGate, .sharedUp, .sharedDown: "mlp"
            }
        }

        /// Its name in a layer, without `.weight`.
        package func module(_ layer: Int) -> String { "model.layers.\(layer).\(block).\(rawValue)" }
    }

    package var rank: Int
    package var alpha: Double
    /// alpha/√rank instead of alpha/rank (rsLoRA: Kalajdzievski 2023, arXiv:2312.03732).
    package var stabilised: Bool
    /// Those the model has not are let go.
    package var targets: Set<Target>

    package init(rank: Int, alpha: Double, stabilised: Bool = false, targets: Set<Target> = AdapterConfig.dense) {
        precondition(rank >= 1 && !targets.isEmpty && alpha.isFinite, "an adapter has a rank and something to change")
        self.rank = rank
        self.alpha = alpha
        self.stabilised = stabilised
        self.targets = targets
    }

    /// Every matrix of a dense layer.
    package static let dense: Set<Target> = [.query, .key, .value, .output, .gate, .up, .down]

    package var scale: Float { Float(stabilised ? alpha / Double(rank).squareRoot() : alpha / Double(rank)) }

    /// The name of A or B in PEFT's files.
    package static func name(_ layer: Int, _ target: Target, _ role: ParameterTable.Role) -> String {
        "base_model.model.\(target.module(layer)).lora_\(role == .adapterDown ? "A" : "B").weight"
    }
}

extension MistralConfig {
    /// The matrices of a layer that adapters may lie beside, in the order of the forward pass: all but routers and the experts that tokens choose.
    package var adapterTargets: [AdapterConfig.Target] {
        let queries: [AdapterConfig.Target] = latent?.queryRank == nil ? [.query] : [.queryDown, .queryUp]
        let attention = latent == nil ? [.query, .key, .value, .output] : queries + [.latentDown, .latentUp, .output]
        guard let experts else { return attention + [.gate, .up, .down] }
        return experts.shared > 0 ? attention + [.sharedGate, .sharedUp, .sharedDown] : attention
    }

    /// Rows and columns of a layer's matrix.
    /// - Precondition: the target is one of `adapterTargets`.
    package func extents(_ target: AdapterConfig.Target) -> (out: Int, in: Int) {
        func known<Value>(_ value: Value?) -> Value {
            guard let value else { preconditionFailure("the model has no `\(target.rawValue)`") }
            return value
        }
        let shared = (experts?.shared ?? 0) * feedForward
        switch target {
        case .query: return (queryWidth, width)
        case .key, .value: return (kvWidth, width)
        case .queryDown: return (known(latent?.queryRank), width)
        case .queryUp: return (queryWidth, known(latent?.queryRank))
        case .latentDown: return (known(latent).width, width)
        case .latentUp: return (queryHeads * (known(latent).plainDim + known(latent).valueDim), known(latent).rank)
        case .output: return (width, headsWidth)
        case .gate, .up: return (feedForward, width)
        case .down: return (width, feedForward)
        case .sharedGate, .sharedUp: return (shared, width)
        case .sharedDown: return (width, shared)
        }
    }
}

extension ParameterTable {
    /// The adapters beside a decoder, layer by layer: A `[rank, in]`, then B `[out, rank]`, of each target in the order of the forward pass.
    package init(_ config: MistralConfig, adapters: AdapterConfig) {
        var entries: [Entry] = []
        var offset = 0
        func add(_ name: String, _ shape: Shape, _ role: Role) {
            entries.append(Entry(name: name, shape: shape, offset: offset, role: role, closesBranch: false, home: Home(name: name, shape: shape)))
            offset += shape.count
        }
        for layer in 0..<config.layers {
            for target in config.adapterTargets where adapters.targets.contains(target) {
                let (out, columns) = config.extents(target)
                add(AdapterConfig.name(layer, target, .adapterDown), [adapters.rank, columns], .adapterDown)
                add(AdapterConfig.name(layer, target, .adapterUp), [out, adapters.rank], .adapterUp)
            }
        }
        self.init(config, adapters: adapters, entries: entries)
    }
}

extension Parameters {
    /// A and B of one matrix; nil if it has no adapter.
    package func adapter(_ layer: Int, _ target: AdapterConfig.Target) -> (down: Tensor, up: Tensor)? {
        guard table.adapters?.targets.contains(target) == true, table.config.adapterTargets.contains(target) else { return nil }
        return (tensor(AdapterConfig.name(layer, target, .adapterDown)), tensor(AdapterConfig.name(layer, target, .adapterUp)))
    }
}
