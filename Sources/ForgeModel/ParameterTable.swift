package import ForgeCore

/// Every parameter of a decoder: its Hugging Face name, shape, and place in one flat run of float32.
///
/// q, k and v of a layer lie side by side, and so do gate and up: each trio or pair is one matrix to the kernels. An expert's gate (`w1`), up (`w3`) and down
/// (`w2`) follow one another, so that the same matrix of all experts is found at one spacing.
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

        package var count: Int { shape.count }
        package var range: Range<Int> { offset..<(offset + count) }
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
        func add(_ name: String, _ shape: Shape, _ role: Role, closes: Bool = false) {
            entries.append(Entry(name: name, shape: shape, offset: offset, role: role, closesBranch: closes))
            offset += shape.count
        }
        add("model.embed_tokens.weight", [config.vocabulary, config.width], .embedding)
        for layer in 0..<config.layers {
            let prefix = "model.layers.\(layer)."
            add(prefix + "input_layernorm.weight", [config.width], .norm)
            add(prefix + "self_attn.q_proj.weight", [config.queryWidth, config.width], .matrix)
            add(prefix + "self_attn.k_proj.weight", [config.kvWidth, config.width], .matrix)
            add(prefix + "self_attn.v_proj.weight", [config.kvWidth, config.width], .matrix)
            add(prefix + "self_attn.o_proj.weight", [config.width, config.queryWidth], .matrix, closes: true)
            add(prefix + "post_attention_layernorm.weight", [config.width], .norm)
            guard let experts = config.experts else {
                add(prefix + "mlp.gate_proj.weight", [config.feedForward, config.width], .matrix)
                add(prefix + "mlp.up_proj.weight", [config.feedForward, config.width], .matrix)
                add(prefix + "mlp.down_proj.weight", [config.width, config.feedForward], .matrix, closes: true)
                continue
            }
            add(prefix + "block_sparse_moe.gate.weight", [experts.count, config.width], .matrix)
            for expert in 0..<experts.count {
                let prefix = prefix + "block_sparse_moe.experts.\(expert)."
                add(prefix + "w1.weight", [config.feedForward, config.width], .matrix)
                add(prefix + "w3.weight", [config.feedForward, config.width], .matrix)
                add(prefix + "w2.weight", [config.width, config.feedForward], .matrix, closes: true)
            }
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

    /// Parameters a token multiplies with: all but the looked-up embedding (counted once if it is also the head) and the experts it does not go to.
    package var multiplied: Int {
        let idle = config.experts.map { config.layers * ($0.count - $0.choices) * 3 * config.feedForward * config.width } ?? 0
        return count - (config.tiedEmbeddings ? 0 : config.vocabulary * config.width) - idle
    }

    /// Floating-point operations of forward and backward for one token at a mean attention span, by the usual count
    /// 6N + 12·layers·heads·d·span with the causal half taken (PaLM, arXiv:2204.02311, appendix B).
    package func trainingFlops(perTokenWithContext context: Int) -> Double {
        6 * Double(multiplied) + 6 * Double(config.layers * config.queryWidth) * Double(context)
    }
}
