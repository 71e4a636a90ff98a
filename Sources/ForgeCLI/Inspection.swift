internal import ForgeArtifact
internal import ForgeCheckpoint
internal import ForgeCore
internal import ForgeInference
internal import ForgeModel
internal import ForgeOS
internal import ForgeTensor

/// What `forge model inspect` says of a model.
struct Inspection: Encodable {
    struct Member: Encodable {
        let name: String
        let value: String
    }

    struct Part: Encodable {
        let name: String
        let tensors: Int
        /// Nil where nothing here says what they should be.
        let parameters: Int?
        let onDisk: ByteCount?
        /// By format; empty where only the sum is known.
        let bytes: [String: ByteCount]

        enum CodingKeys: String, CodingKey {
            case name, tensors, parameters
            case onDisk = "on_disk"
            case bytes
        }
    }

    struct Cache: Encodable {
        let bytesPerToken: ByteCount
        let parts: [String: ByteCount]
        let contexts: [Context]

        enum CodingKeys: String, CodingKey {
            case bytesPerToken = "bytes_per_token"
            case parts, contexts
        }
    }

    struct Context: Encodable {
        let tokens: Int
        let bytes: ByteCount
    }

    struct Machine: Encodable {
        let memory: ByteCount
        let free: ByteCount
    }

    struct Finding: Encodable {
        let kind: String
        let count: Int
        /// The first of them.
        let named: [String]
    }

    struct Next: Encodable {
        let token: Int
        let logProbability: Double

        enum CodingKeys: String, CodingKey {
            case token
            case logProbability = "log_probability"
        }
    }

    let family: String
    let layout: String
    let configuration: [Member]
    /// Of the decoder of text.
    let parameters: Int
    /// Those of them that a token multiplies with.
    let active: Int
    let isWhole: Bool
    let findings: [Finding]
    let files: Int
    /// How many tensors are of each type; of what can be brought in, as it would come.
    let types: [String: Int]
    let onDisk: ByteCount
    let parts: [Part]
    /// Of everything but a draft head, by format.
    let weights: [String: ByteCount]
    let cache: Cache
    let machine: Machine
    var next: [Next]?

    enum CodingKeys: String, CodingKey {
        case family, layout, configuration, parameters, active
        case isWhole = "is_whole"
        case findings, files, types
        case onDisk = "on_disk"
        case parts, weights, cache, machine, next
    }

    init(_ checkpoint: LargeCheckpoint) throws(Fault) {
        let config = checkpoint.config, table = checkpoint.table, audit = checkpoint.audit, plan = MemoryPlan(table)
        family = config.vision == nil ? LargeConfig.textModelType : LargeConfig.modelType
        layout = Checkpoint.Layout.huggingFace.rawValue
        configuration = Inspection.members(config)
        parameters = table.count
        active = table.active
        isWhole = audit.findings.isEmpty
        findings = LargeAudit.Kind.allCases.compactMap { kind in audit.findings.counts[kind].map { Finding(kind: kind.rawValue, count: $0, named: audit.findings.named[kind] ?? []) } }
        files = audit.files
        types = Dictionary(uniqueKeysWithValues: audit.types.map { ($0.key.rawValue, $0.value) })
        onDisk = audit.bytes
        var parts = plan.parts.map { part in
            Part(
                name: part.name, tensors: part.tensors, parameters: part.parameters, onDisk: LargeTable.Part(rawValue: part.name).flatMap { audit.parts[$0] }?.bytes ?? 0,
                bytes: Inspection.byFormat(part.bytes))
        }
        if let draft = audit.parts[.draft] { parts.append(Part(name: LargeTable.Part.draft.rawValue, tensors: draft.tensors, parameters: nil, onDisk: draft.bytes, bytes: [:])) }
        self.parts = parts
        weights = Inspection.byFormat(plan.weights)
        cache = Inspection.cache(plan)
        machine = try Inspection.thisMachine()
    }

    /// One that `forge model import` takes: it is whole, or it would not have been read.
    init(_ source: ImportSource) throws(Fault) {
        let config = source.config, table = ParameterTable(config), plan = MemoryPlan(table, bytesPerToken: ForwardPass.blockBytes(config, blockSize: 1))
        family = config.modelType
        layout = source.layout
        configuration = (config.json.object?.members.map { Member(name: $0.key, value: $0.value.string ?? $0.value.text) }) ?? []
        parameters = table.count
        active = table.multiplied
        isWhole = true
        findings = []
        files = source.sources.count
        types = source.weights.entries.reduce(into: [:]) { $0[$1.dtype.rawValue, default: 0] += 1 }
        var onDisk: ByteCount = 0
        for name in source.sources { onDisk += ByteCount(try source.open(name).count) }
        self.onDisk = onDisk
        parts = plan.parts.map { Part(name: $0.name, tensors: $0.tensors, parameters: $0.parameters, onDisk: nil, bytes: [:]) }
        weights = Inspection.byFormat(plan.weights)
        cache = Inspection.cache(plan)
        machine = try Inspection.thisMachine()
    }

