import ForgeConfig
import ForgeCore
import ForgeModel
import ForgeObjective
import ForgeTensor

// The parts of a recipe that say what learns, read and written.

extension Recipe.Architecture {
    init(_ root: inout YAMLReader) throws(Fault) {
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
    }

    var yaml: String {
        """
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

        """
    }
}

extension Recipe {
    var startYAML: String {
        switch start {
        case .architecture(let model): model.yaml
        case .base(let reference): "base: \(Recipe.quoted(reference))\n"
        }
    }
}

extension Recipe.Adapters {
    /// Nil where the recipe has none.
    init?(_ root: inout YAMLReader) throws(Fault) {
        guard var reader = try root.optionalReader("adapters") else { return nil }
        let rank = try reader.int("rank", in: 1...1024)
        var targets = Set(AdapterConfig.Target.allCases)
        if let names = try reader.optionalStrings("targets") {
            targets = []
            for name in names {
                guard let target = AdapterConfig.Target(rawValue: name) else {
                    throw reader.fault("targets", "names `\(name.prefix(40))`, which is none of " + AdapterConfig.Target.allCases.map { "`\($0.rawValue)`" }.joined(separator: ", "))
                }
                targets.insert(target)
            }
            guard !targets.isEmpty else { throw reader.fault("targets", "is empty") }
        }
        config = AdapterConfig(
            rank: rank, alpha: try reader.optionalDouble("alpha", in: 1e-6...1e6) ?? Double(2 * rank), stabilised: try reader.optionalBool("stabilised") ?? false, targets: targets)
        format = try reader.optionalChoice("format") ?? .f32
        try reader.finish()
    }

    var yaml: String {
        // In one order, whatever order they were named in.
        let targets = AdapterConfig.Target.allCases.filter(config.targets.contains).map(\.rawValue).joined(separator: ", ")
        return """
            adapters:
              rank: \(config.rank)
              alpha: \(config.alpha)
              stabilised: \(config.stabilised)
              targets: [\(targets)]
              format: \(format.rawValue)

            """
    }
}

extension Recipe.Policy {
    init(_ root: inout YAMLReader, for method: Recipe.Method) throws(Fault) {
        var reader = try root.reader("policy")
        group = try reader.int("group", in: 2...1024)
        temperature = try reader.optionalDouble("temperature", in: 0.01...2) ?? 1
        answerTokens = try reader.int("answer_tokens", in: 1...1_048_576)
        // What is made of pairs stands under `preference`.
        let weighs = method == .grpo
        advantage = weighs ? try reader.optionalChoice("advantage") ?? .grpo : .grpo
        loss = weighs ? try reader.optionalChoice("loss") ?? .dapo : .dapo
        kl = weighs ? try reader.optionalDouble("kl", in: 0...10) ?? 0 : 0
        klEstimator = weighs ? try reader.optionalChoice("kl_estimator") ?? .k3 : .k3
        if kl > 0, klEstimator == .k1 { throw reader.fault("kl_estimator", "is `k1`, whose derivative says nothing in a loss; `k2` and `k3` have one") }
        if loss == .ppo { throw reader.fault("loss", "is `ppo`, whose advantages come from a value head; there is none here") }
        cutReward = try reader.optionalDouble("cut_reward", in: -10...10)
        try reader.finish()
    }

    func yaml(for method: Recipe.Method) -> String {
        let weighing = method == .grpo ? "  advantage: \(advantage.rawValue)\n  loss: \(loss.rawValue)\n  kl: \(kl)\n  kl_estimator: \(klEstimator.rawValue)\n" : ""
        return """
            policy:
              group: \(group)
              temperature: \(temperature)
              answer_tokens: \(answerTokens)

            """ + weighing + "  cut_reward: \(cutReward.map { "\($0)" } ?? "null")\n"
    }
}

extension Recipe.Samples {
    init(_ root: inout YAMLReader) throws(Fault) {
        var reader = try root.optionalReader("samples")
        packs = try reader?.optionalBool("packing") ?? true
        tooLong = try reader?.optionalChoice("too_long") ?? .refuse
        if let reader { try reader.finish() }
    }

    var yaml: String {
        """
        samples:
          packing: \(packs)
          too_long: \(tooLong.rawValue)

        """
    }
}
