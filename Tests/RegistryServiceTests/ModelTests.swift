import AdminAPI
import ForgeArtifact
import ForgeAudit
import ForgeCatalog
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeHTTP
import ForgeOS
import ForgeVault
import RegistryAPI
import RegistryService
import Synchronization
import Testing

@Suite struct ModelTests {
    private func withStore(_ body: (StoreFixture) async throws -> Void) async throws {
        let store = try await StoreFixture.open()
        try await store.initialise()
        do { try await body(store) } catch {
            await store.remove()
            throw error
        }
        await store.remove()
    }

    @Test func `an uploaded model becomes a version with signed statements and a record`() async throws {
        try await withStore { store in
            let data = try await store.dataset(["a": "alpha"])
            let view = try await store.put("policies", seed: 1, dataset: data.digest)
            let files = StoreFixture.model(seed: 1, dataset: data.digest)
            let expected = try ModelFiles(files.map { .init($0.key, .sha256($0.value), bytes: Int64($0.value.count)) }).digest
            #expect(view.version == 1 && view.digest == expected && view.trainedBy == "dana" && view.aliases == [])
            let again = try await store.put("policies", seed: 1, dataset: data.digest)
            #expect(again.version == 2 && again.digest == view.digest, "equal work has an equal digest")

            let key = P256.PublicKey(pem: try await store.registry.ledger.reader.read { database throws(Fault) in try database.meta("manifest_key") ?? "" })!
            let reader = store.client("olga")
            let manifest = try ModelManifest(verifying: try await reader.manifest("policies", "1"), with: key, source: "test")
            #expect(manifest.digest == expected && manifest.reference == ModelReference(name: "policies", version: 1))
            let provenance = try Provenance.summary(verifying: try await reader.provenance("policies", "1"), with: key, source: "test")
            #expect(provenance.dependencies == [.init(name: "dataset:policies", digest: data.digest)])
            #expect(provenance.records.last?.index == view.record)

            let page = try await reader.records(.init(from: view.record, limit: 1))
            let entry = try #require(page.records.first?.entry)
            #expect(entry.action == .modelPut && entry.object?.id == "policies" && entry.object?.version == "1" && entry.object?.digest == expected)
            let lineage = try await reader.lineage("policies", "1")
            #expect(lineage.sources == [.init(name: "dataset:policies", digest: data.digest)] && lineage.steps.contains { $0.what == "model.put" && $0.record == view.record })
            #expect(try await reader.models(named: "policies").map(\.version) == [1, 2])
            await #expect(throws: Fault.self) { _ = try await reader.model("policies", "3") }
        }
    }

    @Test func `an upload survives a restart and takes up where it was`() async throws {
        var store = try await StoreFixture.open()
        try await store.initialise()
        let data = try await store.dataset(["a": "alpha"])
        let files = StoreFixture.model(seed: 3, dataset: data.digest)
        let upload = try await store.client("trainer").beginUpload(
            .init(name: "policies", files: files.map { .init(name: $0.key.rawValue, bytes: Int64($0.value.count), digest: .sha256($0.value)) }))
        let weights = files[.weights]!
        try await store.client("trainer").put(Array(weights[65536..<131072]), segment: 1, of: "model.safetensors", in: upload.id)
        try await store.client("trainer").put(Array(weights[0..<65536]), segment: 0, of: "model.safetensors", in: upload.id)

        await store.stop()
        store = try await StoreFixture.open(store.directory)
        _ = try await store.client("olga").unseal(.init(passphrase: StoreFixture.passphrase))
        let trainer = store.client("trainer")
        let seen = try await trainer.upload(upload.id)
        #expect(seen.files.first { $0.name == "model.safetensors" }?.stored == [0, 1])
        let early = await #expect(throws: Fault.self) { _ = try await trainer.commit(upload.id, StoreFixture.commit(files, dataset: data.digest)) }
        #expect(early?.code == "upload.incomplete")
        for file in seen.files {
            let bytes = files[ModelFile(rawValue: file.name)!]!
            try await trainer.send(file, of: seen) { count, offset in Array(bytes[Int(offset)..<Int(offset) + count]) }
        }
        let view = try await trainer.commit(upload.id, StoreFixture.commit(files, dataset: data.digest))
        #expect(view.version == 1)
        #expect(try await trainer.upload(upload.id).state == "committed")
        await #expect(throws: Fault.self) { try await trainer.put(Array(weights[0..<65536]), segment: 0, of: "model.safetensors", in: upload.id) }
        #expect(try Path.list(Path.join(store.directory, "incoming")) == [])
        await store.remove()
    }

