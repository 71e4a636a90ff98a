import ForgeArtifact
import ForgeCheckpoint
import ForgeCore
import ForgeOS
import Testing

@Suite struct ShardingTests {
    private func folder(in scratch: Scratch) throws -> (Golden, [UInt8]) {
        let golden = try Golden("decoder-plain")
        _ = try scratch.huggingFace(golden)
        let file = try whole(try Checkpoint(try CheckpointFolder(scratch.path)))
        try scratch.write("model.safetensors", file)
        return (golden, file)
    }

    @Test(arguments: [1, 700, 4_000, 9_000])
    func `shards hold every tensor once, none more than the bound, and are the same model`(bound: Int) throws {
        let scratch = try Scratch(), (golden, file) = try folder(in: scratch), count = try Sharding.cut(scratch.path, bound: ByteCount(bound))
        #expect(bound == 1 ? count == golden.tensors.count : count > 1)
        let names = try Path.list(scratch.path).filter { $0.hasSuffix(".safetensors") }
        let number = { (n: Int) in String(repeating: "0", count: 5 - String(n).count) + String(n) }
        #expect(names == (1...count).map { "model-\(number($0))-of-\(number(count)).safetensors" })
        var data = 0
        for name in names {
            let path = Path.join(scratch.path, name), bytes = try File(path, .read).readAll(limit: .mib(16)), table = try TensorTable(parsing: bytes, fileBytes: bytes.count, source: name)
            let held = table.entries.reduce(0) { $0 + $1.range.count }
            #expect(held <= bound || table.entries.count == 1)
            #expect(table.metadata == ["format": "pt"])
            #expect(try Path.information(path)?.mode == 0o600)
            data += held
        }
        let checkpoint = try Checkpoint(try CheckpointFolder(scratch.path)), same = try whole(checkpoint) == file
        #expect(same && checkpoint.sources == (["config.json", "model.safetensors.index.json", "tokenizer.json"] + names).sorted())
        let index = try CheckpointFolder(scratch.path).json("model.safetensors.index.json")
        #expect(index["metadata"]?["total_size"]?.int == Int64(data) && index["weight_map"]?.object?.keys == golden.tensors.map(\.name).sorted())
    }

    @Test func `what fits stays one file, and what would be too many shards is refused before anything is cut`() throws {
        let scratch = try Scratch(), (_, file) = try folder(in: scratch)
        let table = try TensorTable(parsing: file, fileBytes: file.count, source: "model.safetensors"), data = table.entries.reduce(0) { $0 + $1.range.count }
        #expect(try Sharding.cut(scratch.path) == 1)
        #expect(try Sharding.cut(scratch.path, bound: ByteCount(data)) == 1)
        #expect(try File(Path.join(scratch.path, "model.safetensors"), .read).readAll(limit: .mib(16)) == file)
        let many = (0..<600).map { (name: "t\($0)", shape: Shape([1]), bytes: [UInt8]([0, 0, 0, 0])) }
        try scratch.write("model.safetensors", Golden.file(many))
        let before = try Path.list(scratch.path), fault = #expect(throws: Fault.self) { _ = try Sharding.cut(scratch.path, bound: 4) }
        #expect(try fault?.code == "checkpoint.shards" && Path.list(scratch.path) == before)
        try scratch.write("model.safetensors", "{}")
        #expect(throws: Fault.self) { _ = try Sharding.cut(scratch.path, bound: 4) }
    }

    @Test func `a file in the way ends the cut, and nothing of what stays is lost`() throws {
        let scratch = try Scratch(), (_, file) = try folder(in: scratch)
        try scratch.write("model-00002-of-00002.safetensors", "x")
        let half = try TensorTable(parsing: file, fileBytes: file.count, source: "model.safetensors").entries.reduce(0) { $0 + $1.range.count } * 2 / 3
        let fault = #expect(throws: Fault.self) { _ = try Sharding.cut(scratch.path, bound: ByteCount(half)) }
        #expect(fault?.code == "os.eexist")
        #expect(try File(Path.join(scratch.path, "model.safetensors"), .read).readAll(limit: .mib(16)) == file)
    }
}
