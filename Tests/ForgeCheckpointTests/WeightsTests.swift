import ForgeCheckpoint
import ForgeCore
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
}
