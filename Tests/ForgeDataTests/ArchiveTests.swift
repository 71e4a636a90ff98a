import ForgeCore
import ForgeCrypto
import ForgeOS
import Testing

@testable import ForgeData

@Suite struct ArchiveTests {
    @Test func `texts come back by leaf, sealed on disk, and a flipped byte is noticed`() throws {
        let directory = "/tmp/forge-archive-\(ID())"
        defer { try? Path.removeTree(directory) }
        let key = SecretBytes.random(32)
        var writer = try DocumentArchive.Writer(directory, header: SealedHeader(blob: ID(), project: ID(), store: ID()), key: key)
        var ingestor = try Ingestor()
        for i in 0..<12 {
            let document = try DocumentReader().read(path: "d\(11 - i).txt", bytes: Array("canary sentence number \(i), not like the others \(String(repeating: "w\(i) ", count: i + 9))".utf8))
            try ingestor.accept(document)
            try writer.append(document)
        }
        let manifest = try ingestor.finish().manifest
        try writer.finish(manifest)

        let reader = try DocumentArchive.Reader(directory, key: key)
        #expect(reader.manifest == manifest)
        for i in 0..<12 { #expect(String(decoding: try reader.text(i), as: UTF8.self).hasPrefix("canary sentence number")) }
        var train = 0
        try reader.forEach(.train) { (_: DocumentKind, _: [UInt8]) throws(Fault) in train += 1 }
        #expect(train == manifest.leaves.filter { $0.split == .train }.count)

        for name in try Path.list(directory) {
            let path = Path.join(directory, name)
            let bytes = try File(path, .read).readAll(limit: .mib(1))
            #expect(find(Array("canary".utf8), in: bytes) == nil)
            var flipped = bytes
            flipped[bytes.count / 2] ^= 1
            try Path.setMode(path, 0o600)
            try Durable.replace(path, with: flipped)
            #expect(throws: Fault.self) {
                let damaged = try DocumentArchive.Reader(directory, key: key)
                for i in 0..<12 { _ = try damaged.text(i) }
            }
            try Durable.replace(path, with: bytes)
        }
        let other = SecretBytes.random(32)
        var failed = false
        do { _ = try DocumentArchive.Reader(directory, key: other) } catch { failed = true }
        #expect(failed)
    }
}
