package import ForgeCore

extension LargeConfig {
    /// What config.json calls this architecture: with a tower for images around the decoder, or the decoder alone.
    package static let modelType = "mistral_large4"
    package static let textModelType = "mistral_large4_text"

    package static func describes(_ json: JSON) -> Bool { [modelType, textModelType].contains(json["model_type"]?.string ?? "") }

    /// Reads `config.json`. What it leaves out has the value that transformers' classes have for it.
    /// - Throws: `.request` naming the member that is of the wrong kind, contradicts another, or is not supported.
    package init(json: JSON) throws(Fault) {
        guard let root = json.object, LargeConfig.describes(json) else { throw LargeConfig.fault("`model_type` is neither `\(LargeConfig.modelType)` nor `\(LargeConfig.textModelType)`") }
        if root["auto_map"] != nil { throw LargeConfig.fault("`auto_map` names code of its own that would have to run") }
        guard root["model_type"]?.string == LargeConfig.modelType else {
            self = try LargeConfig(text: Members(root), vision: nil)
            return
        }
        var outer = Members(root)
        // A wrapper that says nothing of one of its parts has transformers' own.
        var inner = Members(try outer.object("text_config") ?? [:], in: "text_config.")
        let kind = try inner.text("model_type") ?? LargeConfig.textModelType
        guard kind == LargeConfig.textModelType else { throw LargeConfig.fault("`text_config.model_type` is `\(kind.prefix(40))`") }
        if try outer.flag("tie_word_embeddings") { throw LargeConfig.fault("`tie_word_embeddings` is true: no such model is known") }
        try LargeConfig.checkQuantisation(&outer)
        let vision = try Vision(&outer)
        outer.pass(
            "model_type", "architectures", "dtype", "torch_dtype", "transformers_version", "image_token_index", "image_token_id", "projector_hidden_act", "pad_token_id", "bos_token_id", "eos_token_id",
            "initializer_range", "use_cache")
        self = try LargeConfig(text: inner, vision: vision)
        unread = (unread + outer.left).sorted()
    }

    private init(text: Members, vision: Vision?) throws(Fault) {
        var text = text
        if try text.flag("attention_bias") { throw LargeConfig.fault("`attention_bias` is true: matrices with biases are not supported") }
        if try text.flag("tie_word_embeddings") { throw LargeConfig.fault("`tie_word_embeddings` is true: no such model is known") }
        if let act = try text.text("hidden_act"), act != "silu" { throw LargeConfig.fault("`hidden_act` is `\(act.prefix(40))`, not `silu`") }
        for key in ["n_group", "topk_group"] where try text.int(key, 1) != 1 { throw LargeConfig.fault("`\(key)` is not 1: experts in groups are not supported") }
        try LargeConfig.checkQuantisation(&text)
        let layers = try text.int("num_hidden_layers", 72), heads = try text.int("num_attention_heads", 64), choices = try text.int("index_topk", 2048)
        guard (1...LargeConfig.layersMax).contains(layers) else { throw LargeConfig.fault("`num_hidden_layers` is \(layers); it must be 1 to \(LargeConfig.layersMax)") }
        let kv = try text.int("num_key_value_heads", 64)
        guard kv == heads else { throw LargeConfig.fault("`num_key_value_heads` is \(kv); latent attention has as many as num_attention_heads (\(heads))") }
        let plain = try text.int("qk_nope_head_dim", 64), turned = try text.int("qk_rope_head_dim", 64)
        // Both follow from the others, and transformers forms them anew.
        if let whole = try text.whole("qk_head_dim"), whole != plain + turned { throw LargeConfig.fault("`qk_head_dim` is \(whole), and its parts are \(plain) and \(turned)") }
        _ = try text.whole("head_dim")
        let context = try text.int("max_position_embeddings", 1_048_576), rotary = try Rotary(&text, contextMax: context)
        let kinds = try LargeConfig.kinds(&text, count: layers)
        // Older spellings of one member: what is said twice is said alike.
        var counts: [Int] = []
        for key in ["n_routed_experts", "num_local_experts", "num_experts"] {
            if let count = try text.whole(key) { counts.append(count) }
        }
        guard Set(counts).count <= 1 else { throw LargeConfig.fault("`n_routed_experts`, `num_local_experts` and `num_experts` differ") }
        vocabulary = try text.int("vocab_size", 204_800)
        width = try text.int("hidden_size", 6_144)
        feedForward = try text.int("intermediate_size", 24_576)
        expertWidth = try text.int("moe_intermediate_size", 6_144)
        self.layers = kinds
        self.heads = heads
        latentRank = try text.int("kv_lora_rank", 512)
        plainDim = plain
        turnedDim = turned
        valueDim = try text.int("v_head_dim", 128)
        experts = counts.first ?? 128
        self.choices = try text.int("num_experts_per_tok", 4)
        sharedExperts = try text.int("n_shared_experts", 1)
        routedScale = try text.number("routed_scaling_factor") ?? 1
        indexer = Indexer(heads: try text.int("index_n_heads", 32), headDim: try text.int("index_head_dim", 128), choices: choices)
        contextMax = context
        normEps = try text.number("rms_norm_eps") ?? 1e-5
        ropeTheta = rotary.theta
        yarn = rotary.yarn
        scoreScale = rotary.scoreScale
        logitsCap = try text.number("final_logit_softcapping") ?? 30
        bos = try text.token("bos_token_id", 1)
        eos = try text.token("eos_token_id", 2)
        self.vision = vision
        // Of training, of caching, or of the file itself.
        text.pass(
            "model_type", "architectures", "dtype", "torch_dtype", "transformers_version", "attention_dropout", "initializer_range", "use_cache", "pad_token_id", "output_router_logits",
            "router_aux_loss_coef")
        unread = text.left
        try validate()
    }

