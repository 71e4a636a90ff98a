package import ForgeCore
import ForgeTensor

/// The architecture of a Mistral decoder, dense or a mixture of experts, read from and written to Hugging Face's `config.json`.
package struct MistralConfig: Hashable, Sendable {
    /// What a mixture has instead of one feed-forward a layer (Jiang et al. 2024, arXiv:2401.04088): softmax over all experts, the best few, renormalised.
    package struct Experts: Hashable, Sendable {
        package var count: Int
        /// Experts a token goes to.
        package var choices: Int
        /// How much the balancing loss counts in training, where it is used.
        package var balance: Double
        /// Whether it is (`output_router_logits`: transformers leaves it off unless asked).
        package var balances: Bool

        package init(count: Int, choices: Int, balance: Double = 0.001, balances: Bool = false) {
            self.count = count
            self.choices = choices
            self.balance = balance
            self.balances = balances
        }
    }

    package var vocabulary: Int
    package var width: Int
    /// Width between gate/up and down; of each expert, if there are several.
    package var feedForward: Int
    package var layers: Int
    package var queryHeads: Int
    package var kvHeads: Int
    package var headDim: Int
    /// Positions a sequence may have.
    package var contextMax: Int
    package var normEps: Float
    package var ropeTheta: Double
    /// Nil where positions are not stretched.
    package var yarn: Yarn?
    /// Nil where queries do not grow with their position.
    package var queryScale: QueryScale?
    /// Keys a query sees at most; nil is no limit.
    package var window: Int?
    /// By layer, whether it has that window; empty where all layers are alike (Ministral 8B mixes them).
    package var windowed: [Bool]
    package var tiedEmbeddings: Bool
    package var bos: Int?
    package var eos: Int?
    /// Nil in a dense decoder.
    package var experts: Experts?

    package init(
        vocabulary: Int, width: Int, feedForward: Int, layers: Int, queryHeads: Int, kvHeads: Int, headDim: Int? = nil, contextMax: Int, normEps: Float = 1e-5,
        ropeTheta: Double = 10_000, yarn: Yarn? = nil, queryScale: QueryScale? = nil, window: Int? = nil, windowed: [Bool] = [], tiedEmbeddings: Bool = false, bos: Int? = nil,
        eos: Int? = nil, experts: Experts? = nil
    ) {
        self.vocabulary = vocabulary
        self.width = width
        self.feedForward = feedForward
        self.layers = layers
        self.queryHeads = queryHeads
        self.kvHeads = kvHeads
        self.headDim = headDim ?? width / max(queryHeads, 1)
        self.contextMax = contextMax
        self.normEps = normEps
        self.ropeTheta = ropeTheta
        self.yarn = yarn
        self.queryScale = queryScale
        self.window = window
        self.windowed = windowed
        self.tiedEmbeddings = tiedEmbeddings
        self.bos = bos
        self.eos = eos
        self.experts = experts
    }

    /// What Hugging Face calls this architecture.
    package var modelType: String { experts != nil ? "mixtral" : queryScale != nil ? "ministral3" : windowed.isEmpty ? "mistral" : "ministral" }

    /// Keys a query of that layer sees at most; 0 is no limit.
    package func window(of layer: Int) -> Int { windowed.isEmpty || windowed[layer] ? window ?? 0 : 0 }

    package var queryWidth: Int { queryHeads * headDim }
    package var kvWidth: Int { kvHeads * headDim }
    /// Rows of q, k and v together.
    package var attentionWidth: Int { queryWidth + 2 * kvWidth }

    /// Refuses what the kernels cannot run or memory cannot hold.
    /// - Throws: `.request` naming the field.
    package func validate() throws(Fault) {
        func need(_ holds: Bool, _ field: String, _ why: String) throws(Fault) {
            guard holds else {
                throw Fault(.request, "model.config", "the model configuration does not work", why: "`\(field)` \(why)", remedy: "change it in the recipe or in config.json")
            }
        }
        try need((1...4_194_304).contains(vocabulary), "vocab_size", "is \(vocabulary); it must be 1 to 4194304")
        try need((1...65_536).contains(width), "hidden_size", "is \(width); it must be 1 to 65536")
        try need((1...262_144).contains(feedForward), "intermediate_size", "is \(feedForward); it must be 1 to 262144")
        try need((1...1_024).contains(layers), "num_hidden_layers", "is \(layers); it must be 1 to 1024")
        try need((1...1_024).contains(queryHeads), "num_attention_heads", "is \(queryHeads); it must be 1 to 1024")
        try need(kvHeads >= 1 && queryHeads.isMultiple(of: max(kvHeads, 1)), "num_key_value_heads", "is \(kvHeads); it must divide num_attention_heads (\(queryHeads))")
        try need((2...256).contains(headDim) && headDim.isMultiple(of: 2), "head_dim", "is \(headDim); it must be even, 2 to 256")
        try need((1...1_048_576).contains(contextMax), "max_position_embeddings", "is \(contextMax); it must be 1 to 1048576")
        try need(normEps > 0 && normEps < 1, "rms_norm_eps", "is \(normEps); it must lie between 0 and 1")
        try need(ropeTheta > 1 && ropeTheta.isFinite, "rope_theta", "is \(ropeTheta); it must be above 1")
        try need(window.map { $0 >= 1 } ?? true, "sliding_window", "must be null or at least 1")
        if !windowed.isEmpty {
            try need(windowed.count == layers, "layer_types", "names \(windowed.count) layers; there are \(layers)")
            try need(window != nil || !windowed.contains(true), "sliding_window", "is missing, and some layers have a window")
            try need(experts == nil && queryScale == nil, "layer_types", "is set where no such model is known")
        }
        if let yarn {
            try need(yarn.factor >= 1 && yarn.factor.isFinite, "rope_parameters.factor", "is \(yarn.factor); it must be at least 1")
            try need((1...contextMax).contains(yarn.originalContext), "rope_parameters.original_max_position_embeddings", "is \(yarn.originalContext); it must be 1 to max_position_embeddings (\(contextMax))")
            try need(yarn.betaSlow > 0 && yarn.betaFast >= yarn.betaSlow && yarn.betaFast.isFinite, "rope_parameters.beta_fast", "is \(yarn.betaFast); it must be at least beta_slow (\(yarn.betaSlow)), and that above 0")
            try need(yarn.attentionFactor > 0 && yarn.attentionFactor.isFinite, "rope_parameters.attention_factor", "is \(yarn.attentionFactor); it must be above 0")
        }
        if let queryScale {
            try need(queryScale.beta >= 0 && queryScale.beta.isFinite, "rope_parameters.llama_4_scaling_beta", "is \(queryScale.beta); it must not be negative")
            // config.json has one place for both.
            try need(yarn?.originalContext == queryScale.originalContext, "rope_parameters.llama_4_scaling_beta", "needs rotary positions stretched from the same original context")
            try need(experts == nil, "rope_parameters.llama_4_scaling_beta", "is set in a mixture of experts; no such model is known")
        }
        guard let experts else { return }
        try need((1...Routing.expertsMax).contains(experts.count), "num_local_experts", "is \(experts.count); it must be 1 to \(Routing.expertsMax)")
        try need((1...experts.count).contains(experts.choices), "num_experts_per_tok", "is \(experts.choices); it must be 1 to num_local_experts (\(experts.count))")
        try need(experts.balance >= 0 && experts.balance.isFinite, "router_aux_loss_coef", "is \(experts.balance); it must not be negative")
    }
}

