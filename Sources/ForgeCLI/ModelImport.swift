internal import ArgumentParser
internal import ForgeArtifact
internal import ForgeCheckpoint
internal import ForgeCore
internal import ForgeCrypto
internal import ForgeInference
internal import ForgeModel
internal import ForgeOS
internal import ForgeTokenizer
internal import RegistryAPI
internal import TrainerAPI

extension ModelCommand {
    struct Import: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Bring a model in that was made elsewhere, from a folder in Hugging Face's or Mistral's own layout, or from a GGUF file.",
            discussion: """
                forge model import /media/usb/Ministral-3-3B --name ministral
                Weights are read from safetensors or GGUF; a file that could run code ends the import by its name. The files are converted as they are sent. The new version is in quarantine until the trainer has scored a fixed text with it, and needs promotion like any other.
                """)
        @OptionGroup var global: Global
        @Argument(help: "The folder with config.json or params.json, or the .gguf file.") var path: String
        @Option(name: .long, help: "The model's name: a-z 0-9 . -") var name: String
        @Option(name: .long, help: "Where the folder has both: hugging-face or native.") var layout: String?
        @Option(name: .long, help: "How conversations are laid out; left out, the model only continues text. One of: \(ChatTemplate.allCases.map(\.rawValue).joined(separator: ", ")); or jinja, for the template that came with it.")
        var chatTemplate: String?
        @Option(name: .long, help: "How long a text it is served with may get, in tokens; left out, as long as it was made for. Memory for one such text is taken when it is loaded.")
        var context: Int?
        @Option(name: .long, help: "Of a `mistral4` config.json that does not say it: whether stretched positions raise scores. One of: plain, raised. Left out, both are scored.")
        var scores: Scores?
        @Option(name: .long, help: "A folder of low-rank adapters in PEFT's layout, to be merged into the model; into one in bfloat16, small changes are lost to rounding.")
        var adapter: String?
        @Flag(name: .long, help: "Of a model of images and text, its decoder of text.") var textOnly = false
        @Flag(name: .long, help: "Take a tokenizer.json that splits words by another expression than the release's tekken.json.") var tokenizerAsWritten = false
        @Flag(name: .long, help: "Leave it in quarantine: do not measure it now.") var unmeasured = false

        func run() async throws {
            let source = try ImportSource(
                try Path.absolute(path), layout: try ModelCommand.chosen(layout, "--layout"), textOnly: textOnly,
                adapters: try adapter.map { (path) throws(Fault) in try Path.absolute(path) })
            var model = try ImportedModel(
                source, try source.tokenizer(asWritten: tokenizerAsWritten), chatTemplate: chatTemplate, context: context, scores: scores, textOnly: textOnly)
            var progress = Progress(global.talk)
            let title = "reading \(source.sources.count) files"
            let digested = try model.digest { progress.update(title, fraction: Double($0) / Double($1), detail: ByteCount(Int64($1)).description) }
            progress.finish("read \(source.layout) \(source.config.modelType), \(ByteCount(Int64(source.weights.fileBytes))) of weights")

            let registry = try global.registry()
            let upload = try await registry.beginUpload(UploadRequest(name: name, files: digested.files))
            let view: ModelView
            do {
                for file in upload.files {
                    try await registry.send(file, of: upload) { (count, offset) async throws(Fault) -> [UInt8] in
                        progress.update("sending \(file.name)", fraction: Double(offset) / Double(max(file.bytes, 1)), detail: ByteCount(file.bytes).description)
                        return try model.bytes(file.name, Int(offset)..<(Int(offset) + count))
                    }
                }
                view = try await registry.importModel(upload.id, ImportRequest(sources: digested.sources))
            } catch {
                // What was sent is of no use to anybody; if even this does not arrive, the registry lets it expire.
                try? await registry.abandonUpload(upload.id)
                throw error
            }
            progress.finish("stored as `\(view.name)@\(view.version)`, in quarantine (audit record \(view.record))")
            guard !unmeasured else { return try ModelCommand.show(view, global) }
            global.talk.say("scoring the fixed text for imported models")
            _ = try await TrainerClient(try global.http("trainer")).evaluate(EvaluationOrder(model: "\(view.name)@\(view.version)", importing: true))
            try ModelCommand.show(try await registry.model(view.name, String(view.version)), global)
        }
    }
}

/// What a config.json may leave open.
enum Scores: String, ExpressibleByArgument, CaseIterable { case plain, raised }

/// The seven files that a checkpoint becomes, weights made as they are read.
struct ImportedModel {
    private let source: ImportSource
    private let textOnly: Bool
    private var small: [ModelFile: [UInt8]]

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

    struct Digested {
        let files: [UploadRequest.File]
        let sources: [CommitRequest.Source]
    }

    /// Small enough to be hashed from a cache.
    private static let piece = 1 << 20

    /// Reads everything once: the files the model comes from, and those it becomes.
    /// - Parameter progress: bytes read so far, and in all.
    mutating func digest(_ progress: (Int, Int) -> Void) throws(Fault) -> Digested {
        // Each is open only while it is read: a checkpoint may have hundreds, and its weights are open already.
        var total = source.weights.fileBytes
        for name in source.sources { total += try source.open(name).count }
        var done = 0
        func hash(_ count: Int, _ read: (Range<Int>) throws(Fault) -> [UInt8]) throws(Fault) -> Digest {
            var hasher = SHA256Hasher()
            for from in stride(from: 0, to: count, by: ImportedModel.piece) {
                let range = from..<min(from + ImportedModel.piece, count)
                hasher.update(try read(range))
                done += range.count
                if done >> 24 != (done - range.count) >> 24 { progress(done, total) }
            }
            return hasher.finish()
        }
        var sources: [CommitRequest.Source] = [], counts: [Int] = []
        for name in source.sources {
            let file = try source.open(name)
            sources.append(.init(name: "file:\(name)", digest: try hash(file.count) { (range) throws(Fault) in try file.bytes(range) }))
            counts.append(file.count)
        }
        let weights = try hash(source.weights.fileBytes) { (range) throws(Fault) in try source.bytes(range) }
        small[.recipe] = recipe(sources, counts)
        var files = small.map { UploadRequest.File(name: $0.key.rawValue, bytes: Int64($0.value.count), digest: .sha256($0.value)) }
        files.append(.init(name: ModelFile.weights.rawValue, bytes: Int64(source.weights.fileBytes), digest: weights))
        return Digested(files: files.sorted { $0.name < $1.name }, sources: sources)
    }

    /// What stands in place of a recipe: where the model was converted from (docs/formats/checkpoints.md).
    private func recipe(_ sources: [CommitRequest.Source], _ counts: [Int]) -> [UInt8] {
        var text = "import:\n  layout: \(source.layout)\n  family: \(source.config.modelType)\n\(textOnly ? "  part: text\n" : "")\(source.hasAdapters ? "  adapters: merged\n" : "")  files:\n"
        for (file, count) in zip(sources, counts) { text += "    - name: \(JSON.string(String(file.name.dropFirst(5))).text)\n      bytes: \(count)\n      digest: \(file.digest)\n" }
        return Array(text.utf8)
    }

    /// Bytes of one of the files.
    func bytes(_ name: String, _ range: Range<Int>) throws(Fault) -> [UInt8] {
        if name == ModelFile.weights.rawValue { return try source.bytes(range) }
        guard let file = ModelFile(rawValue: name), let bytes = small[file] else { throw Fault(.environment, "registry.malformed_answer", "the registry asks for a file that was not announced", why: "`\(name.prefix(60))`") }
        return Array(bytes[range])
    }
}
