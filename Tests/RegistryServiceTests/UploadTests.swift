import ForgeArtifact
import ForgeCore
import ForgeCrypto
import ForgeHTTP
import ForgeOS
import RegistryAPI
@testable import RegistryService
import Synchronization
import Testing

/// Segments that arrive in one stream: what counts, what does not, and who waits for whom.
@Suite struct UploadTests {
    private let dataset = Digest.sha256("none")
    private var files: [ModelFile: [UInt8]] {
        var files = StoreFixture.model(seed: 9, dataset: dataset)
        files[.datasets] = DatasetsRecord([]).encoded
        return files
    }
    /// With weights of two and a half segments of 2 MiB, for stops inside a segment: it begins with the first MiB.
    private var large: [ModelFile: [UInt8]] {
        var files = files
        files[.weights] = (0..<5 << 20).map { UInt8(truncatingIfNeeded: $0 &* 7 ^ $0 >> 11) }
        return files
    }
    private let sources = [CommitRequest.Source(name: "file:consolidated.safetensors", digest: .sha256("weights"))]

    private func withStore(segmentLog2: Int = 16, _ body: (StoreFixture, RegistryClient) async throws -> Void) async throws {
        let store = try await StoreFixture.open(segmentLog2: segmentLog2)
        try await store.initialise()
        do { try await body(store, store.client("dana")) } catch {
            await store.remove()
            throw error
        }
        await store.remove()
    }

    private func begin(_ client: RegistryClient, _ files: [ModelFile: [UInt8]], unknown: Set<ModelFile> = []) async throws -> UploadView {
        try await client.beginUpload(
            .init(name: "brought-in", files: files.map { .init(name: $0.key.rawValue, bytes: Int64($0.value.count), digest: unknown.contains($0.key) ? nil : .sha256($0.value)) }))
    }

    /// Everything that an upload lacks.
    private func send(_ client: RegistryClient, _ id: ID, _ files: [ModelFile: [UInt8]]) async throws {
        let upload = try await client.upload(id)
        for file in upload.files {
            let bytes = files[ModelFile(rawValue: file.name)!]!
            try await client.send(file, of: upload) { (count, offset) in Array(bytes[Int(offset)..<Int(offset) + count]) }
        }
    }

    private func stored(_ client: RegistryClient, _ id: ID) async throws -> [Int64] { try await client.upload(id).files.first { $0.name == "model.safetensors" }?.stored ?? [] }

    /// A stream of the weights, from a segment on, whose pieces the test hands out.
    private func stream(
        _ client: RegistryClient, _ id: ID, from segment: Int = 0, length: Int? = nil, _ produce: @escaping @Sendable (_ write: @Sendable ([UInt8]) async throws -> Void) async throws -> Void
    ) async throws(Fault) {
        _ = try await client.http.upload(
            .put, HTTPClient.path("v1", "uploads", id.description, "files", "model.safetensors", "segments", String(segment)),
            headers: length.map { ["content-length": String($0)] } ?? .init(), produce: produce)
    }