extension MistralConfig {
    /// Reads `config.json`, old (`rope_theta`) and new (`rope_parameters`) spelling.
    /// - Throws: `.request` naming the member that is missing, of the wrong kind, or not supported.
    package init(json: JSON) throws(Fault) {
        func fault(_ why: String) -> Fault {
            Fault(.request, "model.config", "cannot read the model's config.json", why: why, remedy: "Mistral, Ministral 3 and Mixtral decoders are supported")
        }
        guard let root = json.object else { throw fault("it is not a JSON object") }
        func int(_ key: String, _ fallback: Int? = nil) throws(Fault) -> Int {
            guard let value = root[key], value != .null else {
                if let fallback { return fallback }
                throw fault("`\(key)` is missing")
            }
            guard let number = value.int, let result = Int(exactly: number) else { throw fault("`\(key)` is not a whole number") }
            return result
        }
        func optional(_ key: String) throws(Fault) -> Int? {
            guard let value = root[key], value != .null else { return nil }
            // Some files list several end tokens: the first is the one that ends a text.
            if let list = value.array, let first = list.first?.int { return Int(first) }
            return try int(key)
        }
        let kind = root["model_type"]?.string ?? "mistral"
        guard ["mistral", "ministral", "ministral3", "mixtral"].contains(kind) else { throw fault("`model_type` is `\(kind.prefix(40))`") }
        var experts: Experts?
        if kind == "mixtral" {
            // The defaults are those of transformers' MixtralConfig.
            experts = Experts(
                count: try int("num_local_experts", 8), choices: try int("num_experts_per_tok", 2), balance: root["router_aux_loss_coef"]?.number ?? 0.001,
                balances: root["output_router_logits"]?.bool ?? false)
            if let noise = root["router_jitter_noise"]?.number, noise != 0 { throw fault("`router_jitter_noise` is \(noise): routing with noise is not supported") }
        }
        if let act = root["hidden_act"]?.string, act != "silu" { throw fault("`hidden_act` is `\(act.prefix(40))`, not `silu`") }
        // `rope_scaling` is the older spelling of the same members.
        let rope = root["rope_parameters"]?.object ?? root["rope_scaling"]?.object
        let contextMax = try int("max_position_embeddings")
        func turning(_ key: String) throws(Fault) -> Double? {
            guard let value = rope?[key], value != .null else { return nil }
            guard let number = value.number else { throw fault("`\(key)` of the rotary parameters is not a number") }
            return number
        }
        let rotary = (rope?["rope_type"] ?? rope?["type"])?.string ?? "default"
        guard ["default", "yarn"].contains(rotary) else { throw fault("rotary scaling `\(rotary.prefix(40))` is not supported") }
        let original = try turning("original_max_position_embeddings").map { Int(exactly: $0) ?? 0 } ?? contextMax
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
        let growth = try turning("llama_4_scaling_beta")
        if kind == "ministral3", growth == nil { throw fault("`llama_4_scaling_beta` of the rotary parameters is missing") }
        if kind != "ministral3", growth != nil { throw fault("`llama_4_scaling_beta` is set, and `model_type` is not `ministral3`") }
        // A member that is left out has the value that transformers' class has for it: what it writes leaves defaults out.
        let width = try int("hidden_size"), heads = try int("num_attention_heads")
        self.init(
            vocabulary: try int("vocab_size"), width: width, feedForward: try int("intermediate_size"), layers: try int("num_hidden_layers"), queryHeads: heads,
            kvHeads: root["num_key_value_heads"] == nil ? 8 : try int("num_key_value_heads", heads), headDim: root["head_dim"] == nil && kind == "ministral3" ? 128 : try int("head_dim", heads > 0 ? width / heads : 0),
            contextMax: contextMax, normEps: Float(root["rms_norm_eps"]?.number ?? (["mistral", "ministral"].contains(kind) ? 1e-6 : 1e-5)),
            ropeTheta: (rope?["rope_theta"] ?? root["rope_theta"])?.number ?? (experts == nil ? 10_000 : 1_000_000), yarn: yarn,
            queryScale: growth.map { QueryScale(beta: $0, originalContext: original) },
            window: root["sliding_window"] == nil && ["mistral", "ministral"].contains(kind) ? 4096 : try optional("sliding_window"), windowed: windowed,
            tiedEmbeddings: root["tie_word_embeddings"]?.bool ?? false, bos: try optional("bos_token_id"), eos: try optional("eos_token_id"), experts: experts)
        try validate()
    }

