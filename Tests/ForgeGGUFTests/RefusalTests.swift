import ForgeArtifact
import ForgeBlocks
import ForgeCore
import ForgeGGUF
import ForgeModel
import ForgeOS
import ForgeTokenizer
import Testing

@Suite struct RefusalTests {
    /// Why the file is refused, by itself or for its tokenizer; nil if it is not.
    private func why(_ file: String, tokenizer: Bool = false, _ change: (inout Rebuilt) throws -> Void) throws -> String? {
        var rebuilt = try Rebuilt(try Fixture.bytes("gguf/\(file).gguf"))
        try change(&rebuilt)
        let scratch = try Scratch(), path = try scratch.write("m.gguf", rebuilt.bytes)
        do throws(Fault) {
            let model = try GGUFModel(path)
            if tokenizer { _ = try model.tokenizer() }
            return nil
        } catch {
            #expect(error.kind == .request && !error.remedy.isEmpty || error.code == "gguf.invalid")
            return error.why
        }
    }

    @Test func `a file rebuilt as it was is read`() throws {
        for file in ["llama", "tied", "yarn", "mistral3", "mixtral"] { #expect(try why(file) { _ in } == nil) }
    }

    @Test func `a tensor that is missing, surplus or of another shape is refused by name`() throws {
        let names = try Rebuilt(try Fixture.bytes("gguf/mixtral.gguf")).tensors.map(\.name)
        for name in names where name != "output.weight" {
            // Another in its place, so that it is not their number that is refused.
            let refused = try why("mixtral") { file in file.tensors = file.tensors.map { $0.name == name ? ("other", $0.type, $0.extents, $0.data) : $0 } }
            #expect(refused?.contains("`\(name)`") == true, "\(name): \(refused ?? "taken")")
            let turned = try why("mixtral") { file in
                let at = try #require(file.tensors.firstIndex { $0.name == name })
                file.tensors[at].extents = file.tensors[at].extents.count == 1 ? [1, file.tensors[at].extents[0]] : file.tensors[at].extents.reversed()
            }
            // Of a square matrix both readings are right.
            #expect(turned?.contains("`\(name)`") == true || turned?.contains("vocab_size") == true || name.contains("attn_output"), "\(name): \(turned ?? "taken")")
        }
        #expect(try why("llama") { $0.set("llama.block_count", .unsigned(9)) }?.contains("too few for 9 layers") == true)
        for name in ["rope_freqs.weight", "blk.2.attn_norm.weight", "blk.0.attn_q.bias", "blk.0.ffn_gate.weight", "blk.0.ffn_gate_up_exps.weight", "v.patch_embd.weight"] {
            #expect(try why("mixtral") { $0.tensors.append((name, .f32, [2, 4], [UInt8](repeating: 0, count: 32))) }?.contains("`\(name)`") == true)
        }
        // One of an expert's own beside the stack of them all.
        #expect(try why("mixtral") { $0.tensors.append(("blk.0.ffn_gate.1.weight", .f32, [24, 16], [UInt8](repeating: 0, count: 24 * 16 * 4))) }?.contains("`blk.0.ffn_gate.1.weight`") == true)
    }

    @Test func `experts that lie one by one are read like those in a stack`() throws {
        var rebuilt = try Rebuilt(try Fixture.bytes("gguf/mixtral.gguf"))
        rebuilt.tensors = rebuilt.tensors.flatMap { tensor -> [(name: String, type: BlockFormat, extents: [Int], data: [UInt8])] in
            guard tensor.name.contains("_exps") else { return [tensor] }
            let count = tensor.extents[0], bytes = tensor.data.count / count
            return (0..<count).map { (tensor.name.replacing("_exps", with: ".\($0)"), tensor.type, Array(tensor.extents.dropFirst()), Array(tensor.data[$0 * bytes..<($0 + 1) * bytes])) }
        }
        let scratch = try Scratch(), model = try GGUFModel(try scratch.write("m.gguf", rebuilt.bytes)), golden = try Golden("mixtral-plain")
        for entry in model.table.entries { #expect(try model.floats(entry) == golden.floats[entry.name]) }
    }

    @Test func `pairs that would change results are refused by name`() throws {
        let cases: [(file: String, key: String, value: GGUFTable.Value?)] = [
            ("llama", "general.architecture", .text("mistral4")), ("llama", "general.architecture", .text("qwen3")), ("llama", "general.architecture", nil),
            ("llama", "general.architecture", .unsigned(3)),
            ("llama", "general.type", .text("adapter")), ("llama", "split.count", .unsigned(2)), ("llama", "llama.embedding_length", nil), ("llama", "llama.embedding_length", .text("16")),
            ("llama", "llama.embedding_length", .unsigned(0)), ("llama", "llama.attention.head_count", .unsigned(0)), ("llama", "llama.attention.head_count", .list([.unsigned(4)])),
            ("llama", "llama.attention.head_count_kv", .unsigned(3)), ("llama", "llama.attention.layer_norm_rms_epsilon", nil), ("llama", "llama.attention.layer_norm_rms_epsilon", .number(.nan)),
            ("llama", "llama.attention.value_length", .unsigned(8)), ("llama", "llama.rope.dimension_count", .unsigned(4)), ("llama", "llama.rope.freq_base", .number(0)),
            ("llama", "llama.rope.scaling.type", .text("longrope")), ("yarn", "llama.rope.scaling.type", .text("linear")), ("yarn", "llama.rope.scaling.yarn_ext_factor", .number(0.5)),
            ("yarn", "llama.rope.scaling.factor", .number(0.5)), ("llama", "llama.vocab_size", .unsigned(30)), ("llama", "llama.logit_scale", .number(1)), ("llama", "llama.swin_norm", .truth(false)),
            ("llama", "llama.attention.causal", .truth(false)), ("llama", "llama.attention.temperature_scale", .number(0.1)), ("llama", "llama.block_count", .signed(-1)),
            ("llama", "llama.block_count", .unsigned(1 << 20)), ("llama", "llama.attention.sliding_window_pattern", .unsigned(4)),
            ("llama", "llama.attention.sliding_window_pattern", .list([.truth(true)])),
            ("mistral3", "mistral3.attention.temperature_length", .unsigned(16)), ("mixtral", "llama.expert_used_count", nil), ("mixtral", "llama.expert_used_count", .unsigned(9)),
            ("mixtral", "llama.expert_gating_func", .unsigned(2)), ("mixtral", "llama.expert_shared_count", .unsigned(1)), ("mixtral", "llama.expert_weights_scale", .number(2)),
            ("mixtral", "llama.expert_weights_norm", .truth(false)), ("mixtral", "llama.expert_count", .unsigned(.init(Int32.max))),
        ]
        for (file, key, value) in cases { #expect(try why(file) { $0.set(key, value) } != nil, "\(file): \(key) = \(String(describing: value))") }
        let taken: [(file: String, key: String, value: GGUFTable.Value?)] = [
            ("llama", "llama.rope.scaling.type", .text("linear")), ("llama", "llama.attention.sliding_window", .unsigned(0)), ("llama", "llama.rope.freq_base", nil),
            ("mistral3", "mistral3.attention.temperature_length", .unsigned(32)),
            ("mixtral", "llama.expert_gating_func", .unsigned(1)), ("llama", "quantize.imatrix.entries_count", .unsigned(7)), ("llama", "llama.attention.causal", .truth(true)),
        ]
        for (file, key, value) in taken { #expect(try why(file) { $0.set(key, value) } == nil, "\(file): \(key)") }
    }

    @Test func `how far stretched positions grow is read from both pairs`() throws {
        func factor(_ multiplier: Double?, _ further: Double?) throws -> Double {
            var rebuilt = try Rebuilt(try Fixture.bytes("gguf/yarn.gguf"))
            rebuilt.set("llama.rope.scaling.yarn_log_multiplier", multiplier.map { .number($0) })
            rebuilt.set("llama.rope.scaling.attn_factor", further.map { .number($0) })
            let scratch = try Scratch()
            return try #require(try GGUFModel(try scratch.write("m.gguf", rebuilt.bytes)).config.yarn).attentionFactor
        }
        #expect(try factor(nil, nil) == Yarn.magnitude(4) && factor(0, 1) == Yarn.magnitude(4) && factor(1, nil) == 1 && factor(1, 1.5) == 1.5)
        #expect(try factor(0.5, nil) == Yarn.magnitude(4) / Yarn.magnitude(4, mscale: 0.5))
    }

    @Test func `a tokenizer that cannot be honoured is refused`() throws {
        func list(_ texts: String...) -> GGUFTable.Value { .list(texts.map { .text($0) }) }
        func kinds(_ kinds: Int64...) -> GGUFTable.Value { .list(kinds.map { .signed($0) }) }
        let cases: [(key: String, value: GGUFTable.Value?)] = [
            ("model", .text("bert")), ("model", nil), ("model", .text("gpt2")), ("tokens", nil), ("tokens", .text("a")), ("tokens", list("a")), ("scores", nil), ("scores", .list([.number(1)])),
            ("token_type", nil), ("token_type", kinds(1, 1, 1, 1, 1, 9)), ("token_type", .list([.text("x")])), ("bos_token_id", .unsigned(6)), ("bos_token_id", .text("1")),
            ("tokens", .list((0..<30).map { .text("\($0)") })), ("add_space_prefix", .unsigned(1)),
        ]
        for (key, value) in cases { #expect(try why("llama", tokenizer: true) { $0.set("tokenizer.ggml." + key, value) } != nil, "\(key)") }

        // A byte-level one, as an export has it.
        let small = try Small("dense"), scratch = try Scratch(), path = scratch.file("m.gguf")
        try GGUFExport(small.config, small.tokenizer, matrices: .bf16, name: "m").write(to: path, rows: { (entry, rows, out) throws(Fault) in small.rows(entry, rows, &out) }) { _ in 0 }
        let bytes = try File(path, .read).readAll(limit: .mib(4))
        func refused(_ key: String, _ value: GGUFTable.Value?) throws -> Bool {
            var rebuilt = try Rebuilt(bytes)
            rebuilt.set("tokenizer.ggml." + key, value)
            let model = try GGUFModel(try scratch.write("x.gguf", rebuilt.bytes))
            do throws(Fault) {
                _ = try model.tokenizer()
                return false
            } catch {
                #expect(error.kind == .request)
                return true
            }
        }
        guard case .list(let tokens)? = try Rebuilt(bytes).pairs.first(where: { $0.key == "tokenizer.ggml.tokens" })?.value,
            case .list(let types)? = try Rebuilt(bytes).pairs.first(where: { $0.key == "tokenizer.ggml.token_type" })?.value
        else { throw Fault(.request, "test", "no tokens") }
        func changed(_ list: [GGUFTable.Value], _ at: Int, _ value: GGUFTable.Value) -> GGUFTable.Value { .list(list.indices.map { $0 == at ? value : list[$0] }) }
        #expect(try !refused("unknown_token_id", nil))
        #expect(try refused("pre", .text("llama-bpe")) && refused("pre", nil))
        #expect(try refused("merges", nil) && refused("merges", list("a b c")) && refused("merges", list("a")) && refused("merges", list("a zzzz")))
        #expect(try refused("bos_token_id", .unsigned(4)) && refused("eos_token_id", .unsigned(4)))
        #expect(try refused("token_type", changed(types, 30, .signed(4))) && refused("token_type", changed(types, 30, .signed(3))))
        for (at, value) in [(40, GGUFTable.Value.text("é\u{2581}")), (40, tokens[41]), (1, .text("<t>")), (0, tokens[2])] { #expect(try refused("tokens", changed(tokens, at, value))) }
    }

    /// Every mutation ends in a model or a fault, and a model can be read to its end.
    @Test(arguments: ["llama", "mistral3", "mixtral"])
    func `mutated files end in a fault or a model, never in a trap`(file: String) throws {
        let good = try Fixture.bytes("gguf/\(file).gguf"), scratch = try Scratch(), path = scratch.file("m.gguf")
        let head = try GGUFTable(parsing: good, fileBytes: good.count, source: file).entries.map(\.range.lowerBound).min() ?? 0
        var generator = SeededGenerator(seed: 11, stream: UInt64(good.count)), models = 0
        for round in 0..<1_500 {
            var bytes = good
            for _ in 0..<(1 + Int(generator.next() % 3)) {
                let at = Int(generator.next() % UInt64(head))
                switch generator.next() % 3 {
                case 0: bytes[at] ^= 1 << UInt8(generator.next() % 8)
                case 1: bytes[at] = UInt8(truncatingIfNeeded: generator.next())
                default: bytes[at] = [0, 1, 0x7f, 0x80, 0xff][Int(generator.next() % 5)]
                }
            }
            if round.isMultiple(of: 10) { bytes.removeLast(Int(generator.next() % UInt64(bytes.count))) }
            try File(path, .replace).write(bytes)
            do throws(Fault) {
                let model = try GGUFModel(path), weights = GGUFWeights(model)
                models += 1
                #expect(try weights.bytes(0..<weights.count).count == weights.count)
                _ = try model.tokenizer()
            } catch { #expect(error.kind == .request, "\(error)") }
        }
        #expect(models > 30)
    }
}
