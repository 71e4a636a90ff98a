import ForgeArtifact
package import ForgeCore
import ForgeCrypto
package import ForgeGate
package import ForgeInference
import ForgeModel
import ForgeOS
package import ForgeTensor
package import ForgeTokenizer
package import ServeAPI

/// How the engine is laid out; site configuration, the same for every model.
package struct EngineSettings: Hashable, Sendable {
    package var threads: Int?
    /// Memory for keys and values.
    package var cache: ByteCount
    package var blockSize: Int
    package var tokensPerStep: Int
    package var sequencesMax: Int
    package var waitingMax: Int
    /// nil: the fastest this machine has.
    package var backend: Backend?
    /// nil: the precision the model was trained in, so that answers have the bits of the training pass.
    package var weights: WeightFormat?

    package init(
        threads: Int? = nil, cache: ByteCount = .mib(512), blockSize: Int = 16, tokensPerStep: Int = 512, sequencesMax: Int = 64, waitingMax: Int = 256,
        backend: Backend? = nil, weights: WeightFormat? = nil
    ) {
        self.threads = threads
        self.cache = cache
        self.blockSize = blockSize
        self.tokensPerStep = tokensPerStep
        self.sequencesMax = sequencesMax
        self.waitingMax = waitingMax
        self.backend = backend
        self.weights = weights
    }
}

/// A model that answers: tokenizer, template and engine under one digest.
package final class LoadedModel: Sendable {
    package let reference: String
    package let name: String
    package let version: Int
    package let digest: Digest
    package let alias: String?
    package let created: Timestamp
    package let tokenizer: Tokenizer
    package let template: ChatTemplate?
    /// In place of one of Mistral's formats, a template of the model's own.
    private let templated: TemplatedChat?
    /// What the model records, whether or not this version knows it.
    package let templateName: String?
    package let ends: Set<Token>
    package let engine: Engine
    /// The kernel path whose results have the same bits: a family and a format of weights.
    package let backend: String
    package let lease: any Lease

    /// Reads the files, packs the weights and takes all memory the engine will ever need. Blocks for as long as that takes.
    /// - Throws: `.request` when a file does not read or files contradict each other, `.environment` without memory.
    package init(_ handed: HandedModel, _ settings: EngineSettings) throws(Fault) {
        let config = try MistralConfig(json: LoadedModel.json(handed, .config))
        let generation = try GenerationRecord(parsing: LoadedModel.bytes(handed, .generation))
        let tokenizer = try Tokenizer(parsing: LoadedModel.bytes(handed, .tokenizer))
        guard tokenizer.count <= config.vocabulary, generation.endOfText < config.vocabulary else {
            throw Fault(.request, "model.vocabulary", "the model's files contradict each other", why: "its tokenizer has \(tokenizer.count) tokens, its weights \(config.vocabulary)")
        }
        let backend = settings.backend ?? Backend.best
        guard let precision = Precision(rawValue: generation.precision) else {
            throw Fault(.request, "model.precision", "this version of forge does not compute in `\(generation.precision)`", why: "`generation.json` asks for it")
        }
        let format = settings.weights ?? WeightFormat(precision)
        engine = try LoadedModel.engine(
            handed, config, contextMax: min(config.contextMax, generation.contextLength), settings, backend, format, tokenizer)
        reference = handed.reference
        name = handed.name
        version = handed.version
        digest = handed.digest
        alias = handed.alias
        created = Clock.now()
        self.tokenizer = tokenizer
        templateName = generation.chatTemplate
        template = generation.chatTemplate.flatMap { ChatTemplate(rawValue: $0) }
        templated = try generation.template.map { (source) throws(Fault) in try TemplatedChat(source, tokenizer) }
        ends = [Token(generation.endOfText), tokenizer.control.end]
        self.backend = "\(backend.family)+\(format.rawValue)"
        lease = handed.lease
    }

    private static func engine(
        _ handed: HandedModel, _ config: MistralConfig, contextMax: Int, _ settings: EngineSettings, _ backend: Backend, _ format: WeightFormat,
        _ tokenizer: Tokenizer
    ) throws(Fault) -> Engine {
        let weights = try mapping(handed, .weights)
        let table = try weights.withSpan { (span) throws(Fault) in
            let size = try TensorTable.headerBytes(first: copy(span, 0..<min(8, span.byteCount)), fileBytes: span.byteCount, source: ModelFile.weights.rawValue)
            return try TensorTable(parsing: copy(span, 0..<size), fileBytes: span.byteCount, source: ModelFile.weights.rawValue)
        }
        let device = try Device(backend, threads: settings.threads)
        let packed = try PackedWeights(ParameterTable(config), as: format, on: device) { (entry, tensor) throws(Fault) in
            try fill(tensor, entry, from: weights, table)
        }
        var limits = Scheduler.Limits(
            tokensPerStep: settings.tokensPerStep, sequencesMax: settings.sequencesMax, waitingMax: settings.waitingMax, contextMax: contextMax)
        limits.sequencesMax = min(limits.sequencesMax, limits.tokensPerStep)
        // Enough for one whole context, at most for all sequences at once.
        let perContext = (contextMax + settings.blockSize - 1) / settings.blockSize
        let affordable = Int(settings.cache.count / ForwardPass.blockBytes(config, blockSize: settings.blockSize).count)
        let blocks = max(perContext, min(affordable, perContext * limits.sequencesMax))
        let pass = try ForwardPass(packed, on: device, blocks: blocks, blockSize: settings.blockSize, limits: limits)
        return Engine(
            pass, limits: limits,
            opening: { token in
                var prefix = PrefixRule(tokenizer)
                return Array(prefix.bytes(of: token))
            }) { Array(tokenizer.bytes(of: $0)) }
    }

    /// One parameter out of the file; bf16 widens exactly.
    private static func fill(_ tensor: Tensor, _ entry: ParameterTable.Entry, from weights: SealedMapping, _ table: TensorTable) throws(Fault) {
        let home = entry.home
        guard let stored = table[home.name] else { throw Fault(.request, "model.weights", "the model's weights are incomplete", why: "`\(home.name)` is missing") }
        guard stored.shape == home.shape else {
            throw Fault(.request, "model.weights", "the model's weights do not fit its configuration", why: "`\(home.name)` has the shape \(stored.shape), not \(home.shape)")
        }
        let range = stored.bytes(of: entry.count, from: home.first)
        try weights.withSpan { (span) throws(Fault) in
            switch stored.dtype {
            case .f32: tensor.write(span.extracting(range))
            case .bf16:
                let bytes = copy(span, range)
                tensor.write((0..<entry.count).map { Float(bitPattern: UInt32(bytes[2 * $0]) << 16 | UInt32(bytes[2 * $0 + 1]) << 24) })
            default:
                throw Fault(.request, "model.weights", "the model's weights are not served yet", why: "`\(home.name)` is stored as \(stored.dtype.rawValue); F32 and BF16 are read")
            }
        }
    }

    private static func copy(_ span: RawSpan, _ range: Range<Int>) -> [UInt8] { unsafe span.extracting(range).withUnsafeBytes { unsafe Array($0) } }

    private static func mapping(_ handed: HandedModel, _ file: ModelFile) throws(Fault) -> SealedMapping {
        guard let mapping = handed.files[file] else { throw WeightsClient.broken("`\(file.rawValue)` did not come") }
        return mapping
    }

    private static func bytes(_ handed: HandedModel, _ file: ModelFile) throws(Fault) -> [UInt8] {
        try mapping(handed, file).withSpan { copy($0, 0..<$0.byteCount) }
    }

    private static func json(_ handed: HandedModel, _ file: ModelFile) throws(Fault) -> JSON {
        do { return try JSON.parse(try bytes(handed, file)) } catch {
            throw Fault(.request, "model.files", "the model's `\(file.rawValue)` does not read", why: "\(error)")
        }
    }
}

