import ForgeCore
import ForgeCrypto
import ForgeOS
import Testing

@Suite final class SealedFileTests {
    let scratch = try! Fixture.Scratch()  // SAFETY: without a scratch directory no test here can say anything.
    let key = SecretBytes.random(32)

    private func header(_ log2: Int = 16) -> SealedHeader { SealedHeader(blob: ID(), project: ID(), store: ID(), segmentLog2: log2) }

    private func write(_ plain: [UInt8], _ header: SealedHeader, pieces: Int = 1 << 20) throws -> (path: String, summary: SealedSummary) {
        let path = scratch("\(ID())")
        var writer = try SealedWriter(path, header: header, key: key)
        for start in stride(from: 0, to: plain.count, by: pieces) { try writer.append(Array(plain[start..<min(start + pieces, plain.count)])) }
        return (path, try writer.commit())
    }

    private func bytes(_ path: String) throws -> [UInt8] { try File(path, .read).readAll(limit: .mib(256)) }
    private func rewrite(_ bytes: [UInt8]) throws -> String {
        let path = scratch("\(ID())")
        try Durable.create(path, with: bytes)
        return path
    }

    @Test(arguments: [0, 1, 16384, 65535, 65536, 65537, 131072, 200000])
    func `what is written is read back, from anywhere`(count: Int) throws {
        let plain = CobblestoneTests.pattern(count)
        let header = header()
        let (path, summary) = try write(plain, header, pieces: 7001)
        #expect(summary.count == Int64(count) && summary.digest == .sha256(plain))
        #expect(try Path.information(path)!.size == summary.fileCount && header.plaintextCount(file: summary.fileCount) == Int64(count))
        #expect(try Path.information(path)!.mode == 0o400)
        #expect(summary.segments.count == count / 65536 + 1 && summary.segments.last!.count < 65536)

        let file = try bytes(path)
        for segment in summary.segments {
            let start = Int(header.offset(ofSegment: segment.index))
            #expect(segment.digest == .sha256(file[start..<start + segment.sealedCount]))
        }
        let reader = try SealedReader(path, key: key, expecting: header)
        #expect(reader.count == Int64(count))
        #expect(try reader.readAll(limit: .mib(1)) == plain)
        var generator = Seeded(state: UInt64(count) + 1)
        for _ in 0..<50 {
            let offset = Int.random(in: 0...count + 10, using: &generator)
            let length = Int.random(in: 0...70000, using: &generator)
            #expect(try reader.read(length, at: Int64(offset)) == Array(plain.dropFirst(offset).prefix(length)))
        }
    }

    @Test func `the bytes are those an independent implementation makes`() throws {
        let vectors = try Fixture.json("sealed-blob.json")
        let key = SecretBytes(copying: vectors.hex("key"))
        let header = SealedHeader(
            blob: ID(repeatElement(0x11, count: 16))!, project: ID(repeatElement(0x22, count: 16))!, store: ID(repeatElement(0x33, count: 16))!, segmentLog2: 16)
        for blob in vectors.rows("blobs") {
            let count = Int(blob["count"]!.int!)
            let log2 = Int(blob["segmentLog2"]!.int!)
            let header = SealedHeader(blob: header.blob, project: header.project, store: header.store, segmentLog2: log2)
            let plain = CobblestoneTests.pattern(count)
            #expect(Digest.sha256(plain).hex == blob.text("plaintextSha256"))
            var file = header.bytes
            for segment in 0...(count >> log2) {
                let salt = Array(Digest.sha256("salt \(count) \(segment)").bytes.prefix(24))
                let part = Array(plain.dropFirst(segment << log2).prefix(1 << log2))
                file += Cobblestone.seal(part, key: key, salt: salt, context: header.context(ofSegment: segment))
            }
            #expect(Digest.sha256(file).hex == blob.text("sha256"), "\(count) bytes")
            #expect(try SealedReader(rewrite(file), key: key).readAll(limit: .mib(1)) == plain)
        }
    }

