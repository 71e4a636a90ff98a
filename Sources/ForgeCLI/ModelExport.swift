internal import ArgumentParser
internal import ForgeArtifact
internal import ForgeCheckpoint
internal import ForgeCore
internal import ForgeGGUF
internal import ForgeModel
internal import ForgeOS
internal import ForgeTokenizer
internal import RegistryAPI

extension ModelCommand {
    struct Export: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a model out, in the clear, as a folder or a file that other programs load.",
            discussion: """
                forge model export policies@production ./policies --reason "for the branch in Lyon"
                The first call files a request and ends with exit code 8. When the votes are there, the same call carries it out. The folder has Hugging Face's
                layout with the model's own files and its signatures beside them, or with `--layout native` that of Mistral's releases. Weights in shards leave
                without `model.sig`, which signs one file. `--layout gguf` gives one file for llama.cpp, which is kept only if, read again, it gives the
                model's logits within its format's tolerance.
                """)
        @OptionGroup var global: Global
        @Argument(help: "name@version or name@alias.") var model: String
        @Argument(help: "A folder, or for gguf a file, that does not exist yet.") var directory: String
        @Option(name: .long, help: "hugging-face, native or gguf.") var layout: Layout = .huggingFace
        @Option(name: .long, help: "What matrices of a GGUF file are kept in: bf16, q8_0 or q4_0.") var weights: GGUFExport.Matrices = .bf16
        @Option(name: .long, help: "Weights beyond so many GB (10^9 bytes) leave in shards of at most that; 0 keeps one file, which `model.sig` signs. Not with `--layout native`.")
        var shardSize: UInt16 = 5
        @Option(name: .long, help: "Why; the voters read it.") var reason: String

        func run() async throws {
            let (name, version) = try ModelCommand.split(model)
            let target = try Path.absolute(directory)
            guard try Path.information(target) == nil else {
                throw Fault(.request, "cli.exists", "cannot export into `\(directory)`", why: "it exists already", remedy: "name a folder that does not")
            }
            let registry = try global.registry(), view = try await registry.model(name, version)
            // What is not whole never has the folder's name.
            let partial = target + ".partial"
            guard try Path.information(partial) == nil else {
                throw Fault(.request, "cli.exists", "cannot export into `\(directory)`", why: "`\(directory).partial` of an earlier export is there", remedy: "remove it")
            }
            // What is converted afterwards is not kept.
            let receiver = ModelReceiver(partial, view.digest, isKept: layout == .huggingFace)
            do {
                try await registry.exportModel(model, ExportRequest(reason: reason)) { (part) async throws(Fault) in try await receiver.take(part) }
                let record = try await receiver.finish()
                var shards = 1
                switch layout {
                case .native: try ModelCommand.Export.turnNative(partial)
                case .gguf:
                    global.talk.say("writing \(weights.rawValue) and reading it again")
                    try GGUFFile(partial).write(to: target, as: weights, name: "\(view.name)@\(view.version)")
                    try Path.removeTree(partial)
                case .huggingFace:
                    if shardSize > 0 { shards = try Sharding.cut(partial, bound: ByteCount(Int64(shardSize) * 1_000_000_000)) }
                    // It signs the file of weights by its name and digest, and that is not there in shards.
                    if shards == 1 { try Durable.create(Path.join(partial, "model.sig"), with: try await registry.manifest(name, version).bundle) }
                    try Durable.create(Path.join(partial, "provenance.sig"), with: try await registry.provenance(name, version).bundle)
                }
                if layout != .gguf { try Durable.move(partial, to: target) }
                global.talk.say("`\(view.name)@\(view.version)` is in \(directory), in the clear: \(view.bytes)\(shards > 1 ? ", weights in \(shards) shards and so without `model.sig`" : "") (audit record \(record))")
            } catch {
                if try Path.information(partial) != nil { try Path.removeTree(partial) }
                throw error
            }
        }
    }
}

extension ModelCommand.Export {
    enum Layout: String, ExpressibleByArgument, CaseIterable {
        case huggingFace = "hugging-face"
        case native
        case gguf
    }

    /// Puts Mistral's own layout in place of ours.
    static func turnNative(_ directory: String) throws(Fault) {
        let folder = try CheckpointFolder(directory), config = try MistralConfig(json: try folder.json(ModelFile.config.rawValue))
        let params = try config.params(), weights = try ModelWeights(native: ModelFile.weights.rawValue, in: folder, config)
        try weights.write(Path.join(directory, "consolidated.safetensors"))
        try Durable.create(Path.join(directory, "params.json"), with: Array(params.text.utf8))
        let tokenizer = try Tokenizer(parsing: try folder.read(ModelFile.tokenizer.rawValue, limit: ModelFile.tokenizer.limit))
        let generation = try GenerationRecord(parsing: try folder.read(ModelFile.generation.rawValue, limit: .mib(1)))
        if let tekken = tokenizer.tekken(version: (generation.chatTemplate.flatMap(ChatTemplate.init) ?? .mistralV7).version.name) {
            try Durable.create(Path.join(directory, "tekken.json"), with: tekken)
        }
        if let pieces = tokenizer.sentencePiece { try Durable.create(Path.join(directory, "tokenizer.model"), with: pieces) }
        for file in ModelFile.allCases where file != .tokenizer { try Durable.remove(Path.join(directory, file.rawValue)) }
    }
}

extension GGUFExport.Matrices: ExpressibleByArgument {}
