import ForgeArtifact
import ForgeCheckpoint
import ForgeCore
import ForgeModel
import ForgeNN
import ForgeOS
import ForgeTensor
import Testing

/// For Tests/Peers/test_peft.py and test_checkpoints.py: what we make of the folders it wrote, for the libraries to judge.
@Suite struct PeerTests {
    private func ids(_ folder: String) throws -> [[Int32]] {
        let json = try JSON.parse(try File(Path.join(folder, "ids.json"), .read).readAll(limit: .mib(1)))
        return try #require(json.array).map { try #require($0.array).map { Int32(try #require($0.int)) } }
    }

    /// Of every position of every sequence, as float32.
    private func write(_ logits: [Float], _ path: String) throws { try Durable.replace(path, with: DType.f32.bytes(logits)) }

    private func parameters(_ checkpoint: Checkpoint, on device: Device) throws -> Parameters {
        let made = try Parameters(ParameterTable(checkpoint.config), on: device)
        for entry in made.table.entries { made.tensor(entry).write(try checkpoint.weights.values(entry.name)) }
        return made
    }

    private func batch(_ ids: [[Int32]]) -> TokenBatch {
        TokenBatch(ids: Array(ids.joined()), targets: ids.joined().map { _ in -1 }, cumulativeLengths: ids.reduce(into: [0]) { $0.append($0.last! + Int32($1.count)) })
    }

    @Test(.enabled(if: Environment["FORGE_PEERS_PEFT"] != nil, "set by Tests/Peers/test_peft.py"))
    func `adapters are read, written and merged for the peers test`() throws {
        let root = try #require(Environment["FORGE_PEERS_PEFT"]), device = try Device(threads: 2)
        for name in try Path.list(root) {
            let folder = Path.join(root, name), batch = batch(try ids(folder))
            let base = try Checkpoint(try CheckpointFolder(Path.join(folder, "base"))), frozen = try PackedWeights(try parameters(base, on: device), on: device)
            func logits(_ adapters: Parameters) throws -> [Float] { try Decoder(frozen, adapters: adapters, rows: batch.rows, on: device).logits(batch) }

            let theirs = try AdapterCheckpoint(try CheckpointFolder(Path.join(folder, "theirs")), beside: base.config), read = try Parameters(theirs.table, on: device)
            for entry in theirs.table.entries { read.tensor(entry).write(try theirs.values(entry)) }
            try write(try logits(read), Path.join(folder, "theirs.f32"))
            try Durable.makeDirectory(Path.join(folder, "kept"))
            try theirs.weights.write(Path.join(folder, "kept/adapter_model.safetensors"))
            try Durable.create(Path.join(folder, "kept/adapter_config.json"), with: Array(theirs.config.peft().text.utf8))

            // Adapters of our own beside the same decoder.
            let own = try Parameters(ParameterTable(base.config, adapters: AdapterConfig(rank: 4, alpha: 2.5, stabilised: true, targets: [.key, .output, .gate, .down])), on: device)
            var random = SeededGenerator(seed: 7)
            own.flat.write((0..<own.table.count).map { _ in random.symmetric() * 0.5 })
            try write(try logits(own), Path.join(folder, "ours.f32"))
            try Durable.makeDirectory(Path.join(folder, "ours"))
            try AdapterCheckpoint.write(own.table, to: Path.join(folder, "ours")) { (entry) throws(Fault) in own.tensor(entry).values() }

            let merged = try base.weights.merging(theirs)
            try Durable.makeDirectory(Path.join(folder, "merged"))
            try merged.write(Path.join(folder, "merged/model.safetensors"))
            try Durable.create(Path.join(folder, "merged/config.json"), with: Array(base.config.json.text.utf8))
        }
    }

    @Test(.enabled(if: Environment["FORGE_PEERS_CHECKPOINTS"] != nil, "set by Tests/Peers/test_checkpoints.py"))
    func `checkpoints are read and written again for the peers test`() throws {
        let root = try #require(Environment["FORGE_PEERS_CHECKPOINTS"]), device = try Device(threads: 2)
        for name in try Path.list(root) {
            let folder = Path.join(root, name), batch = batch(try ids(folder)), checkpoint = try Checkpoint(try CheckpointFolder(Path.join(folder, "theirs")))
            try write(try Decoder(try parameters(checkpoint, on: device), rows: batch.rows, on: device).logits(batch), Path.join(folder, "ours.f32"))
            for way in ["ours", "shards"] {
                try Durable.makeDirectory(Path.join(folder, way))
                try checkpoint.weights.write(Path.join(folder, way, "model.safetensors"))
                try Durable.create(Path.join(folder, way, "config.json"), with: Array(checkpoint.config.json.text.utf8))
            }
            #expect(try Sharding.cut(Path.join(folder, "shards"), bound: .kib(20)) > 1)

            // Out natively and in again: the same model.
            let model = try CheckpointFolder(Path.join(folder, "ours")), native = Path.join(folder, "native")
            try Durable.makeDirectory(native)
            try ModelWeights(native: "model.safetensors", in: model, checkpoint.config).write(Path.join(native, "consolidated.safetensors"))
            try Durable.create(Path.join(native, "params.json"), with: Array(try checkpoint.config.params().text.utf8))
            try Durable.create(Path.join(native, "tokenizer.json"), with: Array("{}".utf8))
            let again = try Checkpoint(try CheckpointFolder(native)), same = try whole(again) == whole(checkpoint)
            #expect(same, "\(name)")
        }
    }
}
