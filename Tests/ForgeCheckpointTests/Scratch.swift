import ForgeArtifact
import ForgeCheckpoint
import ForgeCore
import ForgeOS
import Glibc

/// A folder of its own, removed with this value.
final class Scratch {
    let path: String

    init() throws {
        var pattern = Array("/tmp/forge-checkpoint-XXXXXX".utf8CString)
        guard let made = unsafe mkdtemp(&pattern) else { throw Fault(.environment, "test.scratch", "cannot make a scratch folder") }
        path = unsafe String(cString: made)
    }

    deinit { try? Path.removeTree(path) }

    func write(_ name: String, _ bytes: [UInt8]) throws { try Durable.replace(Path.join(path, name), with: bytes) }
    func link(_ name: String, to target: String) throws {
        guard unsafe symlink(target, Path.join(path, name)) == 0 else { throw Fault(.environment, "test.scratch", "cannot make a link") }
    }
    func write(_ name: String, _ text: String) throws { try write(name, Array(text.utf8)) }
}

/// Files of Tests/Fixtures.
enum Fixture {
    static let folder = "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Fixtures/"

    static func bytes(_ name: String) throws -> [UInt8] {
        let file = try File(folder + name, .read)
        return try file.read(Int(file.size()))
    }
}

/// The parameters of a golden decoder (Tests/Fixtures/compute) as Hugging Face's files name them.
struct Golden {
    let config: JSON
    /// Name, shape and bytes, float32.
    let tensors: [(name: String, shape: Shape, bytes: [UInt8])]
    let logits: [Float]
    let ids: [Int32]
    let lengths: [Int32]

    init(_ name: String) throws {
        let bytes = try Fixture.bytes("compute/\(name).safetensors")
        let table = try TensorTable(parsing: bytes, fileBytes: bytes.count, source: name)
        config = try JSON.parse(Array((table.metadata["config"] ?? "").utf8))
        tensors = table.entries.filter { $0.name.hasPrefix("param.") }.map { (String($0.name.dropFirst(6)), $0.shape, Array(bytes[$0.range])) }
        func words(_ name: String) -> [UInt32] {
            guard let entry = table[name] else { return [] }
            return stride(from: entry.range.lowerBound, to: entry.range.upperBound, by: 4).map { at in (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << (8 * $1) } }
        }
        logits = words("logits").map(Float.init(bitPattern:))
        ids = words("ids").map(Int32.init(bitPattern:))
        lengths = words("lengths").map(Int32.init(bitPattern:))
    }

    /// What Mistral's own releases call a tensor of a dense decoder.
    static func native(_ name: String) -> String {
        [
            ("model.layers.", "layers."), ("model.embed_tokens", "tok_embeddings"), ("model.norm", "norm"), ("lm_head", "output"), ("input_layernorm", "attention_norm"), ("post_attention_layernorm", "ffn_norm"),
            ("self_attn.q_proj", "attention.wq"), ("self_attn.k_proj", "attention.wk"), ("self_attn.v_proj", "attention.wv"), ("self_attn.o_proj", "attention.wo"), ("mlp.gate_proj", "feed_forward.w1"),
            ("mlp.up_proj", "feed_forward.w3"), ("mlp.down_proj", "feed_forward.w2"),
        ].reduce(name) { $0.replacing($1.0, with: $1.1) }
    }

    /// As one safetensors file.
    static func file(_ tensors: [(name: String, shape: Shape, bytes: [UInt8])], _ dtype: DType = .f32, metadata: [String: String] = [:]) -> [UInt8] {
        let table = TensorTable(laying: tensors.map { ($0.name, dtype, $0.shape) }, metadata: metadata), found = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.bytes) })
        return table.headerBytes + table.entries.flatMap { found[$0.name]! }
    }
}

extension Scratch {
    /// A folder in Hugging Face's layout.
    func huggingFace(_ golden: Golden, shards: Int = 1, tensors: [(name: String, shape: Shape, bytes: [UInt8])]? = nil) throws -> CheckpointFolder {
        let tensors = tensors ?? golden.tensors
        try write("config.json", Array(golden.config.text.utf8))
        try write("tokenizer.json", "{}")
        if shards == 1 {
            try write("model.safetensors", Golden.file(tensors))
        } else {
            var map = JSON.Object()
            for shard in 0..<shards {
                let part = tensors.indices.filter { $0 % shards == shard }.map { tensors[$0] }, name = "model-0000\(shard + 1)-of-0000\(shards).safetensors"
                try write(name, Golden.file(part))
                for tensor in part { map[tensor.name] = .string(name) }
            }
            try write("model.safetensors.index.json", Array(JSON.object(["metadata": ["total_size": 1], "weight_map": .object(map)]).text.utf8))
        }
        return try CheckpointFolder(path)
    }

    /// The folder of a fixture with a tokenizer beside it.
    func native(_ family: String) throws -> CheckpointFolder {
        for name in try Path.list(Fixture.folder + "checkpoint/" + family) { try write(name, try Fixture.bytes("checkpoint/\(family)/\(name)")) }
        try write("tokenizer.json", "{}")
        return try CheckpointFolder(path)
    }
}

func whole(_ checkpoint: Checkpoint) throws(Fault) -> [UInt8] { try whole(checkpoint.weights) }
func whole(_ weights: ModelWeights) throws(Fault) -> [UInt8] { try weights.bytes(0..<weights.count) }
