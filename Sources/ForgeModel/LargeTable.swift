package import ForgeCore

/// Every tensor of a Mistral Large 4, by the names that releases have (docs/formats/mistral-large-4.md §2).
package struct LargeTable: Sendable {
    package enum Part: String, Sendable, CaseIterable {
        case embedding, attention, indexer, router, experts, shared = "shared experts", dense = "dense feed-forward", norms = "norms and scales", head
        /// Beside the decoder of text.
        case vision, projector
        /// Beside the model: nothing here reads it.
        case draft = "draft head"

        package static let text: [Part] = [.embedding, .attention, .indexer, .router, .experts, .shared, .dense, .norms, .head]
    }

    /// How finely a tensor must be kept.
    package enum Keeping: Sendable {
        /// Decides or scales: float32.
        case exact
        /// Looked up row by row, or read by the tower of images: bfloat16.
        case half
        /// A large matrix: in blocks too.
        case blocks
    }

    package struct Entry: Sendable, Hashable {
        package let name: String
        package let shape: Shape
        package let part: Part
        package let keeping: Keeping

        package var rows: Int { shape.rank > 1 ? shape[0] : 1 }
        package var columns: Int { shape.count / max(rows, 1) }
    }

    package let config: LargeConfig
    package let entries: [Entry]
    private let places: [String: Int]

    /// What a draft head's tensors begin with: they come with a release, and are no part of what is computed.
    package static let draftPrefix = "mtp_dspark."

    /// - Precondition: `config` is valid.
    package init(_ config: LargeConfig) {
        var entries: [Entry] = []
        func add(_ name: String, _ shape: Shape, _ part: Part, _ keeping: Keeping = .exact) { entries.append(Entry(name: name, shape: shape, part: part, keeping: keeping)) }
        func matrix(_ name: String, _ out: Int, _ inputs: Int, _ part: Part) { add(name + ".weight", [out, inputs], part, .blocks) }
        func gated(_ prefix: String, _ hidden: Int, _ part: Part) {
            matrix(prefix + "w1", hidden, config.width, part)
            matrix(prefix + "w2", config.width, hidden, part)
            matrix(prefix + "w3", hidden, config.width, part)
        }
        func scales(_ prefix: String, _ heads: Int) {
            add(prefix + "ssmax_scaling.s", [heads], .norms)
            add(prefix + "ssmax_scaling.b", [heads], .norms)
        }
        add("tok_embeddings.weight", [config.vocabulary, config.width], .embedding, .half)
        add("lerope.alpha", [config.turnedDim / 2], .norms)
        for (number, layer) in config.layers.enumerated() {
            let prefix = "layers.\(number).", attention = prefix + "attention."
            add(prefix + "attention_norm.weight", [config.width], .norms)
            matrix(attention + "wq", config.heads * config.headDim, config.width, .attention)
            scales(attention, config.heads)
            if config.owns(number) {
                matrix(attention + "wkv_a_with_mqa", config.latentWidth(of: number), config.width, .attention)
                add(attention + "kv_a_norm.weight", [config.latentRank], .norms)
            }
            matrix(attention + "wkv_b", config.heads * (config.plainDim(of: number) + config.valueDim), config.latentRank, .attention)
            matrix(attention + "wo", config.width, config.heads * config.valueDim, .attention)
            if layer.chooses {
                let indexer = attention + "indexer."
                add(indexer + "q_input_norm.weight", [config.width], .norms)
                add(indexer + "q_input_norm.bias", [config.width], .norms)
                matrix(indexer + "wq_b", config.indexer.heads * config.indexer.headDim, config.width, .indexer)
                scales(indexer, config.indexer.heads)
                matrix(indexer + "wk", config.indexer.headDim, config.width, .indexer)
                add(indexer + "k_norm.weight", [config.indexer.headDim], .norms)
                add(indexer + "k_norm.bias", [config.indexer.headDim], .norms)
                // The reference keeps it in float32: it decides.
                add(indexer + "weights_proj.weight", [config.indexer.heads, config.width], .indexer)
            }
            add(prefix + "ffn_norm.weight", [config.width], .norms)
            guard layer.isMixture else {
                gated(prefix + "feed_forward.", config.feedForward, .dense)
                continue
            }
            add(prefix + "gate.weight", [config.experts, config.width], .router)
            for expert in 0..<config.experts { gated(prefix + "experts.\(expert).", config.expertWidth, .experts) }
            gated(prefix + "shared_experts.", config.sharedExperts * config.expertWidth, .shared)
        }
        add("norm.weight", [config.width], .norms)
        matrix("output", config.vocabulary, config.width, .head)
        if let vision = config.vision { LargeTable.addVision(vision, textWidth: config.width, add) }
        self.config = config
        self.entries = entries
        places = Dictionary(uniqueKeysWithValues: entries.indices.map { (entries[$0].name, $0) })
    }

    private static func addVision(_ vision: LargeConfig.Vision, textWidth: Int, _ add: (String, Shape, Part, Keeping) -> Void) {
        add("vision_encoder.patch_conv.weight", [vision.width, vision.channels, vision.patch, vision.patch], .vision, .half)
        add("vision_encoder.ln_pre.weight", [vision.width], .vision, .half)
        for layer in 0..<vision.layers {
            let prefix = "vision_encoder.transformer.layers.\(layer)."
            add(prefix + "attention_norm.weight", [vision.width], .vision, .half)
            for matrix in ["wq", "wk", "wv", "wo"] { add(prefix + "attention.\(matrix).weight", [vision.width, vision.width], .vision, .half) }
            add(prefix + "ffn_norm.weight", [vision.width], .vision, .half)
            add(prefix + "feed_forward.w1.weight", [vision.feedForward, vision.width], .vision, .half)
            add(prefix + "feed_forward.w2.weight", [vision.width, vision.feedForward], .vision, .half)
            add(prefix + "feed_forward.w3.weight", [vision.feedForward, vision.width], .vision, .half)
        }
        add("pre_mm_projector_norm.weight", [vision.width], .projector, .half)
        add("patch_merger.merging_layer.weight", [vision.width, vision.width * vision.merge * vision.merge], .projector, .half)
        for (matrix, inputs) in [("w_in", vision.width * vision.features), ("w_out", textWidth)] {
            add("vision_language_adapter.\(matrix).weight", [textWidth, inputs], .projector, .half)
            if vision.hasBiases { add("vision_language_adapter.\(matrix).bias", [textWidth], .projector, .half) }
        }
    }

    package subscript(name: String) -> Entry? { places[name].map { entries[$0] } }

    /// Parameters of a part.
    package func count(_ part: Part) -> Int { entries.reduce(0) { $1.part == part ? $0 + $1.shape.count : $0 } }

    /// Parameters of the decoder of text.
    package var count: Int { entries.reduce(0) { LargeTable.Part.text.contains($1.part) ? $0 + $1.shape.count : $0 } }

    /// Parameters of the decoder of text that a token multiplies with: all but the embedding, of which it takes one row, and the experts it does not go to.
    package var active: Int { count - count(.embedding) - count(.experts) / config.experts * (config.experts - config.choices) }
}
