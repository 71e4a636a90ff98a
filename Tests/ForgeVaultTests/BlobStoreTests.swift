import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeOS
import ForgeVault
import Testing

@Suite final class BlobStoreTests {
    let scratch: Scratch
    let vault = Vault(store: ID())
    let store: BlobStore
    let project = ID()

    init() throws {
        scratch = try Scratch()
        vault.initialise(RootKey())
        _ = try vault.makeProjectKey(project, version: 1)
        store = BlobStore(scratch.path, vault: vault, segmentLog2: 16)
    }

    private func key() throws -> WrappedKey { try vault.makeKey(.blob, subject: ID(), project: project, version: 1) }

    /// Sends bytes in whole segments, as an upload does.
    private func send(_ plain: [UInt8], _ key: WrappedKey, digest: Digest? = nil) throws -> StoredBlob {
        var stored: [SealedSegment] = []
        for start in stride(from: 0, to: plain.count, by: 65536) { stored.append(try store.put(Array(plain[start..<min(start + 65536, plain.count)]), segment: stored.count, of: key)) }
        return try store.finish(key, stored, digest: digest)
    }

    private var files: [String] {
        get throws {
            try Path.list(scratch("blobs")).flatMap { directory in try Path.list(scratch("blobs/\(directory)")).map { "\(directory)/\($0)" } }
        }
    }

    @Test(arguments: [0, 1, 65535, 65536, 65537, 131072, 200_000])
    func `a blob of any size is kept and read back`(count: Int) throws {
        let plain = Pattern.bytes(count)
        let key = try key()
        let blob = try send(plain, key)
        #expect(blob.count == Int64(count) && blob.digest == .sha256(plain))
        #expect(try store.read(key, limit: .mib(1)) == plain)
        #expect(try files == ["\(key.subject.description.prefix(2))/\(key.subject)"])
        #expect(try Path.information(scratch("blobs/" + files[0]))!.size == blob.sealedCount)
        #expect(try Path.list(scratch("incoming")) == [])
        try store.scrub(blob.id, project: project, segments: blob.segments)
    }

    @Test func `segments may come late, out of order, twice and different`() throws {
        let plain = Pattern.bytes(150_000)
        let key = try key()
        func part(_ index: Int) -> [UInt8] { Array(plain.dropFirst(index * 65536).prefix(65536)) }
        let last = try store.put(part(2), segment: 2, of: key)
        let first = try store.put(part(0), segment: 0, of: key)
        _ = try store.put(Pattern.bytes(65536, seed: 9), segment: 1, of: key)
        let again = try store.put(part(0), segment: 0, of: key)
        #expect(first.digest != again.digest, "another attempt, another salt")
        let stored = [again, try store.put(part(1), segment: 1, of: key), last]
        let blob = try store.finish(key, stored)
        #expect(blob.digest == .sha256(plain))
        // A crash after the rename and before the row: the same call gives the same answer.
        #expect(try store.finish(key, stored) == blob)
        #expect(blob.segments == stored)
    }

    @Test func `a missing segment is no blob`() throws {
        let key = try key()
        let stored = [try store.put(Pattern.bytes(65536), segment: 0, of: key), try store.put(Pattern.bytes(10), segment: 2, of: key)]
        #expect(throws: Fault.self) { _ = try store.finish(key, [stored[0], .init(index: 1, count: 65536, sealedCount: stored[0].sealedCount, digest: stored[0].digest), stored[1]]) }
        #expect(throws: Fault.self) { _ = try store.put([UInt8](repeating: 0, count: 65537), segment: 0, of: key) }
    }

    @Test func `a scrub needs no key and names the segment`() throws {
        let key = try key()
        let blob = try send(Pattern.bytes(150_000), key)
        vault.seal()
        try store.scrub(blob.id, project: project, segments: blob.segments)
        let path = try scratch("blobs/" + files[0])
        try Path.setMode(path, 0o600)
        let bytes = try File(path, .read).readAll(limit: .mib(1))
        for (place, segment) in [(128, 0), (128 + 65536 + 200, 1), (bytes.count - 1, 2)] {
            var changed = bytes
            changed[place] ^= 1
            try Durable.replace(path, with: changed)
            let fault = #expect(throws: Fault.self) { try store.scrub(blob.id, project: project, segments: blob.segments) }
            #expect(fault?.why.contains("segment \(segment)") == true)
        }
        for place in 0..<128 {
            var changed = bytes
            changed[place] ^= 1
            try Durable.replace(path, with: changed)
            let fault = #expect(throws: Fault.self) { try store.scrub(blob.id, project: project, segments: blob.segments) }
            #expect(fault?.what.contains(blob.id.description) == true && fault?.why == "its header was changed")
        }
        for wrong in [Array(bytes.dropLast()), bytes + [0], Array(bytes.prefix(100))] {
            try Durable.replace(path, with: wrong)
            #expect(throws: Fault.self) { try store.scrub(blob.id, project: project, segments: blob.segments) }
        }
    }

