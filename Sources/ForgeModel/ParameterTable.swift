package import ForgeCore
import ForgeTensor

/// Every parameter of a decoder: its Hugging Face name, shape, and place in one flat run of float32.
///
/// q, k and v of a layer lie side by side, and so do gate and up: each trio or pair is one matrix to the kernels. An expert's gate, up and down follow one another,
/// so that the same matrix of all experts is found at one spacing.
package struct ParameterTable: Sendable {
    package enum Role: Sendable {
        /// `[vocabulary, width]`: rows are looked up, or multiply the last hidden state.
        case embedding
        /// `[out, in]` of a hidden layer.
        case matrix
        /// `[width]`, starts at one, never decays.
        case norm
        /// A of an adapter, `[rank, in]`.
        case adapterDown
        /// B of an adapter, `[out, rank]`, starts at zero.
        case adapterUp
    }

    package struct Entry: Sendable {
        package let name: String
        package let shape: Shape
        /// In elements, from the start of the flat run.
        package let offset: Int
        package let role: Role
        /// Reads into the residual stream: its initial values shrink with depth.
        package let closesBranch: Bool
        /// The tensor of a model file that it lies in.
        package let home: Home

        package var count: Int { shape.count }
        package var range: Range<Int> { offset..<(offset + count) }
    }

    /// A tensor as model files have it: mostly one entry; of Mistral 4 a matrix of all experts, with gate and up of each one after the other.
    package struct Home: Sendable, Hashable {
        package let name: String
        package let shape: Shape
        /// Where the entry begins in it, in elements.
        package let first: Int

        package init(name: String, shape: Shape, first: Int = 0) {
            self.name = name
            self.shape = shape
            self.first = first
        }
    }

    package let config: MistralConfig
    /// What the entries are: adapters beside a decoder of `config`, or nil for the decoder itself.
    package let adapters: AdapterConfig?
    /// In the order of the forward pass.
    package let entries: [Entry]
    package let count: Int
    private let places: [String: Int]

    package init(_ config: MistralConfig) {
        var entries: [Entry] = []
        var offset = 0
        func add(_ name: String, _ shape: Shape, _ role: Role, closes: Bool = false, home: Home? = nil) {
            entries.append(Entry(name: name, shape: shape, offset: offset, role: role, closesBranch: closes, home: home ?? Home(name: name, shape: shape)))
            offset += shape.count
        }
        func addGated(_ prefix: String, _ names: MistralConfig.GatedNames, width: Int) {
            add(prefix + names.gate + ".weight", [width, config.width], .matrix)
            add(prefix + names.up + ".weight", [width, config.width], .matrix)
            add(prefix + names.down + ".weight", [config.width, width], .matrix, closes: true)
        }
        add("model.embed_tokens.weight", [config.vocabulary, config.width], .embedding)
        for layer in 0..<config.layers {
            let prefix = "model.layers.\(layer)."
            add(prefix + "input_layernorm.weight", [config.width], .norm)
            let attention = prefix + "self_attn."
            if let latent = config.latent {
                if let rank = latent.queryRank {
                    add(attention + "q_a_proj.weight", [rank, config.width], .matrix)
                    add(attention + "q_a_layernorm.weight", [rank], .norm)
                    add(attention + "q_b_proj.weight", [config.queryWidth, rank], .matrix)
                } else {
                    add(attention + "q_proj.weight", [config.queryWidth, config.width], .matrix)
                }
                add(attention + "kv_a_proj_with_mqa.weight", [latent.width, config.width], .matrix)
                add(attention + "kv_a_layernorm.weight", [latent.rank], .norm)
                add(attention + "kv_b_proj.weight", [config.queryHeads * (latent.plainDim + latent.valueDim), latent.rank], .matrix)
            } else {
                add(attention + "q_proj.weight", [config.queryWidth, config.width], .matrix)
                add(attention + "k_proj.weight", [config.kvWidth, config.width], .matrix)
                add(attention + "v_proj.weight", [config.kvWidth, config.width], .matrix)
            }
            add(attention + "o_proj.weight", [config.width, config.headsWidth], .matrix, closes: true)
            add(prefix + "post_attention_layernorm.weight", [config.width], .norm)
            guard let experts = config.experts else {
                addGated(prefix + "mlp.", .dense, width: config.feedForward)
                continue
            }
            let block = prefix + config.mixtureBlock, names = config.expertNames
            add(block + "gate.weight", [experts.count, config.width], .matrix)
            for expert in 0..<experts.count {
                guard config.latent != nil else {
                    addGated(block + "experts.\(expert).", names, width: config.feedForward)
                    continue
                }
                let wide = config.feedForward * config.width
                func addPart(_ name: String, _ shape: Shape, _ all: String, rows: Int, first: Int, closes: Bool = false) {
                    add(
                        block + "experts.\(expert).\(name).weight", shape, .matrix, closes: closes,
                        home: Home(name: block + "experts." + all, shape: [experts.count, rows, shape[1]], first: first))
                }
                addPart(names.gate, [config.feedForward, config.width], "gate_up_proj", rows: 2 * config.feedForward, first: 2 * expert * wide)
                addPart(names.up, [config.feedForward, config.width], "gate_up_proj", rows: 2 * config.feedForward, first: (2 * expert + 1) * wide)
                addPart(names.down, [config.width, config.feedForward], "down_proj", rows: config.width, first: expert * wide, closes: true)
            }
            if experts.shared > 0 { addGated(block + "shared_experts.", .dense, width: experts.shared * config.feedForward) }
        }
        add("model.norm.weight", [config.width], .norm)
        if !config.tiedEmbeddings { add("lm_head.weight", [config.vocabulary, config.width], .embedding) }
        self.init(config, entries: entries)
    }

    /// - Parameter entries: each begins where the one before it ends.
    init(_ config: MistralConfig, adapters: AdapterConfig? = nil, entries: [Entry]) {
        self.config = config
        self.adapters = adapters
        self.entries = entries
        count = entries.last?.range.upperBound ?? 0
        places = Dictionary(uniqueKeysWithValues: entries.indices.map { (entries[$0].name, $0) })
    }

    package subscript(name: String) -> Entry? { places[name].map { entries[$0] } }

    /// The tensors of a model file, each with the entries that lie in it one after another.
    package var homes: [(home: Home, entries: [Entry])] {
        var order: [String] = [], parts: [String: [Entry]] = [:]
        for entry in entries {
            if parts[entry.home.name] == nil { order.append(entry.home.name) }
            parts[entry.home.name, default: []].append(entry)
        }
        return order.map { name in
            let parts = parts[name]!.sorted { $0.home.first < $1.home.first }
            return (Home(name: name, shape: parts[0].home.shape), parts)
        }
    }

    /// Parameters a token multiplies with: all but the looked-up embedding (counted once if it is also the head) and the experts it does not go to.
    package var multiplied: Int {
        let idle = config.experts.map { config.layers * ($0.count - $0.choices) * 3 * config.feedForward * config.width } ?? 0
        return count - (config.tiedEmbeddings ? 0 : config.vocabulary * config.width) - idle
    }

    /// Floating-point operations of forward and backward for one token at a mean attention span, by the usual count
    /// 6N + 12·layers·heads·d·span with the causal half taken (PaLM, arXiv:2204.02311, appendix B).
    package func trainingFlops(perTokenWithContext context: Int) -> Double {
        let shape = config.attention(of: 0)
        return 6 * Double(multiplied) + 6 * Double(config.layers * shape.queryHeads * shape.headDim) * Double(context)
    }
}

extension MistralConfig {
    /// What the three matrices of a gated feed-forward are called.
    package struct GatedNames: Sendable {
        package let gate: String
        package let up: String
        package let down: String

        package static let dense = GatedNames(gate: "gate_proj", up: "up_proj", down: "down_proj")
    }

    package var expertNames: GatedNames { latent == nil ? GatedNames(gate: "w1", up: "w3", down: "w2") : .dense }
    /// Where a layer's router and experts are named.
    package var mixtureBlock: String { latent == nil ? "block_sparse_moe." : "mlp." }
}