    /// By layer, what its lists say, or the rule that stands for a list that is left out.
    private static func kinds(_ text: inout Members, count: Int) throws(Fault) -> [Layer] {
        let interval = try text.int("no_rope_layer_interval", 4), leading = try text.int("first_k_dense_replace", 1)
        guard interval >= 1 else { throw fault("`no_rope_layer_interval` is 0") }
        let turns = try text.numbers("no_rope_layers", 0...1)
        if let turns, turns.count < count { throw fault("`no_rope_layers` has \(turns.count) entries, and there are \(count) layers") }
        let sources = try text.numbers("kv_source_layers", 0...max(count - 1, 0))
        if let sources, sources.count != count { throw fault("`kv_source_layers` has \(sources.count) entries, and there are \(count) layers") }
        let mixtures = try text.words("mlp_layer_types", ["dense": false, "sparse": true], count: count)
        _ = try text.words("layer_types", ["indexed_attention": true], count: count)
        let listed = try text.words("indexer_types", ["full": true, "shared": false], count: count)
        let frequency = max(try text.int("index_topk_freq", 1), 1), offset = try text.int("index_skip_topk_offset", 2)
        var pattern: [Bool]?
        if let letters = try? text.text("index_topk_pattern") {
            guard letters.count == count, letters.allSatisfy({ $0 == "F" || $0 == "S" }) else { throw fault("`index_topk_pattern` is not one `F` or `S` for each of \(count) layers") }
            pattern = letters.map { $0 == "F" }
        } else {
            pattern = try text.words("index_topk_pattern", ["full": true, "shared": false], count: count)
        }
        let chooses = listed ?? pattern
        return (0..<count).map { number in
            Layer(
                turns: turns.map { $0[number] == 1 } ?? !(number + 1).isMultiple(of: interval), source: sources?[number] ?? number,
                chooses: chooses?[number] ?? max(number - offset + 1, 0).isMultiple(of: frequency), isMixture: mixtures?[number] ?? (number >= leading))
        }
    }

    /// Methods whose scales are known; which tensors have them, the tensors say.
    private static func checkQuantisation(_ members: inout Members) throws(Fault) {
        guard let method = try members.object("quantization_config") else { return }
        guard let name = method["quant_method"]?.string, ["fp8", "compressed-tensors"].contains(name) else {
            throw fault("`quantization_config` has the method `\((method["quant_method"]?.string ?? "none").prefix(40))`, which is not read: fp8 and compressed-tensors are")
        }
    }

