package import ForgeCore
package import ForgeModel

extension MistralConfig {
    /// Reads `params.json` of Mistral's releases (mistral-inference's `ModelArgs`, with the members that vLLM reads beside them).
    ///
    /// Whether stretched positions also grow in size is a fact of the checkpoint (`yarn.apply_scale`), not of its class: false is a factor of 1.
    /// - Throws: `.request` naming the member that is missing, of the wrong kind, or not supported. A member nobody knows is refused: it could change results.
    package init(params json: JSON) throws(Fault) {
        func fault(_ why: String) -> Fault {
            Fault(.request, "checkpoint.params", "cannot read the checkpoint's params.json", why: why, remedy: "Mistral, Ministral 3, Mixtral and Mistral 4 decoders are supported")
        }
        guard let root = json.object else { throw fault("it is not a JSON object") }
        func number(_ object: JSON.Object, _ key: String) throws(Fault) -> Double? {
            guard let value = object[key], value != .null else { return nil }
            guard let number = value.number else { throw fault("`\(key)` is not a number") }
            return number
        }
        func int(_ object: JSON.Object, _ key: String) throws(Fault) -> Int? {
            guard let value = object[key], value != .null else { return nil }
            guard let number = MistralConfig.whole(value) else { throw fault("`\(key)` is not a whole number below 2^31") }
            return number
        }
        func needed(_ object: JSON.Object, _ key: String) throws(Fault) -> Int {
            guard let value = try int(object, key) else { throw fault("`\(key)` is missing") }
            return value
        }
        func flag(_ object: JSON.Object, _ key: String) throws(Fault) -> Bool {
            guard let value = object[key], value != .null else { return false }
            guard let flag = value.bool else { throw fault("`\(key)` is neither true nor false") }
            return flag
        }
        func known(_ object: JSON.Object, _ keys: Set<String>, in place: String = "") throws(Fault) {
            if let other = object.members.first(where: { !keys.contains($0.key) && $0.value != .null }) { throw fault("`\(place)\(other.key.prefix(60))` is not supported") }
        }
        try known(
            root,
            [
                "dim", "n_layers", "head_dim", "hidden_dim", "n_heads", "n_kv_heads", "norm_eps", "vocab_size", "rope_theta", "tied_embeddings", "sliding_window", "max_position_embeddings",
                "max_seq_len", "moe", "yarn", "llama_4_scaling", "use_biases", "causal", "model_type", "q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim",
                "quantization", "quantization_config",
            ])
        if try flag(root, "use_biases") { throw fault("`use_biases` is true: matrices with biases are not supported") }
        if let causal = root["causal"], causal != .null, causal != .bool(true) { throw fault("`causal` is not true") }
        // The tensors say the rest: each is looked for with its scales.
        if let format = root["quantization"]?["qformat_weight"]?.string, format != "fp8_e4m3" { throw fault("`quantization.qformat_weight` is `\(format.prefix(40))`, not `fp8_e4m3`") }
        let longest = try int(root, "max_position_embeddings"), longestOnce = try int(root, "max_seq_len")
        var latent: LatentAttention?
        if let rank = try int(root, "kv_lora_rank") {
            latent = LatentAttention(
                queryRank: try int(root, "q_lora_rank"), rank: rank, plainDim: try needed(root, "qk_nope_head_dim"), turnedDim: try needed(root, "qk_rope_head_dim"),
                valueDim: try needed(root, "v_head_dim"))
        } else if let other = ["q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"].first(where: { root[$0].map { $0 != .null } ?? false }) {
            throw fault("`\(other)` is set, and `kv_lora_rank` is not")
        }
        var experts: Experts?, feedForward: Int?
        if let moe = root["moe"], moe != .null {
            guard let moe = moe.object else { throw fault("`moe` is not an object") }
            // How experts were spread over devices (`expert_parallel`) is no part of the model.
            let beside: Set<String> = [
                "num_shared_experts", "expert_hidden_dim", "first_k_dense_replace", "routed_scale", "num_expert_groups", "num_expert_groups_per_tok", "route_every_n",
                "expert_parallel", "expert_model_parallel",
            ]
            try known(moe, Set(["num_experts", "num_experts_per_tok"]).union(latent == nil ? [] : beside), in: "moe.")
            for (key, only) in [("first_k_dense_replace", 0), ("num_expert_groups", 1), ("num_expert_groups_per_tok", 1), ("route_every_n", 1)] {
                guard try int(moe, key) ?? only == only else { throw fault("`moe.\(key)` is not \(only): experts in groups and dense layers between them are not supported") }
            }
            experts = Experts(
                count: try needed(moe, "num_experts"), choices: try needed(moe, "num_experts_per_tok"), shared: try int(moe, "num_shared_experts") ?? 0,
                scale: try number(moe, "routed_scale") ?? 1)
            if latent != nil { feedForward = try needed(moe, "expert_hidden_dim") }
        }
        var yarn: Yarn?
        if let stretch = root["yarn"], stretch != .null {
            guard let stretch = stretch.object else { throw fault("`yarn` is not an object") }
            try known(stretch, ["factor", "original_max_position_embeddings", "beta", "alpha", "apply_scale"], in: "yarn.")
            guard let factor = try number(stretch, "factor") else { throw fault("`yarn.factor` is missing") }
            guard let scaled = stretch["apply_scale"]?.bool else { throw fault("`yarn.apply_scale` is missing, and either reading gives another model") }
            yarn = Yarn(
                factor: factor, originalContext: try needed(stretch, "original_max_position_embeddings"), betaFast: try number(stretch, "beta") ?? 32,
                betaSlow: try number(stretch, "alpha") ?? 1, attentionFactor: scaled && latent == nil ? nil : 1)
            // Only a part of a latent's head turns: there the size rides on the scores.
            latent?.raisesScores = scaled
        }
        var growth: QueryScale?
        if let scaling = root["llama_4_scaling"], scaling != .null {
            guard let scaling = scaling.object else { throw fault("`llama_4_scaling` is not an object") }
            try known(scaling, ["beta", "original_max_position_embeddings"], in: "llama_4_scaling.")
            guard let beta = try number(scaling, "beta") else { throw fault("`llama_4_scaling.beta` is missing") }
            growth = QueryScale(beta: beta, originalContext: try needed(scaling, "original_max_position_embeddings"))
        }
        let layers = try needed(root, "n_layers"), heads = try needed(root, "n_heads"), width = try needed(root, "dim")
        var window: Int?, windowed: [Bool] = []
        if let pattern = root["sliding_window"]?.array {
            // One after another over the layers, again and again; null is no window.
            let windows = pattern.compactMap(MistralConfig.whole), others = pattern.count { $0 == .null }
            guard (1...1_024).contains(pattern.count), (1...1_024).contains(layers), windows.count + others == pattern.count, Set(windows).count <= 1 else {
                throw fault("`sliding_window` is not a list of one window and nulls")
            }
            window = windows.first
            windowed = (0..<layers).map { pattern[$0 % pattern.count] != .null }
        } else {
            window = try int(root, "sliding_window")
        }
        let hidden = if let feedForward { feedForward } else { try needed(root, "hidden_dim") }
        // Releases before 2024 do not say how long a text may be; theirs were trained on 32,768 positions.
        self.init(
            vocabulary: try needed(root, "vocab_size"), width: width, feedForward: hidden, layers: layers, queryHeads: heads,
            kvHeads: try int(root, "n_kv_heads") ?? heads, headDim: try int(root, "head_dim") ?? latent?.headDim ?? (heads > 0 ? width / heads : 0), contextMax: longest ?? longestOnce ?? 32_768,
            normEps: Float(try number(root, "norm_eps") ?? 1e-5), ropeTheta: try number(root, "rope_theta") ?? 10_000, yarn: yarn, queryScale: growth, window: window, windowed: windowed,
            tiedEmbeddings: try flag(root, "tied_embeddings"), bos: 1, eos: 2, experts: experts, latent: latent)
        try validate()
    }

