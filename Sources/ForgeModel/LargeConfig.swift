package import ForgeCore

/// The architecture of a Mistral Large 4: latent attention without a squeeze of queries, an indexer that chooses which positions are attended to, layers that turn and layers that
/// do not, caches that several layers read, and a mixture of experts behind the first layers. docs/formats/mistral-large-4.md says what each number means.
package struct LargeConfig: Hashable, Sendable {
    package struct Layer: Hashable, Sendable {
        /// Whether queries and keys turn with their position.
        package var turns: Bool
        /// The layer whose latents are read: its own number, or that of an earlier one.
        package var source: Int
        /// Whether it chooses positions itself; otherwise the last choice before it stands.
        package var chooses: Bool
        /// A mixture of experts, or one dense feed-forward.
        package var isMixture: Bool
    }

    /// Which positions a layer attends to (DeepSeek Sparse Attention, as DeepSeek-V3.2 has it).
    package struct Indexer: Hashable, Sendable {
        package var heads: Int
        package var headDim: Int
        /// Positions that are kept.
        package var choices: Int
    }

    /// The tower that reads images; counted, not computed.
    package struct Vision: Hashable, Sendable {
        package var width: Int
        package var feedForward: Int
        package var layers: Int
        package var heads: Int
        package var channels: Int
        package var patch: Int
        /// Patches on a side that become one position of the text.
        package var merge: Int
        /// Layers whose outputs the projector reads side by side.
        package var features: Int
        package var hasBiases: Bool
    }

    package var vocabulary: Int
    package var width: Int
    /// Of a dense layer, between gate/up and down.
    package var feedForward: Int
    /// Of one expert.
    package var expertWidth: Int
    package var layers: [Layer]
    package var heads: Int
    package var latentRank: Int
    /// Dimensions of a head's query and key that never turn, in a layer that turns the others.
    package var plainDim: Int
    /// Dimensions that turn there.
    package var turnedDim: Int
    package var valueDim: Int
    package var experts: Int
    package var choices: Int
    /// Experts every token goes to; together they are one, so many times as wide.
    package var sharedExperts: Int
    /// Multiplies the weights of the chosen.
    package var routedScale: Double
    package var indexer: Indexer
    package var contextMax: Int
    package var normEps: Double
    package var ropeTheta: Double
    package var yarn: Yarn?
    /// Multiplies every score beside 1/√headDim; 1 unless `mscale_all_dim` says otherwise.
    package var scoreScale: Double
    /// Logits lie between plus and minus it.
    package var logitsCap: Double
    package var bos: Int?
    package var eos: Int?
    /// Nil of a decoder of text alone.
    package var vision: Vision?
    /// Members of the file that nothing here reads and that are not known to say nothing, in ascending order.
    package var unread: [String]

    /// Of a query and a key, turned or not.
    package var headDim: Int { plainDim + turnedDim }
    /// Of a layer's heads, the dimensions that do not turn.
    package func plainDim(of layer: Int) -> Int { layers[layer].turns ? plainDim : headDim }
    package func owns(_ layer: Int) -> Bool { layers[layer].source == layer }
    /// Numbers kept of a position by a layer that owns its cache: the latent, then the turned key.
    package func latentWidth(of layer: Int) -> Int { latentRank + (layers[layer].turns ? turnedDim : 0) }

    /// Numbers kept of every position: by the layers that own a cache, and by those that choose.
    package var cachedLatents: Int { layers.indices.reduce(0) { $0 + (owns($1) ? latentWidth(of: $1) : 0) } }
    package var cachedIndexKeys: Int { layers.count { $0.chooses } * indexer.headDim }

    /// Refuses what contradicts itself or is beyond all bounds.
    /// - Throws: `.request` naming the member.
    package func validate() throws(Fault) {
        func need(_ holds: Bool, _ member: String, _ why: String) throws(Fault) {
            guard holds else { throw LargeConfig.fault("`\(member)` \(why)") }
        }
        func within(_ value: Int, _ range: ClosedRange<Int>, _ member: String) throws(Fault) {
            try need(range.contains(value), member, "is \(value); it must be \(range.lowerBound) to \(range.upperBound)")
        }
        func positive(_ value: Double, _ member: String) throws(Fault) { try need(value > 0 && value <= 1e9, member, "is \(value); it must be above 0, and at most 1e9") }
        try within(vocabulary, 1...4_194_304, "vocab_size")
        try within(width, 1...65_536, "hidden_size")
        try within(feedForward, 1...262_144, "intermediate_size")
        try within(expertWidth, 1...262_144, "moe_intermediate_size")
        try within(layers.count, 1...LargeConfig.layersMax, "num_hidden_layers")
        try within(heads, 1...1_024, "num_attention_heads")
        try within(latentRank, 1...16_384, "kv_lora_rank")
        try within(plainDim, 1...1_024, "qk_nope_head_dim")
        try within(turnedDim, 2...1_024, "qk_rope_head_dim")
        try need(turnedDim.isMultiple(of: 2), "qk_rope_head_dim", "is \(turnedDim); dimensions turn in pairs")
        try within(valueDim, 1...1_024, "v_head_dim")
        // The router looks at the two best of a group.
        try within(experts, 2...4_096, "n_routed_experts")
        try within(choices, 1...experts, "num_experts_per_tok")
        try within(sharedExperts, 1...64, "n_shared_experts")
        try need(layers.count * experts <= LargeConfig.expertsMax, "n_routed_experts", "is \(experts) in each of \(layers.count) layers; at most \(LargeConfig.expertsMax) in all are read")
        try positive(routedScale, "routed_scaling_factor")
        try within(indexer.heads, 1...1_024, "index_n_heads")
        try within(indexer.headDim, turnedDim...4_096, "index_head_dim")
        try within(indexer.choices, 1...4_194_304, "index_topk")
        try within(contextMax, 1...4_194_304, "max_position_embeddings")
        try need(normEps > 0 && normEps < 1, "rms_norm_eps", "is \(normEps); it must lie between 0 and 1")
        try need(ropeTheta > 1 && ropeTheta <= 1e12, "rope_parameters.rope_theta", "is \(ropeTheta); it must be above 1, and at most 1e12")
        if let yarn {
            try need(yarn.factor >= 1 && yarn.factor <= 1e6, "rope_parameters.factor", "is \(yarn.factor); it must be 1 to 1e6")
            try within(yarn.originalContext, 1...contextMax, "rope_parameters.original_max_position_embeddings")
            try need(yarn.betaSlow > 0 && yarn.betaFast >= yarn.betaSlow && yarn.betaFast <= 1e6, "rope_parameters.beta_fast", "is \(yarn.betaFast); it must be at least beta_slow (\(yarn.betaSlow)), and that above 0")
            try positive(yarn.attentionFactor, "rope_parameters.attention_factor")
        }
        try positive(scoreScale, "rope_parameters.mscale_all_dim")
        try positive(logitsCap, "final_logit_softcapping")
        for (member, id) in [("bos_token_id", bos), ("eos_token_id", eos)] {
            if let id { try need((0..<vocabulary).contains(id), member, "is \(id), and there are \(vocabulary) tokens") }
        }
        try validateSources()
        guard let vision else { return }
        try within(vision.width, 1...65_536, "vision_config.hidden_size")
        try within(vision.feedForward, 1...262_144, "vision_config.intermediate_size")
        try within(vision.layers, 1...LargeConfig.layersMax, "vision_config.num_hidden_layers")
        try within(vision.heads, 1...vision.width, "vision_config.num_attention_heads")
        try need(vision.width.isMultiple(of: vision.heads), "vision_config.num_attention_heads", "is \(vision.heads); it must divide hidden_size (\(vision.width))")
        try within(vision.channels, 1...64, "vision_config.num_channels")
        try within(vision.patch, 1...256, "vision_config.patch_size")
        try within(vision.merge, 1...16, "spatial_merge_size")
        try within(vision.features, 1...vision.layers + 1, "vision_feature_layer")
    }

    private func validateSources() throws(Fault) {
        guard layers[0].chooses else { throw LargeConfig.fault("`indexer_types` begins with `shared`, and no layer before it has chosen") }
        // The reference keeps one pair of latents for each kind of layer, that of the last layer that others read: an earlier one is gone by then.
        var last: [Bool: Int] = [:]
        let read = Set(layers.enumerated().filter { $0.offset != $0.element.source }.map(\.element.source))
        for (number, layer) in layers.enumerated() {
            func fault(_ why: String) -> Fault { LargeConfig.fault("`kv_source_layers` gives layer \(number) the cache of layer \(layer.source), \(why)") }
            if layer.source == number {
                if read.contains(number) { last[layer.turns] = number }
                continue
            }
            guard (0..<number).contains(layer.source) else { throw fault("which does not come before it") }
            guard layers[layer.source].source == layer.source else { throw fault("which has none of its own") }
            guard layers[layer.source].turns == layer.turns else { throw fault("and only one of the two turns") }
            guard last[layer.turns] == layer.source else { throw fault("and layer \(last[layer.turns] ?? layer.source), of the same kind, has kept another since: either could be meant") }
        }
    }

    package static let layersMax = 1_024
    /// In all layers: a release has 9,088.
    package static let expertsMax = 262_144

    static func fault(_ why: String) -> Fault {
        Fault(.request, "model.config", "cannot read the model's config.json", why: why, remedy: "bring the release's own config.json, unchanged")
    }
}
