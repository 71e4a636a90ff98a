internal import ArgumentParser
internal import ForgeCheckpoint
internal import ForgeCore
internal import ForgeInference
internal import ForgeModel
internal import ForgeOS
internal import ForgeTensor

extension ModelCommand {
    struct Inspect: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say what a model on this disk is: its configuration, whether it is whole, what is in it, and what it would take. No daemon is asked.",
            discussion: """
                forge model inspect /media/usb/Mistral-Large-4
                Reads a folder in Hugging Face's or Mistral's own layout, or a GGUF file. Of Mistral Large 4, which cannot be brought in yet, every tensor is held against the configuration; what is missing, surplus or of the wrong shape is named, and the exit code is then 3.
                """)
        @OptionGroup var global: Global
        @Argument(help: "The folder with config.json or params.json, or the .gguf file.") var path: String
        @Option(name: .long, help: "Where the folder has both: hugging-face or native.") var layout: String?
        @Flag(name: .long, help: "Of a model of images and text, its decoder of text.") var textOnly = false
        @Option(name: .long, help: "Of a small Mistral Large 4: tokens by their numbers, as 1,5,9; the plain pass then says which five most likely follow.") var tokens: String?

        func run() async throws {
            let path = try Path.absolute(path)
            let isFolder = try Path.information(path)?.kind == .directory
            guard isFolder, try LargeCheckpoint.isDescribed(in: try CheckpointFolder(path)) else {
                guard tokens == nil else {
                    throw Fault(.request, "cli.tokens", "`--tokens` does not belong here", why: "the plain pass is one of Mistral Large 4", remedy: "bring the model in and ask it: `forge model import`, `forge complete`")
                }
                let layout: Checkpoint.Layout? = try ModelCommand.chosen(layout, "--layout")
                return try Inspection(try ImportSource(path, layout: layout, textOnly: textOnly, adapters: nil)).show(path, global)
            }
            guard layout == nil, !textOnly else {
                throw Fault(.request, "cli.layout", "`--layout` and `--text-only` do not belong here", why: "of Mistral Large 4 there is one layout, and all of it is looked at", remedy: "leave them out")
            }
            let wanted = try tokens.map { (text) throws(Fault) in try Inspect.numbers(text) }
            let checkpoint = try LargeCheckpoint(try CheckpointFolder(path))
            var inspection = try Inspection(checkpoint)
            if let wanted {
                if inspection.isWhole { inspection.next = try Inspect.next(wanted, checkpoint) } else { global.talk.say("the plain pass is left out: the model is not whole") }
            }
            try inspection.show(path, global)
            if !inspection.isWhole { throw ExitCodes.checkFailed }
        }

        private static func numbers(_ text: String) throws(Fault) -> [Int] {
            let numbers = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }, whole = numbers.compactMap { $0 }
            guard whole.count == numbers.count, (1...tokensMax).contains(whole.count) else {
                throw Fault(.request, "cli.tokens", "`--tokens \(text.prefix(60))` cannot be read", why: "it is 1 to \(tokensMax) whole numbers with commas between them", remedy: "write it as 1,5,9")
            }
            return whole
        }

        private static let weightsMax = ByteCount.gib(4), tokensMax = 512

        /// The five likeliest next tokens, as the plain pass has them.
        private static func next(_ tokens: [Int], _ checkpoint: LargeCheckpoint) throws(Fault) -> [Inspection.Next] {
            guard checkpoint.audit.bytes <= weightsMax else {
                throw Fault(
                    .request, "cli.tokens", "the plain pass is for small models", why: "these weights take \(checkpoint.audit.bytes), and it reads at most \(weightsMax)",
                    remedy: "leave `--tokens` out: everything else is said without it")
            }
            let twin = LargeTwin(checkpoint.table) { (entry, rows) throws(Fault) in try checkpoint.values(entry, rows: rows) }
            guard let logits = try twin.logits(tokens, last: true).first?.map(Double.init) else { return [] }
            return LargeTwin.best(logits, 5).map { Inspection.Next(token: $0, logProbability: logits[$0] - LargeTwin.logOfSum(logits)) }
        }
    }
}

/// What `forge model inspect` says of a model.
struct Inspection: Encodable {
    struct Member: Encodable {
        let name: String
        let value: String
    }

    struct Part: Encodable {
        let name: String
        let tensors: Int
        let parameters: Int
        let onDisk: ByteCount?
        /// By format; empty where only the sum is known.
        let bytes: [String: ByteCount]
    }

    struct Cache: Encodable {
        let bytesPerToken: ByteCount
        let parts: [String: ByteCount]
        let contexts: [Context]
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
    let onDisk: ByteCount
    let parts: [Part]
    /// Of everything but a draft head, by format.
    let weights: [String: ByteCount]
    let cache: Cache
    let machine: Machine
    var next: [Next]?

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
        onDisk = audit.bytes
        var parts = plan.parts.map { part in
            Part(
                name: part.name, tensors: part.tensors, parameters: part.parameters, onDisk: LargeTable.Part(rawValue: part.name).flatMap { audit.parts[$0] }?.bytes ?? 0,
                bytes: Inspection.byFormat(part.bytes))
        }
        if let draft = audit.parts[.draft] { parts.append(Part(name: LargeTable.Part.draft.rawValue, tensors: draft.tensors, parameters: 0, onDisk: draft.bytes, bytes: [:])) }
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
            rows.append([part.name, String(part.tensors), Text.grouped(part.parameters), part.onDisk?.description ?? "–"] + formats.map { part.bytes[$0]?.description ?? "–" })
        }
        rows.append(["all", String(parts.reduce(0) { $0 + $1.tensors }), Text.grouped(parts.reduce(0) { $0 + $1.parameters }), onDisk.description] + formats.map { weights[$0]?.description ?? "–" })
        let fitting = formats.filter { format in weights[format].map { $0 + (cache.contexts.first?.bytes ?? 0) <= machine.memory } ?? false }.map { titles[$0]?.lowercased() ?? $0 }
        var fields = [
            ("model", "\(family), \(layout)"), ("parameters", "\(Text.grouped(parameters)), of which a token meets \(Text.grouped(active))"),
            ("checked", isWhole ? "whole, \(files) files" : findings.map { "\($0.count) \($0.kind)" }.joined(separator: ", ")),
        ]
        for finding in findings { fields.append((finding.kind, (finding.named + (finding.count > finding.named.count ? ["and \(finding.count - finding.named.count) more"] : [])).joined(separator: "\n"))) }
        fields.append(("configuration", configuration.map { "\($0.name): \($0.value)" }.joined(separator: "\n")))
        fields.append(("weights", Table.lines(rows, numbers: [false] + Array(repeating: true, count: rows[0].count - 1)).joined(separator: "\n")))
        fields.append(("cache", "\(cache.bytesPerToken) a token (\(cache.parts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")))"))
        fields.append(("", cache.contexts.map { "\(Text.grouped($0.tokens)) tokens: \($0.bytes)" }.joined(separator: "\n")))
        fields.append(("this machine", "\(machine.memory), \(machine.free) unused; " + (fitting.isEmpty ? "the model fits in no format" : "with one short text fits \(fitting.joined(separator: ", "))")))
        if let next { fields.append(("next", next.map { "\($0.token)  \(Text.decimal($0.logProbability, 6))" }.joined(separator: "\n"))) }
        try global.output.show("ModelInspection", self, name: path, fields: fields)
    }
}