    /// `params.json` as `init(params:)` reads it, in one fixed order.
    /// - Throws: `.request` for a model that it would not say: stretched positions of a size of their own, or marks that begin and end a text elsewhere.
    package func params() throws(Fault) -> JSON {
        var said = try MistralConfig(params: described)
        // How experts are balanced in training is no part of what is computed.
        if let experts { said.experts?.balance = experts.balance }
        said.experts?.balances = experts?.balances ?? false
        // Left open here, it is said there.
        if latent?.raisesScores == nil { said.latent?.raisesScores = nil }
        guard said == self else {
            throw Fault(
                .request, "checkpoint.params", "this model has no native layout", why: "params.json cannot say how it differs from what `\(modelType)` models of that layout are",
                remedy: "use `--layout hugging-face`")
        }
        return described
    }

    private var described: JSON {
        var root: JSON.Object = [
            "dim": .int(Int64(width)), "n_layers": .int(Int64(layers)), "head_dim": .int(Int64(headDim)), "hidden_dim": .int(Int64(feedForward)), "n_heads": .int(Int64(queryHeads)),
            "n_kv_heads": .int(Int64(kvHeads)), "norm_eps": .double(Double(normEps.description)!), "vocab_size": .int(Int64(vocabulary)), "rope_theta": .double(ropeTheta),
            "max_position_embeddings": .int(Int64(contextMax)), "tied_embeddings": .bool(tiedEmbeddings),
        ]
        if windowed.isEmpty {
            if let window { root["sliding_window"] = .int(Int64(window)) }
        } else {
            root["sliding_window"] = .array(windowed.map { $0 ? window.map { .int(Int64($0)) } ?? .null : .null })
        }
        if let experts {
            var moe: JSON.Object = ["num_experts": .int(Int64(experts.count)), "num_experts_per_tok": .int(Int64(experts.choices))]
            if latent != nil {
                moe["num_shared_experts"] = .int(Int64(experts.shared))
                moe["expert_hidden_dim"] = .int(Int64(feedForward))
                moe["first_k_dense_replace"] = 0
                moe["routed_scale"] = .double(experts.scale)
            }
            root["moe"] = .object(moe)
        }
        if let latent {
            root["q_lora_rank"] = latent.queryRank.map { .int(Int64($0)) }
            root["kv_lora_rank"] = .int(Int64(latent.rank))
            root["qk_nope_head_dim"] = .int(Int64(latent.plainDim))
            root["qk_rope_head_dim"] = .int(Int64(latent.turnedDim))
            root["v_head_dim"] = .int(Int64(latent.valueDim))
        }
        if let yarn {
            root["yarn"] = [
                "factor": .double(yarn.factor), "original_max_position_embeddings": .int(Int64(yarn.originalContext)), "beta": .double(yarn.betaFast), "alpha": .double(yarn.betaSlow),
                "apply_scale": .bool(latent.map { $0.raisesScores == true } ?? (yarn.attentionFactor != 1)),
            ]
        }
        if let queryScale { root["llama_4_scaling"] = ["beta": .double(queryScale.beta), "original_max_position_embeddings": .int(Int64(queryScale.originalContext))] }
        return .object(root)
    }
}
