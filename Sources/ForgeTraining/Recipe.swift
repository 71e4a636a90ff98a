import ForgeConfig
package import ForgeCore
import ForgeCrypto
package import ForgeModel
package import ForgeObjective
package import ForgeTensor

/// How a model is made: architecture and tokenizer or the model it starts from, method, data order, optimiser, schedule. Everything that decides its bits, but the
/// data and what it starts from.
package struct Recipe: Sendable, Hashable {
    package static let format = "forge-recipe/v1"

    /// What a run learns, and from what.
    package enum Method: String, Sendable, CaseIterable {
        /// The next token of documents.
        case pretrain
        /// What the assistant says in samples.
        case sft
        /// The better of two answers (direct preference optimisation: Rafailov et al. 2023, arXiv:2305.18290, and its relatives).
        case dpo
        /// The better of the model's own answers to tasks (online direct preference optimisation: Guo et al. 2024, arXiv:2402.04792).
        case odpo
        /// Answers that are good or bad by themselves (Kahneman-Tversky optimisation: Ethayarajh et al. 2024, arXiv:2402.01306).
        case kto
        /// Whatever answers to tasks are judged better than others to the same task (group relative policy optimisation: Shao et al. 2024, arXiv:2402.03300).
        case grpo

        package var learnsFromSamples: Bool { self != .pretrain }
        /// Whether answers are drawn while it learns.
        package var draws: Bool { self == .grpo || self == .odpo }
        /// Sequences that belong together in a pass.
        var sequencesPerUnit: Int { self == .dpo || self == .odpo ? 2 : 1 }
    }

    /// A decoder made from nothing.
    package struct Architecture: Sendable, Hashable {
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
        /// Tokens of the tokenizer that is trained for it.
        package var vocabulary: Int

        /// Once the tokenizer is there.
        package func config(vocabulary: Int, bos: Int, eos: Int) -> MistralConfig {
            MistralConfig(
                vocabulary: vocabulary, width: width, feedForward: feedForward, layers: layers, queryHeads: queryHeads, kvHeads: kvHeads, headDim: headDim,
                contextMax: context, normEps: Float(normEps), ropeTheta: ropeTheta, tiedEmbeddings: tiedEmbeddings, bos: bos, eos: eos)
        }
    }

    /// What a run starts from.
    package enum Start: Sendable, Hashable {
        case architecture(Architecture)
        /// A model of the registry, `name@version`.
        case base(String)
    }

    /// Adapters learn beside weights that stay as they are.
    package struct Adapters: Sendable, Hashable {
        package var config: AdapterConfig
        /// How the frozen matrices are kept while the adapters learn.
        package var format: WeightFormat
    }

    /// What becomes of samples longer than `sequence_length`.
    package enum TooLong: String, Sendable, CaseIterable { case refuse, drop }

    /// How answers are drawn, and what their rewards are held against.
    package struct Policy: Sendable, Hashable {
        /// Answers to each prompt.
        package var group: Int
        package var temperature: Double
        /// Tokens of an answer at most.
        package var answerTokens: Int
        /// Of `grpo`.
        package var advantage: Advantages.Kind
        package var loss: PolicyLoss.Kind
        /// How much the divergence from what the run starts from weighs beside it; 0 asks no reference.
        package var kl: Double
        package var klEstimator: DivergenceEstimator
        /// What an answer that was cut earns, whatever it says; nil judges it as it stands.
        package var cutReward: Double?
    }

    package struct Samples: Sendable, Hashable {
        package var packs: Bool
        package var tooLong: TooLong
    }

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
    package var method: Method
    package var start: Start
    /// Nil where every weight learns.
    package var adapters: Adapters?
    /// Of a method that learns from samples.
    package var samples: Samples?
    /// Of a method that learns from judged answers.
    package var preference: Preference?
    /// Of a method that learns from its own answers.
    package var policy: Policy?
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

    /// Whether what the run starts from is kept beside what learns.
    var keepsReference: Bool { method == .odpo || method == .grpo && (policy?.kl ?? 0) > 0 }
    /// Rows of one pass, at most.
    var rowsPerPass: Int { (policy == nil ? min(sequencesPerPass, sequencesPerStep) : sequencesPerPass) * method.sequencesPerUnit * sequenceLength }
    package var tokens: Int { steps * sequencesPerStep * (policy?.group ?? method.sequencesPerUnit) * sequenceLength }
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

        method = try root.optionalChoice("method") ?? .pretrain
        if let base = try root.optionalString("base") {
            guard Recipe.isReference(base) else { throw root.fault("base", "is `\(base.prefix(100))`; a model is named `name@version`, as `forge model ls` shows it") }
            for key in ["model", "tokenizer"] where root.node(key) != nil { throw root.fault(key, "stands beside `base`, which brings its own") }
            start = .base(base)
        } else {
            start = .architecture(try Architecture(&root))
        }
        adapters = try Adapters(&root)
        if adapters != nil, case .architecture = start { throw root.fault("adapters", "are set, and there is no `base` they would lie beside") }
        samples = method.learnsFromSamples ? try Samples(&root) : nil
        preference = try Preference(&root, for: method)
        policy = method.draws ? try Policy(&root, for: method) : nil

        var training = try root.reader("training")
        steps = try training.int("steps", in: 1...100_000_000)
        if case .architecture(let model) = start {
            sequenceLength = try training.optionalInt("sequence_length", in: 2...1_048_576) ?? model.context
            if sequenceLength > model.context { throw training.fault("sequence_length", "is \(sequenceLength); the model's context holds \(model.context)") }
        } else {
            sequenceLength = try training.int("sequence_length", in: 2...1_048_576)
        }
        // Which two rows a product in bfloat16 sums must not depend on the pass.
        if method.learnsFromSamples, !sequenceLength.isMultiple(of: 2) { throw training.fault("sequence_length", "is \(sequenceLength) and must be even for samples") }
        sequencesPerStep = try training.int("sequences_per_step", in: 1...1_000_000)
        sequencesPerPass = try training.optionalInt("sequences_per_pass", in: 1...1_000_000) ?? sequencesPerStep
        if case .pairs(let loss) = preference, loss.kind.spansBatch, sequencesPerPass < sequencesPerStep {
            throw training.fault("sequences_per_pass", "is \(sequencesPerPass); `\(loss.kind.rawValue)` compares all \(sequencesPerStep) pairs of a step with each other, in one pass")
        }
        recompute = try training.optionalBool("recompute") ?? false
        clip = try training.optionalDouble("clip", in: 1e-6...1e9) ?? 1
        checkpointEvery = try training.optionalInt("checkpoint_every", in: 1...100_000_000) ?? 100
        precision = try training.optionalChoice("precision") ?? .bf16
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
        if adapters != nil, optimizer == .muon { throw optimiser.fault("kind", "is `muon`; adapters are learnt by `adamw`") }
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

    private static func isReference(_ text: String) -> Bool {
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        return parts.count == 2 && (1...64).contains(parts[0].utf8.count) && parts[0].utf8.allSatisfy { (0x21...0x7e).contains($0) } && Int(parts[1]).map { $0 >= 1 && String($0) == parts[1] } == true
    }

    /// The recipe with every default written out: one text for one recipe. This is the `recipe.yaml` of a model.
    package var yaml: String {
        """
        format: \(Recipe.format)
        name: \(Recipe.quoted(name))
        seed: \(seed)

        """ + (method == .pretrain ? "" : "method: \(method.rawValue)\n") + startYAML + (adapters?.yaml ?? "") + (samples?.yaml ?? "") + (preference?.yaml ?? "") + (policy?.yaml(for: method) ?? "") + """
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

    static func quoted(_ text: String) -> String {
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