    @Test func `blobs with swapped names do not open`() throws {
        let a = try key(), b = try key()
        _ = try send(Pattern.bytes(1000), a)
        _ = try send(Pattern.bytes(1000, seed: 4), b)
        func path(_ key: WrappedKey) -> String { scratch("blobs/\(key.subject.description.prefix(2))/\(key.subject)") }
        let first = try File(path(a), .read).readAll(limit: .mib(1))
        let second = try File(path(b), .read).readAll(limit: .mib(1))
        try Durable.replace(path(a), with: second)
        try Durable.replace(path(b), with: first)
        #expect(throws: Fault.self) { _ = try store.read(a, limit: .mib(1)) }
        #expect(throws: Fault.self) { _ = try store.read(b, limit: .mib(1)) }
    }

    @Test func `no plaintext reaches the disk`() throws {
        let canary = Array("the quick brown canary sings in cleartext".utf8)
        _ = try send(Array(repeatElement(canary, count: 5000).joined()), try key())
        _ = try store.put(Array(repeatElement(canary, count: 100).joined()), segment: 0, of: try key())
        var count = 0
        for path in try files.map({ scratch("blobs/\($0)") }) + Path.list(scratch("incoming")).map({ scratch("incoming/\($0)") }) {
            let bytes = try File(path, .read).readAll(limit: .mib(4))
            let text = String(decoding: bytes, as: UTF8.self)
            #expect(!text.contains("canary"))
            count += 1
        }
        #expect(count == 2)
    }

    @Test func `what a crash leaves is found and removed`() throws {
        let kept = try key(), lost = try key(), open = try key(), stale = try key()
        _ = try send(Pattern.bytes(5), kept)
        _ = try send(Pattern.bytes(5), lost)
        _ = try store.put([1], segment: 0, of: open)
        _ = try store.put([1], segment: 0, of: stale)
        let found = try store.leftovers(known: [kept.subject], staged: [open.subject])
        #expect(Set(found) == [lost.subject, stale.subject])
        for id in found { try store.remove(id) }
        #expect(try store.leftovers(known: [kept.subject], staged: [open.subject]) == [])
        #expect(try store.read(kept, limit: .mib(1)) == Pattern.bytes(5))
    }

    @Test func `a model comes out in memory that nobody can change, and only whole`() async throws {
        let contents = ["config.json": Pattern.bytes(700), "model.safetensors": Pattern.bytes(5_000_000, seed: 3), "tokenizer.json": Pattern.bytes(70_000, seed: 5)]
        var files: [SealedModel.File] = []
        for (name, plain) in contents {
            let key = try key()
            let blob = try send(plain, key)
            files.append(.init(name: name, digest: blob.digest, count: blob.count, key: key))
        }
        let model = SealedModel(digest: .sha256("model"), files: files)
        let unsealed = try store.unseal(model, with: try await Willing.permit("model.load", "Forge::Model", "support@1", digest: model.digest))
        #expect(unsealed.names == contents.keys.sorted())
        for (name, memory) in zip(unsealed.names, unsealed.memory) {
            let isSealed = memory.memfd.isSealed
            #expect(isSealed)
            let mapping = try memory.memfd.map()
            let isSame = unsafe mapping.withUnsafeBytes { unsafe Array($0) } == contents[name]
            #expect(isSame)
            #expect(throws: Fault.self) { try memory.memfd.fill([0], at: 0) }
        }
        vault.seal()
        let permit = try await Willing.permit("model.load", "Forge::Model", "support@1", digest: model.digest)
        do {
            _ = try store.unseal(model, with: permit)
            Issue.record("a sealed store gave a model away")
        } catch { #expect(error.code == "registry.sealed") }
    }
}
