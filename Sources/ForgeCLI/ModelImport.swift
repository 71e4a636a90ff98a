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
internal import Synchronization
internal import TrainerAPI

extension ModelCommand {
    struct Import: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Bring a model in that was made elsewhere, from a folder in Hugging Face's or Mistral's own layout, or from a GGUF file.",
            discussion: """
                forge model import /media/usb/Ministral-3-3B --name ministral
                Weights are read from safetensors or GGUF; a file that could run code ends the import by its name. The files are converted and hashed as they are sent. The new version is in quarantine until the trainer has scored a fixed text with it, and needs promotion like any other.
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
            let model = try ImportedModel(
                source, try source.tokenizer(asWritten: tokenizerAsWritten), chatTemplate: chatTemplate, context: context, scores: scores, textOnly: textOnly)
            let registry = try global.registry()
            let upload = try await registry.beginUpload(UploadRequest(name: name, files: try model.announced()))
            let view: ModelView, progress = ImportProgress(global.talk)
            do {
                // What it is made of is hashed beside what it becomes.
                async let sources = SourceDigests().read(source)
                var digests: [CommitRequest.Source] = []
                for file in upload.files where file.name != ModelFile.recipe.rawValue {
                    let reader = ModelReader(model, file.name)
                    try await registry.send(file, of: upload) { (count, offset) async throws(Fault) -> [UInt8] in
                        progress.update("sending \(file.name)", offset, of: file.bytes)
                        return try await reader.read(count, at: offset)
                    }
                    if file.name == ModelFile.weights.rawValue { digests.append(.init(name: file.name, digest: await reader.digest())) }
                }
                let (found, counts) = try await sources, recipe = model.recipe(found, counts)
                guard let file = upload.files.first(where: { $0.name == ModelFile.recipe.rawValue }), file.bytes == Int64(recipe.count) else {
                    throw Fault(.request, "os.cut", "cannot import `\(path)`", why: "a file of it changed while it was read", remedy: "try again when nobody writes to it")
                }
                try await registry.send(file, of: upload) { (count, offset) async throws(Fault) -> [UInt8] in Array(recipe[Int(offset)..<Int(offset) + count]) }
                digests.append(.init(name: file.name, digest: .sha256(recipe)))
                view = try await registry.importModel(upload.id, ImportRequest(sources: found, digests: digests))
            } catch {
                // What was sent is of no use to anybody; if even this does not arrive, the registry lets it expire.
                try? await registry.abandonUpload(upload.id)
                throw error
            }
            progress.finish(
                "stored \(source.layout) \(source.config.modelType), \(ByteCount(Int64(source.weights.fileBytes))) of weights, as `\(view.name)@\(view.version)`, in quarantine (audit record \(view.record))")
            guard !unmeasured else { return try ModelCommand.show(view, global) }
            global.talk.say("scoring the fixed text for imported models")
            _ = try await TrainerClient(try global.http("trainer")).evaluate(EvaluationOrder(model: "\(view.name)@\(view.version)", importing: true))
            try ModelCommand.show(try await registry.model(view.name, String(view.version)), global)
        }
    }
}

/// What a config.json may leave open.
enum Scores: String, ExpressibleByArgument, CaseIterable { case plain, raised }

/// How far an import is, told from the task that sends.
private final class ImportProgress: Sendable {
    private let state: Mutex<Progress>
    init(_ talk: Talk) { state = Mutex(Progress(talk)) }

    func update(_ title: String, _ done: Int64, of all: Int64) {
        guard done >> 20 % 16 == 0 else { return }
        state.withLock { $0.update(title, fraction: Double(done) / Double(max(all, 1)), detail: ByteCount(all).description) }
    }

    func finish(_ text: String) { state.withLock { $0.finish(text) } }
}