    @Test func `every flipped byte of the header and a sample of the rest is caught`() throws {
        let plain = CobblestoneTests.pattern(150_000)
        let header = header()
        let (path, _) = try write(plain, header)
        let file = try bytes(path)
        let stride_ = header.strideCount
        // Header, salts, commitments, tags, first and last bytes of each segment.
        var places = Array(0..<128)
        for segment in 0..<3 { places += (0..<60).map { 128 + segment * stride_ + $0 } }
        places += [128 + 56 + 16383, 128 + 56 + 16384, 128 + 56 + 16399, 128 + stride_ - 1, file.count - 1, file.count - 17]
        for place in places {
            var changed = file
            changed[place] ^= 0x10
            let damaged = try rewrite(changed)
            #expect(throws: Fault.self, "byte \(place)") { _ = try SealedReader(damaged, key: self.key, expecting: header).readAll(limit: .mib(1)) }
        }
    }

    @Test func `segments do not move within a file, between files, or to another store`() throws {
        let header = header()
        let (path, _) = try write(CobblestoneTests.pattern(150_000), header)
        let file = try bytes(path)
        let size = header.strideCount
        let first = 128..<128 + size
        let second = 128 + size..<128 + 2 * size

        var swapped = file
        swapped.replaceSubrange(first, with: file[second])
        swapped.replaceSubrange(second, with: file[first])
        var repeated = file
        repeated.replaceSubrange(second, with: file[first])
        let other = self.header()
        let (otherPath, _) = try write(CobblestoneTests.pattern(150_000), other)
        var transplanted = file
        transplanted.replaceSubrange(first, with: try bytes(otherPath)[first])
        let renamed = SealedHeader(blob: header.blob, project: header.project, store: ID(), segmentLog2: 16).bytes + file[128...]
        for damaged in [swapped, repeated, transplanted, renamed] {
            let path = try rewrite(damaged)
            #expect(throws: Fault.self) { _ = try SealedReader(path, key: self.key).readAll(limit: .mib(1)) }
        }
        #expect(throws: Fault.self) { _ = try SealedReader(otherPath, key: self.key, expecting: header) }
        #expect(throws: Fault.self) { _ = try SealedReader(path, key: SecretBytes.random(32)) }
    }

    @Test func `a file cut anywhere does not open, not even between segments`() throws {
        let header = header()
        let (path, _) = try write(CobblestoneTests.pattern(150_000), header)
        let file = try bytes(path)
        let size = header.strideCount
        for count in [0, 1, 127, 128, 129, 128 + 55, 128 + 56, 128 + 72, 128 + size, 128 + 2 * size, 128 + 2 * size + 72, file.count - 1] {
            let cut = try rewrite(Array(file.prefix(count)))
            #expect(throws: Fault.self, "cut to \(count)") { _ = try SealedReader(cut, key: self.key) }
        }
        let longer = try rewrite(file + [UInt8](repeating: 0, count: 16))
        #expect(throws: Fault.self) { _ = try SealedReader(longer, key: self.key) }
    }

    @Test func `a writer that is dropped leaves nothing behind`() throws {
        let path = scratch("dropped")
        do {
            var writer = try SealedWriter(path, header: header(), key: key)
            try writer.append([1, 2, 3])
        }
        #expect(try Path.list(scratch.path) == [])
    }

    @Test func `no salt is used twice, over writers and attempts`() throws {
        var salts: Set<[UInt8]> = []
        var count = 0
        let header = header()
        for attempt in 0..<40 {
            let (path, summary) = try write(CobblestoneTests.pattern(attempt * 9000), header)
            let file = try bytes(path)
            for segment in summary.segments {
                salts.insert(Array(file[Int(header.offset(ofSegment: segment.index))...].prefix(24)))
                count += 1
            }
            let resumed = Cobblestone.seal([UInt8(attempt)], key: key, context: header.context(ofSegment: 0))
            salts.insert(Array(resumed.prefix(24)))
            count += 1
        }
        #expect(salts.count == count)
    }
}

/// SplitMix64 (Steele et al. 2014), so that a failing read repeats.
struct Seeded: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
