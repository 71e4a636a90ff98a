import ForgeArtifact
import ForgeCore
import ForgeModel
import ForgeOS
import ForgeTokenizer

/// No figure, but what one is taken of: the folder `outside` in Hugging Face's layout, some 1.3 GB in bfloat16. Experts of which few are chosen, so that a model of that size is scored in moments.
func outsideFolder(_ bench: Bench) throws {
    let config = MistralConfig(
        vocabulary: 512, width: 512, feedForward: 1024, layers: 6, queryHeads: 8, kvHeads: 2, contextMax: 256, bos: 1, eos: 2, experts: .init(count: 68, choices: 2))
    let folder = bench.path("outside"), table = TensorTable(laying: ParameterTable(config).entries.map { ($0.name, .bf16, $0.shape) })
    try Durable.makeDirectory(folder, mode: 0o755)
    var trainer = try BPETrainer(vocabularyCount: 320)
    trainer.add(Array("the quick brown fox jumps over the lazy dog, and what is said here is said again in other words".utf8))
    try Durable.replace(Path.join(folder, "config.json"), with: Array(config.json.text.utf8), mode: 0o644)
    try Durable.replace(Path.join(folder, "tokenizer.json"), with: try trainer.train().json, mode: 0o644)
    let file = try File(Path.join(folder, "model.safetensors"), .create, mode: 0o644)
    try file.write(table.headerBytes, at: 0)
    var random: UInt64 = 1
    for entry in table.entries {
        var bytes = [UInt8](repeating: 0, count: entry.range.count)
        // Norms of one, and matrices of numbers of either sign below a sixteenth.
        let isNorm = entry.name.contains("norm")
        for at in stride(from: 0, to: bytes.count, by: 2) {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let noise = UInt16(truncatingIfNeeded: random >> 48), bits = isNorm ? 0x3f80 : 0x3d00 | noise & 0x807f
            bytes[at] = UInt8(truncatingIfNeeded: bits)
            bytes[at + 1] = UInt8(truncatingIfNeeded: bits >> 8)
        }
        try file.write(bytes, at: Int64(entry.range.lowerBound))
    }
    try file.sync()
}
