import ForgeArtifact
import ForgeCore
import ForgeCrypto
import Testing

private func digest(_ file: ModelFile) -> Digest { .sha256("content of \(file.rawValue)") }
private func files() throws -> ModelFiles { try ModelFiles(ModelFile.allCases.map { .init($0, digest($0), bytes: 10) }) }

private func refusal(_ body: () throws -> Void) -> Fault? {
    do {
        try body()
        return nil
    } catch { return error as? Fault }
}

@Suite struct ModelTests {
    @Test func `the digest is that of the files' digests in the order of their names`() throws {
        let names = ["code.json", "config.json", "datasets.json", "generation.json", "model.safetensors", "recipe.yaml", "tokenizer.json"]
        #expect(try files().entries.map(\.file.rawValue) == names)
        #expect(try files().digest == .sha256(names.flatMap { digest(ModelFile(rawValue: $0)!).bytes }))
        #expect(try ModelFiles(files().entries.reversed()).digest == files().digest)
    }

    @Test func `a model lacks nothing and has nothing twice`() throws {
        let entries = try files().entries
        #expect(refusal { _ = try ModelFiles(entries.dropLast()) }?.why.contains("tokenizer.json") == true)
        #expect(refusal { _ = try ModelFiles(entries + [entries[0]]) }?.why.contains("2 times") == true)
        #expect(refusal { _ = try ModelFiles(entries.map { .init($0.file, $0.digest, bytes: 2 << 20) }) }?.code == "model.size")
    }

    @Test(arguments: ["policies@1", "a.b-c_9@12"])
    func `a reference reads back`(text: String) { #expect(ModelReference(parsing: text)?.description == text) }

    @Test(arguments: ["policies", "@1", "Policies@1", "a@0", "a@01", "a@-1", "a@1@2", "../a@1", "-a@1", "a b@1"])
    func `what is not a reference is refused`(text: String) { #expect(ModelReference(parsing: text) == nil) }

    @Test func `a manifest verifies with its key and names what it signs`() throws {
        let key = P256.PrivateKey()
        let signed = ModelManifest.sign(try files(), as: .init(name: "policies", version: 2), with: key)
        let read = try SignedStatement(parsing: signed.bundle, source: "m")
        let manifest = try ModelManifest(verifying: read, with: key.publicKey, source: "m")
        #expect(manifest.reference.description == "policies@2")
        #expect(try manifest.digest == files().digest)
        #expect(manifest.digests[.recipe] == digest(.recipe))
        #expect(refusal { _ = try ModelManifest(verifying: read, with: P256.PrivateKey().publicKey, source: "m") }?.why == "it was signed with another key")
    }

    @Test func `every flipped byte of a manifest is refused`() throws {
        let key = P256.PrivateKey()
        let bundle = ModelManifest.sign(try files(), as: .init(name: "policies", version: 2), with: key).bundle
        for i in bundle.indices {
            var changed = bundle
            changed[i] ^= 1
            #expect(throws: Fault.self, "byte \(i)") {
                _ = try ModelManifest(verifying: SignedStatement(parsing: changed, source: "m"), with: key.publicKey, source: "m")
            }
        }
    }

    @Test func `a signed statement that is no manifest is refused although its signature holds`() throws {
        let key = P256.PrivateKey()
        let good = ModelManifest.sign(try files(), as: .init(name: "a", version: 1), with: key)
        let json = try JSON.parse(good.payload)
        guard case .object(var object) = json else { return }
        object["extra"] = 1
        let signed = SignedStatement(.object(object), signedBy: key)
        #expect(refusal { _ = try ModelManifest(verifying: signed, with: key.publicKey, source: "m") }?.code == "manifest.form")
    }

    @Test func `provenance names the run, what it was made from and where that is on record`() throws {
        let key = P256.PrivateKey()
        let provenance = Provenance(
            reference: .init(name: "policies", version: 2), digest: try files().digest, recipe: .sha256("recipe"), seed: 3, kernelPath: "avx512",
            dependencies: [.init(name: "model:base@1", digest: .sha256("b")), .init(name: "dataset:policies", digest: .sha256("d"))], run: ID(),
            started: Timestamp(seconds: 5), finished: Timestamp(seconds: 9),
            records: [.init(name: "record:model.put", index: 9), .init(name: "record:run.submit", index: 4)])
        let signed = try SignedStatement(parsing: provenance.signed(by: key).bundle, source: "p")
        let summary = try Provenance.summary(verifying: signed, with: key.publicKey, source: "p")
        #expect(summary.run == provenance.run)
        #expect(summary.dependencies.map(\.name) == ["dataset:policies", "model:base@1"])
        #expect(summary.records.map(\.index) == [4, 9])
        #expect(refusal { _ = try ModelManifest(verifying: signed, with: key.publicKey, source: "p") } != nil, "provenance is no manifest")
    }

    @Test func `the small records read back and refuse what they do not know`() throws {
        let datasets = DatasetsRecord([.init(name: "b", digest: .sha256("2"), documents: 3, bytes: 9), .init(name: "a", digest: .sha256("1"), documents: 1, bytes: 4)])
        #expect(try DatasetsRecord(parsing: datasets.encoded) == datasets)
        #expect(refusal { _ = try DatasetsRecord(parsing: Array(#"{"datasets":[],"x":1}"#.utf8)) } != nil)
        let code = CodeRecord(kernelPath: "avx2")
        #expect(try CodeRecord(parsing: code.encoded) == code)
        for template in [nil, "mistral-v3"] {
            let generation = GenerationRecord(chatTemplate: template, contextLength: 256, endOfText: 2, precision: "bf16")
            #expect(try GenerationRecord(parsing: generation.encoded) == generation)
        }
    }
}
