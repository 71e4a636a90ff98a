import ForgeArtifact
import ForgeCheckpoint
import ForgeCore
import ForgeModel
import ForgeOS
import Testing

/// The tiny Mistral Large 4 of Tests/Fixtures/checkpoint/make-large4.py.
struct TinyLarge {
    typealias Tensor = (name: String, dtype: DType, shape: Shape, bytes: [UInt8])

    let json: JSON
    let tensors: [Tensor]
    let ids: [Int]
    /// By position.
    let logits: [[Float]]

    init() throws {
        json = try JSON.parse(try Fixture.bytes("checkpoint/large4/config.json"))
        func read(_ name: String) throws -> [Tensor] {
            let bytes = try Fixture.bytes(name), table = try TensorTable(parsing: bytes, fileBytes: bytes.count, source: name)
            return table.entries.map { ($0.name, $0.dtype, $0.shape, Array(bytes[$0.range])) }
        }
        tensors = try read("checkpoint/large4/model.safetensors")
        let golden = try read("checkpoint/large4-logits.safetensors"), ids = try #require(golden.first { $0.name == "ids" }), logits = try #require(golden.first { $0.name == "logits" })
        self.ids = stride(from: 0, to: ids.bytes.count, by: 4).map { at in (0..<4).reduce(0) { $0 | Int(ids.bytes[at + $1]) << (8 * $1) } }
        let values = DType.f32.floats(logits.bytes), width = logits.shape[1]
        self.logits = stride(from: 0, to: values.count, by: width).map { Array(values[$0..<$0 + width]) }
    }

    /// As a folder, with what a test changes.
    func folder(_ scratch: Scratch, json: JSON? = nil, _ change: (inout [Tensor]) -> Void = { _ in }) throws -> CheckpointFolder {
        var tensors = tensors
        change(&tensors)
        try scratch.write("config.json", (json ?? self.json).text)
        try scratch.write("model.safetensors", TinyLarge.file(tensors))
        return try CheckpointFolder(scratch.path)
    }

    static func file(_ tensors: [Tensor]) -> [UInt8] {
        let table = TensorTable(laying: tensors.map { ($0.name, $0.dtype, $0.shape) }), found = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.bytes) })
        return table.headerBytes + table.entries.flatMap { found[$0.name] ?? [] }
    }

    /// The largest difference from the reference's logits, against the largest of those.
    func error(_ config: LargeConfig, slip: LargeTwin.Slip? = nil, _ weights: @escaping LargeTwin.Weights) throws -> Double {
        let given = try LargeTwin(LargeTable(config), slip: slip, weights: weights).logits(ids)
        #expect(given.count == logits.count && given.allSatisfy { $0.count == config.vocabulary })
        let off = zip(given, logits).flatMap { zip($0, $1).map { abs(Double($0) - Double($1)) } }.max() ?? .infinity
        return off / (logits.joined().map { abs(Double($0)) }.max() ?? 0)
    }
}

@Suite struct LargeTests {
    private let tiny: TinyLarge
    private let checkpoint: LargeCheckpoint
    private let scratch: Scratch

    init() throws {
        tiny = try TinyLarge()
        scratch = try Scratch()
        checkpoint = try LargeCheckpoint(try tiny.folder(scratch))
    }

    private func values(_ entry: LargeTable.Entry, _ rows: Range<Int>) throws(Fault) -> [Float] { try checkpoint.values(entry, rows: rows) }

    @Test func `the plain pass gives transformers' logits`() throws {
        #expect(checkpoint.audit.findings.isEmpty)
        #expect(try tiny.error(checkpoint.config, values) <= 1e-5)
        // A last row alone is the last of all.
        let twin = LargeTwin(checkpoint.table, weights: values)
        #expect(try twin.logits(Array(tiny.ids.prefix(9)), last: true) == [try twin.logits(Array(tiny.ids.prefix(9)))[8]])
        for wrong in [[], [41], [-1], Array(repeating: 1, count: 65)] {
            #expect { try twin.logits(wrong) } throws: { ($0 as? Fault)?.code == "model.tokens" }
        }
    }

    /// A reader that takes one step wrongly: of each, the tensors it reads otherwise, or the configuration.
    enum Mistake: String, CaseIterable {
        case alphaDropped, scaleDroppedOnQueries, scaleDroppedOnIndexer, pairsAsHalves, stillLayersTurned, indexerOff, sourceWrong, capDropped, sharesLeft, sharedExpertDropped, indexerUncentred
        case gateAndUpExchanged, magnitudeDropped, scoresNotRaised, stretchDropped, choiceSharedTooLong
    }

