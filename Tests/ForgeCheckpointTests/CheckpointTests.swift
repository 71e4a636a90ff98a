import ForgeArtifact
import ForgeCheckpoint
import ForgeCore
import ForgeModel
import ForgeNN
import ForgeOS
import ForgeTensor
import Testing

/// Where a model of each family lies in both layouts: the golden decoder, and the folder that Tests/Fixtures/checkpoint/make.py made of it.
private let families = [("mistral", "decoder-plain"), ("ministral", "decoder-ministral"), ("ministral3", "decoder-ministral3"), ("mixtral", "mixtral-plain"), ("mistral4", "mistral4-raised")]

@Suite struct CheckpointTests {
    @Test(arguments: families.indices)
    func `both layouts of a model become the same bytes and the same configuration`(index: Int) throws {
        let (family, name) = families[index], golden = try Golden(name)
        let one = try Scratch(), many = try Scratch(), theirs = try Scratch()
        let single = try Checkpoint(try one.huggingFace(golden)), sharded = try Checkpoint(try many.huggingFace(golden, shards: 3)), native = try Checkpoint(try theirs.native(family))
        #expect(single.layout == .huggingFace && native.layout == .native)
        #expect(try whole(single) == whole(sharded))
        #expect(try whole(single) == whole(native))
        #expect(single.config.modelType == family)
        var config = native.config
        config.experts?.balance = single.config.experts?.balance ?? 0
        config.experts?.balances = single.config.experts?.balances ?? false
        #expect(config == single.config)
        #expect(sharded.sources == ["config.json", "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors", "model.safetensors.index.json", "tokenizer.json"])
        #expect(native.sources.contains("params.json") && native.sources.count == (family == "mistral" ? 4 : 3))

        // The file is one a strict reader takes, with every parameter's bytes.
        let bytes = try whole(native), table = try TensorTable(parsing: bytes, fileBytes: bytes.count, source: "model.safetensors")
        for tensor in golden.tensors { #expect(Array(bytes[try #require(table[tensor.name]).range]) == tensor.bytes, "\(tensor.name)") }
    }

    @Test(arguments: families.indices)
    func `a native checkpoint gives transformers' logits`(index: Int) throws {
        let (family, name) = families[index], golden = try Golden(name), scratch = try Scratch()
        let checkpoint = try Checkpoint(try scratch.native(family))
        #expect(try error(checkpoint.weights, checkpoint.config, golden) <= 1e-5)
        // What a reader gets wrong shows in the same numbers: rows of queries left in pairs, gate and up in each other's place, and a query that does not grow.
        let plain = try Scratch(), crossed = try Scratch()
        guard family != "mistral4" else { return }  // its experts lie in one tensor, and its rows in pairs: GoldenTests mutates those
        let gate = family == "mixtral" ? "block_sparse_moe.experts.1.w1" : "mlp.gate_proj", up = family == "mixtral" ? "block_sparse_moe.experts.1.w3" : "mlp.up_proj"
        let exchanged = golden.tensors.map { tensor in
            var tensor = tensor
            if tensor.name.contains(gate) { tensor.name = tensor.name.replacing(gate, with: up) } else if tensor.name.contains(up) { tensor.name = tensor.name.replacing(up, with: gate) }
            return tensor
        }
        let swapped = try Checkpoint(try crossed.huggingFace(golden, tensors: exchanged))
        #expect(try error(swapped.weights, swapped.config, golden) > 1e-3)
        var tensors = golden.tensors
        let query = try #require(tensors.firstIndex { $0.name == "model.layers.0.self_attn.q_proj.weight" })
        let width = tensors[query].bytes.count / tensors[query].shape[0], d = checkpoint.config.headDim
        tensors[query].bytes = (0..<tensors[query].shape[0]).flatMap { row -> ArraySlice<UInt8> in
            let from = row / d * d + (row % d % 2 == 0 ? row % d / 2 : d / 2 + row % d / 2)
            return tensors[query].bytes[from * width..<(from + 1) * width]
        }
        let paired = try Checkpoint(try plain.huggingFace(golden, tensors: tensors))
        #expect(try error(paired.weights, paired.config, golden) > 1e-3)
        if family == "ministral3" {
            var flat = checkpoint.config
            flat.queryScale = nil
            #expect(try error(checkpoint.weights, flat, golden) > 1e-3)
        }
    }

    /// The largest difference from the golden logits, against the largest of those.
    private func error(_ weights: ModelWeights, _ config: MistralConfig, _ golden: Golden) throws -> Double {
        let device = try Device(threads: 2), parameters = try Parameters(ParameterTable(config), on: device)
        for entry in parameters.table.entries {
            parameters.tensor(entry).write(Array(try weights.values(try #require(weights.table[entry.home.name]).name)[entry.home.first..<entry.home.first + entry.count]))
        }
        let batch = TokenBatch(ids: golden.ids, targets: golden.ids.map { _ in -1 }, cumulativeLengths: golden.lengths.reduce(into: [0]) { $0.append($0.last! + $1) })
        let logits = try Decoder(parameters, rows: batch.rows, on: device).logits(batch)
        #expect(logits.count == golden.logits.count)
        return zip(logits, golden.logits).map { abs(Double($0) - Double($1)) }.max()! / golden.logits.map { abs(Double($0)) }.max()!
    }

    /// Out again as it came: the file that the safetensors library wrote, byte for byte.
    @Test(arguments: families.indices)
    func `a native checkpoint comes back byte for byte`(index: Int) throws {
        let (family, _) = families[index], scratch = try Scratch(), model = try Scratch(), back = try Scratch()
        let checkpoint = try Checkpoint(try scratch.native(family))
        try model.write("model.safetensors", try whole(checkpoint))
        let out = try ModelWeights(native: "model.safetensors", in: try CheckpointFolder(model.path), checkpoint.config), bytes = try out.bytes(0..<out.count)
        // The two files of `mistral` come back as one.
        if family != "mistral" {
            let same = try bytes == Fixture.bytes("checkpoint/\(family)/consolidated.safetensors")
            #expect(same)
        }
        try back.write("consolidated.safetensors", bytes)
        try back.write("params.json", try checkpoint.config.params().text)
        try back.write("tokenizer.json", "{}")
        let again = try Checkpoint(try CheckpointFolder(back.path))
        let (same, other) = (try whole(again), try whole(checkpoint))
        #expect(same == other && again.config == checkpoint.config)
        let fault = #expect(throws: Fault.self) {
            var other = checkpoint.config
            other.layers += 1
            if !other.windowed.isEmpty { other.windowed.append(false) }
            _ = try ModelWeights(native: "model.safetensors", in: try CheckpointFolder(model.path), other)
        }
        #expect(fault?.why.contains("is missing") == true)
    }

    @Test func `of a model of images and text the decoder of text comes in where that is asked for`() throws {
        let golden = try Golden("decoder-plain"), plain = try Scratch(), wanted = try whole(try Checkpoint(try plain.huggingFace(golden)))
        var text = try #require(golden.config.object)
        text["bos_token_id"] = nil
        for (inside, head) in [("model.language_model.", "lm_head."), ("language_model.model.", "language_model.lm_head.")] {
            let scratch = try Scratch(), eye: (name: String, shape: Shape, bytes: [UInt8]) = ("\(inside == "model.language_model." ? "model." : "")vision_tower.patch_conv.weight", [1], [0, 0, 0, 0])
            let wrapped = golden.tensors.map { ($0.name.hasPrefix("model.") ? inside + $0.name.dropFirst(6) : head + $0.name.dropFirst(8), $0.shape, $0.bytes) } + [eye]
            _ = try scratch.huggingFace(golden, tensors: wrapped)
            try scratch.write("config.json", JSON.object(["model_type": "mistral3", "bos_token_id": 1, "text_config": .object(text), "vision_config": ["hidden_size": 4]]).text)
            let folder = try CheckpointFolder(scratch.path), checkpoint = try Checkpoint(folder, textOnly: true)
            #expect(try whole(checkpoint) == wanted && checkpoint.config.bos == 1)
            #expect { try Checkpoint(folder) } throws: { ($0 as? Fault)?.remedy.contains("--text-only") == true }
        }
        #expect { try Checkpoint(try CheckpointFolder(plain.path), textOnly: true) } throws: { ($0 as? Fault)?.why.contains("nothing but text") == true }
        let native = try Scratch()
        _ = try native.native("ministral3")
        var params = try #require(try JSON.parse(try Fixture.bytes("checkpoint/ministral3/params.json")).object)
        params["vision_encoder"] = ["hidden_size": 4]
        try native.write("params.json", JSON.object(params).text)
        let folder = try CheckpointFolder(native.path), other = try Scratch()
        #expect { try Checkpoint(folder) } throws: { ($0 as? Fault)?.remedy.contains("--text-only") == true }
        #expect(try whole(try Checkpoint(folder, textOnly: true)) == whole(try Checkpoint(try other.native("ministral3"))))
    }

    @Test func `Mistral's own tokenizers come before Hugging Face's, and of several the last`() throws {
        let scratch = try Scratch()
        _ = try scratch.huggingFace(try Golden("decoder-plain"))
        for (name, form) in [("tokenizer.json", Checkpoint.TokenizerFile.Form.huggingFace), ("tokenizer.model", .sentencePiece), ("tokenizer.model.v2", .sentencePiece), ("tokenizer.model.v7m1", .sentencePiece), ("tekken.json", .tekken)] {
            try scratch.write(name, "{}")
            #expect(try Checkpoint(try CheckpointFolder(scratch.path)).tokenizer == .init(name: name, form: form))
        }
    }

    @Test func `any bytes of the file are those of the whole`() throws {
        let scratch = try Scratch(), checkpoint = try Checkpoint(try scratch.native("mistral")), bytes = try whole(checkpoint)
        var random = SeededGenerator(seed: 3)
        for _ in 0..<400 {
            let from = Int(random.next() % UInt64(bytes.count)), to = from + Int(random.next() % UInt64(bytes.count - from + 1))
            let same = try checkpoint.weights.bytes(from..<to) == Array(bytes[from..<to])
            #expect(same, "\(from)..<\(to)")
        }
        #expect(try checkpoint.weights.bytes(bytes.count..<bytes.count) == [])
    }

    /// What is wrong with a checkpoint, and the code and a word of the refusal.
    @Test func `what is missing, surplus, misshapen or not supported is refused by name`() throws {
        let golden = try Golden("decoder-plain")
        func refusal(_ code: String, _ word: String, tensors: [(name: String, shape: Shape, bytes: [UInt8])]? = nil, config: [String: JSON] = [:], _ change: (Scratch) throws -> Void = { _ in }) throws {
            let scratch = try Scratch()
            _ = try scratch.huggingFace(golden, tensors: tensors)
            if !config.isEmpty {
                var root = golden.config.object!
                for (key, value) in config { root[key] = value }
                try scratch.write("config.json", JSON.object(root).text)
            }
            try change(scratch)
            let fault = #expect(throws: Fault.self) { _ = try Checkpoint(try CheckpointFolder(scratch.path)) }
            #expect(fault?.kind == .request && fault?.code == code && "\(fault?.what ?? "") \(fault?.why ?? "")".contains(word), "\(fault.map { "\($0)" } ?? "taken"), not \(code) \(word)")
        }
        var less = golden.tensors, shaped = golden.tensors
        less.removeLast()
        shaped[0].shape = [shaped[0].shape[1], shaped[0].shape[0]]
        try refusal("checkpoint.tensor", "is missing", tensors: less)
        try refusal("checkpoint.tensor", "shape", tensors: shaped)
        try refusal("checkpoint.tensor", "not one of this architecture", tensors: golden.tensors + [("model.extra.weight", [1], [0, 0, 0, 0])])
        try refusal("checkpoint.config", "auto_map", config: ["auto_map": ["AutoModel": "modeling_x.Model"]])
        try refusal("checkpoint.config", "quantization_config", config: ["quantization_config": ["quant_method": "gptq"]])
        try refusal("checkpoint.config", "vision_config", config: ["vision_config": [:]])
        try refusal("checkpoint.config", "attention_bias", config: ["attention_bias": true])
        try refusal("checkpoint.config", "mlp_bias", config: ["mlp_bias": true])
        try refusal("model.config", "attention_bias", config: ["attention_bias": "true"])
        try refusal("model.config", "hidden_size", config: ["hidden_size": .double(16)])
        try refusal("checkpoint.config", "layer_types", config: ["layer_types": ["full_attention", "sliding_attention"]])
        try refusal("checkpoint.layout", "both") { try $0.write("params.json", "{}") }
        try refusal("checkpoint.layout", "neither") { try Path.removeTree(Path.join($0.path, "config.json")) }
        try refusal("checkpoint.tokenizer", "tokenizer.json") { try Path.removeTree(Path.join($0.path, "tokenizer.json")) }
        try refusal("checkpoint.json", "config.json") { try $0.write("config.json", "{") }
        try refusal("checkpoint.executable", "pytorch_model.bin") { try $0.write("pytorch_model.bin", "x") }
        try refusal("checkpoint.executable", "notes.txt") { try $0.write("notes.txt", [0x80, 0x04, 0x95, 0x1a]) }
        try refusal("checkpoint.executable", "modeling_x.py") { try $0.write("modeling_x.py", "import os") }
        try refusal("checkpoint.not_a_file", "model.json") { try $0.link("model.json", to: "/etc/passwd") }
        for (map, word) in [
            (["weight_map": ["model.norm.weight": "../model.safetensors"]], "does not lie"), (["weight_map": [:]], "lists no tensor"), (["weight_map": ["x": "model.safetensors"]], "the index says nothing of it"),
        ] as [(JSON, String)] {
            try refusal("checkpoint.index", word) { try $0.write("model.safetensors.index.json", map.text) }
        }
        let both = try Scratch()
        _ = try both.huggingFace(golden)
        try both.write("tekken.json", "{}")
        #expect(try Checkpoint(try CheckpointFolder(both.path)).sources == ["config.json", "model.safetensors", "tekken.json"])
        // A second head beside tied embeddings is the same matrix or another model.
        let tied = try Golden("decoder-tied"), embedding = try #require(tied.tensors.first { $0.name == "model.embed_tokens.weight" }), scratch = try Scratch()
        let once = try Checkpoint(try scratch.huggingFace(tied))
        let twice = try Checkpoint(try scratch.huggingFace(tied, tensors: tied.tensors + [("lm_head.weight", embedding.shape, embedding.bytes)]))
        #expect(try whole(once) == whole(twice))
        var other = embedding.bytes
        other[5] ^= 1
        let fault = #expect(throws: Fault.self) { _ = try Checkpoint(try scratch.huggingFace(tied, tensors: tied.tensors + [("lm_head.weight", embedding.shape, other)])) }
        #expect(fault?.why.contains("differs from the embedding") == true)
    }

    @Test func `params json survives a round trip, and a member nobody knows is refused`() throws {
        for (family, _) in families {
            let read = try MistralConfig(params: JSON.parse(try Fixture.bytes("checkpoint/\(family)/params.json")))
            #expect(try MistralConfig(params: read.params()) == read)
        }
        let good = try JSON.parse(try Fixture.bytes("checkpoint/ministral3/params.json")).object!
        for (key, value, word) in [
            ("dim", .string("16"), "`dim` is not a whole number"), ("dim", .double(1e6), "`dim` is not a whole number"), ("n_layers", .int(.max), "`n_layers` is not a whole number"), ("sliding_window", [.int(.max), .null], "list"), ("n_layers", .null, "`n_layers` is missing"), ("use_biases", true, "biases"), ("quantization", ["qformat_weight": "int4"], "`quantization.qformat_weight` is `int4`"),
            ("q_lora_rank", 8, "`q_lora_rank`"), ("vision_encoder", [:], "`vision_encoder`"), ("sliding_window", [4, 5], "list"), ("yarn", ["factor": 4, "original_max_position_embeddings": 32], "apply_scale"),
            ("moe", ["num_experts": 4, "num_experts_per_tok": 2, "num_shared_experts": 1], "moe.num_shared_experts"), ("causal", false, "causal"),
        ] as [(String, JSON, String)] {
            var changed = good
            changed[key] = value
            let fault = #expect(throws: Fault.self) { _ = try MistralConfig(params: .object(changed)) }
            #expect(fault?.why.contains(word) == true, "\(key): \(fault?.why ?? "taken")")
        }
        // What the layout cannot say is refused, and not said wrongly.
        var own = try MistralConfig(params: .object(good))
        own.yarn?.attentionFactor = 1.5
        #expect(throws: Fault.self) { _ = try own.params() }
        own = try MistralConfig(params: .object(good))
        own.eos = 5
        #expect(throws: Fault.self) { _ = try own.params() }
        var scaled = good
        scaled["yarn"] = ["factor": 4, "original_max_position_embeddings": 32, "apply_scale": true]
        #expect(try MistralConfig(params: .object(scaled)).yarn?.attentionFactor == Yarn.magnitude(4))
    }

    /// A header of 640 bytes begins as a pickle of protocol 2 does, one of 0x6928 as the text of an older one.
    @Test func `a tensor file is one whatever the length of its header`() throws {
        let golden = try Golden("decoder-plain")
        for length in [0x180, 0x280, 0x580, 0x6428, 0x6928] {
            let start = [UInt8(length & 0xff), UInt8(length >> 8), 0, 0, 0, 0, 0, 0] + Array("{\"__metadata__\":{".utf8)
            #expect(ExecutableFormat(name: "model-00001-of-00002.safetensors", start: start) == nil)
            #expect(ExecutableFormat(name: "model", start: start) == .pickle)
            #expect(ExecutableFormat(name: "model.safetensors.bin", start: start) == .pickle)
        }
        #expect(ExecutableFormat(name: "model.safetensors", start: [0x80, 0x02, 0, 0, 0, 0, 0, 0]) == .pickle)
        #expect(ExecutableFormat(name: "model.safetensors", start: [0x80, 0x04, 0x95, 0x1a, 0, 0, 0, 0, 0, 0, 0, 0x7d]) == .pickle)
        let scratch = try Scratch()
        _ = try scratch.huggingFace(golden)
        func file(_ padding: Int) -> [UInt8] { Golden.file(golden.tensors, metadata: ["x": String(repeating: "x", count: padding)]) }
        let short = file(8), bytes = file(8 + 0x6428 - Int(short[0]) - Int(short[1]) << 8)
        #expect(ExecutableFormat(name: "model", start: Array(bytes[..<ExecutableFormat.sniffed])) == .pickle)
        try scratch.write("model.safetensors", bytes)
        #expect(try Checkpoint(try CheckpointFolder(scratch.path)).sources.count == 3)
    }

    /// Cut, flipped and overwritten files end in a refusal or a checkpoint, never in a trap.
    @Test(arguments: 0..<4 as Range<UInt64>)
    func `damaged files never trap`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed, stream: 77)
        let scratch = try Scratch()
        _ = try scratch.native("mixtral")
        let names = ["params.json", "consolidated.safetensors"]
        for round in 0..<150 {
            let name = names[round % 2], good = try Fixture.bytes("checkpoint/mixtral/\(name)")
            var bytes = random.next() % 3 == 0 ? Array(good.prefix(Int(random.next() % UInt64(good.count)))) : good
            let reach = UInt64(max(1, min(bytes.count, name == "params.json" ? bytes.count : 2400)))
            for _ in 0..<(1 + random.next() % 6) where !bytes.isEmpty { bytes[Int(random.next() % reach)] = UInt8(truncatingIfNeeded: random.next()) }
            try scratch.write(name, bytes)
            do throws(Fault) {
                let checkpoint = try Checkpoint(try CheckpointFolder(scratch.path))
                let count = try whole(checkpoint).count
                #expect(count == checkpoint.weights.count)
            } catch { #expect(error.kind == .request && !error.why.isEmpty) }
            try scratch.write(name, good)
        }
    }

    @Test(arguments: 0..<3 as Range<UInt64>)
    func `a damaged index, shard or configuration never traps`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed, stream: 79)
        let scratch = try Scratch()
        _ = try scratch.huggingFace(try Golden("decoder-ministral3"), shards: 2)
        let files = try ["config.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors"].map { ($0, try File(Path.join(scratch.path, $0), .read).readAll(limit: .mib(4))) }
        for round in 0..<450 {
            let (name, good) = files[round % 3]
            var bytes = random.next() % 4 == 0 ? Array(good.prefix(Int(random.next() % UInt64(good.count)))) : good
            for _ in 0..<(1 + random.next() % 4) where !bytes.isEmpty { bytes[Int(random.next() % UInt64(min(bytes.count, 2400)))] = UInt8(truncatingIfNeeded: random.next()) }
            if random.next() % 2 == 0, let digit = bytes.indices.filter({ (0x30...0x39).contains(bytes[$0]) }).prefix(500).randomElement(using: &random) { bytes[digit] = 0x30 + UInt8(random.next() % 10) }
            try scratch.write(name, bytes)
            do throws(Fault) {
                let checkpoint = try Checkpoint(try CheckpointFolder(scratch.path)), count = try whole(checkpoint).count
                #expect(count == checkpoint.weights.count)
            } catch { #expect(error.kind == .request && !error.why.isEmpty) }
            try scratch.write(name, good)
        }
    }
}
