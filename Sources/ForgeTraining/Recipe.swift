import ForgeConfig
package import ForgeCore
import ForgeCrypto
package import ForgeModel
package import ForgeTensor

/// How a model is made: architecture, tokenizer, data order, optimiser, schedule. Everything that decides its bits, but the data.
package struct Recipe: Sendable, Hashable {
    package static let format = "forge-recipe/v1"

    package enum Optimizer: String, Sendable, CaseIterable {
        /// AdamW for every parameter.
        case adamw
        /// Muon for the hidden matrices, AdamW for the rest.
        case muon
    }

    package enum Shape: String, Sendable, CaseIterable {
        /// Warm-up, constant, decay over the last part.
        case wsd
        case cosine
        case constant
    }

    package var name: String
    package var seed: UInt64
    // model
    package var width: Int
    package var layers: Int
    package var queryHeads: Int
    package var kvHeads: Int
    package var headDim: Int
    package var feedForward: Int
    package var context: Int
    package var ropeTheta: Double
    package var normEps: Double
    package var tiedEmbeddings: Bool
    package var embeddingDeviation: Double
    // tokenizer
    package var vocabulary: Int
    // training
    package var steps: Int
    package var sequenceLength: Int
    package var sequencesPerStep: Int
    package var sequencesPerPass: Int
    /// Layers are computed again going back instead of being kept.
    package var recompute: Bool
    package var clip: Double
    package var checkpointEvery: Int
    /// Of the matrix products; parameters, moments and sums are float32 always.
    package var precision: Precision
    // optimizer
    package var optimizer: Optimizer
    package var learningRate: Double
    package var beta1: Double
    package var beta2: Double
    package var eps: Double
    package var weightDecay: Double
    package var momentum: Double
    package var matrixRate: Double
    // schedule
    package var schedule: Shape
    package var warmupSteps: Int
    package var decayShare: Double
    package var finalShare: Double
    /// The chat template the model records, if it was trained to be spoken to.
    package var chatTemplate: String?

    /// The architecture, once the tokenizer is there.
    package func config(vocabulary: Int, bos: Int, eos: Int) -> MistralConfig {
        MistralConfig(
            vocabulary: vocabulary, width: width, feedForward: feedForward, layers: layers, queryHeads: queryHeads, kvHeads: kvHeads, headDim: headDim,
            contextMax: context, normEps: Float(normEps), ropeTheta: ropeTheta, tiedEmbeddings: tiedEmbeddings, bos: bos, eos: eos)
    }

    package var tokens: Int { steps * sequencesPerStep * sequenceLength }
    /// SHA-256 of the recipe with every default written out.
    package var digest: Digest { .sha256(Array(yaml.utf8)) }
}

