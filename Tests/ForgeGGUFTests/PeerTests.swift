import ForgeArtifact
import ForgeCore
import ForgeGGUF
import ForgeModel
import ForgeOS
import ForgeTensor
import Glibc
import Testing

/// What Tests/Peers/test_gguf.py asks of this side: its files as tensor files, and models of ours beside their exports.
@Suite struct PeerTests {
    private static let folder: String? = unsafe getenv("FORGE_PEERS_GGUF").map { unsafe String(cString: $0) }

    @Test(.enabled(if: folder != nil, "no peer asks"))
    func `files are turned for a peer`() throws {
        let folder = try #require(PeerTests.folder)
        for name in try Path.list(folder) where name.hasSuffix(".gguf") {
            let model = try GGUFModel(Path.join(folder, name))
            // In float32 all of it: that library does not know BF16.
            let table = TensorTable(laying: model.table.entries.map { ($0.name, .f32, $0.shape) })
            let numbers = Dictionary(uniqueKeysWithValues: try model.table.entries.map { ($0.name, try model.floats($0)) })
            try write(table, numbers, Path.join(folder, name.replacing(".gguf", with: ".safetensors")))
        }
        for family in Small.families {
            let small = try Small(family), table = TensorTable(laying: small.parameters.table.entries.map { ($0.name, .f32, $0.shape) })
            try write(table, Dictionary(uniqueKeysWithValues: small.parameters.table.entries.map { ($0.name, small.parameters.tensor($0).values()) }), Path.join(folder, "export-\(family).safetensors"))
            for matrices in GGUFExport.Matrices.allCases {
                let export = try GGUFExport(small.config, small.tokenizer, matrices: matrices, name: family)
                try export.write(to: Path.join(folder, "export-\(family)-\(matrices.rawValue).gguf"), rows: { (entry, rows, out) throws(Fault) in small.rows(entry, rows, &out) }, check: small.check)
            }
            let words = try small.logits(small.parameters).map(\.bitPattern)
            try Durable.create(Path.join(folder, "export-\(family).logits"), with: words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } })
        }
    }

    private func write(_ table: TensorTable, _ numbers: [String: [Float]], _ path: String) throws {
        var bytes = table.headerBytes
        for entry in table.entries { for value in numbers[entry.name] ?? [] { for i in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> (8 * UInt32(i)))) } } }
        try Durable.create(path, with: bytes)
    }
}
