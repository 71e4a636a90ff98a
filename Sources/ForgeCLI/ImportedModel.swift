internal import ForgeArtifact
internal import ForgeCheckpoint
internal import ForgeCore
internal import ForgeCrypto
internal import ForgeInference
internal import ForgeModel
internal import ForgeOS
internal import ForgeTokenizer
internal import RegistryAPI

/// The seven files that a checkpoint becomes, weights made as they are read.
struct ImportedModel: Sendable {
    let source: ImportSource
    private let textOnly: Bool
    private let small: [ModelFile: [UInt8]]

    /// - Throws: `.request` naming what is not supported or does not fit together.
    init(_ source: ImportSource, _ tokenizer: Tokenizer, chatTemplate: String?, context: Int?, scores: Scores?, textOnly: Bool) throws(Fault) {
        var config = source.config
        if let scores {
            guard config.otherReading != nil else { throw Fault(.request, "cli.scores", "`--scores` does not belong here", why: "the checkpoint is plain about it", remedy: "leave it out") }
            config.latent?.raisesScores = scores == .raised
        }
        guard tokenizer.count <= config.vocabulary else {
            throw Fault(.request, "checkpoint.vocabulary", "the checkpoint does not fit together", why: "its tokenizer has \(tokenizer.count) tokens and its embedding \(config.vocabulary) rows")
        }
        // A template whose marks the tokenizer lacks, or that cannot be rendered, says so here, and not to the first who asks.
        var template: String?
        if chatTemplate == TemplatedChat.name {
            let text = try source.chatTemplate()
            try TemplatedChat(text, tokenizer).requireRepeatable()
            template = text
        } else if let format: ChatTemplate = try ModelCommand.chosen(chatTemplate, "--chat-template") {
            _ = try format.encode([ChatMessage(.system, "a"), ChatMessage(.user, "a")], with: tokenizer)
        }
        guard context.map({ (1...config.contextMax).contains($0) }) ?? true else {
            throw Fault(.request, "cli.context", "`--context \(context ?? 0)` does not fit the model", why: "it was made for 1 to \(config.contextMax) tokens")
        }
        let precision = source.weights.entries.contains { $0.dtype == .bf16 } ? "bf16" : "f32"
        self.source = source
        self.textOnly = textOnly
        small = [
            .config: Array(config.json.text.utf8), .tokenizer: tokenizer.json, .datasets: DatasetsRecord([]).encoded, .code: CodeRecord(kernelPath: "import").encoded,
            .generation: GenerationRecord(
                chatTemplate: chatTemplate, template: template, contextLength: context ?? config.contextMax, endOfText: config.eos ?? Int(tokenizer.control.end), precision: precision
            ).encoded,
        ]
    }

    /// What the model is brought in as: every file with its size. The weights are hashed while they are sent, and the recipe names what the sources turn out to be.
    func announced() throws(Fault) -> [UploadRequest.File] {
        var counts: [Int] = []
        for name in source.sources { counts.append(try source.open(name).count) }
        let unknown = source.sources.map { CommitRequest.Source(name: "file:\($0)", digest: .sha256([])) }
        var files = small.map { UploadRequest.File(name: $0.key.rawValue, bytes: Int64($0.value.count), digest: .sha256($0.value)) }
        // A digest has as many characters whatever it is.
        files.append(.init(name: ModelFile.recipe.rawValue, bytes: Int64(recipe(unknown, counts).count), digest: nil))
        files.append(.init(name: ModelFile.weights.rawValue, bytes: Int64(source.weights.fileBytes), digest: nil))
        return files.sorted { $0.name < $1.name }
    }

    /// What stands in place of a recipe: where the model was converted from (docs/formats/checkpoints.md).
    func recipe(_ sources: [CommitRequest.Source], _ counts: [Int]) -> [UInt8] {
        var text = "import:\n  layout: \(source.layout)\n  family: \(source.config.modelType)\n\(textOnly ? "  part: text\n" : "")\(source.hasAdapters ? "  adapters: merged\n" : "")  files:\n"
        for (file, count) in zip(sources, counts) { text += "    - name: \(JSON.string(String(file.name.dropFirst(5))).text)\n      bytes: \(count)\n      digest: \(file.digest)\n" }
        return Array(text.utf8)
    }

    /// Bytes of one of the files that are known.
    func bytes(_ name: String, _ range: Range<Int>) throws(Fault) -> [UInt8] {
        if name == ModelFile.weights.rawValue { return try source.bytes(range) }
        guard let file = ModelFile(rawValue: name), let bytes = small[file], range.upperBound <= bytes.count else {
            throw Fault(.environment, "registry.malformed_answer", "the registry asks for a file that was not announced", why: "`\(name.prefix(60))`")
        }
        return Array(bytes[range])
    }
}