extension Recipe {
    /// Reads a recipe as a person wrote it.
    /// - Parameter source: what to call the text in errors.
    /// - Throws: `.request` that says which key, on which line, and what was meant.
    package init(parsing bytes: [UInt8], source: String = "recipe.yaml") throws(Fault) {
        var root = try YAMLReader(try YAML.parse(bytes, source: source), source: source)
        let format = try root.string("format")
        guard format == Recipe.format else { throw root.fault("format", "is `\(format.prefix(40))`; this version reads `\(Recipe.format)`") }
        name = try root.string("name")
        guard !name.isEmpty, name.utf8.count <= 64 else { throw root.fault("name", "must have 1 to 64 bytes") }
        seed = UInt64(try root.optionalInt("seed", in: 0...(1 << 53 - 1)) ?? 1)

        var model = try root.reader("model")
        width = try model.int("width", in: 8...65_536)
        layers = try model.int("layers", in: 1...512)
        queryHeads = try model.int("query_heads", in: 1...1024)
        kvHeads = try model.optionalInt("kv_heads", in: 1...1024) ?? queryHeads
        headDim = try model.optionalInt("head_dim", in: 2...256) ?? width / queryHeads
        feedForward = try model.int("feed_forward", in: 1...262_144)
        context = try model.int("context", in: 2...1_048_576)
        ropeTheta = try model.optionalDouble("rope_theta", in: 2...1e12) ?? 10_000
        normEps = try model.optionalDouble("norm_eps", in: 1e-12...1e-2) ?? 1e-5
        tiedEmbeddings = try model.optionalBool("tied_embeddings") ?? true
        embeddingDeviation = try model.optionalDouble("embedding_deviation", in: 1e-6...10) ?? 0.02
        if !queryHeads.isMultiple(of: kvHeads) { throw model.fault("kv_heads", "is \(kvHeads) and must divide query_heads (\(queryHeads))") }
        if !headDim.isMultiple(of: 2) { throw model.fault("head_dim", "is \(headDim) and must be even: rotary positions turn pairs") }
        try model.finish()

        var tokenizer = try root.reader("tokenizer")
        vocabulary = try tokenizer.int("vocabulary", in: 276...1_048_576)
        try tokenizer.finish()

        var training = try root.reader("training")
        steps = try training.int("steps", in: 1...100_000_000)
        sequenceLength = try training.optionalInt("sequence_length", in: 2...1_048_576) ?? context
        sequencesPerStep = try training.int("sequences_per_step", in: 1...1_000_000)
        sequencesPerPass = try training.optionalInt("sequences_per_pass", in: 1...1_000_000) ?? sequencesPerStep
        recompute = try training.optionalBool("recompute") ?? false
        clip = try training.optionalDouble("clip", in: 1e-6...1e9) ?? 1
        checkpointEvery = try training.optionalInt("checkpoint_every", in: 1...100_000_000) ?? 100
        precision = try training.optionalChoice("precision") ?? .bf16
        if sequenceLength > context { throw training.fault("sequence_length", "is \(sequenceLength); the model's context holds \(context)") }
        try training.finish()

        var optimiser = try root.reader("optimizer")
        optimizer = try optimiser.optionalChoice("kind") ?? .adamw
        learningRate = try optimiser.double("learning_rate", in: 1e-9...10)
        beta1 = try optimiser.optionalDouble("beta1", in: 0...0.999999) ?? 0.9
        beta2 = try optimiser.optionalDouble("beta2", in: 0...0.999999) ?? 0.95
        eps = try optimiser.optionalDouble("eps", in: 1e-20...1) ?? 1e-8
        weightDecay = try optimiser.optionalDouble("weight_decay", in: 0...10) ?? 0.1
        momentum = try optimiser.optionalDouble("momentum", in: 0...0.9999) ?? 0.95
        matrixRate = try optimiser.optionalDouble("matrix_rate", in: 1e-9...10) ?? learningRate
        try optimiser.finish()

        var rate = try root.reader("schedule")
        schedule = try rate.optionalChoice("kind") ?? .wsd
        warmupSteps = try rate.optionalInt("warmup_steps", in: 0...100_000_000) ?? 0
        decayShare = try rate.optionalDouble("decay_share", in: 0...1) ?? 0.2
        finalShare = try rate.optionalDouble("final_share", in: 0...1) ?? 0
        if warmupSteps > steps { throw rate.fault("warmup_steps", "is \(warmupSteps); the whole run has \(steps)") }
        try rate.finish()

        var chat = try root.optionalReader("chat")
        chatTemplate = try chat?.string("template")
        if let chat { try chat.finish() }
        try root.finish()
    }

    /// The recipe with every default written out: one text for one recipe. This is the `recipe.yaml` of a model.
    package var yaml: String {
        """
        format: \(Recipe.format)
        name: \(Recipe.quoted(name))
        seed: \(seed)
        model:
          width: \(width)
          layers: \(layers)
          query_heads: \(queryHeads)
          kv_heads: \(kvHeads)
          head_dim: \(headDim)
          feed_forward: \(feedForward)
          context: \(context)
          rope_theta: \(ropeTheta)
          norm_eps: \(normEps)
          tied_embeddings: \(tiedEmbeddings)
          embedding_deviation: \(embeddingDeviation)
        tokenizer:
          vocabulary: \(vocabulary)
        training:
          steps: \(steps)
          sequence_length: \(sequenceLength)
          sequences_per_step: \(sequencesPerStep)
          sequences_per_pass: \(sequencesPerPass)
          recompute: \(recompute)
          clip: \(clip)
          checkpoint_every: \(checkpointEvery)
          precision: \(precision.rawValue)
        optimizer:
          kind: \(optimizer.rawValue)
          learning_rate: \(learningRate)
          beta1: \(beta1)
          beta2: \(beta2)
          eps: \(eps)
          weight_decay: \(weightDecay)
          momentum: \(momentum)
          matrix_rate: \(matrixRate)
        schedule:
          kind: \(schedule.rawValue)
          warmup_steps: \(warmupSteps)
          decay_share: \(decayShare)
          final_share: \(finalShare)

        """ + (chatTemplate.map { "chat:\n  template: \(Recipe.quoted($0))\n" } ?? "")
    }

    private static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": out += "\\" + String(scalar)
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                let hex = String(scalar.value, radix: 16)
                out += "\\x" + (hex.count == 1 ? "0" : "") + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}
