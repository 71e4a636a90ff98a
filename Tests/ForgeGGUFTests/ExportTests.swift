import ForgeArtifact
import ForgeBlocks
import ForgeCore
import ForgeGGUF
import ForgeModel
import ForgeOS
import ForgeTensor
import ForgeTokenizer
import Testing

@Suite struct ExportTests {
    private func files(_ scratch: Scratch) throws -> [String] { try Path.list(scratch.path) }

    @Test(arguments: Small.families, GGUFExport.Matrices.allCases)
    func `a file reads back as the model, its tokenizer, and the numbers its blocks stand for`(family: String, matrices: GGUFExport.Matrices) throws {
        let small = try Small(family), scratch = try Scratch(), path = scratch.file("model.gguf")
        let export = try GGUFExport(small.config, small.tokenizer, matrices: matrices, name: "small \(family)", chatTemplate: "{{ messages }}")
        var errors: [Double] = []
        try export.write(to: path, rows: { (entry, rows, out) throws(Fault) in small.rows(entry, rows, &out) }) { (model) throws(Fault) in
            errors.append(try small.check(model))
            return errors[0]
        }
        #expect(try files(scratch) == ["model.gguf"])
        #expect(errors.count == 1 && errors[0] <= matrices.tolerance && errors[0] > 0)
        let model = try GGUFModel(path)
        #expect(try Path.information(path)?.size == export.count.count)
        #expect(model.head.value("general.architecture") == .text(family == "ministral3" ? "mistral3" : "llama") && model.chatTemplate == "{{ messages }}")
        #expect(model.config == small.config)
        for entry in model.table.entries {
            let format: String = entry.role == .norm || entry.name.hasSuffix("moe.gate.weight") ? "F32" : entry.role == .embedding && matrices == .q4_0 ? "Q8_0" : matrices.rawValue.uppercased()
            #expect(model.format(of: entry) == format)
            let values = small.parameters.tensor(entry).values(), blocks = try #require(BlockFormat.allCases.first { "\($0)" == format })
            var bytes = [UInt8](repeating: 0, count: values.count / blocks.numbers * blocks.bytes), wanted = values, target = bytes.mutableSpan
            blocks.encode(values.span, into: &target)
            var span = wanted.mutableSpan
            unsafe blocks.decode(bytes.span.bytes, into: &span)
            #expect(try model.floats(entry) == wanted, "\(entry.name)")
        }
        let tokenizer = try model.tokenizer()
        #expect(tokenizer.count == small.tokenizer.count && tokenizer.control == small.tokenizer.control)
        for text in ["the other ledger", "then  there\n\nbank's", "Grüße [INST] </s>", "\u{1F468}\u{200D}\u{1F469} 12345"] { #expect(tokenizer.encode(text) == small.tokenizer.encode(text)) }
    }

    @Test(arguments: Small.families)
    func `what leaves GGUF for GGUF is the same file`(family: String) throws {
        let small = try Small(family), scratch = try Scratch()
        let export = try GGUFExport(small.config, small.tokenizer, matrices: .bf16, name: "m")
        try export.write(to: scratch.file("a.gguf"), rows: { (entry, rows, out) throws(Fault) in small.rows(entry, rows, &out) }) { _ in 0 }
        let model = try GGUFModel(scratch.file("a.gguf"))
        let tokenizer = try model.tokenizer()
        try GGUFExport(model.config, tokenizer, matrices: .bf16, name: "m").write(to: scratch.file("b.gguf"), rows: { (entry, rows, out) throws(Fault) in try model.read(entry, rows: rows, into: &out) }) { _ in 0 }
        #expect(try File(scratch.file("a.gguf"), .read).readAll(limit: .mib(4)) == File(scratch.file("b.gguf"), .read).readAll(limit: .mib(4)))
    }

    /// The rows that a writer without the permutation, or with heads exchanged, would have written.
    @Test(arguments: Small.families, ["pairs", "heads"])
    func `an export whose queries or keys lie otherwise is refused and gone`(family: String, mistake: String) throws {
        let small = try Small(family), scratch = try Scratch(), d = small.config.headDim
        let export = try GGUFExport(small.config, small.tokenizer, matrices: .bf16, name: "m")
        let rows: GGUFExport.Rows = { (entry, rows, out) throws(Fault) in
            guard entry.name.hasSuffix("k_proj.weight") else { return small.rows(entry, rows, &out) }
            let values = small.parameters.tensor(entry).values(), width = entry.shape[1]
            for (place, row) in rows.enumerated() {
                let within = row % d
                let from = mistake == "heads" ? (row + d) % entry.shape[0] : row - within + (within % 2 == 0 ? within / 2 : within / 2 + d / 2)
                for column in 0..<width { out[place * width + column] = values[from * width + column] }
            }
        }
        #expect { try export.write(to: scratch.file("model.gguf"), rows: rows, check: small.check) } throws: {
            ($0 as? Fault)?.code == "gguf.export" && ($0 as? Fault)?.why.hasPrefix("its logits differ") == true
        }
        #expect(try files(scratch).isEmpty)
    }