    @Test(arguments: Mistake.allCases)
    func `a step that is taken wrongly moves the logits`(mistake: Mistake) throws {
        var config = checkpoint.config, slip: LargeTwin.Slip?
        var change: (LargeTable.Entry, [Float]) -> [Float] = { $1 }
        func zero(_ matches: @escaping (String) -> Bool) { change = { matches($0.name) ? $1.map { _ in 0 } : $1 } }
        func plain(_ matches: @escaping (String) -> Bool) {
            change = { matches($0.name) && $0.name.hasSuffix("scaling.s") ? $1.map { _ in 0 } : matches($0.name) && $0.name.hasSuffix("scaling.b") ? $1.map { _ in 1 } : $1 }
        }
        switch mistake {
        case .alphaDropped: zero { $0 == "lerope.alpha" }
        case .scaleDroppedOnQueries: plain { !$0.contains("indexer") }
        case .scaleDroppedOnIndexer: plain { $0.contains("indexer") }
        case .pairsAsHalves: change = { [config] in LargeTests.halved($0, $1, config) }
        case .stillLayersTurned: slip = .turnsEveryLayer
        case .indexerOff: config.indexer.choices = tiny.ids.count
        case .sourceWrong: config.layers[4].source = 0
        case .capDropped: config.logitsCap = 1e9
        case .sharesLeft: slip = .leavesShares
        case .sharedExpertDropped: zero { $0.hasSuffix("shared_experts.w2.weight") }
        case .indexerUncentred: zero { $0.hasSuffix("k_norm.bias") || $0.hasSuffix("q_input_norm.bias") }
        case .gateAndUpExchanged: break
        case .magnitudeDropped: config.yarn?.attentionFactor = 1
        case .scoresNotRaised: config.scoreScale = 1
        case .stretchDropped: config.yarn = nil
        case .choiceSharedTooLong: config.layers[4].chooses = false
        }
        let read: LargeTwin.Weights = { (entry, rows) throws(Fault) in
            guard mistake == .gateAndUpExchanged, entry.name.hasSuffix(".w1.weight") || entry.name.hasSuffix(".w3.weight") else {
                return change(entry, try checkpoint.values(entry, rows: rows))
            }
            let other = entry.name.hasSuffix(".w1.weight") ? entry.name.replacing(".w1.", with: ".w3.") : entry.name.replacing(".w3.", with: ".w1.")
            guard let exchanged = checkpoint.table[other] else { throw Fault(.request, "test", "no such tensor") }
            return try checkpoint.values(exchanged, rows: rows)
        }
        #expect(try tiny.error(config, slip: slip, read) > 1e-3, "\(mistake)")
    }

    /// Rows of turned queries and keys so that turning neighbours pairs (i, i + d/2), as halves would be. The tiny matrices are read whole.
    private static func halved(_ entry: LargeTable.Entry, _ values: [Float], _ config: LargeConfig) -> [Float] {
        let d = config.turnedDim, columns = entry.columns, starts: [Int]
        if entry.name.hasSuffix("attention.wq.weight") {
            starts = (0..<config.heads).map { $0 * config.headDim + config.plainDim }
        } else if entry.name.hasSuffix("wkv_a_with_mqa.weight"), entry.rows > config.latentRank {
            starts = [config.latentRank]
        } else {
            return values
        }
        var out = values
        for start in starts {
            for i in 0..<d / 2 {
                for (to, from) in [(2 * i, i), (2 * i + 1, i + d / 2)] {
                    out.replaceSubrange((start + to) * columns..<(start + to + 1) * columns, with: values[(start + from) * columns..<(start + from + 1) * columns])
                }
            }
        }
        return out
    }

    @Test func `what is missing, surplus or misshapen is counted and named, and nothing else is`() throws {
        func audit(_ change: (inout [TinyLarge.Tensor]) -> Void) throws -> LargeAudit.Findings {
            let scratch = try Scratch()
            return try LargeCheckpoint(try tiny.folder(scratch, change)).audit.findings
        }
        let gone = try audit { $0.removeAll { $0.name == "layers.3.gate.weight" } }
        #expect(gone.counts == [.missing: 1] && gone.named[.missing] == ["`layers.3.gate.weight` [4, 32]"])
        let renamed = try audit { tensors in
            for at in tensors.indices where tensors[at].name == "layers.0.attention.indexer.k_norm.bias" { tensors[at].name = "layers.0.attention.indexer.k_norm.offset" }
        }
        #expect(renamed.counts == [.missing: 1, .surplus: 1])
        #expect(renamed.named == [.missing: ["`layers.0.attention.indexer.k_norm.bias` [16]"], .surplus: ["`layers.0.attention.indexer.k_norm.offset`"]])
        let turned = try audit { tensors in
            for at in tensors.indices where tensors[at].name == "layers.1.attention.wkv_a_with_mqa.weight" { tensors[at].shape = [32, 26] }
        }
        #expect(turned.counts == [.unfit: 1] && turned.named[.unfit]?.first?.contains("has the shape [32, 26], and the configuration says [26, 32]") == true)
        let whole = try audit { tensors in
            for at in tensors.indices where tensors[at].name == "norm.weight" { (tensors[at].dtype, tensors[at].bytes) = (.i32, tensors[at].bytes) }
        }
        #expect(whole.named[.unfit]?.first?.contains("is of type I32") == true)
        // All experts of a layer: only the first are named.
        let many = try audit { $0.removeAll { $0.name.contains(".experts.") } }
        #expect(many.counts == [.missing: 72] && many.named[.missing]?.count == LargeAudit.Findings.namedMax)
        #expect(try audit { $0.append(("layers.2.attention.wkv_a_with_mqa.weight", .f32, [1], [0, 0, 0, 0])) }.counts == [.surplus: 1], "a layer that reads another's cache has no latents of its own")
    }