    private struct Rotary {
        var theta = 10_000.0
        var yarn: Yarn?
        var scoreScale = 1.0

        init(_ text: inout Members, contextMax: Int) throws(Fault) {
            if text.says("rope_scaling") { throw LargeConfig.fault("`rope_scaling` is an older spelling that no release of this family has") }
            let beside = try text.number("rope_theta")
            if let part = try text.number("partial_rotary_factor"), part != 1 { throw LargeConfig.fault("`partial_rotary_factor` is \(part): heads that turn in part are not supported") }
            guard let object = try text.object("rope_parameters") else {
                yarn = Yarn(factor: 2048, originalContext: 512, attentionFactor: 1)
                return
            }
            var rope = Members(object, in: "rope_parameters.")
            let older = try rope.text("type"), kind = try rope.text("rope_type") ?? older ?? "default"
            guard ["default", "yarn"].contains(kind) else { throw LargeConfig.fault("rotary scaling `\(kind.prefix(40))` is not supported") }
            theta = try rope.number("rope_theta") ?? beside ?? 10_000
            if let part = try rope.number("partial_rotary_factor"), part != 1 { throw LargeConfig.fault("`rope_parameters.partial_rotary_factor` is \(part): heads that turn in part are not supported") }
            if !(try rope.flag("truncate", true)) { throw LargeConfig.fault("`rope_parameters.truncate` is false: ramps between whole pairs are not supported") }
            let factor = try rope.number("factor"), below = try rope.number("mscale_all_dim") ?? 0, above = try rope.number("mscale") ?? 0
            var magnitude = try rope.number("attention_factor")
            let original = try rope.int("original_max_position_embeddings", contextMax)
            let fast = try rope.number("beta_fast") ?? 0, slow = try rope.number("beta_slow") ?? 0
            if let other = rope.left.first { throw LargeConfig.fault("`\(other)` is not known") }
            guard kind == "yarn" else { return }
            guard let factor else { throw LargeConfig.fault("`rope_parameters.factor` is missing") }
            if magnitude == nil, above != 0, below != 0 { magnitude = Yarn.magnitude(factor, mscale: above) / Yarn.magnitude(factor, mscale: below) }
            // Zero is left out, as the reference has it.
            yarn = Yarn(factor: factor, originalContext: original, betaFast: fast == 0 ? 32 : fast, betaSlow: slow == 0 ? 1 : slow, attentionFactor: magnitude)
            if below != 0 {
                let raise = Yarn.magnitude(factor, mscale: below)
                scoreScale = raise * raise
            }
        }
    }
}

extension LargeConfig.Vision {
    /// A wrapper without `vision_config` has the release's tower; one with it has transformers' Pixtral where it says nothing.
    fileprivate init(_ outer: inout Members) throws(Fault) {
        let said = try outer.object("vision_config")
        var vision = Members(said ?? [:], in: "vision_config.")
        let kind = try vision.text("model_type") ?? "pixtral"
        guard kind == "pixtral" else { throw LargeConfig.fault("`vision_config.model_type` is `\(kind.prefix(40))`, not `pixtral`") }
        width = try vision.int("hidden_size", said == nil ? 2_048 : 1_024)
        feedForward = try vision.int("intermediate_size", said == nil ? 6_144 : 4_096)
        layers = try vision.int("num_hidden_layers", said == nil ? 30 : 24)
        heads = try vision.int("num_attention_heads", 16)
        channels = try vision.int("num_channels", 3)
        patch = try vision.int("patch_size", said == nil ? 14 : 16)
        merge = try outer.int("spatial_merge_size", 2)
        features = try outer.count("vision_feature_layer")
        hasBiases = try outer.flag("multimodal_projector_bias")
    }
}

/// Members of an object of config.json, each asked for once by the kind it should have; null is left out.
private struct Members {
    private let object: JSON.Object
    private let place: String
    private var asked: Set<String> = []

    init(_ object: JSON.Object, in place: String = "") {
        self.object = object
        self.place = place
    }