    private static func byFormat(_ bytes: [ByteCount]) -> [String: ByteCount] {
        Dictionary(uniqueKeysWithValues: zip(MemoryPlan.formats.map(\.rawValue), bytes))
    }

    private static func cache(_ plan: MemoryPlan) -> Cache {
        Cache(
            bytesPerToken: plan.bytesPerToken, parts: Dictionary(uniqueKeysWithValues: plan.cached.map { ($0.name, $0.bytesPerToken) }),
            contexts: plan.contexts.map { Context(tokens: $0.tokens, bytes: $0.bytes) })
    }

    private static func thisMachine() throws(Fault) -> Machine {
        let memory = try ForgeOS.Machine.memory()
        return Machine(memory: memory.total, free: memory.free)
    }

    private static func members(_ config: LargeConfig) -> [Member] {
        let layers = config.layers, owners = layers.indices.count { config.owns($0) }
        var members = [
            Member(name: "vocabulary", value: String(config.vocabulary)), Member(name: "width", value: String(config.width)),
            Member(name: "layers", value: "\(layers.count): \(layers.count { $0.turns }) turn, \(owners) keep a cache, \(layers.count { $0.chooses }) choose positions, \(layers.count { $0.isMixture }) have experts"),
            Member(name: "heads", value: "\(config.heads) of \(config.plainDim) + \(config.turnedDim), values of \(config.valueDim), from a latent of \(config.latentRank)"),
            Member(name: "indexer", value: "\(config.indexer.heads) heads of \(config.indexer.headDim), \(config.indexer.choices) positions are kept"),
            Member(name: "experts", value: "\(config.choices) of \(config.experts) and \(config.sharedExperts) shared, \(config.expertWidth) wide; dense layers \(config.feedForward)"),
            Member(name: "context", value: "\(config.contextMax) tokens\(config.yarn.map { ", stretched \(Text.decimal($0.factor, 0)) times from \($0.originalContext)" } ?? "")"),
            Member(name: "logits", value: "between -\(Text.decimal(config.logitsCap, 1)) and \(Text.decimal(config.logitsCap, 1))"),
        ]
        if let vision = config.vision { members.append(Member(name: "images", value: "\(vision.layers) layers of \(vision.width), patches of \(vision.patch) x \(vision.patch)")) }
        if !config.unread.isEmpty { members.append(Member(name: "not understood", value: config.unread.joined(separator: ", "))) }
        return members
    }

    func show(_ path: String, _ global: Global) throws {
        let formats = MemoryPlan.formats.map(\.rawValue), titles = ["bf16": "BF16", "q8": "8 BITS", "q4": "4 BITS"]
        var rows = [["PART", "TENSORS", "PARAMETERS", "ON DISK"] + formats.map { titles[$0] ?? $0 }]
        for part in parts {
            rows.append([part.name, String(part.tensors), part.parameters.map(Text.grouped) ?? "–", part.onDisk?.description ?? "–"] + formats.map { part.bytes[$0]?.description ?? "–" })
        }
        rows.append(["all", String(parts.reduce(0) { $0 + $1.tensors }), Text.grouped(parts.reduce(0) { $0 + ($1.parameters ?? 0) }), onDisk.description] + formats.map { weights[$0]?.description ?? "–" })
        let fitting = formats.filter { format in weights[format].map { $0 + (cache.contexts.first?.bytes ?? 0) <= machine.memory } ?? false }.map { titles[$0]?.lowercased() ?? $0 }
        var fields = [
            ("model", "\(family), \(layout)"), ("parameters", "\(Text.grouped(parameters)), of which a token meets \(Text.grouped(active))"),
            ("checked", isWhole ? "whole, \(files) \(files == 1 ? "file" : "files")" : findings.map { "\($0.count) \($0.kind)" }.joined(separator: ", ")),
        ]
        for finding in findings { fields.append((finding.kind, (finding.named + (finding.count > finding.named.count ? ["and \(finding.count - finding.named.count) more"] : [])).joined(separator: "\n"))) }
        fields.append(("configuration", configuration.map { "\($0.name): \($0.value)" }.joined(separator: "\n")))
        fields.append(("types", types.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")))
        fields.append(("weights", Table.lines(rows, numbers: [false] + Array(repeating: true, count: rows[0].count - 1)).joined(separator: "\n")))
        fields.append(("cache", "\(cache.bytesPerToken) a token (\(cache.parts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")))"))
        fields.append(("", cache.contexts.map { "\(Text.grouped($0.tokens)) tokens: \($0.bytes)" }.joined(separator: "\n")))
        fields.append(("this machine", "\(machine.memory), \(machine.free) unused; " + (fitting.isEmpty ? "the model fits in no format" : "with one short text fits \(fitting.joined(separator: ", "))")))
        if let next { fields.append(("next", next.map { "\($0.token)  \(Text.decimal($0.logProbability, 6))" }.joined(separator: "\n"))) }
        try global.output.show("ModelInspection", self, name: path, fields: fields)
    }
}
