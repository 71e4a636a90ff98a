package import ForgeCore
import ForgeTensor

extension MistralConfig {
    /// Reads `config.json`, old (`rope_theta`) and new (`rope_parameters`) spelling.
    /// - Throws: `.request` naming the member that is missing, of the wrong kind, or not supported.
    package init(json: JSON) throws(Fault) {
        func fault(_ why: String) -> Fault {
            Fault(.request, "model.config", "cannot read the model's config.json", why: why, remedy: "Mistral, Ministral 3, Mixtral and Mistral 4 decoders are supported")
        }
        guard let root = json.object else { throw fault("it is not a JSON object") }
        func int(_ key: String, _ fallback: Int? = nil) throws(Fault) -> Int {
            guard let value = root[key], value != .null else {
                if let fallback { return fallback }
                throw fault("`\(key)` is missing")
            }
            guard let number = MistralConfig.whole(value) else { throw fault("`\(key)` is not a whole number below 2^31") }
            return number
        }
        func optional(_ key: String) throws(Fault) -> Int? {
            guard let value = root[key], value != .null else { return nil }
            // Some files list several end tokens: the first is the one that ends a text.
            if let first = value.array?.first.flatMap(MistralConfig.whole) { return first }
            return try int(key)
        }
        func number(_ key: String) throws(Fault) -> Double? {
            guard let value = root[key], value != .null else { return nil }
            guard let number = value.number else { throw fault("`\(key)` is not a number") }
            return number
        }
        func flag(_ key: String, _ fallback: Bool = false) throws(Fault) -> Bool {
            guard let value = root[key], value != .null else { return fallback }
            guard let flag = value.bool else { throw fault("`\(key)` is neither true nor false") }
            return flag
        }
        let kind = root["model_type"]?.string ?? "mistral"
        guard ["mistral", "ministral", "ministral3", "mixtral", "mistral4"].contains(kind) else { throw fault("`model_type` is `\(kind.prefix(40))`") }
        for key in ["attention_bias", "mlp_bias"] where try flag(key) { throw fault("`\(key)` is true: matrices with biases are not supported") }
        var experts: Experts?
        if kind == "mixtral" {
            // The defaults are those of transformers' MixtralConfig.
            experts = Experts(
                count: try int("num_local_experts", 8), choices: try int("num_experts_per_tok", 2), balance: try number("router_aux_loss_coef") ?? 0.001,
                balances: try flag("output_router_logits"))
            if let noise = try number("router_jitter_noise"), noise != 0 { throw fault("`router_jitter_noise` is \(noise): routing with noise is not supported") }
        }
        // The defaults here are those of transformers' Mistral4Config.
        var latent: LatentAttention?
        if kind == "mistral4" {
            for (key, only) in [("n_group", 1), ("topk_group", 1), ("first_k_dense_replace", 0)] where try int(key, only) != only {
                throw fault("`\(key)` is not \(only): experts in groups and leading dense layers are not supported")
            }
            for key in ["norm_topk_prob", "rope_interleave"] where try !flag(key, true) { throw fault("`\(key)` is false: no such model is known") }
            experts = Experts(
                count: try int("n_routed_experts", try int("num_local_experts", 128)), choices: try int("num_experts_per_tok", 4), balance: try number("router_aux_loss_coef") ?? 0.001,
                balances: try flag("output_router_logits"), shared: try int("n_shared_experts", 1), scale: try number("routed_scaling_factor") ?? 1)
            latent = LatentAttention(
                queryRank: root["q_lora_rank"] == .null ? nil : try int("q_lora_rank", 1024), rank: try int("kv_lora_rank", 256), plainDim: try int("qk_nope_head_dim", 64),
                turnedDim: try int("qk_rope_head_dim", 64), valueDim: try int("v_head_dim", 128))
        }
        if let act = root["hidden_act"], act != .null, act != "silu" { throw fault("`hidden_act` is `\((act.string ?? act.text).prefix(40))`, not `silu`") }
        // `rope_scaling` is the older spelling of the same members.
        for key in ["rope_parameters", "rope_scaling"] {
            if let value = root[key], value != .null, value.object == nil { throw fault("`\(key)` is not an object") }
        }
        let rope = root["rope_parameters"]?.object ?? root["rope_scaling"]?.object
        let contextMax = try int("max_position_embeddings")
        func turning(_ key: String) throws(Fault) -> Double? {
            guard let value = rope?[key], value != .null else { return nil }
            guard let number = value.number else { throw fault("`\(key)` of the rotary parameters is not a number") }
            return number
        }
        let rotary = (rope?["rope_type"] ?? rope?["type"])?.string ?? "default"
        guard ["default", "yarn"].contains(rotary) else { throw fault("rotary scaling `\(rotary.prefix(40))` is not supported") }
        var original = contextMax
        if let value = rope?["original_max_position_embeddings"], value != .null {
            guard let number = MistralConfig.whole(value) else { throw fault("`original_max_position_embeddings` of the rotary parameters is not a whole number below 2^31") }
            original = number
        }
        var yarn: Yarn?
        if rotary == "yarn" {
            guard let factor = try turning("factor") else { throw fault("`factor` of the rotary parameters is missing") }
            if rope?["truncate"]?.bool == false { throw fault("`truncate` is false: ramps between whole pairs are not supported") }
            var magnitude = try turning("attention_factor")
            if magnitude == nil, let above = try turning("mscale"), let below = try turning("mscale_all_dim"), above != 0, below != 0 {
                magnitude = Yarn.magnitude(factor, mscale: above) / Yarn.magnitude(factor, mscale: below)
            }
            yarn = Yarn(
                factor: factor, originalContext: original, betaFast: try turning("beta_fast") ?? 32, betaSlow: try turning("beta_slow") ?? 1, attentionFactor: magnitude)
        }
        var windowed: [Bool] = []
        if kind == "ministral" {
            guard let kinds = root["layer_types"]?.array else { throw fault("`layer_types` is missing") }
            for layer in kinds {
                guard let name = layer.string, ["full_attention", "sliding_attention"].contains(name) else { throw fault("`layer_types` names a layer of another kind") }
                windowed.append(name == "sliding_attention")
            }
        }
        if let scaled = rope?["apply_scale"], scaled != .null {
            guard let scaled = scaled.bool else { throw fault("`apply_scale` of the rotary parameters is neither true nor false") }
            guard latent != nil || !scaled else { throw fault("`apply_scale` is true, and `model_type` is not `mistral4`") }
            latent?.raisesScores = scaled
            if scaled, let size = try turning("mscale_all_dim"), size != 1 { throw fault("`mscale_all_dim` is \(size), not 1") }
        }
        let growth = try turning("llama_4_scaling_beta")
        if ["ministral3", "mistral4"].contains(kind), growth == nil { throw fault("`llama_4_scaling_beta` of the rotary parameters is missing") }
        if !["ministral3", "mistral4"].contains(kind), growth != nil { throw fault("`llama_4_scaling_beta` is set, and `model_type` is neither `ministral3` nor `mistral4`") }
        let theta = if let turned = try turning("rope_theta") { turned } else { try number("rope_theta") }
        // A member that is left out has the value that transformers' class has for it: what it writes leaves defaults out.
        let width = try int("hidden_size"), heads = try int("num_attention_heads")
        self.init(
            vocabulary: try int("vocab_size"), width: width, feedForward: latent == nil ? try int("intermediate_size") : try int("moe_intermediate_size", 2048),
            layers: try int("num_hidden_layers"), queryHeads: heads, kvHeads: root["num_key_value_heads"] == nil ? latent == nil ? 8 : heads : try int("num_key_value_heads", heads),
            headDim: root["head_dim"] == nil && kind == "ministral3" ? 128 : try int("head_dim", latent?.headDim ?? (heads > 0 ? width / heads : 0)),
            contextMax: contextMax, normEps: Float(try number("rms_norm_eps") ?? (["mistral", "ministral", "mistral4"].contains(kind) ? 1e-6 : 1e-5)),
            ropeTheta: theta ?? (kind == "mixtral" ? 1_000_000 : 10_000), yarn: yarn,
            queryScale: growth.map { QueryScale(beta: $0, originalContext: original) },
            window: root["sliding_window"] == nil && ["mistral", "ministral"].contains(kind) ? 4096 : try optional("sliding_window"), windowed: windowed,
            tiedEmbeddings: try flag("tie_word_embeddings"), bos: try optional("bos_token_id"), eos: try optional("eos_token_id"), experts: experts, latent: latent)
        try validate()
        for (key, id) in [("bos_token_id", bos), ("eos_token_id", eos)] {
            if let id, !(0..<vocabulary).contains(id) { throw fault("`\(key)` is \(id), and there are \(vocabulary) tokens") }
        }
    }

