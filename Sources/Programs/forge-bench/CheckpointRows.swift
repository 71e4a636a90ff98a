import ForgeArtifact
import ForgeBlocks
import ForgeCheckpoint
import ForgeCore
import ForgeCrypto
import ForgeModel
import ForgeOS

/// Checkpoints on their way in and out, from files that were just written and so lie in memory: converted and hashed, which is what `forge model import` does before it sends,
/// and converted to the native layout.
func checkpointRows(_ bench: Bench) throws {
    let config = MistralConfig(vocabulary: 32_000, width: 1024, feedForward: 3584, layers: 12, queryHeads: 16, kvHeads: 4, contextMax: 4096, bos: 1, eos: 2)
    let table = TensorTable(laying: ParameterTable(config).entries.map { ($0.name, .bf16, $0.shape) })
    let theirs = bench.path("hugging-face"), ours = bench.path("native"), piece = 1 << 20
    for folder in [theirs, ours] {
        try Durable.makeDirectory(folder)
        try Durable.replace(Path.join(folder, "tokenizer.json"), with: Array("{}".utf8))
    }
    var random: UInt64 = 1
    let noise = (0..<piece).map { _ -> UInt8 in
        random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt8(truncatingIfNeeded: random >> 56) & 0x3f
    }
    let file = try File(Path.join(theirs, "model.safetensors"), .replace), header = table.headerBytes
    try file.write(header, at: 0)
    for at in stride(from: header.count, to: table.fileBytes, by: piece) { try file.write(Array(noise.prefix(table.fileBytes - at)), at: Int64(at)) }
    try Durable.replace(Path.join(theirs, "config.json"), with: Array(config.json.text.utf8))
    try Durable.replace(Path.join(ours, "params.json"), with: Array(try config.params().text.utf8))

    func pass(_ weights: ModelWeights, _ use: ([UInt8]) throws(Fault) -> Void) throws -> Double {
        let seconds = try Bench.seconds { for at in stride(from: 0, to: weights.count, by: piece) { try use(try weights.bytes(at..<min(at + piece, weights.count))) } }
        return Double(weights.count) / 1e6 / seconds
    }
    var exporting: [Double] = []
    for _ in 0..<5 {
        let native = try ModelWeights(native: "model.safetensors", in: try CheckpointFolder(theirs), config)
        let out = try File(Path.join(ours, "consolidated.safetensors"), .replace)
        var at: Int64 = 0
        exporting.append(
            try pass(native) { (bytes) throws(Fault) in
                try out.write(bytes, at: at)
                at += Int64(bytes.count)
            })
    }
    bench.say("checkpoint.export.native", "MB/s", samples: exporting)
    for (name, folder) in [("hugging-face", theirs), ("native", ours)] {
        let weights = try Checkpoint(try CheckpointFolder(folder)).weights
        bench.say(
            "checkpoint.import.\(name)", "MB/s",
            samples: try (0..<5).map { _ in
                var hasher = SHA256Hasher()
                let rate = try pass(weights) { (bytes) throws(Fault) in hasher.update(bytes) }
                _ = hasher.finish()
                return rate
            })
    }
    packedRows(bench)
    bench.say("checkpoint.sha256", "MB/s", samples: (0..<9).map { _ in Double(noise.count) / 1e6 / Bench.seconds { _ = Digest.sha256(noise) } })
}

/// Packed numbers to float32, from a cache: how many a second, beside a copy of as many float32.
func packedRows(_ bench: Bench) {
    let count = 1 << 20, noise = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 7) & 0x3f }, floats = [Float](repeating: 1.5, count: count)
    var out = [Float](repeating: 0, count: count)
    func rate(_ decode: (inout MutableSpan<Float>) -> Void) -> [Double] {
        (0..<9).map { _ in
            let seconds = Bench.seconds {
                for _ in 0..<8 {
                    var span = out.mutableSpan
                    decode(&span)
                }
            }
            return Double(8 * count) / 1e6 / seconds
        }
    }
    for format in [BlockFormat.q8_0, .q4_K, .q6_K] {
        let bytes = Array(noise.prefix(count / format.numbers * format.bytes)) + [UInt8](repeating: 1, count: max(0, count / format.numbers * format.bytes - count))
        bench.say("checkpoint.unpack.\(format)", "M/s", samples: rate { unsafe format.decode(bytes.span.bytes, into: &$0) })
    }
    bench.say("checkpoint.unpack.F8_E4M3", "M/s", samples: rate { unsafe SmallFloat.e4m3.decode(noise.span.bytes, scale: 0.5, into: &$0) })
    bench.say("checkpoint.unpack.copy", "M/s", samples: rate { unsafe BlockFormat.f32.decode(floats.span.bytes, into: &$0) })
}
