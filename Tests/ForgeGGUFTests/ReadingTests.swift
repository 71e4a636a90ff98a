import ForgeArtifact
import ForgeCore
import ForgeGGUF
import ForgeModel
import ForgeTokenizer
import ForgeOS
import ForgeTensor
import Testing

/// File, and the decoder it was made of.
private let families = [("llama", "decoder-plain"), ("tied", "decoder-tied"), ("yarn", "decoder-yarn"), ("mistral3", "decoder-ministral3"), ("mixtral", "mixtral-plain")]

@Suite struct ReadingTests {
    private func model(_ name: String) throws -> GGUFModel { try GGUFModel(Fixture.folder + "gguf/\(name).gguf") }

    @Test(arguments: families.indices)
    func `a model reads as what it was made of, and gives transformers' logits`(index: Int) throws {
        let (file, name) = families[index], golden = try Golden(name), model = try model(file)
        var wanted = golden.config
        wanted.experts?.balance = 0.001
        wanted.experts?.balances = false
        #expect(model.config == wanted)
        #expect(model.table.entries.map(\.name) == ParameterTable(golden.config).entries.map(\.name))
        for entry in model.table.entries { #expect(try model.floats(entry) == golden.floats[entry.name], "\(entry.name)") }
        #expect(try golden.error(model) <= 1e-5)
    }

    /// What a reader gets wrong shows in the same numbers.
    @Test(arguments: families.indices)
    func `rows left in pairs, or gate and up in each other's place, change the logits`(index: Int) throws {
        let (file, name) = families[index], golden = try Golden(name), model = try model(file), d = model.config.headDim
        #expect(try golden.error(model.table) { entry in
            let values = try model.floats(entry)
            guard entry.name.hasSuffix("q_proj.weight") || entry.name.hasSuffix("k_proj.weight") else { return values }
            let width = entry.shape[1]
            return (0..<entry.shape[0]).flatMap { row in
                let within = row % d, there = row - within + (within % 2 == 0 ? within / 2 : within / 2 + d / 2)
                return values[there * width..<(there + 1) * width]
            }
        } > 1e-2)
        let exchanged = ["gate_proj": "up_proj", "up_proj": "gate_proj", "w1": "w3", "w3": "w1"]
        #expect(try golden.error(model.table) { entry in
            for (from, to) in exchanged where entry.name.contains(".\(from).") { return try model.floats(try #require(model.table[entry.name.replacing(".\(from).", with: ".\(to).")])) }
            return try model.floats(entry)
        } > 1e-2)
    }

    /// The whole tensor file that a model becomes is a tensor file of its numbers, those of blocks rounded, whatever pieces it is read in.
    private func check(_ model: GGUFModel, steps: [Int]) throws {
        let weights = GGUFWeights(model), whole = try weights.bytes(0..<weights.count), table = try TensorTable(parsing: whole, fileBytes: whole.count, source: "model.safetensors")
        #expect(table == weights.table && table.metadata == ["format": "pt"])
        for entry in model.table.entries {
            let tensor = try #require(table[entry.name]), exact = ["F32", "F16"].contains(model.format(of: entry))
            #expect(tensor.shape == entry.shape && tensor.dtype == (exact ? .f32 : .bf16))
            let wanted = try model.floats(entry).flatMap { value -> [UInt8] in
                let bits = value.bitPattern, top = (bits + 0x7fff + (bits >> 16 & 1)) >> 16
                return exact ? (0..<4).map { UInt8(truncatingIfNeeded: bits >> (8 * $0)) } : [UInt8(truncatingIfNeeded: top), UInt8(top >> 8)]
            }
            #expect(Array(whole[tensor.range]) == wanted, "\(entry.name)")
        }
        for step in steps {
            #expect(try stride(from: 0, to: weights.count, by: step).flatMap { try weights.bytes($0..<min($0 + step, weights.count)) } == whole)
        }
    }

    @Test(arguments: families.indices)
    func `it becomes one tensor file, whose bytes are the same in any pieces`(index: Int) throws {
        try check(try model(families[index].0), steps: index == 0 ? [1_000, 777, 13] : [1_000, 777])
    }

    @Test(arguments: GGUFExport.Matrices.allCases)
    func `blocks become the bfloat16 that is nearest`(matrices: GGUFExport.Matrices) throws {
        let small = try Small("mixtral"), scratch = try Scratch(), path = scratch.file("model.gguf"), export = try GGUFExport(small.config, small.tokenizer, matrices: matrices, name: "m")
        try export.write(to: path, rows: { (entry, rows, out) throws(Fault) in small.rows(entry, rows, &out) }) { _ in 0 }
        try check(try GGUFModel(path), steps: [10_007])
    }

    @Test func `a SentencePiece vocabulary becomes the tokenizer it is`() throws {
        let tokenizer = try model("llama").tokenizer()
        #expect(tokenizer.count == 8 && tokenizer.control.begin == 1 && tokenizer.control.end == 2 && tokenizer.dropsPrefix)
        // A blank goes before the text; of two that could be joined, the piece that scores higher is.
        #expect(tokenizer.encode("abab a") == [3, 6, 7, 3] && tokenizer.decode([3, 6, 7, 3]) == Array("abab a".utf8))
        #expect { try model("yarn").tokenizer() } throws: { ($0 as? Fault)?.why.contains("tokenizer.ggml.tokens") == true }
    }
}
