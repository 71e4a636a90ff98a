package import ForgeCore
package import ForgeTensor

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
        /// Experts every token goes to beside the ones it chose, added unweighted; together they are one, so many times as wide.
        package var shared: Int
        /// Multiplies the weights of the chosen.
        package var scale: Double

        package init(count: Int, choices: Int, balance: Double = 0.001, balances: Bool = false, shared: Int = 0, scale: Double = 1) {
            self.count = count
            self.choices = choices
            self.balance = balance
            self.balances = balances
            self.shared = shared
            self.scale = scale
        }

        package var routing: Routing { Routing(experts: count, choices: choices, scale: Float(scale)) }
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
    /// Nil where heads have keys and values of their own.
    package var latent: LatentAttention?

    package init(
        vocabulary: Int, width: Int, feedForward: Int, layers: Int, queryHeads: Int, kvHeads: Int, headDim: Int? = nil, contextMax: Int, normEps: Float = 1e-5,
        ropeTheta: Double = 10_000, yarn: Yarn? = nil, queryScale: QueryScale? = nil, window: Int? = nil, windowed: [Bool] = [], tiedEmbeddings: Bool = false, bos: Int? = nil,
        eos: Int? = nil, experts: Experts? = nil, latent: LatentAttention? = nil
    ) {
        self.vocabulary = vocabulary
        self.width = width
        self.feedForward = feedForward
        self.layers = layers
        self.queryHeads = queryHeads
        self.kvHeads = kvHeads
        self.headDim = headDim ?? latent?.headDim ?? width / max(queryHeads, 1)
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
        self.latent = latent
    }

    /// What Hugging Face calls this architecture.
    package var modelType: String {
        latent != nil ? "mistral4" : experts != nil ? "mixtral" : queryScale != nil ? "ministral3" : windowed.isEmpty ? "mistral" : "ministral"
    }

    /// Keys a query of that layer sees at most; 0 is no limit.
    package func window(of layer: Int) -> Int { windowed.isEmpty || windowed[layer] ? window ?? 0 : 0 }

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
            try need(experts == nil && queryScale == nil && latent == nil, "layer_types", "is set where no such model is known")
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
            try need(experts == nil || latent != nil, "rope_parameters.llama_4_scaling_beta", "is set in a mixture of experts; no such model is known")
        }
        if let latent {
            try need(experts != nil, "n_routed_experts", "is missing: latent attention is known with a mixture of experts alone")
            try need((1...16_384).contains(latent.queryRank ?? 1), "q_lora_rank", "is \(latent.queryRank ?? 0); it must be null or 1 to 16384")
            try need((2...256).contains(latent.plainDim) && latent.plainDim.isMultiple(of: 2), "qk_nope_head_dim", "is \(latent.plainDim); it must be even, 2 to 256")
            try need((2...256).contains(latent.turnedDim) && latent.turnedDim.isMultiple(of: 2), "qk_rope_head_dim", "is \(latent.turnedDim); it must be even, 2 to 256")
            try need((1...1_024).contains(latent.valueDim), "v_head_dim", "is \(latent.valueDim); it must be 1 to 1024")
            let rest = Device.headDimMax - latent.turnedDim
            try need((1...rest).contains(latent.rank), "kv_lora_rank", "is \(latent.rank); it must be 1 to \(rest)")
            try need(kvHeads == queryHeads, "num_key_value_heads", "is \(kvHeads); latent attention has as many as num_attention_heads (\(queryHeads))")
            try need(headDim == latent.headDim, "head_dim", "is \(headDim); it must be qk_nope_head_dim + qk_rope_head_dim (\(latent.headDim))")
            try need(window == nil, "sliding_window", "is set where no such model is known")
            try need(yarn != nil || latent.raisesScores != true, "rope_parameters.apply_scale", "is true, and positions are not stretched")
        }
        guard let experts else { return }
        try need((0...64).contains(experts.shared) && (experts.shared == 0 || latent != nil), "n_shared_experts", "is \(experts.shared); it must be 0 to 64, and above 0 only in `mistral4`")
        try need(experts.scale > 0 && experts.scale.isFinite && (experts.scale == 1 || latent != nil), "routed_scaling_factor", "is \(experts.scale); it must be above 0, and other than 1 only in `mistral4`")
        try need((1...Routing.expertsMax).contains(experts.count), "num_local_experts", "is \(experts.count); it must be 1 to \(Routing.expertsMax)")
        try need((1...experts.count).contains(experts.choices), "num_experts_per_tok", "is \(experts.choices); it must be 1 to num_local_experts (\(experts.count))")
        try need(experts.balance >= 0 && experts.balance.isFinite, "router_aux_loss_coef", "is \(experts.balance); it must not be negative")
    }
}