    /// Nothing of a model is as large as 2^31: so sums and products of two never overflow before `validate` has looked at them. A number with a point or an exponent is none.
    package static func whole(_ value: JSON) -> Int? { value.int.flatMap(Int32.init(exactly:)).map(Int.init) }

    /// `config.json` as transformers reads it; members in one fixed order, so equal models give equal bytes.
    package var json: JSON {
        func whole(_ value: Int?) -> JSON { value.map { .int(Int64($0)) } ?? .null }
        var root: JSON.Object = [
            "architectures": [.string(MistralConfig.classes[modelType]!)], "attention_dropout": 0, "bos_token_id": whole(bos), "dtype": "float32", "eos_token_id": whole(eos),
            "head_dim": whole(headDim), "hidden_act": "silu", "hidden_size": whole(width), "initializer_range": .double(0.02), "intermediate_size": whole(feedForward),
        ]
        if let latent { root["kv_lora_rank"] = whole(latent.rank) }
        if !windowed.isEmpty { root["layer_types"] = .array(windowed.map { .string($0 ? "sliding_attention" : "full_attention") }) }
        root["max_position_embeddings"] = whole(contextMax)
        root["model_type"] = .string(modelType)
        if let experts, latent != nil {
            root["moe_intermediate_size"] = whole(feedForward)
            root["n_routed_experts"] = whole(experts.count)
            root["n_shared_experts"] = whole(experts.shared)
            root["norm_topk_prob"] = true
        }
        root["num_attention_heads"] = whole(queryHeads)
        if let experts { root["num_experts_per_tok"] = whole(experts.choices) }
        root["num_hidden_layers"] = whole(layers)
        root["num_key_value_heads"] = whole(kvHeads)
        if let experts {
            if latent == nil { root["num_local_experts"] = whole(experts.count) }
            root["output_router_logits"] = .bool(experts.balances)
        }
        if let latent {
            root["q_lora_rank"] = whole(latent.queryRank)
            root["qk_nope_head_dim"] = whole(latent.plainDim)
            root["qk_rope_head_dim"] = whole(latent.turnedDim)
        }
        root["rms_norm_eps"] = .double(Double(normEps.description)!)
        if latent != nil { root["rope_interleave"] = true }
        root["rope_parameters"] = .object(rotaryParameters)
        root["rope_theta"] = .double(ropeTheta)
        if let experts, latent != nil { root["routed_scaling_factor"] = .double(experts.scale) }
        if let experts { root["router_aux_loss_coef"] = .double(experts.balance) }
        if experts != nil, latent == nil { root["router_jitter_noise"] = .double(0) }
        root["sliding_window"] = whole(window)
        root["tie_word_embeddings"] = .bool(tiedEmbeddings)
        root["use_cache"] = true
        if let latent { root["v_head_dim"] = whole(latent.valueDim) }
        root["vocab_size"] = whole(vocabulary)
        return .object(root)
    }

    private static let classes = [
        "mistral": "MistralForCausalLM", "ministral": "MinistralForCausalLM", "ministral3": "Ministral3ForCausalLM", "mixtral": "MixtralForCausalLM", "mistral4": "Mistral4ForCausalLM",
    ]

    private var rotaryParameters: JSON.Object {
        guard let yarn else { return ["rope_theta": .double(ropeTheta), "rope_type": "default"] }
        var members: JSON.Object = [:]
        // transformers raises scores where `mscale_all_dim` is not zero; the flag beside it is for readers like us, which know that a file without it says nothing.
        if let raises = latent?.raisesScores { members["apply_scale"] = .bool(raises) }
        members["attention_factor"] = .double(yarn.attentionFactor)
        members["beta_fast"] = .double(yarn.betaFast)
        members["beta_slow"] = .double(yarn.betaSlow)
        members["factor"] = .double(yarn.factor)
        if let queryScale { members["llama_4_scaling_beta"] = .double(queryScale.beta) }
        if latent?.raisesScores == true { members["mscale_all_dim"] = .double(1) }
        members["original_max_position_embeddings"] = .int(Int64(yarn.originalContext))
        members["rope_theta"] = .double(ropeTheta)
        members["rope_type"] = "yarn"
        return members
    }
}
