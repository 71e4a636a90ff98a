import ForgeArtifact
import ForgeCheckpoint
import ForgeCore
import ForgeModel
import ForgeOS
import Testing

/// What Tests/Fixtures/checkpoint/make-quantised.py made: one layer of Mistral 4, kept as releases keep weights, and the numbers torch reads out of it.
@Suite struct QuantisedTests {
    static let config = MistralConfig(
        vocabulary: 29, width: 144, feedForward: 16, layers: 1, queryHeads: 3, kvHeads: 3, contextMax: 128, normEps: 1e-6, yarn: Yarn(factor: 4, originalContext: 32, attentionFactor: 1),
        queryScale: QueryScale(beta: 0.1, originalContext: 32), bos: 1, eos: 2, experts: .init(count: 2, choices: 1, shared: 1),
        latent: LatentAttention(queryRank: 16, rank: 16, plainDim: 16, turnedDim: 16, valueDim: 20, raisesScores: false))

    private func folder(_ scratch: Scratch, _ weights: [UInt8], native: Bool = false, quantisation: JSON? = ["quant_method": "fp8"]) throws -> CheckpointFolder {
        var described = try #require((native ? try QuantisedTests.config.params() : QuantisedTests.config.json).object)
        if native { described["quantization"] = ["qformat_weight": "fp8_e4m3", "qscheme_act": "TENSOR"] } else { described["quantization_config"] = quantisation }
        try scratch.write(native ? "params.json" : "config.json", JSON.object(described).text)
        try scratch.write(native ? "consolidated.safetensors" : "model.safetensors", weights)
        try scratch.write("tokenizer.json", "{}")
        return try CheckpointFolder(scratch.path)
    }

    @Test(arguments: [("tensor", "tensor"), ("native", "tensor"), ("tiles", "tiles"), ("packed", "packed")])
    func `weights of eight and four bits become the numbers torch reads, rounded once`(kept: String, expected: String) throws {
        let scratch = try Scratch()
        let config: JSON = kept == "packed" ? ["quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"] : ["quant_method": "fp8", "weight_block_size": kept == "tiles" ? [128, 128] : nil]
        let checkpoint = try Checkpoint(try folder(scratch, try Fixture.bytes("checkpoint/quantised-\(kept).safetensors"), native: kept == "native", quantisation: config))
        let bytes = try whole(checkpoint), ours = try TensorTable(parsing: bytes, fileBytes: bytes.count, source: "ours")
        let wanted = try Fixture.bytes("checkpoint/expected-\(expected).safetensors"), theirs = try TensorTable(parsing: wanted, fileBytes: wanted.count, source: "theirs")
        #expect(ours.entries.map(\.name) == theirs.entries.map(\.name))
        for entry in theirs.entries {
            let found = try #require(ours[entry.name])
            let same = found.dtype == .bf16 && found.shape == entry.shape && bytes[found.range].elementsEqual(wanted[entry.range])
            #expect(same, "\(entry.name)")
        }
        // Whatever part of the file is asked for.
        var random = SeededGenerator(seed: 9)
        for _ in 0..<300 {
            let from = Int(random.next() % UInt64(bytes.count)), to = from + Int(random.next() % UInt64(min(5000, bytes.count - from) + 1))
            #expect(try checkpoint.weights.bytes(from..<to).elementsEqual(bytes[from..<to]))
        }
    }

    @Test func `what is missing or does not fit beside rounded weights is refused by name`() throws {
        func refused(_ file: String, native: Bool = false, quantisation: JSON? = ["quant_method": "fp8"], _ change: (inout [(name: String, dtype: DType, shape: Shape, bytes: [UInt8])]) -> Void) throws -> String {
            let whole = try Fixture.bytes("checkpoint/quantised-\(file).safetensors"), table = try TensorTable(parsing: whole, fileBytes: whole.count, source: file)
            var tensors = table.entries.map { (name: $0.name, dtype: $0.dtype, shape: $0.shape, bytes: Array(whole[$0.range])) }
            change(&tensors)
            let laid = TensorTable(laying: tensors.map { ($0.name, $0.dtype, $0.shape) }), found = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.bytes) })
            let scratch = try Scratch(), bytes = laid.headerBytes + laid.entries.flatMap { found[$0.name]! }
            return #expect(throws: Fault.self) { _ = try Checkpoint(try folder(scratch, bytes, native: native, quantisation: quantisation)) }?.why ?? ""
        }
        let query = "model.layers.0.self_attn.q_a_proj."
        #expect(try refused("tensor") { $0.removeAll { $0.name == query + "weight_scale_inv" } } == "tensor `\(query)weight` is of type F8 and has no scale beside it")
        #expect(try refused("tensor") { $0.removeAll { $0.name.hasSuffix("gate_up_proj_scale_inv") } }.contains("has not one scale an expert"))
        #expect(try refused("tensor") { $0.append(("model.layers.0.self_attn.extra", .f32, [1], [0, 0, 0, 0])) } == "tensor `model.layers.0.self_attn.extra` is not one of this architecture")
        #expect(try refused("tiles") { tensors in
            let at = tensors.firstIndex { $0.name == query + "weight_scale_inv" }!
            tensors[at] = (tensors[at].name, .f32, [2, 1], tensors[at].bytes)
        }.contains("which is neither one scale"))
        #expect(try refused("packed") { $0.removeAll { $0.name.hasSuffix("experts.0.gate_proj.weight_global_scale") } }.contains("experts.0.gate_proj.weight_packed` and what belongs to it"))
        #expect(try refused("packed") { tensors in
            let at = tensors.firstIndex { $0.name.hasSuffix("experts.1.up_proj.weight_global_scale") }!
            tensors[at].bytes = [0, 0, 0, 0]
        }.contains("weight_global_scale` is 0"))
        #expect(try refused("tensor", quantisation: ["quant_method": "gptq"]) { _ in }.contains("`gptq`"))
    }
}