    @Test func `nothing is left of an export that fails, whatever failed`() throws {
        let small = try Small("tied"), scratch = try Scratch(), path = scratch.file("model.gguf")
        let export = try GGUFExport(small.config, small.tokenizer, matrices: .q8_0, name: "m")
        let rows: GGUFExport.Rows = { (entry, rows, out) throws(Fault) in small.rows(entry, rows, &out) }
        for error in [Double.nan, .infinity, export.matrices.tolerance.nextUp] { #expect(throws: Fault.self) { try export.write(to: path, rows: rows) { _ in error } } }
        #expect { try export.write(to: path, rows: rows) { _ throws(Fault) in throw Fault(.environment, "test.memory", "no memory") } } throws: { ($0 as? Fault)?.code == "test.memory" }
        #expect {
            try export.write(to: path, rows: { (entry, range, out) throws(Fault) in
                guard entry.name != "model.norm.weight" else { throw Fault(.environment, "test.rows", "no rows") }
                small.rows(entry, range, &out)
            }) { _ in 0 }
        } throws: { ($0 as? Fault)?.code == "test.rows" }
        #expect(try files(scratch).isEmpty)
        // A weight that is no number shows in the logits, whatever the format makes of it.
        #expect {
            try export.write(to: path, rows: { (entry, range, out) throws(Fault) in
                small.rows(entry, range, &out)
                if entry.name.hasSuffix("o_proj.weight") { out[3] = .nan }
            }, check: small.check)
        } throws: { ($0 as? Fault)?.code == "gguf.export" }
        #expect(try files(scratch).isEmpty)
        try export.write(to: path, rows: rows) { _ in export.matrices.tolerance }
        #expect { try export.write(to: path, rows: rows) { _ in 0 } } throws: { ($0 as? Fault)?.code == "os.eexist" }
        #expect(try files(scratch) == ["model.gguf"])
    }

    @Test func `a model that llama.cpp would compute differently is refused`() throws {
        let small = try Small("dense")
        func refused(_ change: (inout MistralConfig) -> Void) -> String? {
            var config = small.config
            change(&config)
            do throws(Fault) {
                _ = try GGUFExport(config, small.tokenizer, matrices: .bf16, name: "m")
                return nil
            } catch { return error.why }
        }
        #expect(refused { $0.window = 64 }?.contains("window of 64") == true)
        #expect(refused { ($0.window, $0.windowed) = (64, [true, false]) }?.contains("window of 64") == true)
        #expect(refused { $0.window = 128 } == nil && refused { ($0.window, $0.windowed) = (64, [false, false]) } == nil)
        #expect(refused { $0.vocabulary = small.tokenizer.count - 1 }?.contains("tokens") == true)
        #expect(refused { $0.kvHeads = 3 } != nil)
    }

    /// Rows of 48 are no whole blocks.
    @Test func `matrices that are no whole blocks stay in BF16`() throws {
        var small = try Small("dense").config
        small.feedForward = 48
        let device = try Device(.best, threads: 1), parameters = try Parameters(ParameterTable(small), on: device), tokenizer = try Small("dense").tokenizer, scratch = try Scratch()
        parameters.initialise(seed: 3)
        let export = try GGUFExport(small, tokenizer, matrices: .q4_0, name: "m")
        try export.write(to: scratch.file("m.gguf"), rows: { (entry, rows, out) throws(Fault) in
            let values = parameters.tensor(entry).values(), columns = entry.count / (entry.shape.rank == 2 ? entry.shape[0] : 1)
            for i in 0..<out.count { out[i] = values[rows.lowerBound * columns + i] }
        }) { _ in 0 }
        let model = try GGUFModel(scratch.file("m.gguf"))
        #expect(Set(model.table.entries.map(model.format)) == ["F32", "Q4_0", "Q8_0", "BF16"])
        #expect(model.format(of: try #require(model.table["model.layers.1.mlp.down_proj.weight"])) == "BF16")
    }
}