    @Test func `what breaks off leaves the whole segments before it, and the rest is sent from there`() async throws {
        try await withStore { store, dana in
            let files = files, weights = files[.weights]!, id = try await begin(dana, files).id
            let fault = await #expect(throws: Fault.self) {
                try await stream(dana, id, length: weights.count) { write in
                    try await write(Array(weights[0..<131_072 + 999]))
                    // Until the whole segments count, so that the cut is after them.
                    try #require(await eventually { (try? await self.stored(dana, id)) == [0, 1] })
                    throw Fault(.request, "os.cut", "cannot read the file")
                }
            }
            #expect(fault?.code == "os.cut", "the sender learns what stopped it, not that its connection ended")
            #expect(try await stored(dana, id) == [0, 1])
            try await send(dana, id, files)
            let view = try await dana.importModel(id, .init(sources: sources))
            #expect(view.digest == (try ModelFiles(files.map { .init($0.key, .sha256($0.value), bytes: Int64($0.value.count)) })).digest)
            #expect(try Path.list(Path.join(store.directory, "incoming")) == [])
        }
    }

    @Test func `a body that ends where no segment does is refused, announced or not`() async throws {
        try await withStore { _, dana in
            let files = files, weights = files[.weights]!, id = try await begin(dana, files).id
            for (length, part) in [(weights.count + 1, weights + [0]), (65_537, Array(weights[0..<65_537])), (10, Array(weights[0..<10]))] as [(Int, [UInt8])] {
                let fault = await #expect(throws: Fault.self) { try await stream(dana, id, length: length) { write in try await write(part) } }
                #expect(fault?.code == "upload.segment")
                #expect(try await stored(dana, id) == [], "known beforehand, so nothing of it is taken")
            }
            for (whole, part) in [([], Array(weights[0..<10])), ([0], Array(weights[0..<65_537])), ([0, 1, 2, 3], weights + [0])] as [([Int64], [UInt8])] {
                let fault = await #expect(throws: Fault.self) { try await stream(dana, id) { write in try await write(part) } }
                #expect(fault?.code == "upload.segment")
                #expect(try await stored(dana, id) == whole)
            }
        }
    }

    @Test func `a segment that is sent again and breaks off is missing, not old`() async throws {
        try await withStore(segmentLog2: 21) { _, dana in
            let files = large, id = try await begin(dana, files).id
            try await send(dana, id, files)
            #expect(try await stored(dana, id) == [0, 1, 2])
            await #expect(throws: Fault.self) {
                try await stream(dana, id, from: 1, length: 2 << 20) { write in
                    try await write([UInt8](repeating: 7, count: 3 << 19))
                    try #require(await eventually { (try? await self.stored(dana, id)) == [0, 2] })
                    throw Fault(.request, "os.cut", "cannot read the file")
                }
            }
            #expect(await #expect(throws: Fault.self) { _ = try await dana.importModel(id, .init(sources: sources)) }?.code == "upload.incomplete")
            // Whole but wrong bytes are found out though the first pass over this file was right.
            try await dana.put([UInt8](repeating: 7, count: 2 << 20), segment: 1, of: "model.safetensors", in: id)
            #expect(await #expect(throws: Fault.self) { _ = try await dana.importModel(id, .init(sources: sources)) }?.code == "upload.digest")
        }
    }

    @Test func `two senders of one file take turns, and a commit waits for them`() async throws {
        try await withStore(segmentLog2: 21) { store, dana in
            let files = large, weights = files[.weights]!, id = try await begin(dana, files).id, gate = Gate()
            try await send(dana, id, files)
            try await withThrowingTaskGroup(of: Void.self) { group in
                // first                    second                commit
                // writes half of 1
                //                          asks to write 0
                //                                                asks to commit
                // writes the rest of 1
                //                          writes 0
                //                                                commits what both have left
                group.addTask {
                    try await stream(dana, id, from: 1, length: 2 << 20) { write in
                        try await write(Array(weights[2 << 20..<7 << 19]))
                        await gate.wait()
                        try await write(Array(weights[7 << 19..<4 << 20]))
                    }
                }
                #expect(await eventually { (try? await self.stored(dana, id)) == [0, 2] })
                let order = Words()
                group.addTask {
                    try await dana.put(Array(weights[0..<2 << 20]), segment: 0, of: "model.safetensors", in: id)
                    order.add("second")
                }
                group.addTask {
                    let view = try await dana.importModel(id, .init(sources: self.sources))
                    #expect(view.version == 1)
                    order.add("commit")
                }
                #expect(await eventually { await store.registry.intake.waiting == 2 } && order.all == [], "both wait for the first")
                gate.open()
                // Whichever of the two came first to the registry: if it was the commit, the other is told that the upload is closed.
                do { try await group.waitForAll() } catch let fault as Fault { #expect(["upload.committed", "upload.closed"].contains(fault.code)) }
            }
            #expect(try await dana.upload(id).state == "committed")
            #expect(try await dana.model("brought-in", "1").digest == (try ModelFiles(files.map { .init($0.key, .sha256($0.value), bytes: Int64($0.value.count)) })).digest)
        }
    }

    @Test func `an upload that is given up while segments arrive leaves nothing`() async throws {
        try await withStore { store, dana in
            let files = files, weights = files[.weights]!, id = try await begin(dana, files).id, gate = Gate()
            async let sending: Void = stream(dana, id, length: weights.count) { write in
                try await write(Array(weights[0..<70_000]))
                await gate.wait()
                try await write(Array(weights[70_000...]))
            }
            #expect(await eventually { (try? await self.stored(dana, id)) == [0] })
            try await dana.abandonUpload(id)
            #expect(try await dana.upload(id).state == "abandoned")
            gate.open()
            var result: Fault?
            do { try await sending } catch { result = error as? Fault }
            #expect(result?.code == "upload.closed")
            #expect(await eventually { (try? Path.list(Path.join(store.directory, "incoming"))) == [] })
        }
    }

    @Test func `so many may send at once, and the next is told to come again`() async throws {
        try await withStore { _, dana in
            let files = files, weights = files[.weights]!, id = try await begin(dana, files).id, gate = Gate(), refused = Words()
            try await withThrowingTaskGroup(of: Void.self) { group in
                // One sends, the others wait for their turn; all count.
                for _ in 0..<20 {
                    group.addTask {
                        do {
                            try await stream(dana, id, from: 0, length: 65_536) { write in
                                await gate.wait()
                                try await write(Array(weights[0..<65_536]))
                            }
                        } catch let fault as Fault where fault.retryable { refused.add(fault.code) }
                    }
                }
                #expect(await eventually { refused.all.count == 4 })
                gate.open()
                try await group.waitForAll()
            }
            #expect(refused.all == [String](repeating: "upload.busy", count: 4))
            try await send(dana, id, files)
            _ = try await dana.importModel(id, .init(sources: sources))
        }
    }

    @Test func `digests may be said in the end, and must be true`() async throws {
        try await withStore { _, dana in
            let files = files, upload = try await begin(dana, files, unknown: [.weights, .recipe])
            try await send(dana, upload.id, files)
            let right = [CommitRequest.Source(name: "model.safetensors", digest: .sha256(files[.weights]!)), .init(name: "recipe.yaml", digest: .sha256(files[.recipe]!))]
            let wrong: [[CommitRequest.Source]?] = [
                nil, [right[0]], [right[0], .init(name: "recipe.yaml", digest: .sha256("other"))], right + [.init(name: "config.json", digest: .sha256("other"))], right + [.init(name: "a", digest: .sha256("a"))],
            ]
            for digests in wrong {
                #expect(await #expect(throws: Fault.self) { _ = try await dana.importModel(upload.id, .init(sources: sources, digests: digests)) }?.code == "upload.digest", "\(digests ?? [])")
            }
            let view = try await dana.importModel(upload.id, .init(sources: sources, digests: right))
            #expect(view.digest == (try ModelFiles(files.map { .init($0.key, .sha256($0.value), bytes: Int64($0.value.count)) })).digest)
            // What the trainer commits is named beforehand.
            let trainer = dana.http, ours = RegistryClient(HTTPClient(socket: trainer.socket, bearer: "trainer"))
            let run = try await begin(ours, files, unknown: [.weights])
            try await send(ours, run.id, files)
            #expect(await #expect(throws: Fault.self) { _ = try await ours.commit(run.id, StoreFixture.commit(files, dataset: dataset)) }?.code == "upload.digest")
        }
    }

    @Test func `a registry that is sealed takes no further segment`() async throws {
        try await withStore { _, dana in
            let files = files, weights = files[.weights]!, id = try await begin(dana, files).id, gate = Gate()
            async let sending: Void = stream(dana, id, length: weights.count) { write in
                try await write(Array(weights[0..<65_536]))
                await gate.wait()
                try await write(Array(weights[65_536...]))
            }
            #expect(await eventually { (try? await self.stored(dana, id)) == [0] })
            _ = try await dana.seal()
            gate.open()
            var result: Fault?
            do { try await sending } catch { result = error as? Fault }
            #expect(result?.code == "registry.sealed", "\(String(describing: result))")
            #expect(try await stored(dana, id) == [0])
        }
    }

    @Test func `however much is sent, little of it is in memory`() async throws {
        try await withStore(segmentLog2: 26) { _, dana in
            let count = 96 << 20, piece = [UInt8](repeating: 5, count: 1 << 20)
            var files = files
            files[.weights] = nil
            var announced = files.map { UploadRequest.File(name: $0.key.rawValue, bytes: Int64($0.value.count), digest: .sha256($0.value)) }
            announced.append(.init(name: "model.safetensors", bytes: Int64(count), digest: nil))
            let upload = try await dana.beginUpload(.init(name: "large", files: announced))
            @Sendable func resident() throws -> Int {
                let text = String(decoding: try File("/proc/self/status", .read).readAll(limit: .kib(16)), as: UTF8.self)
                let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
                return try #require(line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { Int($0) }) << 10
            }
            let before = try resident(), most = Mutex(0)
            for file in upload.files where file.name == "model.safetensors" {
                try await dana.send(file, of: upload) { count, _ in
                    let now = (try? resident()) ?? 0
                    most.withLock { $0 = max($0, now) }
                    return piece.count == count ? piece : Array(piece[..<count])
                }
            }
            #expect(most.withLock { $0 } - before < 48 << 20, "sender and receiver together, where a segment alone has 64 MiB")
        }
    }
}

/// Asks until it is so.
private func eventually(_ condition: () async -> Bool) async -> Bool {
    let end = ContinuousClock.now + .seconds(20)
    while ContinuousClock.now < end {
        if await condition() { return true }
        try? await Task.sleep(for: .milliseconds(20))
    }
    return false
}

/// What was said, in its order.
private final class Words: Sendable {
    private let words = Mutex<[String]>([])
    var all: [String] { words.withLock { $0 } }
    func add(_ word: String) { words.withLock { $0.append(word) } }
}

/// Closed until it is opened, then open for all.
private final class Gate: Sendable {
    private let opened = AsyncStream.makeStream(of: Void.self)
    func open() { opened.continuation.finish() }
    /// Ends at a cancellation too: a refusal reaches its caller only once the sender has stopped.
    func wait() async { for await _ in opened.stream {} }
}
