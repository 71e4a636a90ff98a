import ForgeArtifact
import ForgeCore
import ForgeCrypto
import ForgeOS
import Testing

/// A signed model as it would be exported: the same files are verified by PyPI's `model-signing` (Tests/Peers/test_model_signing.py).
/// To make it anew: FORGE_WRITE_FIXTURES=1 swift test --filter ModelSigningFixture
@Suite struct ModelSigningFixture {
    private static let folder = Path.join(Path.parent(Path.parent(#filePath)), "Fixtures/artifact")

    private func content(_ file: ModelFile) -> [UInt8] { Array("content of \(file.rawValue)\n".utf8) }

    @Test(.enabled(if: Environment["FORGE_WRITE_FIXTURES"] != nil)) func `make the fixture`() throws {
        let key = P256.PrivateKey()
        let files = try ModelFiles(ModelFile.allCases.map { .init($0, .sha256(content($0)), bytes: Int64(content($0).count)) })
        let signed = ModelManifest.sign(files, as: .init(name: "fixture", version: 1), with: key)
        try Durable.makeDirectory(Path.join(ModelSigningFixture.folder, "model"), mode: 0o755)
        for file in ModelFile.allCases { try Durable.replace(Path.join(ModelSigningFixture.folder, "model", file.rawValue), with: content(file), mode: 0o644) }
        try Durable.replace(Path.join(ModelSigningFixture.folder, "model.sig"), with: signed.bundle, mode: 0o644)
        try Durable.replace(Path.join(ModelSigningFixture.folder, "public.pem"), with: Array(key.publicKey.pem.utf8), mode: 0o644)
    }

    @Test func `the model that model-signing accepts is accepted here`() throws {
        func read(_ name: String) throws -> [UInt8] { try File(Path.join(ModelSigningFixture.folder, name), .read).readAll(limit: .mib(1)) }
        let key = try #require(P256.PublicKey(pem: String(decoding: read("public.pem"), as: UTF8.self)))
        let manifest = try ModelManifest(verifying: SignedStatement(parsing: read("model.sig"), source: "model.sig"), with: key, source: "model.sig")
        #expect(manifest.reference.description == "fixture@1")
        for file in ModelFile.allCases { #expect(try manifest.digests[file] == .sha256(read("model/\(file.rawValue)"))) }
    }
}
