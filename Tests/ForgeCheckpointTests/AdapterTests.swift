import ForgeArtifact
import ForgeCheckpoint
import ForgeCore
import ForgeModel
import ForgeNN
import ForgeOS
import ForgeTensor
import Testing

@Suite struct AdapterTests {
    /// Folders that PEFT wrote (Tests/Fixtures/checkpoint/make-adapters.py), and what they say.
    static let cases: [(name: String, config: AdapterConfig)] = [
        ("lora", AdapterConfig(rank: 3, alpha: 6)), ("rslora", AdapterConfig(rank: 5, alpha: 4, stabilised: true, targets: [.query, .value, .up])),
    ]

    private func folder(_ name: String, in scratch: Scratch) throws -> CheckpointFolder {
        for file in ["adapter_config.json", "adapter_model.safetensors"] { try scratch.write(file, try Fixture.bytes("checkpoint/peft-\(name)/\(file)")) }
        return try CheckpointFolder(scratch.path)
    }

    /// The golden decoder that the adapters lie beside, in one file of the type.
    private func base(_ golden: Golden, _ dtype: DType, in scratch: Scratch) throws -> Checkpoint {
        _ = try scratch.huggingFace(golden)
        let stored = golden.tensors.filter { !$0.name.hasPrefix("base_model") }.map { (name: $0.name, shape: $0.shape, bytes: dtype.bytes(DType.f32.floats($0.bytes))) }
        try scratch.write("model.safetensors", Golden.file(stored, dtype))
        return try Checkpoint(try CheckpointFolder(scratch.path))
    }

    private func logits(_ weights: ModelWeights, _ config: MistralConfig, adapters: AdapterCheckpoint? = nil, _ golden: Golden) throws -> [Float] {
        let device = try Device(threads: 2), parameters = try Parameters(ParameterTable(config), on: device)
        for entry in parameters.table.entries { parameters.tensor(entry).write(try weights.values(entry.name)) }
        let batch = TokenBatch(ids: golden.ids, targets: golden.ids.map { _ in -1 }, cumulativeLengths: golden.lengths.reduce(into: [0]) { $0.append($0.last! + $1) })
        guard let adapters else { return try Decoder(parameters, rows: batch.rows, on: device).logits(batch) }
        let beside = try Parameters(adapters.table, on: device)
        for entry in adapters.table.entries { beside.tensor(entry).write(try adapters.values(entry)) }
        return try Decoder(try PackedWeights(parameters, on: device), adapters: beside, rows: batch.rows, on: device).logits(batch)
    }

    private func error(_ logits: [Float], _ truth: [Float]) -> Double {
        zip(logits, truth).map { abs(Double($0) - Double($1)) }.max()! / truth.map { abs(Double($0)) }.max()!
    }

    @Test(arguments: cases)
    func `a folder that PEFT wrote gives its adapters and its logits, and leaves byte for byte`(name: String, config: AdapterConfig) throws {
        let golden = try Golden("adapter-\(name)"), scratch = try Scratch(), model = try Scratch(), back = try Scratch()
        let base = try base(golden, .f32, in: model), adapters = try AdapterCheckpoint(try folder(name, in: scratch), beside: base.config)
        #expect(adapters.config == config)
        #expect(adapters.table.entries.map(\.name) == ParameterTable(base.config, adapters: config).entries.map(\.name))
        for entry in adapters.table.entries {
            let truth = try #require(golden.tensors.first { $0.name == entry.name })
            #expect(try adapters.values(entry) == DType.f32.floats(truth.bytes), "\(entry.name)")
        }
        #expect(try error(logits(base.weights, base.config, adapters: adapters, golden), golden.logits) <= 1e-5)
        #expect(try error(logits(base.weights, base.config, golden), golden.logits) > 1e-3)

        let theirs = try Fixture.bytes("checkpoint/peft-\(name)/adapter_model.safetensors"), kept = try whole(adapters.weights)
        #expect(kept == theirs)
        try AdapterCheckpoint.write(adapters.table, to: back.path, base: "mistralai/\u{c9}") { (entry) throws(Fault) in try adapters.values(entry) }
        let written = try File(Path.join(back.path, "adapter_model.safetensors"), .read).readAll(limit: .mib(1))
        #expect(written == theirs)
        #expect(try AdapterCheckpoint(try CheckpointFolder(back.path), beside: base.config).config == config)
        let json = try CheckpointFolder(back.path).json("adapter_config.json")
        #expect(json["base_model_name_or_path"] == "mistralai/\u{c9}" && json["peft_type"] == "LORA" && json["r"]?.int == Int64(config.rank))
        #expect(try Path.information(Path.join(back.path, "adapter_model.safetensors"))?.mode == 0o600)
        #expect(config.peft(base: nil)["base_model_name_or_path"] == .null)
    }

