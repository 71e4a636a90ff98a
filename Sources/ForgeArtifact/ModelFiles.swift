package import ForgeCore
internal import ForgeCrypto

/// The files that make a model (docs/formats/model.md).
package enum ModelFile: String, Sendable, Hashable, CaseIterable, Comparable {
    case code = "code.json"
    case config = "config.json"
    case datasets = "datasets.json"
    case generation = "generation.json"
    case weights = "model.safetensors"
    case recipe = "recipe.yaml"
    case tokenizer = "tokenizer.json"

    /// What one such file may be long.
    package var limit: ByteCount {
        switch self {
        case .weights: ByteCount(1 << 50)
        case .tokenizer: .mib(64)
        default: .mib(1)
        }
    }

    package static func < (a: ModelFile, b: ModelFile) -> Bool { a.rawValue.utf8.lexicographicallyPrecedes(b.rawValue.utf8) }
}

/// A model by its files' digests: all seven, and from them the one digest that names it.
package struct ModelFiles: Sendable, Hashable {
    package struct Entry: Sendable, Hashable {
        package let file: ModelFile
        package let digest: Digest
        package let bytes: Int64

        package init(_ file: ModelFile, _ digest: Digest, bytes: Int64) {
            self.file = file
            self.digest = digest
            self.bytes = bytes
        }
    }

    /// In ascending byte order of their names.
    package let entries: [Entry]

    /// - Throws: `.request` when a file is missing, is there twice, or is longer than its kind may be.
    package init(_ entries: some Sequence<Entry>) throws(Fault) {
        let sorted = entries.sorted { $0.file < $1.file }
        try ModelFiles.requireWhole(sorted.map { ($0.file, $0.bytes) })
        self.entries = sorted
    }

    /// Files that nobody has hashed yet: all there, each once, none longer than its kind may be.
    package static func requireWhole(_ files: [(file: ModelFile, bytes: Int64)]) throws(Fault) {
        for file in ModelFile.allCases {
            let count = files.count { $0.file == file }
            guard count == 1 else {
                throw Fault(.request, "model.files", "this is not a whole model", why: "`\(file.rawValue)` is there \(count == 0 ? "not at all" : "\(count) times")")
            }
        }
        for (file, bytes) in files where bytes > file.limit.count {
            throw Fault(.request, "model.size", "this model is not accepted", why: "`\(file.rawValue)` has \(ByteCount(bytes)); at most \(file.limit) are allowed")
        }
    }

    /// SHA-256 over the files' raw digests in the order of their names.
    package var digest: Digest {
        var hasher = SHA256Hasher()
        for entry in entries { hasher.update(entry.digest.bytes) }
        return hasher.finish()
    }

    package subscript(file: ModelFile) -> Entry {
        guard let entry = entries.first(where: { $0.file == file }) else { preconditionFailure("a model has all its files") }
        return entry
    }

    package var bytes: ByteCount { ByteCount(entries.reduce(0) { $0 + $1.bytes }) }
}