    @Test func `parts are counted apart, and a draft head is no fault`() throws {
        #expect(checkpoint.audit.parts[.draft]?.bytes == 64 && checkpoint.audit.parts[.draft]?.tensors == 1)
        #expect(checkpoint.audit.parts[.vision]?.tensors == 11 && checkpoint.audit.parts[.projector]?.tensors == 4)
        #expect(checkpoint.audit.parts.values.reduce(0) { $0 + $1.bytes } == checkpoint.audit.bytes)
        #expect(checkpoint.audit.types == [.f32: tiny.tensors.count])
        for part in LargeTable.Part.allCases where part != .draft { #expect(checkpoint.audit.parts[part]?.bytes == ByteCount(4 * checkpoint.table.count(part)), "\(part)") }
    }

    @Test func `shards that are absent, cut or listed wrongly are named, and the rest is read`() throws {
        let scratch = try Scratch(), half = tiny.tensors.count / 2, names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
        let parts = [Array(tiny.tensors[..<half]), Array(tiny.tensors[half...])]
        func index(_ file: (Int) -> String) throws {
            var map = JSON.Object()
            for (at, tensor) in tiny.tensors.enumerated() { map[tensor.name] = .string(file(at)) }
            try scratch.write("model.safetensors.index.json", JSON.object(["weight_map": .object(map)]).text)
        }
        try scratch.write("config.json", tiny.json.text)
        for (name, part) in zip(names, parts) { try scratch.write(name, TinyLarge.file(part)) }
        try index { names[$0 < half ? 0 : 1] }
        let whole = try LargeCheckpoint(try CheckpointFolder(scratch.path))
        #expect(whole.audit.findings.isEmpty && whole.audit.files == 2)
        #expect(try tiny.error(whole.config) { (entry, rows) throws(Fault) in try whole.values(entry, rows: rows) } <= 1e-5)

        try scratch.write(names[1], Array(TinyLarge.file(parts[1]).dropLast(100)))
        let cut = try LargeCheckpoint(try CheckpointFolder(scratch.path)).audit.findings
        #expect(cut.named[.file]?.first?.contains(names[1]) == true && cut.counts[.missing] == parts[1].count - 1 - parts[1].count { $0.name.hasPrefix("mtp_dspark") } + 1)
        try Durable.remove(Path.join(scratch.path, names[1]))
        let absent = try LargeCheckpoint(try CheckpointFolder(scratch.path)).audit.findings
        #expect(absent.named[.file]?.contains { $0.contains("`\(names[1])` is not there") } == true)
        try scratch.write(names[1], TinyLarge.file(parts[1]))
        try index { names[$0 <= half ? 0 : 1] }
        #expect(try LargeCheckpoint(try CheckpointFolder(scratch.path)).audit.findings.named[.file]?.first?.contains("and the index says") == true)
        try scratch.write("pytorch_model.bin", [0])
        #expect { try CheckpointFolder(scratch.path) } throws: { ($0 as? Fault)?.code == "checkpoint.executable" }
    }

    @Test func `matrices of eight bits are read with their scales`() throws {
        let scratch = try Scratch(), name = "layers.0.feed_forward.w1"
        func eight(_ tensors: inout [TinyLarge.Tensor], scale: Bool) {
            tensors.removeAll { $0.name == name + ".weight" }
            tensors.append((name + ".weight", .f8e4m3, [28, 32], Array(repeating: 0x38, count: 28 * 32)))
            if scale { tensors.append((name + ".qscale_weight", .f32, [1], DType.f32.bytes([0.25]))) }
            tensors.append((name + ".qscale_act", .f32, [1], DType.f32.bytes([3])))
        }
        let rounded = try LargeCheckpoint(try tiny.folder(scratch) { eight(&$0, scale: true) })
        #expect(rounded.audit.findings.isEmpty && rounded.audit.types[.f8e4m3] == 1)
        #expect(rounded.audit.parts[.dense]?.bytes == ByteCount(4 * 2 * 28 * 32 + 28 * 32 + 8))
        #expect(try rounded.values(try #require(rounded.table[name + ".weight"]), rows: 3..<4) == Array(repeating: 0.25, count: 32))
        let other = try Scratch(), bare = try LargeCheckpoint(try tiny.folder(other) { eight(&$0, scale: false) }).audit.findings
        #expect(bare.counts == [.unfit: 1] && bare.named[.unfit]?.first?.contains("has no scale beside it") == true)
    }
}
