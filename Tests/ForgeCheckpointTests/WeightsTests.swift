import ForgeArtifact
import ForgeCheckpoint
import ForgeCore
import ForgeModel
import ForgeOS
import Testing

@Suite struct WeightsTests {
    /// The kernel answers a touch beyond the end of a mapped file by ending the process; a read says how much there was.
    @Test(arguments: ["model.safetensors", "consolidated.safetensors"])
    func `a file that is cut in the middle of reading ends in a fault`(name: String) throws {
        let scratch = try Scratch()
        let folder = try name == "model.safetensors" ? scratch.huggingFace(Golden("decoder-plain")) : scratch.native("ministral3")
        let checkpoint = try Checkpoint(folder), half = checkpoint.weights.count / 2
        let before = try checkpoint.weights.bytes(0..<half)
        try File(Path.join(scratch.path, name), .update).truncate(to: Int64(half))
        let fault = #expect(throws: Fault.self) { _ = try whole(checkpoint) }
        #expect(fault?.code == "os.cut" && fault?.kind == .request && fault?.what.contains(name) == true)
        // Cut to nothing, and removed: what is open is read or refused, and the header is ours.
        try File(Path.join(scratch.path, name), .update).truncate(to: 0)
        try Path.removeTree(Path.join(scratch.path, name))
        #expect(throws: Fault.self) { _ = try checkpoint.weights.bytes(half - 8..<half) }
        #expect(try checkpoint.weights.bytes(0..<64) == Array(before[..<64]))
    }

    @Test func `every F16 becomes the float32 of its value, and every BF16 comes back from one`() {
        let all = (0...UInt16.max).flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }, wide = DType.f16.floats(all)
        var off = 0
        for (bits, value) in zip(0...UInt16.max, wide) {
            let truth = Float(Float16(bitPattern: bits))
            if !(value.bitPattern == truth.bitPattern || value.isNaN && truth.isNaN && value.sign == truth.sign) { off += 1 }
        }
        #expect(off == 0)
        #expect(DType.f32.floats(DType.f32.bytes(wide)).map(\.bitPattern) == wide.map(\.bitPattern))
        let narrow = DType.bf16.bytes(DType.bf16.floats(all)), numbers = stride(from: 0, to: all.count, by: 2).filter { !(all[$0 + 1] & 0x7f == 0x7f && all[$0] > 0x80) }
        #expect(numbers.allSatisfy { narrow[$0] == all[$0] && narrow[$0 + 1] == all[$0 + 1] })
        #expect(DType.bf16.floats(narrow).map(\.isNaN) == DType.bf16.floats(all).map(\.isNaN))
        // Halfway to the even one, and away from it by the least there is.
        for (value, truth) in [(0x1.01p0, 0x1p0), (0x1.010002p0, 0x1.02p0), (0x1.03p0, 0x1.04p0), (0x1.02fffep0, 0x1.02p0), (-0x1.01p0, -0x1p0), (0x1.fffffep127, .infinity), (0x1p-149, 0)] as [(Float, Float)] {
            #expect(DType.bf16.floats(DType.bf16.bytes([value])) == [truth])
        }
    }

    /// Both layouts, the native one with rows that turn on their way; types may be mixed.
    @Test func `a checkpoint in F16 becomes float32, exactly`() throws {
        let golden = try Golden("decoder-plain"), folders = (try Scratch(), try Scratch()), d = try MistralConfig(json: golden.config).headDim
        _ = try folders.0.huggingFace(golden)
        _ = try folders.1.native("mistral")
        for name in try Path.list(folders.1.path) where name.hasSuffix(".safetensors") { try Path.removeTree(Path.join(folders.1.path, name)) }
        func half(_ tensor: (name: String, shape: Shape, bytes: [UInt8])) -> (name: String, shape: Shape, bytes: [UInt8]) {
            (tensor.name, tensor.shape, DType.f32.floats(tensor.bytes).flatMap { value in let bits = Float16(value).bitPattern; return [UInt8(truncatingIfNeeded: bits), UInt8(truncatingIfNeeded: bits >> 8)] })
        }
        let stored = golden.tensors.map(half)
        try folders.0.write("model.safetensors", Golden.file(stored, .f16))
        let native = stored.map { tensor in
            guard tensor.name.contains("q_proj") || tensor.name.contains("k_proj") else { return (Golden.native(tensor.name), tensor.shape, tensor.bytes) }
            let width = tensor.bytes.count / tensor.shape[0]
            // Row 2i + s there is row i + s·d/2 here.
            return (Golden.native(tensor.name), tensor.shape, (0..<tensor.shape[0]).flatMap { row in
                let from = row / d * d + row % d / 2 + row % 2 * (d / 2)
                return tensor.bytes[from * width..<(from + 1) * width]
            })
        }
        try folders.1.write("consolidated.safetensors", Golden.file(native, .f16))
        let read = (try Checkpoint(try CheckpointFolder(folders.0.path)).weights, try Checkpoint(try CheckpointFolder(folders.1.path)).weights), bytes = try whole(read.0)
        let same = try whole(read.1) == bytes
        #expect(same)
        #expect(read.0.table.entries.allSatisfy { $0.dtype == .f32 } && read.0.table.fileBytes == bytes.count)
        for tensor in golden.tensors {
            #expect(try read.0.values(tensor.name) == DType.f32.floats(tensor.bytes).map { Float(Float16($0)) }, "\(tensor.name)")
        }
        var random = SeededGenerator(seed: 4)
        for _ in 0..<300 {
            let from = Int(random.next() % UInt64(bytes.count)), to = from + Int(random.next() % UInt64(min(bytes.count - from, 900) + 1))
            #expect(try read.1.bytes(from..<to) == Array(bytes[from..<to]), "\(from)..<\(to)")
        }

        let mixed = try Scratch()
        _ = try mixed.huggingFace(golden, shards: 2)
        for (shard, dtype) in [(0, DType.f16), (1, .bf16)] {
            let part = golden.tensors.indices.filter { $0 % 2 == shard }.map { golden.tensors[$0] }
            try mixed.write("model-0000\(shard + 1)-of-00002.safetensors", Golden.file(dtype == .f16 ? part.map(half) : part.map { ($0.name, $0.shape, dtype.bytes(DType.f32.floats($0.bytes))) }, dtype))
        }
        let both = try Checkpoint(try CheckpointFolder(mixed.path)).weights
        #expect(Set(both.table.entries.map(\.dtype)) == [.f32, .bf16])
        for (index, tensor) in golden.tensors.enumerated() {
            let values = DType.f32.floats(tensor.bytes)
            #expect(try both.values(tensor.name) == (index % 2 == 0 ? values.map { Float(Float16($0)) } : DType.bf16.floats(DType.bf16.bytes(values))), "\(tensor.name)")
        }
    }
}