    /// `config.json` as transformers reads it; members in one fixed order, so equal models give equal bytes.
    package var json: JSON {
        var root: JSON.Object = [
            "architectures": [.string(["mistral": "MistralForCausalLM", "ministral": "MinistralForCausalLM", "ministral3": "Ministral3ForCausalLM", "mixtral": "MixtralForCausalLM"][modelType]!)],
            "attention_dropout": 0,
            "bos_token_id": bos.map { .int(Int64($0)) } ?? .null,
            "dtype": "float32",
            "eos_token_id": eos.map { .int(Int64($0)) } ?? .null,
            "head_dim": .int(Int64(headDim)),
            "hidden_act": "silu",
            "hidden_size": .int(Int64(width)),
            "initializer_range": .double(0.02),
            "intermediate_size": .int(Int64(feedForward)),
        ]
        if !windowed.isEmpty { root["layer_types"] = .array(windowed.map { .string($0 ? "sliding_attention" : "full_attention") }) }
        root["max_position_embeddings"] = .int(Int64(contextMax))
        root["model_type"] = .string(modelType)
        root["num_attention_heads"] = .int(Int64(queryHeads))
        if let experts { root["num_experts_per_tok"] = .int(Int64(experts.choices)) }
        root["num_hidden_layers"] = .int(Int64(layers))
        root["num_key_value_heads"] = .int(Int64(kvHeads))
        if let experts {
            root["num_local_experts"] = .int(Int64(experts.count))
            root["output_router_logits"] = .bool(experts.balances)
        }
        root["rms_norm_eps"] = .double(Double(normEps.description)!)
        root["rope_parameters"] = .object(rotaryParameters)
        root["rope_theta"] = .double(ropeTheta)
        if let experts {
            root["router_aux_loss_coef"] = .double(experts.balance)
            root["router_jitter_noise"] = .double(0)
        }
        root["sliding_window"] = window.map { .int(Int64($0)) } ?? .null
        root["tie_word_embeddings"] = .bool(tiedEmbeddings)
        root["use_cache"] = true
        root["vocab_size"] = .int(Int64(vocabulary))
        return .object(root)
    }

    private var rotaryParameters: JSON.Object {
        guard let yarn else { return ["rope_theta": .double(ropeTheta), "rope_type": "default"] }
        var members: JSON.Object = [
            "attention_factor": .double(yarn.attentionFactor), "beta_fast": .double(yarn.betaFast), "beta_slow": .double(yarn.betaSlow), "factor": .double(yarn.factor),
        ]
        if let queryScale { members["llama_4_scaling_beta"] = .double(queryScale.beta) }
        members["original_max_position_embeddings"] = .int(Int64(yarn.originalContext))
        members["rope_theta"] = .double(ropeTheta)
        members["rope_type"] = "yarn"
        return members
    }
}
