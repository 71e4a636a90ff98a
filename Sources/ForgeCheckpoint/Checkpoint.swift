import ForgeArtifact
package import ForgeCore
package import ForgeModel

/// A model in a folder of Hugging Face's or Mistral's layout: its configuration, and where each tensor of our table lies (docs/formats/checkpoints.md).
package struct Checkpoint: Sendable {
    package enum Layout: String, Sendable, CaseIterable {
        /// `config.json`, `model.safetensors` or shards with an index.
        case huggingFace = "hugging-face"
        /// `params.json`, `consolidated.safetensors` or shards.
        case native
    }

    package let folder: CheckpointFolder
    package let layout: Layout
    package let config: MistralConfig
    package let weights: ModelWeights
    /// Files whose bytes the model comes from, tokenizer included, in ascending order.
    package let sources: [String]
    /// `tekken.json` where it is there: some releases' `tokenizer.json` splits words by a wrong expression, and theirs is the one the model was trained with.
    package let tokenizer: Tokenizer

    package enum Tokenizer: String, Sendable, CaseIterable {
        case tekken = "tekken.json"
        case huggingFace = "tokenizer.json"
    }

    /// - Parameter layout: where a folder has both; nil takes the one it has.
    /// - Throws: `.request` naming the file, member or tensor that is missing, surplus or not supported.
    package init(_ folder: CheckpointFolder, layout wanted: Layout? = nil) throws(Fault) {
        let present = Layout.allCases.filter { folder.has($0 == .native ? "params.json" : "config.json") }
        guard let layout = wanted ?? present.first, present.count == 1 || wanted != nil else {
            throw present.isEmpty
                ? Fault(.request, "checkpoint.layout", "this is not a checkpoint", why: "`\(folder.path)` has neither `config.json` nor `params.json`", remedy: "name the folder that holds one")
                : Fault(.request, "checkpoint.layout", "which checkpoint is meant?", why: "the folder has both `config.json` and `params.json`", remedy: "say `--layout hugging-face` or `--layout native`")
        }
        let shards: TensorShards, described: String
        switch layout {
        case .huggingFace:
            described = "config.json"
            let json = try folder.json(described)
            try Checkpoint.refuse(json)
            config = try MistralConfig(json: json)
            shards = try TensorShards(folder, single: "model.safetensors", index: "model.safetensors.index.json")
        case .native:
            described = "params.json"
            config = try MistralConfig(params: try folder.json(described))
            let names = folder.files.filter { $0.hasPrefix("consolidated") && $0.hasSuffix(".safetensors") }
            guard !names.isEmpty else { throw CheckpointFolder.missing("consolidated.safetensors") }
            shards = names.count == 1 || !folder.has("consolidated.safetensors.index.json")
                ? try TensorShards(folder, names: names, listed: nil) : try TensorShards(folder, single: names[0], index: "consolidated.safetensors.index.json")
        }
        guard let tokenizer = Tokenizer.allCases.first(where: { folder.has($0.rawValue) }) else {
            throw Fault(
                .request, "checkpoint.tokenizer", "the checkpoint is not whole", why: "neither `tekken.json` nor `tokenizer.json` is there",
                remedy: "add that of the same release; `tokenizer.model` is not read yet")
        }
        self.tokenizer = tokenizer
        self.folder = folder
        self.layout = layout
        weights = try ModelWeights(shards, config, layout)
        let index = layout == .native ? "consolidated.safetensors.index.json" : "model.safetensors.index.json"
        sources = ([described, tokenizer.rawValue] + shards.names + (folder.has(index) && shards.names.count > 1 ? [index] : [])).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// Members of a `config.json` that change results or run code, and that `MistralConfig` would not see.
    private static func refuse(_ json: JSON) throws(Fault) {
        func fault(_ why: String, _ remedy: String = "bring a decoder of text alone, in F32, BF16 or F16") -> Fault { Fault(.request, "checkpoint.config", "this checkpoint is not supported", why: why, remedy: remedy) }
        if json["auto_map"] != nil { throw fault("`auto_map` names code of its own that would have to run", "nothing that comes with a checkpoint is ever run") }
        for part in ["vision_config", "audio_config", "text_config"] where json[part] != nil { throw fault("`\(part)`: models of images or sound are not read yet") }
        // The tensors say the rest: each is looked for with its scales.
        if let method = json["quantization_config"]?["quant_method"]?.string, !["fp8", "compressed-tensors"].contains(method) {
            throw fault("`quantization_config` has the method `\(method.prefix(40))`", "bring FP8, NVFP4, or the release in BF16")
        }
        for key in ["attention_bias", "mlp_bias"] where json[key]?.bool == true { throw fault("`\(key)` is true: matrices with biases are not supported") }
        if let part = json["partial_rotary_factor"]?.number, part != 1 { throw fault("`partial_rotary_factor` is \(part): heads that turn in part are not supported") }
        if json["model_type"]?.string != "ministral", let kinds = json["layer_types"]?.array {
            let windowed = json["sliding_window"].map { $0 != .null } ?? false, wanted = windowed ? "sliding_attention" : "full_attention"
            guard kinds.allSatisfy({ $0.string == wanted }) else { throw fault("`layer_types` mixes windows: windows that differ from layer to layer are not supported yet") }
        }
    }
}