    @Test func `tensors of half the width become float32 exactly, and leave as they came`() throws {
        let golden = try Golden("adapter-lora"), scratch = try Scratch(), config = try MistralConfig(json: golden.config)
        _ = try folder("lora", in: scratch)
        let table = ParameterTable(config, adapters: AdapterConfig(rank: 3, alpha: 6))
        for dtype in [DType.bf16, .f16] {
            var random = SeededGenerator(seed: 5)
            // The upper bits of either are a sign, an exponent and a fraction.
            let stored = table.entries.map { entry in (name: entry.name, shape: entry.shape, bytes: (0..<entry.count).flatMap { _ in [UInt8(truncatingIfNeeded: random.next()), 0x30 | UInt8(truncatingIfNeeded: random.next()) & 0x8f] }) }
            let bytes = Golden.file(stored, dtype, metadata: ["format": "pt"])
            try scratch.write("adapter_model.safetensors", bytes)
            let adapters = try AdapterCheckpoint(try CheckpointFolder(scratch.path), beside: config), same = try whole(adapters.weights) == bytes
            #expect(same)
            for (entry, truth) in zip(table.entries, stored) {
                let bits = stride(from: 0, to: truth.bytes.count, by: 2).map { UInt16(truth.bytes[$0]) | UInt16(truth.bytes[$0 + 1]) << 8 }
                #expect(try adapters.values(entry) == bits.map { dtype == .f16 ? Float(Float16(bitPattern: $0)) : Float(bitPattern: UInt32($0) << 16) })
            }
        }
    }

    /// What the rounding costs is a figure of docs/formats/adapters.md.
    @Test(arguments: cases)
    func `a merged model's logits are the unmerged model's`(name: String, config: AdapterConfig) throws {
        let golden = try Golden("adapter-\(name)"), scratch = try Scratch(), model = try Scratch()
        let base = try base(golden, .f32, in: model), adapters = try AdapterCheckpoint(try folder(name, in: scratch), beside: base.config)
        let merged = try base.weights.merging(adapters)
        #expect(merged.table == base.weights.table)
        #expect(try error(logits(merged, base.config, golden), golden.logits) <= 1e-5)
        // One rounding to BF16, and no more: the sums in double precision, rounded, differ by a step where they lie on an edge, and seldom.
        let half = try Scratch(), rounded = try self.base(golden, .bf16, in: half), narrow = try rounded.weights.merging(adapters)
        #expect(narrow.table == rounded.weights.table)
        var far = 0, off = 0, all = 0, still = 0
        for layer in 0..<base.config.layers {
            for target in config.targets {
                let name = target.module(layer) + ".weight", before = try rounded.weights.values(name), after = try narrow.values(name), (out, columns) = base.config.extents(target)
                let down = try adapters.values(try #require(adapters.table[AdapterConfig.name(layer, target, .adapterDown)])), up = try adapters.values(try #require(adapters.table[AdapterConfig.name(layer, target, .adapterUp)]))
                for row in 0..<out {
                    for column in 0..<columns {
                        let sum = (0..<config.rank).reduce(0.0) { $0 + Double(up[row * config.rank + $1]) * Double(down[$1 * columns + column]) }
                        let exact = Double(before[row * columns + column]) + Double(config.scale) * sum, got = Double(after[row * columns + column])
                        if abs(exact - got) > 0x1.01p-8 * max(abs(exact), 0x1p-10) { far += 1 }
                        if DType.bf16.floats(DType.bf16.bytes([Float(exact)]))[0] != Float(got) { off += 1 }
                        if before[row * columns + column] == after[row * columns + column] { still += 1 }
                        all += 1
                    }
                }
            }
        }
        #expect(far == 0 && off * 500 <= all && still * 10 <= all, "\(far), \(off) and \(still) of \(all)")
        let kept = try logits(rounded.weights, base.config, adapters: adapters, golden), cost = try error(logits(narrow, base.config, golden), kept)
        #expect(cost > 1e-5 && cost < 0.05, "\(cost)")
        // Any bytes of it are those of the whole, elements cut in two among them.
        let bytes = try whole(narrow)
        var random = SeededGenerator(seed: 9)
        for _ in 0..<300 {
            let from = Int(random.next() % UInt64(bytes.count)), to = from + Int(random.next() % UInt64(min(bytes.count - from, 700) + 1))
            #expect(try narrow.bytes(from..<to) == Array(bytes[from..<to]), "\(from)..<\(to)")
        }
        let fault = #expect(throws: Fault.self) {
            _ = try base.weights.merging(ParameterTable(MistralConfig(vocabulary: 8, width: 16, feedForward: 8, layers: 1, queryHeads: 2, kvHeads: 1, contextMax: 8), adapters: config)) { entry in
                [Float](repeating: 0, count: entry.count)
            }
        }
        #expect(fault?.why.contains("has another shape") == true)
    }