extension LoadedModel {
    package var entity: EntityID { EntityID("Forge::Model", "\(name)@\(version)") }

    /// What policies may read of it.
    package var attributes: JSON.Object {
        var attributes = JSON.Object()
        attributes["name"] = .string(name)
        attributes["version"] = .int(Int64(version))
        attributes["digest"] = .string(digest.description)
        return attributes
    }

    package var served: ServedModel {
        ServedModel(
            id: name, created: created.seconds, digest: digest, version: version, alias: alias, hasChat: template != nil || templated != nil, contextMax: engine.limits.contextMax)
    }

    /// Whether a caller who writes this means this model.
    package func answers(to wanted: String) -> Bool {
        wanted == name || wanted == "\(name)@\(version)" || wanted == digest.description || (alias.map { wanted == "\(name)@\($0)" } ?? false)
    }

    /// OpenAI's word for what computed an answer: it changes with the model, the kernels or the version.
    package var fingerprint: String {
        "fp_" + Digest.sha256("\(digest)\n\(backend)\n\(InferenceVersion.current)").hex.prefix(12)
    }

    /// How many tokens an answer may have.
    package func tokensMax(_ request: InferenceRequest) -> Int {
        request.maxTokens ?? (request.endpoint == .completions ? InferenceRequest.completionTokensDefault : engine.limits.contextMax)
    }

    /// The prompt in tokens.
    /// - Throws: `.request` when the model cannot chat, the messages form no conversation, or prompt and answer exceed the context.
    package func prompt(_ request: InferenceRequest) throws(Fault) -> [Token] {
        let tokens: [Token]
        let parameter: String
        switch request.input {
        case .text(let text): (tokens, parameter) = ([tokenizer.control.begin] + tokenizer.encode(text), "prompt")
        case .tokens(let given): (tokens, parameter) = (given, "prompt")
        case .messages(let messages): (tokens, parameter) = (try chat(messages), "messages")
        }
        let context = engine.limits.contextMax
        let wanted = request.maxTokens ?? 1
        guard tokens.count + wanted <= context else {
            throw Fault(
                .request, "context_length_exceeded.\(parameter)", "this model's context holds \(context) tokens, and \(tokens.count + wanted) were asked for",
                why: "\(tokens.count) in the prompt and \(wanted) for the answer", remedy: "shorten the prompt, or ask for fewer tokens")
        }
        return tokens
    }

    private func chat(_ messages: [ChatTurn]) throws(Fault) -> [Token] {
        let turns = messages.map { ChatMessage($0.role == "system" ? .system : $0.role == "assistant" ? .assistant : .user, $0.content) }
        guard template != nil || templated != nil else {
            let why = templateName.map { "its chat template `\($0)` is none this version knows" } ?? "it records no chat template: it was trained to continue text"
            throw Fault(.request, "model.no_chat", "`\(name)` cannot chat", why: why, remedy: "use `/v1/completions`, or a model with a chat template")
        }
        do throws(Fault) {
            if let templated { return try templated.encode(turns) }
            return try template?.encode(turns, with: tokenizer) ?? []
        } catch {
            var fault = error
            if fault.kind == .request { fault.code = "invalid_value.messages" }
            throw fault
        }
    }
}
