package import ForgeArtifact
package import ForgeCore
package import ForgeModel

extension MistralConfig {
    /// What the pairs of a GGUF file say of a model (docs/formats/gguf.md, "A model").
    ///
    /// Numbers are float32 there; each is read as the shortest decimal that it is, so that 0.1 is 0.1.
    /// - Throws: `.request` naming the pair that is missing, of the wrong kind, or not supported. A pair of the architecture that nobody knows is refused: it could change results.
    package init(gguf table: GGUFTable, source: String) throws(Fault) {
        func fault(_ why: String) -> Fault {
            Fault(.request, "gguf.config", "cannot use the model `\(source)`", why: why, remedy: "Mistral, Ministral 3 and Mixtral decoders are supported, whole and in one file")
        }
        let pairs = GGUFPairs(table, fault)
        if let type = try pairs.text("general.type"), type != "model" { throw fault("it is of the type `\(type.prefix(40))`, not a model") }
        if let parts = try pairs.int("split.count"), parts > 1 { throw fault("it is one of \(parts) parts; join them first (`llama-gguf-split --merge`)") }
        guard let name = try pairs.text("general.architecture") else { throw fault("`general.architecture` is missing") }
        guard let architecture = GGUFArchitecture(rawValue: name) else { throw fault("its architecture is `\(name.prefix(40))`") }
        let prefix = name + "."
        for pair in table.pairs where pair.key.hasPrefix(prefix) {
            guard GGUFArchitecture.known.contains(String(pair.key.dropFirst(prefix.count))) else { throw fault("`\(pair.key.prefix(80))` is not supported") }
        }
        func int(_ key: String) throws(Fault) -> Int? { try pairs.int(prefix + key) }
        func number(_ key: String) throws(Fault) -> Double? { try pairs.number(prefix + key) }
        func needed(_ key: String) throws(Fault) -> Int {
            guard let value = try int(key) else { throw fault("`\(prefix + key)` is missing") }
            return value
        }
        /// What this architecture takes for granted, said otherwise.
        func only(_ key: String, _ values: [Double]) throws(Fault) {
            if let value = try number(key), !values.contains(value) { throw fault("`\(prefix + key)` is \(value)") }
        }
        let width = try needed("embedding_length"), heads = try needed("attention.head_count"), contextMax = try needed("context_length")
        guard heads > 0, width > 0 else { throw fault("`\(prefix)attention.head_count` or `\(prefix)embedding_length` is 0") }
        let headDim = try int("attention.key_length") ?? width / heads, feedForward = try needed("feed_forward_length"), count = try int("expert_count") ?? 0
        for key in ["attention.value_length", "rope.dimension_count"] { try only(key, [Double(headDim)]) }
        try only("expert_feed_forward_length", [Double(feedForward)])
        for key in ["expert_shared_count", "leading_dense_block_count", "expert_group_count", "attention.scale"] { try only(key, [0]) }
        try only("expert_gating_func", [1])
        for key in ["expert_weights_scale", "rope.scaling.yarn_attn_factor", "rope.scale_linear"] { try only(key, [1]) }
        for key in ["expert_weights_norm", "attention.causal"] { if try pairs.truth(prefix + key) == false { throw fault("`\(prefix + key)` is false") } }
        guard let embedding = table["token_embd.weight"], embedding.shape.rank == 2 else { throw fault("tensor `token_embd.weight` is missing or no matrix") }
        if let said = try int("vocab_size"), said != embedding.shape[0] { throw fault("`\(prefix)vocab_size` is \(said), and `token_embd.weight` has \(embedding.shape[0]) rows") }
        guard let eps = try number("attention.layer_norm_rms_epsilon") else { throw fault("`\(prefix)attention.layer_norm_rms_epsilon` is missing") }

        let layers = try needed("block_count")
        var windowed: [Bool] = []
        if let pattern = table.value(prefix + "attention.sliding_window_pattern") {
            guard case .list(let kinds) = pattern, (1...1_024).contains(kinds.count) else { throw fault("`\(prefix)attention.sliding_window_pattern` is not a list of truth values") }
            for kind in kinds {
                guard case .truth(let windows) = kind else { throw fault("`\(prefix)attention.sliding_window_pattern` is not a list of truth values") }
                windowed.append(windows)
            }
        }
        let window = try int("attention.sliding_window")
        let yarn = try Yarn(pairs, prefix, contextMax: contextMax, fault)
        var growth: QueryScale?
        if let beta = try number("attention.temperature_scale"), beta != 0 {
            guard architecture == .mistral3 else { throw fault("`\(prefix)attention.temperature_scale` is not supported") }
            growth = QueryScale(beta: beta, originalContext: try int("attention.temperature_length") ?? yarn?.originalContext ?? contextMax)
        }
        self.init(
            vocabulary: embedding.shape[0], width: width, feedForward: feedForward, layers: layers, queryHeads: heads, kvHeads: try int("attention.head_count_kv") ?? heads, headDim: headDim,
            contextMax: contextMax, normEps: Float(eps), ropeTheta: try number("rope.freq_base") ?? 10_000, yarn: yarn, queryScale: growth, window: window == 0 ? nil : window, windowed: windowed,
            tiedEmbeddings: table["output.weight"] == nil, bos: try pairs.int("tokenizer.ggml.bos_token_id"), eos: try pairs.int("tokenizer.ggml.eos_token_id"),
            experts: count == 0 ? nil : Experts(count: count, choices: try needed("expert_used_count")))
        try validate()
    }
}

