package import ForgeCore
package import ForgeCrypto

/// A name and a version: `policies@3`. Versions count from one.
package struct ModelReference: Sendable, Hashable, CustomStringConvertible {
    package let name: String
    package let version: Int

    package init(name: String, version: Int) {
        self.name = name
        self.version = version
    }

    /// Reads `name@version`; a name is 1 to 64 of `a-z 0-9 . _ -` and starts with a letter or digit.
    package init?(parsing text: some StringProtocol) {
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count == 2, ModelReference.isName(parts[0]), let version = Int(parts[1]), version > 0, String(version) == parts[1] else { return nil }
        self.init(name: String(parts[0]), version: version)
    }

    package static func isName(_ text: some StringProtocol) -> Bool {
        let bytes = Array(text.utf8)
        func isWord(_ c: UInt8) -> Bool { 0x61...0x7a ~= c || 0x30...0x39 ~= c }
        return (1...64).contains(bytes.count) && isWord(bytes[0]) && bytes.allSatisfy { isWord($0) || ".-_".utf8.contains($0) }
    }

    package var description: String { "\(name)@\(version)" }
}

/// The signed list of a model's files (docs/formats/model-manifest.md).
package struct ModelManifest: Sendable, Hashable {
    package let reference: ModelReference
    /// Digests by file; sizes are not part of the statement.
    package let digests: [ModelFile: Digest]
    package let digest: Digest

    private static let predicateType = "https://model_signing/signature/v1.0"

    /// Makes and signs the statement of one committed model.
    package static func sign(_ files: ModelFiles, as reference: ModelReference, with key: P256.PrivateKey) -> SignedStatement {
        SignedStatement(statement(files.entries.map { ($0.file, $0.digest) }, digest: files.digest, reference: reference), signedBy: key)
    }

    /// - Throws: `.request` naming the first check that failed.
    package init(verifying signed: SignedStatement, with key: P256.PublicKey, source: String) throws(Fault) {
        let statement = try signed.verified(by: key, source: source)
        func wrong(_ why: String) -> Fault { Fault(.request, "manifest.form", "the manifest `\(source)` is not one of a model", why: why) }
        guard let name = statement["subject"]?.array?.first?["name"]?.string, let reference = ModelReference(parsing: name) else {
            throw wrong("its subject is not a model and a version")
        }
        guard let resources = statement["predicate"]?["resources"]?.array else { throw wrong("it lists no files") }
        var listed: [(ModelFile, Digest)] = []
        for resource in resources {
            guard let name = resource["name"]?.string, let file = ModelFile(rawValue: name) else { throw wrong("it lists a file that no model has") }
            guard let text = resource["digest"]?.string, let digest = Digest(parsing: text) else { throw wrong("`\(name)` has no digest") }
            listed.append((file, digest))
        }
        let files = try ModelFiles(listed.map { .init($0.0, $0.1, bytes: 0) })
        guard ModelManifest.statement(listed, digest: files.digest, reference: reference) == statement else {
            throw wrong("its digest is not that of its files, or it says more than a manifest does")
        }
        self.reference = reference
        self.digests = Dictionary(listed) { first, _ in first }
        self.digest = files.digest
    }

    private static func statement(_ files: [(ModelFile, Digest)], digest: Digest, reference: ModelReference) -> JSON {
        [
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [["name": .string(reference.description), "digest": ["sha256": .string(digest.hex)]]],
            "predicateType": .string(predicateType),
            "predicate": [
                "resources": .array(
                    files.map { ["name": .string($0.0.rawValue), "algorithm": "sha256", "digest": .string($0.1.hex)] }),
                "serialization": ["method": "files", "hash_type": "sha256", "allow_symlinks": false, "ignore_paths": []],
            ],
        ]
    }
}