    @Test func `what is not a model, not announced or not the trainer's is refused`() async throws {
        try await withStore { store in
            let trainer = store.client("trainer")
            let digest = Digest.sha256("x")
            let files = StoreFixture.model(seed: 1, dataset: digest).map { UploadRequest.File(name: $0.key.rawValue, bytes: Int64($0.value.count), digest: .sha256($0.value)) }
            var wrong: [UploadRequest] = [
                .init(name: "Not A Name", files: files), .init(name: "policies", files: Array(files.dropFirst())), .init(name: "policies", files: files + [files[0]]),
                .init(name: "policies", files: files + [.init(name: "pytorch_model.bin", bytes: 5, digest: digest)]), .init(name: "../policies", files: files),
            ]
            wrong.append(.init(name: "policies", files: files.map { .init(name: $0.name, bytes: 0, digest: $0.digest) }))
            for request in wrong { await #expect(throws: Fault.self) { _ = try await trainer.beginUpload(request) } }
            for name in ["serve", nil] as [String?] { await #expect(throws: Fault.self) { _ = try await store.client(name).beginUpload(.init(name: "policies", files: files)) } }

            let upload = try await trainer.beginUpload(.init(name: "policies", files: files))
            for (bytes, file, segment) in [([1, 2], "config.json", 0), ([], "config.json", 0), ([1], "config.json", 1), ([1], "other.json", 0)] as [([UInt8], String, Int)] {
                await #expect(throws: Fault.self) { try await trainer.put(bytes, segment: segment, of: file, in: upload.id) }
            }
            await #expect(throws: Fault.self) { _ = try await store.client("serve").upload(upload.id) }
            // Other bytes than announced: whole, and still refused.
            for file in upload.files {
                let bytes = StoreFixture.model(seed: 2, dataset: digest)[ModelFile(rawValue: file.name)!]!
                try await trainer.send(file, of: upload) { count, offset in Array(bytes[Int(offset)..<Int(offset) + count]) }
            }
            let fault = await #expect(throws: Fault.self) { _ = try await trainer.commit(upload.id, StoreFixture.commit(StoreFixture.model(seed: 1, dataset: digest), dataset: digest)) }
            #expect(fault?.code == "upload.digest")
            #expect(try await store.client("olga").models() == [])
            try await trainer.abandonUpload(upload.id)
            let open = try await store.client("olga").records(.init(action: "model.put")).records.map(\.entry)
            #expect(open.count { $0.phase == .intent } == open.count { $0.phase == .outcome }, "every intent has its outcome")
        }
    }

    @Test func `a model that a person brings in is in quarantine until the trainer has measured it`() async throws {
        try await withStore { store in
            let dana = store.client("dana"), olga = store.client("olga"), trainer = store.client("trainer")
            var files = StoreFixture.model(seed: 9, dataset: .sha256("none"))
            files[.datasets] = DatasetsRecord([]).encoded
            let sources = [CommitRequest.Source(name: "file:consolidated.safetensors", digest: .sha256("weights")), .init(name: "file:params.json", digest: .sha256("params"))]
            let upload = try await store.upload("brought-in", files, as: "dana")

            // What was made here comes from the trainer, what was made elsewhere from a person, and either says where it came from.
            await #expect(throws: Fault.self) { _ = try await dana.commit(upload.id, StoreFixture.commit(files, dataset: .sha256("none"))) }
            for wrong in [[], [.init(name: "consolidated.safetensors", digest: .sha256("weights"))], sources + [sources[0]], [.init(name: "file:\n", digest: .sha256("x"))]] as [[CommitRequest.Source]] {
                let fault = await #expect(throws: Fault.self) { _ = try await dana.importModel(upload.id, .init(sources: wrong)) }
                #expect(fault?.code == "import.sources")
            }
            await #expect(throws: Fault.self) { _ = try await olga.importModel(upload.id, .init(sources: sources)) }
            let claims = try await store.upload("brought-in", StoreFixture.model(seed: 9, dataset: .sha256("none")), as: "dana")
            #expect(await #expect(throws: Fault.self) { _ = try await dana.importModel(claims.id, .init(sources: sources)) }?.code == "import.datasets")
            let ours = try await store.upload("brought-in", files, as: "trainer")
            #expect(await #expect(throws: Fault.self) { _ = try await trainer.importModel(ours.id, .init(sources: sources)) }?.code == "import.people_only")

            let view = try await dana.importModel(upload.id, .init(sources: sources))
            #expect(view.version == 1 && view.run == nil && view.trainedBy == "dana" && view.quarantined)
            let key = P256.PublicKey(pem: try await store.registry.ledger.reader.read { database throws(Fault) in try database.meta("manifest_key") ?? "" })!
            let provenance = try Provenance.summary(verifying: try await olga.provenance("brought-in", "1"), with: key, source: "test")
            #expect(provenance.kind == .importing && provenance.dependencies == sources.map { .init(name: $0.name, digest: $0.digest) } && provenance.run == upload.id)
            #expect(provenance.recipe == .sha256(files[.recipe]!))
            let entry = try #require(try await olga.records(.init(from: view.record, limit: 1)).records.first?.entry)
            #expect(entry.action == .modelPut && entry.data["origin"]?.string == "import" && entry.data["count"]?.int == 2 && entry.data["run"] == nil)

            let score = EvaluationRequest(suite: "heldout", dataset: .sha256("x"), microbitsPerByte: 2_000_000, baselineMicrobitsPerByte: 2_300_000, report: "{}")
            _ = try await trainer.evaluate("brought-in@1", score)
            let refused = await #expect(throws: Fault.self) { _ = try await olga.promote("brought-in@1") }
            #expect(refused?.code == "model.quarantined" && store.rules.asked("model.promote") == nil, "nobody is asked to vote on it")
            await #expect(throws: Fault.self) { _ = try await dana.evaluate("brought-in@1", .init(suite: "import", dataset: .sha256("x"), microbitsPerByte: 1, report: "made up")) }
            _ = try await trainer.evaluate("brought-in@1", .init(suite: "import", dataset: .sha256("fixed text"), microbitsPerByte: 1_500_000, report: "{}"))
            #expect(try await !olga.model("brought-in", "1").quarantined)
            #expect(try await olga.promote("brought-in@1").to == 1)
        }
    }

    @Test func `an export is the model's files and a record, and nothing where it is not allowed or not whole`() async throws {
        try await withStore { store in
            let data = try await store.dataset(["a": "alpha"]), view = try await store.put("policies", seed: 4, dataset: data.digest), files = StoreFixture.model(seed: 4, dataset: data.digest)
            let taken = Mutex<(names: [String], bytes: [[UInt8]], record: UInt64?)>(([], [], nil))
            @Sendable func take(_ part: ExportReader.Part) {
                taken.withLock { taken in
                    switch part {
                    case .header(let header): taken = (header.files.map(\.name), header.files.map { _ in [] }, nil)
                    case .piece(let number, let bytes): taken.bytes[number] += bytes
                    case .end(let end): taken.record = end.record
                    }
                }
            }
            let olga = store.client("olga")
            try await olga.exportModel("policies@1", .init(reason: "a test")) { part throws(Fault) in take(part) }
            let got = taken.withLock { $0 }
            #expect(got.names == ModelFile.allCases.sorted().map(\.rawValue))
            for (name, bytes) in zip(got.names, got.bytes) { #expect(bytes == files[ModelFile(rawValue: name)!]!, "\(name)") }
            let record = try #require(got.record)
            let entry = try #require(try await olga.records(.init(from: record, limit: 1)).records.first?.entry)
            #expect(entry.action == .modelExport && entry.phase == .outcome && entry.outcome == .ok && entry.object?.digest == view.digest)
            #expect(store.rules.asked("model.export")?.resourceDigest == view.digest && store.rules.asked("model.export")?.context["reason"] == "a test")

            store.rules.deny("model.export")
            taken.withLock { $0 = ([], [], nil) }
            let denied = await #expect(throws: Fault.self) { try await olga.exportModel("policies@1", .init()) { part throws(Fault) in take(part) } }
            #expect(denied?.kind == .denied && taken.withLock { $0.names.isEmpty })
            await #expect(throws: Fault.self) { try await olga.exportModel("policies@9", .init()) { part throws(Fault) in take(part) } }

            // Taken apart the same, however it comes; what is cut or goes on is no export.
            let header = try Wire.encode(ExportHeader(name: "m", version: 1, digest: .sha256("m"), files: [.init(name: "a", digest: .sha256("1"), bytes: 3), .init(name: "b", digest: .sha256("2"), bytes: 2)]))
            let whole = header + [0x0a] + Array("abcde".utf8) + Array("{\"record\":7}\n".utf8)
            for step in [1, 2, 5, whole.count] {
                var reader = ExportReader(), seen: [Int: [UInt8]] = [:], record: UInt64?
                for from in stride(from: 0, to: whole.count, by: step) {
                    for part in try reader.feed(Array(whole[from..<min(from + step, whole.count)])) {
                        if case .piece(let number, let bytes) = part { seen[number, default: []] += bytes }
                        if case .end(let end) = part { record = end.record }
                    }
                }
                try reader.finish()
                #expect(seen == [0: Array("abc".utf8), 1: Array("de".utf8)] && record == 7)
                #expect(throws: Fault.self) { _ = try reader.feed([0]) }
            }
            for count in 0..<whole.count {
                var reader = ExportReader()
                _ = try reader.feed(Array(whole[..<count]))
                #expect(throws: Fault.self) { try reader.finish() }
            }
        }
    }

    @Test func `a promotion takes effect once, with its votes on record, and goes back step by step`() async throws {
        try await withStore { store in
            let data = try await store.dataset(["a": "alpha"])
            let olga = store.client("olga"), trainer = store.client("trainer")
            for seed in 1...3 { _ = try await store.put("policies", seed: UInt8(seed), dataset: data.digest) }
            for (version, score) in [(1, 2_200_000), (2, 2_100_000)] {
                _ = try await trainer.evaluate(
                    "policies@\(version)", .init(suite: "heldout", dataset: data.digest, microbitsPerByte: Int64(score), baselineMicrobitsPerByte: 2_300_000, report: #"{"n":1}"#))
            }
            await #expect(throws: Fault.self) { _ = try await store.client("dana").evaluate("policies@3", .init(suite: "heldout", dataset: data.digest, microbitsPerByte: 1, report: "made up")) }

            let first = try await olga.promote("policies@1")
            #expect(first.from == nil && first.to == 1 && first.alias == "production")
            let question = try #require(store.rules.asked("model.promote"))
            #expect(question.resource.id == "policies@1" && question.resourceDigest == first.digest)
            #expect(question.attributes["trainedBy"] == ["__entity": ["type": "Forge::User", "id": "dana"]])
            #expect(question.attributes["heldoutMicrobitsPerByte"]?.int == 2_200_000 && question.attributes["productionMicrobitsPerByte"] == nil)

            let again = await #expect(throws: Fault.self) { _ = try await olga.promote("policies@production") }
            #expect(again?.code == "model.promoted")
            _ = try await olga.promote("policies@2", .init(reason: "better"))
            let second = try #require(store.rules.asked("model.promote"))
            #expect(second.attributes["productionMicrobitsPerByte"]?.int == 2_200_000 && second.attributes["heldoutMicrobitsPerByte"]?.int == 2_100_000)
            #expect(second.context["reason"]?.string == "better")
            _ = try await olga.promote("policies@3")
            #expect(store.rules.asked("model.promote")?.attributes["hasHeldoutReport"]?.bool == false)
            #expect(try await olga.model("policies", "production").version == 3)

            let back = try await olga.rollback("policies")
            #expect(back.from == 3 && back.to == 2)
            #expect(try await olga.rollback("policies").to == 1)
            let end = await #expect(throws: Fault.self) { _ = try await olga.rollback("policies") }
            #expect(end?.code == "model.nothing_before")
            _ = try await olga.promote("policies@3")
            #expect(try await olga.rollback("policies").to == 1)

            store.rules.deny("model.promote")
            let denied = await #expect(throws: Fault.self) { _ = try await olga.promote("policies@2") }
            #expect(denied?.kind == .denied)
            #expect(try await olga.model("policies", "production").version == 1)
            let lineage = try await olga.lineage("policies", "2")
            #expect(lineage.steps.map(\.what).filter { $0.hasPrefix("model.") } == ["model.put", "model.evaluate", "model.promote", "model.promote", "model.rollback", "model.rollback"])
        }
    }

    @Test func `a scrub finds the one changed byte, sealed or not, and a start clears what nobody refers to`() async throws {
        try await withStore { store in
            let data = try await store.dataset(["a": "alpha"])
            _ = try await store.put("policies", seed: 1, dataset: data.digest)
            let olga = store.client("olga")
            let clean = try JSON.parse(try await olga.http.send(.post, "/v1/scrub").body)
            #expect(clean["files"]?.int == 7 && clean["damaged"]?.array == [])
            _ = try await olga.seal()
            let blobs = Path.join(store.directory, "blobs")
            let directory = try #require(try Path.list(blobs).first)
            let name = try #require(try Path.list(Path.join(blobs, directory)).first)
            let path = Path.join(blobs, directory, name)
            var bytes = try File(path, .read).readAll(limit: .mib(4))
            bytes[bytes.count / 2] ^= 1
            try Durable.replace(path, with: bytes)
            let found = try JSON.parse(try await olga.http.send(.post, "/v1/scrub").body)
            #expect(found["damaged"]?.array?.count == 1 && found["damaged"]?.array?.first?.string?.contains(name) == true, "\(found.text), changed was \(name)")
            let outcomes = try await olga.records(.init(action: "store.scrub")).records.compactMap(\.entry.outcome)
            #expect(outcomes == [.ok, .failed(code: "blob.damaged")])

            // A crash between the file's rename and its row leaves a file without a row.
            let lost = ID().description
            let orphan = Path.join(blobs, String(lost.prefix(2)), lost)
            try Durable.makeDirectory(Path.parent(orphan))
            try Durable.create(orphan, with: [1])
            await store.registry.sweep()
            #expect(!Path.exists(orphan) && Path.exists(path))
        }
    }

    @Test func `no sentence of a model and no key lies in the state directory`() async throws {
        try await withStore { store in
            let data = try await store.dataset(["a": "alpha"])
            _ = try await store.put("policies", seed: 1, dataset: data.digest)
            let released = try await store.client("trainer").releaseKey(.run, ID())
            let weights = StoreFixture.model(seed: 1, dataset: data.digest)[.weights]!
            let needles: [[UInt8]] = [
                Array(weights[1000..<1040]), Array("\"kernelPath\":\"reference\"".utf8), released.key.reveal(), Array(Base64.encode(released.key.reveal()).utf8), Array(StoreFixture.passphrase.utf8),
            ]
            var files = 0
            func walk(_ directory: String) throws {
                for name in try Path.list(directory) {
                    let path = Path.join(directory, name)
                    switch try Path.information(path)?.kind {
                    case .directory: try walk(path)
                    case .file:
                        files += 1
                        let bytes = try File(path, .read).readAll(limit: .mib(64))
                        // The signed provenance names the kernel path in base64; in clear it would be the model's own file.
                        for needle in needles { #expect(!contains(bytes, needle), "\(name)") }
                    default: continue
                    }
                }
            }
            try walk(store.directory)
            #expect(files > 8)
        }
    }

    private func contains(_ bytes: [UInt8], _ needle: [UInt8]) -> Bool {
        guard bytes.count >= needle.count else { return false }
        return unsafe bytes.withUnsafeBufferPointer { all in
            unsafe needle.withUnsafeBufferPointer { part in
                var at = 0
                while at + part.count <= all.count {
                    if unsafe all[at] == part[0], unsafe all[at + part.count - 1] == part[part.count - 1] {
                        var i = 0
                        while i < part.count, unsafe all[at + i] == part[i] { i += 1 }
                        if i == part.count { return true }
                    }
                    at += 1
                }
                return false
            }
        }
    }
}