/// The kinds of decoder that llama.cpp tells apart and we read as one: in both, rows of queries and keys lie in pairs.
enum GGUFArchitecture: String {
    case llama
    /// Mistral's since 2025: queries may grow with their position.
    case mistral3

    /// What either may say of itself.
    static let known: Set<String> = [
        "context_length", "embedding_length", "block_count", "feed_forward_length", "vocab_size", "tensor_data_layout", "attention.head_count", "attention.head_count_kv",
        "attention.key_length", "attention.value_length", "attention.layer_norm_rms_epsilon", "attention.causal", "attention.scale", "attention.sliding_window",
        "attention.sliding_window_pattern", "attention.temperature_scale", "attention.temperature_length", "rope.dimension_count", "rope.freq_base", "rope.scale_linear",
        "rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length", "rope.scaling.finetuned", "rope.scaling.attn_factor", "rope.scaling.yarn_log_multiplier",
        "rope.scaling.yarn_ext_factor", "rope.scaling.yarn_attn_factor", "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow", "expert_count", "expert_used_count",
        "expert_feed_forward_length", "expert_shared_count", "expert_group_count", "expert_gating_func", "expert_weights_scale", "expert_weights_norm", "leading_dense_block_count",
    ]
}

/// Pairs by their kinds.
struct GGUFPairs {
    private let table: GGUFTable
    private let fault: (String) -> Fault

    init(_ table: GGUFTable, _ fault: @escaping (String) -> Fault) {
        self.table = table
        self.fault = fault
    }

    func int(_ key: String) throws(Fault) -> Int? {
        switch table.value(key) {
        case nil: return nil
        case .unsigned(let value)? where value <= UInt64(Int32.max): return Int(value)
        case .signed(let value)? where (0...Int64(Int32.max)).contains(value): return Int(value)
        default: throw fault("`\(key)` is not a whole number up to 2147483647")
        }
    }

    func number(_ key: String) throws(Fault) -> Double? {
        if case .number(let value)? = table.value(key) {
            guard value.isFinite else { throw fault("`\(key)` is not finite") }
            return Double(Float(value)) == value ? Double(Float(value).description) ?? value : value
        }
        return try int(key).map(Double.init)
    }

    func text(_ key: String) throws(Fault) -> String? {
        switch table.value(key) {
        case nil: return nil
        case .text(let value)?: return value
        default: throw fault("`\(key)` is not text")
        }
    }

    func truth(_ key: String) throws(Fault) -> Bool? {
        switch table.value(key) {
        case nil: return nil
        case .truth(let value)?: return value
        default: throw fault("`\(key)` is neither true nor false")
        }
    }
}

extension Yarn {
    /// - Returns: nil where positions are not stretched.
    fileprivate init?(_ pairs: GGUFPairs, _ prefix: String, contextMax: Int, _ fault: (String) -> Fault) throws(Fault) {
        let key = prefix + "rope.scaling.", factor = try pairs.number(key + "factor") ?? 1, kind = try pairs.text(key + "type") ?? "none"
        guard kind == "yarn" else {
            guard ["none", "linear"].contains(kind), factor == 1 || factor == 0 else { throw fault("rotary scaling `\(kind.prefix(40))` by \(factor) is not supported") }
            return nil
        }
        if let mixing = try pairs.number(key + "yarn_ext_factor"), mixing != 1 { throw fault("`\(key)yarn_ext_factor` is \(mixing)") }
        // What is written as the multiplier is transformers' `mscale_all_dim`; llama.cpp takes `mscale` to be 1 beside it, and no division without it.
        let below = try pairs.number(key + "yarn_log_multiplier") ?? 0, further = try pairs.number(key + "attn_factor") ?? 1
        let magnitude = below == 1 ? 1 : below == 0 ? Yarn.magnitude(factor) : Yarn.magnitude(factor) / Yarn.magnitude(factor, mscale: below)
        self.init(
            factor: factor, originalContext: try pairs.int(key + "original_context_length") ?? contextMax, betaFast: try pairs.number(key + "yarn_beta_fast") ?? 32,
            betaSlow: try pairs.number(key + "yarn_beta_slow") ?? 1, attentionFactor: magnitude * further)
    }
}
