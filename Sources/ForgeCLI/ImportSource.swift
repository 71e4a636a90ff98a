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

    init(_ path: String, layout: Checkpoint.Layout?, textOnly: Bool) throws(Fault) {
        guard path.hasSuffix(".gguf"), try Path.information(path)?.kind == .file else {
            self = .folder(try Checkpoint(try CheckpointFolder(path), layout: layout, textOnly: textOnly))
            return
        }
        guard layout == nil, !textOnly else { throw Fault(.request, "cli.layout", "`--layout` and `--text-only` do not belong here", why: "the model is one file of llama.cpp's", remedy: "leave them out") }
        let model = try GGUFModel(path)
        self = .file(model, GGUFWeights(model, as: .imported))
    }

    var config: MistralConfig {
        switch self {
        case .folder(let checkpoint): checkpoint.config
        case .file(let model, _): model.config
        }
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
        case .folder(let checkpoint): try checkpoint.folder.open(source)
        case .file(let model, _): try SourceFile(model.path)
        }
    }

    /// - Parameter asWritten: also one whose words are split unlike those the release was trained with.
    func tokenizer(asWritten: Bool) throws(Fault) -> Tokenizer {
        guard case .folder(let checkpoint) = self else {
            guard case .file(let model, _) = self else { preconditionFailure("a model is in a folder or a file") }
            return try model.tokenizer()
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
}