    @Test func `names mean what they mean to PEFT`() throws {
        let golden = try Golden("adapter-lora"), config = try MistralConfig(json: golden.config)
        func targets(_ json: JSON) throws -> Set<AdapterConfig.Target> { try AdapterConfig(peft: ["peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": json], beside: config).targets }
        #expect(try targets("all-linear") == Set(config.adapterTargets))
        #expect(try targets(["q_proj", "self_attn.v_proj", "q_proj"]) == [.query, .value])
        #expect(try targets(.array((0..<config.layers).map { .string("model.layers.\($0).mlp.down_proj") })) == [.down])
        #expect(try targets(.array((0..<config.layers).map { .string("\($0).mlp.up_proj") } + ["layers.0.mlp.up_proj"])) == [.up])
        #expect(try targets(["o_proj"]) == [.output])
    }

    @Test func `what is missing, surplus, or would change results is refused by name`() throws {
        let golden = try Golden("adapter-lora"), base = try MistralConfig(json: golden.config)
        let good = try #require(JSON.parse(try Fixture.bytes("checkpoint/peft-lora/adapter_config.json")).object)
        for (key, value, word) in [
            ("peft_type", "IA3", "`peft_type` is `IA3`"), ("peft_type", .null, "`peft_type` is missing"), ("task_type", "SEQ_CLS", "task_type"), ("use_dora", true, "DoRA"), ("rank_pattern", ["q_proj": 4], "rank_pattern"),
            ("alpha_pattern", ["q_proj": 4], "alpha_pattern"), ("layers_to_transform", [0], "layers_to_transform"), ("layers_to_transform", 0, "layers_to_transform"), ("modules_to_save", ["lm_head"], "modules_to_save"),
            ("trainable_token_indices", [3], "trainable_token_indices"), ("trainable_token_indices", ["embed_tokens": [0]], "trainable_token_indices"), ("bias", "all", "`bias`"), ("lora_bias", true, "lora_bias"),
            ("fan_in_fan_out", true, "fan_in_fan_out"), ("target_parameters", ["w"], "target_parameters"), ("exclude_modules", "x", "exclude_modules"), ("use_qalora", true, "use_qalora"), ("something_new", 1, "something_new"),
            ("init_lora_weights", "pissa_niter_4", "pissa_niter_4"), ("init_lora_weights", "loftq", "loftq"), ("init_lora_weights", 3, "init_lora_weights"), ("r", 0, "`r`"), ("r", .double(8), "`r`"), ("r", 65_537, "`r`"), ("r", "8", "`r`"),
            ("lora_alpha", "16", "lora_alpha"), ("lora_alpha", .double(1e300), "lora_alpha"), ("use_rslora", "yes", "use_rslora"), ("lora_dropout", .double(1.5), "lora_dropout"), ("target_modules", ".*_proj", "expression"),
            ("target_modules", [], "target_modules"), ("target_modules", .null, "target_modules"), ("target_modules", ["q_proj", "lm_head"], "`lm_head`"), ("target_modules", ["_proj"], "`_proj`"), ("target_modules", [3], "no name"),
            ("target_modules", ["model.layers.0.self_attn.q_proj", "v_proj"], "in 1 of 2 layers"), ("target_modules", ["roj"], "`roj`"), ("target_modules", [""], "``"),
        ] as [(String, JSON, String)] {
            var changed = good
            changed[key] = value
            let fault = #expect(throws: Fault.self) { _ = try AdapterConfig(peft: .object(changed), beside: base) }
            #expect(fault?.kind == .request && fault?.code == "adapter.config" && fault?.why.contains(word) == true, "\(key) \(value.text): \(fault?.why ?? "taken")")
        }
        var mixture = base
        mixture.experts = .init(count: 2, choices: 1)
        #expect(throws: Fault.self) { _ = try AdapterConfig(peft: .object(good), beside: mixture) }

        let table = ParameterTable(base, adapters: AdapterConfig(rank: 3, alpha: 6)), tensors = golden.tensors.filter { $0.name.hasPrefix("base_model") }
        func refusal(_ word: String, _ tensors: [(name: String, shape: Shape, bytes: [UInt8])], _ dtype: DType = .f32) throws {
            let scratch = try Scratch()
            _ = try folder("lora", in: scratch)
            try scratch.write("adapter_model.safetensors", Golden.file(tensors, dtype))
            let fault = #expect(throws: Fault.self) { _ = try AdapterCheckpoint(try CheckpointFolder(scratch.path), beside: base) }
            #expect(fault?.code == "checkpoint.tensor" && fault?.why.contains(word) == true, "\(fault?.why ?? "taken")")
        }
        #expect(tensors.count == table.entries.count)
        try refusal("is missing", Array(tensors.dropLast()))
        try refusal("not of these adapters", tensors + [("base_model.model.lm_head.lora_A.weight", [1], [0, 0, 0, 0])])
        try refusal("type I32", tensors, .i32)
        var shaped = tensors
        shaped[0].shape = [shaped[0].shape[1], shaped[0].shape[0]]
        try refusal("has the shape", shaped)
        let bare = try Scratch()
        for file in ["adapter_config.json", "adapter_model.safetensors"] {
            _ = try folder("lora", in: bare)
            try Path.removeTree(Path.join(bare.path, file))
            let fault = #expect(throws: Fault.self) { _ = try AdapterCheckpoint(try CheckpointFolder(bare.path), beside: base) }
            #expect(fault?.code == "checkpoint.missing")
        }
    }