    /// Names that nobody asked for, in ascending order, as many as anybody would read.
    var left: [String] { Array(object.members.filter { !asked.contains($0.key) && $0.value != .null }.map { place + String($0.key.prefix(60)) }.sorted().prefix(32)) }

    func says(_ key: String) -> Bool { object[key].map { $0 != .null } ?? false }
    mutating func pass(_ keys: String...) { asked.formUnion(keys) }

    private mutating func value(_ key: String) -> JSON? {
        asked.insert(key)
        return object[key].flatMap { $0 == .null ? nil : $0 }
    }

    private func fault(_ key: String, _ why: String) -> Fault { LargeConfig.fault("`\(place)\(key)` \(why)") }

    mutating func whole(_ key: String) throws(Fault) -> Int? {
        guard let value = value(key) else { return nil }
        guard let number = MistralConfig.whole(value), number >= 0 else { throw fault(key, "is not a whole number from 0 to 2^31") }
        return number
    }

    mutating func int(_ key: String, _ fallback: Int) throws(Fault) -> Int { try whole(key) ?? fallback }

    mutating func number(_ key: String) throws(Fault) -> Double? {
        guard let value = value(key) else { return nil }
        guard let number = value.number, number.isFinite else { throw fault(key, "is not a number") }
        return number
    }

    mutating func flag(_ key: String, _ fallback: Bool = false) throws(Fault) -> Bool {
        guard let value = value(key) else { return fallback }
        guard let flag = value.bool else { throw fault(key, "is neither true nor false") }
        return flag
    }

    mutating func text(_ key: String) throws(Fault) -> String? {
        guard let value = value(key) else { return nil }
        guard let text = value.string else { throw fault(key, "is not text") }
        return text
    }

    mutating func object(_ key: String) throws(Fault) -> JSON.Object? {
        guard let value = value(key) else { return nil }
        guard let object = value.object else { throw fault(key, "is not an object") }
        return object
    }

    /// Of several the first is the one that ends a text; what is null is none.
    mutating func token(_ key: String, _ fallback: Int) throws(Fault) -> Int? {
        guard let member = object[key] else { return fallback }
        asked.insert(key)
        guard let list = member.array else { return try whole(key) }
        guard let first = list.first.flatMap(MistralConfig.whole) else { throw fault(key, "is an empty list, or not one of whole numbers") }
        return first
    }

    /// How many layers of images are read: one by its number, or those of a list.
    mutating func count(_ key: String) throws(Fault) -> Int {
        guard let value = value(key) else { return 1 }
        if MistralConfig.whole(value) != nil { return 1 }
        guard let list = value.array, !list.isEmpty, list.allSatisfy({ MistralConfig.whole($0) != nil }) else { throw fault(key, "is neither a whole number nor a list of them") }
        return list.count
    }

    mutating func numbers(_ key: String, _ range: ClosedRange<Int>) throws(Fault) -> [Int]? {
        guard let list = try list(key) else { return nil }
        var numbers: [Int] = []
        for value in list {
            guard let number = MistralConfig.whole(value), range.contains(number) else { throw fault(key, "has an entry that is not a whole number from \(range.lowerBound) to \(range.upperBound)") }
            numbers.append(number)
        }
        return numbers
    }

    mutating func words(_ key: String, _ meanings: [String: Bool], count: Int) throws(Fault) -> [Bool]? {
        guard let list = try list(key) else { return nil }
        guard list.count == count else { throw fault(key, "has \(list.count) entries, and there are \(count) layers") }
        var words: [Bool] = []
        for value in list {
            guard let word = value.string, let meaning = meanings[word] else {
                throw fault(key, "has the entry `\((value.string ?? value.text).prefix(40))`, not one of \(meanings.keys.sorted().joined(separator: ", "))")
            }
            words.append(meaning)
        }
        return words
    }

    private mutating func list(_ key: String) throws(Fault) -> [JSON]? {
        guard let value = value(key) else { return nil }
        guard let list = value.array, list.count <= 2 * LargeConfig.layersMax else { throw fault(key, "is not a list of one entry a layer") }
        return list
    }
}
