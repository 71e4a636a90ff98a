internal import ForgeArtifact
internal import ForgeCheckpoint
internal import ForgeCore
internal import ForgeGGUF
internal import ForgeModel
internal import ForgeOS
internal import ForgeTokenizer

/// Where a model is brought in from: a folder in one of two layouts, or one file of llama.cpp's.
enum ImportSource {
    case folder(Checkpoint)
    case file(GGUFModel, GGUFWeights)

    /// - Parameter adapters: a folder of PEFT's, to be merged into the model.
    init(_ path: String, layout: Checkpoint.Layout?, textOnly: Bool, adapters: String?) throws(Fault) {
        guard path.hasSuffix(".gguf"), try Path.information(path)?.kind == .file else {
            let folder = try CheckpointFolder(path)
            if try LargeCheckpoint.isDescribed(in: folder) {
                throw Fault(
                    .request, "cli.family", "Mistral Large 4 cannot be brought in yet", why: "it is neither trained nor served here",
                    remedy: "`forge model inspect \(path)` says whether the folder is whole, and what is in it")
            }
            let checkpoint = try Checkpoint(folder, layout: layout, textOnly: textOnly)
            self = .folder(try adapters.map { (folder) throws(Fault) in try checkpoint.merging(adapters: folder) } ?? checkpoint)
            return
        }
        guard layout == nil, !textOnly, adapters == nil else {
            throw Fault(.request, "cli.layout", "`--layout`, `--text-only` and `--adapter` do not belong here", why: "the model is one file of llama.cpp's", remedy: "leave them out, or bring the model as a folder")
        }
        let model = try GGUFModel(path)
        self = .file(model, GGUFWeights(model))
    }

    var config: MistralConfig {
        switch self {
        case .folder(let checkpoint): checkpoint.config
        case .file(let model, _): model.config
        }
    }

    var hasAdapters: Bool {
        guard case .folder(let checkpoint) = self else { return false }
        return checkpoint.adapters != nil
    }

    var layout: String {
        switch self {
        case .folder(let checkpoint): checkpoint.layout.rawValue
        case .file: "gguf"
        }
    }

    /// The `model.safetensors` that it becomes.
    var weights: TensorTable {
        switch self {
        case .folder(let checkpoint): checkpoint.weights.table
        case .file(_, let weights): weights.table
        }
    }

    func bytes(_ range: Range<Int>) throws(Fault) -> [UInt8] {
        switch self {
        case .folder(let checkpoint): try checkpoint.weights.bytes(range)
        case .file(_, let weights): try weights.bytes(range)
        }
    }

    /// Names of the files it is made of, in ascending order.
    var sources: [String] {
        switch self {
        case .folder(let checkpoint): checkpoint.sources
        case .file(let model, _): [Path.name(model.path)]
        }
    }

    func open(_ source: String) throws(Fault) -> SourceFile {
        switch self {
        case .folder(let checkpoint): try checkpoint.open(source)
        case .file(let model, _): try SourceFile(model.path)
        }
    }

    /// - Parameter asWritten: also one whose words are split unlike those the release was trained with.
    func tokenizer(asWritten: Bool) throws(Fault) -> Tokenizer {
        let checkpoint: Checkpoint
        switch self {
        case .file(let model, _): return try model.tokenizer()
        case .folder(let found): checkpoint = found
        }
        let written = try checkpoint.folder.read(checkpoint.tokenizer.name, limit: ModelFile.tokenizer.limit)
        switch checkpoint.tokenizer.form {
        case .tekken: return try Tokenizer(tekken: written)
        case .sentencePiece: return try Tokenizer(sentencePiece: written)
        case .huggingFace:
            let tokenizer = try Tokenizer(parsing: written)
            if let unlike = tokenizer.splitsUnlikeRelease, !asWritten {
                throw Fault(
                    .request, "checkpoint.tokenizer", "this tokenizer is not the release's", why: unlike,
                    remedy: "put the release's `tekken.json` beside it; for a model that was trained with this one, say `--tokenizer-as-written`")
            }
            return tokenizer
        }
    }

    /// The chat template that came with it: text, run by nobody before it was read as one of our language.
    /// - Throws: `.request` if there is none.
    func chatTemplate() throws(Fault) -> String {
        func fault(_ why: String) -> Fault {
            Fault(.request, "cli.chat_template", "there is no chat template to take", why: why, remedy: "name one of Mistral's formats, or leave `--chat-template` out")
        }
        switch self {
        case .file(let model, _):
            guard let template = model.chatTemplate else { throw fault("the file has no `tokenizer.chat_template`") }
            return template
        case .folder(let checkpoint):
            let folder = checkpoint.folder
            if folder.has("chat_template.jinja") {
                guard let text = String(validating: try folder.read("chat_template.jinja", limit: .mib(1)), as: UTF8.self) else { throw fault("`chat_template.jinja` is not UTF-8") }
                return text
            }
            guard folder.has("tokenizer_config.json"), let template = try folder.json("tokenizer_config.json", limit: .mib(16))["chat_template"]?.string else {
                throw fault("the folder has neither `chat_template.jinja` nor a text of that name in `tokenizer_config.json`")
            }
            return template
        }
    }
}