    @Test(arguments: 0..<4 as Range<UInt64>)
    func `damaged files never trap`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed, stream: 78)
        let scratch = try Scratch(), base = try MistralConfig(json: try Golden("adapter-rslora").config)
        _ = try folder("rslora", in: scratch)
        for round in 0..<500 {
            let name = ["adapter_config.json", "adapter_model.safetensors"][round % 2], good = try Fixture.bytes("checkpoint/peft-rslora/\(name)")
            var bytes = random.next() % 4 == 0 ? Array(good.prefix(Int(random.next() % UInt64(good.count)))) : good
            for _ in 0..<(1 + random.next() % 4) where !bytes.isEmpty { bytes[Int(random.next() % UInt64(min(bytes.count, 2000)))] = UInt8(truncatingIfNeeded: random.next()) }
            // Digits stay digits and quotes stay quotes more often than chance would leave them.
            if random.next() % 2 == 0, let digit = bytes.indices.filter({ (0x30...0x39).contains(bytes[$0]) }).randomElement(using: &random) { bytes[digit] = 0x30 + UInt8(random.next() % 10) }
            try scratch.write(name, bytes)
            do throws(Fault) {
                let adapters = try AdapterCheckpoint(try CheckpointFolder(scratch.path), beside: base)
                for entry in adapters.table.entries {
                    let count = try adapters.values(entry).count
                    #expect(count == entry.count)
                }
            } catch { #expect(error.kind == .request && !error.why.isEmpty) }
            try scratch.write(name, good)
        }
    }
}
