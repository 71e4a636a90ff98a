import ForgeCore
import ForgeCrypto
import Testing

@testable import TrainerAPI

@Suite struct IngestStreamTests {
    private let files: [(String, [UInt8])] = [("a", []), ("b/ä.txt", Array("text".utf8)), ("c", [UInt8](repeating: 7, count: 70_000))]

    private func decode(_ bytes: [UInt8], by count: Int) throws(Fault) -> [IngestFrame] {
        var decoder = IngestDecoder()
        var out: [IngestFrame] = []
        var at = 0
        while at < bytes.count {
            out += try decoder.feed(Array(bytes[at..<min(at + count, bytes.count)]))
            at += count
        }
        try decoder.finish()
        return out
    }

    @Test(arguments: [1, 7, 4096, 1 << 20])
    func `a stream comes back whole from pieces of any size`(count: Int) throws {
        let frames = try decode(Bench.stream(files), by: count)
        #expect(frames == files.map { IngestFrame.document(path: $0.0, bytes: $0.1) })
    }

    @Test func `a stream that is cut, or says something else, is refused`() throws {
        let small = Bench.stream([("a", Array("x".utf8)), ("b", [])])
        for count in 0..<small.count { #expect(throws: Fault.self) { try decode(Array(small[..<count]), by: 64) } }
        #expect(throws: Fault.self) { try decode(small + [0], by: 64) }
        for at in 0..<(small.count - 32) {
            var flipped = small
            flipped[at] ^= 0xff
            // A flipped byte either breaks a rule or changes what is read; the digest at the end, compared by the daemon, finds the latter.
            if let frames = try? decode(flipped, by: 64) { #expect(frames != (try? decode(small, by: 64))) }
        }
        var long = IngestEncoder()
        #expect(long.document(String(repeating: "a", count: 1025), []) == nil)
        #expect(throws: Fault.self) { try decode(long.start + [1, 0, 1, 0xff, 0, 0, 0, 0, 0, 0, 0], by: 64) }
    }

    @Test func `skipped files keep their reason, cut between characters`() throws {
        var encoder = IngestEncoder()
        var bytes = encoder.start + encoder.skipped("x", String(repeating: "é", count: 400))
        bytes += encoder.end
        let frames = try decode(bytes + Digest.sha256(bytes).bytes, by: 100)
        #expect(frames == [.skipped(path: "x", reason: String(repeating: "é", count: 256))])
    }
}
