import ForgeCore
package import ForgeTensor

/// Low-rank adapters beside a frozen decoder (Hu et al. 2021, arXiv:2106.09685), named and scaled as PEFT does.
package struct AdapterConfig: Hashable, Sendable {
    /// A matrix of each layer that gets one.
    package enum Target: String, Sendable, Hashable, CaseIterable {
        case query = "q_proj"
        case key = "k_proj"
        case value = "v_proj"
        case output = "o_proj"
        case gate = "gate_proj"
        case up = "up_proj"
        case down = "down_proj"

        var block: String {
            switch self {
            case .query, .key, .value, .output: "self_attn"
            case .gate, .up, .down: "mlp"
            }
        }

        /// Its name in a layer, without `.weight`.
        package func module(_ layer: Int) -> String { "model.layers.\(layer).\(block).\(rawValue)" }
    }

    package var rank: Int
    package var alpha: Double
    /// alpha/√rank instead of alpha/rank (rsLoRA: Kalajdzievski 2023, arXiv:2312.03732).
    package var stabilised: Bool
    package var targets: Set<Target>

    package init(rank: Int, alpha: Double, stabilised: Bool = false, targets: Set<Target> = Set(Target.allCases)) {
        precondition(rank >= 1 && !targets.isEmpty && alpha.isFinite, "an adapter has a rank and something to change")
        self.rank = rank
        self.alpha = alpha
        self.stabilised = stabilised
        self.targets = targets
    }

    package var scale: Float { Float(stabilised ? alpha / Double(rank).squareRoot() : alpha / Double(rank)) }

    /// The name of A or B in PEFT's files.
    package static func name(_ layer: Int, _ target: Target, _ role: ParameterTable.Role) -> String {
        "base_model.model.\(target.module(layer)).lora_\(role == .adapterDown ? "A" : "B").weight"
    }
}

extension MistralConfig {
    /// Rows and columns of a layer's matrix.
    package func extents(_ target: AdapterConfig.Target) -> (out: Int, in: Int) {
        switch target {
        case .query: (queryWidth, width)
        case .key, .value: (kvWidth, width)
        case .output: (width, queryWidth)
        case .gate, .up: (feedForward, width)
        case .down: (width, feedForward)
        }
    }
}

extension ParameterTable {
    /// The adapters of a dense decoder, layer by layer: A `[rank, in]`, then B `[out, rank]`, of each target in the order of the forward pass.
    package init(_ config: MistralConfig, adapters: AdapterConfig) {
        precondition(config.experts == nil && config.latent == nil, "adapters lie beside dense layers")
        var entries: [Entry] = []
        var offset = 0
        func add(_ name: String, _ shape: Shape, _ role: Role) {
            entries.append(Entry(name: name, shape: shape, offset: offset, role: role, closesBranch: false, home: Home(name: name, shape: shape)))
            offset += shape.count
        }
        for layer in 0..<config.layers {
            for target in AdapterConfig.Target.allCases where adapters.targets.contains(target) {
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
        guard table.adapters?.targets.contains(target) == true else { return nil }
        return (tensor(AdapterConfig.name(layer, target, .adapterDown)), tensor(AdapterConfig.name(layer, target, .adapterUp)))
    }
}
