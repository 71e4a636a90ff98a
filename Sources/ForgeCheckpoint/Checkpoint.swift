import ForgeArtifact
package import ForgeCore
package import ForgeModel
package import ForgeOS

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
    package private(set) var weights: ModelWeights
    /// What was merged into the weights.
    package private(set) var adapters: AdapterCheckpoint?
    /// Files whose bytes the model comes from, tokenizer and adapters included, in ascending order.
    package private(set) var sources: [String]
    package let tokenizer: TokenizerFile

    /// The file that holds the tokenizer, and in what form. Mistral's own come first: some releases' `tokenizer.json` splits words by a wrong expression, and theirs are the
    /// ones the models were trained with.
    package struct TokenizerFile: Sendable, Hashable {
        package enum Form: Sendable { case tekken, sentencePiece, huggingFace }
        package let name: String
        package let form: Form

        package init(name: String, form: Form) {
            self.name = name
            self.form = form
        }
    }

    /// - Parameters:
    ///   - layout: where a folder has both; nil takes the one it has.
    ///   - textOnly: of a model of images and text, the decoder of text.
    /// - Throws: `.request` naming the file, member or tensor that is missing, surplus or not supported.
    package init(_ folder: CheckpointFolder, layout wanted: Layout? = nil, textOnly: Bool = false) throws(Fault) {
        let present = Layout.allCases.filter { folder.has($0 == .native ? "params.json" : "config.json") }
        guard let layout = wanted ?? present.first, present.count == 1 || wanted != nil else {
            throw present.isEmpty
                ? Fault(.request, "checkpoint.layout", "this is not a checkpoint", why: "`\(folder.path)` has neither `config.json` nor `params.json`", remedy: "name the folder that holds one")
                : Fault(.request, "checkpoint.layout", "which checkpoint is meant?", why: "the folder has both `config.json` and `params.json`", remedy: "say `--layout hugging-face` or `--layout native`")
        }
        var shards: TensorShards
        let described: String
        switch layout {
        case .huggingFace:
            described = "config.json"
            let json = try Checkpoint.described(try folder.json(described), textOnly: textOnly)
            config = try MistralConfig(json: json)
            shards = try TensorShards(folder, single: "model.safetensors", index: "model.safetensors.index.json")
        case .native:
            described = "params.json"
            config = try MistralConfig(params: try Checkpoint.params(try folder.json(described), textOnly: textOnly))
            let names = folder.files.filter { $0.hasPrefix("consolidated") && $0.hasSuffix(".safetensors") }
            guard !names.isEmpty else { throw CheckpointFolder.missing("consolidated.safetensors") }
            shards = names.count == 1 || !folder.has("consolidated.safetensors.index.json")
                ? try TensorShards(folder, names: names, listed: nil) : try TensorShards(folder, single: names[0], index: "consolidated.safetensors.index.json")
        }
        if textOnly { shards = shards.text(layout) }
        // Of several `tokenizer.model.vN` the last is the release's.
        let pieces = folder.files.filter { $0 == "tokenizer.model" || $0.hasPrefix("tokenizer.model.v") }.max { $0.count != $1.count ? $0.count < $1.count : $0 < $1 }
        let found = [("tekken.json", TokenizerFile.Form.tekken), (pieces ?? "tokenizer.model", .sentencePiece), ("tokenizer.json", .huggingFace)].first { folder.has($0.0) }
        guard let (name, form) = found else {
            throw Fault(
                .request, "checkpoint.tokenizer", "the checkpoint is not whole", why: "neither `tekken.json`, nor `tokenizer.model`, nor `tokenizer.json` is there",
                remedy: "add that of the same release")
        }
        let tokenizer = TokenizerFile(name: name, form: form)
        self.tokenizer = tokenizer
        self.folder = folder
        self.layout = layout
        weights = try ModelWeights(shards, config, layout)
        let index = layout == .native ? "consolidated.safetensors.index.json" : "model.safetensors.index.json"
        sources = ([described, tokenizer.name] + shards.names + (folder.has(index) && shards.names.count > 1 ? [index] : [])).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// The same model with PEFT's adapters merged into the matrices they lie beside (docs/formats/adapters.md §3).
    /// - Throws: `.request` naming what the folder lacks, has too much of, or what does not fit the model.
    package func merging(adapters path: String) throws(Fault) -> Checkpoint {
        let adapters = try AdapterCheckpoint(try CheckpointFolder(path), beside: config)
        var merged = self
        merged.weights = try weights.merging(adapters)
        merged.adapters = adapters
        merged.sources = (sources + AdapterCheckpoint.sources).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        return merged
    }

    /// Opens one of `sources`.
    package func open(_ source: String) throws(Fault) -> SourceFile {
        guard let adapters, AdapterCheckpoint.sources.contains(source) else { return try folder.open(source) }
        return try adapters.folder.open(source)
    }

    /// The configuration of the decoder of text, once nothing in the file is left that changes results or runs code and that `MistralConfig` would not see.
    private static func described(_ root: JSON, textOnly: Bool) throws(Fault) -> JSON {
        func fault(_ why: String, _ remedy: String = "bring a decoder of text alone, in F32, BF16, F16, FP8 or NVFP4") -> Fault { Fault(.request, "checkpoint.config", "this checkpoint is not supported", why: why, remedy: remedy) }
        if root["auto_map"] != nil { throw fault("`auto_map` names code of its own that would have to run", "nothing that comes with a checkpoint is ever run") }
        var json = root
        if let part = ["vision_config", "audio_config", "text_config"].first(where: { root[$0] != nil }) {
            guard textOnly else { throw fault("`\(part)`: images and sound are not read yet", "say `--text-only` to bring in its decoder of text") }
            guard var text = root["text_config"]?.object else { throw fault("it has `\(part)` and no `text_config`") }
            for key in ["tie_word_embeddings", "quantization_config", "bos_token_id", "eos_token_id"] where text[key] == nil { text[key] = root[key] }
            json = .object(text)
        } else if textOnly {
            throw fault("there is nothing but text in it", "leave `--text-only` out")
        }
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
        return json
    }

    private static func params(_ root: JSON, textOnly: Bool) throws(Fault) -> JSON {
        let parts = ["vision_encoder", "multimodal"]
        guard textOnly else {
            if let part = parts.first(where: { root[$0] != nil }) {
                throw Fault(.request, "checkpoint.params", "this checkpoint is not supported", why: "`\(part)`: images and sound are not read yet", remedy: "say `--text-only` to bring in its decoder of text")
            }
            return root
        }
        guard var members = root.object, parts.contains(where: { members[$0] != nil }) else {
            throw Fault(.request, "checkpoint.params", "this checkpoint is not supported", why: "there is nothing but text in it", remedy: "leave `--text-only` out")
        }
        for part in parts { members[part] = nil }
        return .object(members)
    }
}
