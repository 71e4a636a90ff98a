import ForgeArtifact
import ForgeCatalog
import ForgeCore
import ForgeVault
import RegistryAPI

/// A model reference as callers write it: `name@4`, `name@production` or `sha256:…`.
enum ModelPointer: Hashable, Sendable {
    case version(String, Int64)
    case alias(String, String)
    case digest(Digest)

    init?(_ text: String) {
        if text.hasPrefix("sha256:") {
            guard let digest = Digest(parsing: text) else { return nil }
            self = .digest(digest)
            return
        }
        let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, let pointer = ModelPointer(name: parts[0], version: parts[1]) else { return nil }
        self = pointer
    }

    init?(name: String, version: String) {
        guard Names.isName(name) else { return nil }
        if let number = Int64(version), number >= 1, String(number) == version {
            self = .version(name, number)
        } else if Names.isName(version) {
            self = .alias(name, version)
        } else {
            return nil
        }
    }
}

extension Database {
    /// - Returns: the version, and the alias it was found by.
    func find(_ pointer: ModelPointer) throws(Fault) -> (row: ModelVersionRow, alias: String?)? {
        switch pointer {
        case .version(let name, let version): return try modelVersion(name, version).map { ($0, nil) }
        case .alias(let name, let alias):
            guard let version = try self.alias(name, alias), let row = try modelVersion(name, version) else { return nil }
            return (row, alias)
        case .digest(let digest): return try modelVersions(digest: digest).last.map { ($0, nil) }
        }
    }

    func view(_ row: ModelVersionRow) throws(Fault) -> ModelView {
        var evaluations: [EvaluationView] = []
        for item in try self.evaluations(row.name, row.version) { evaluations.append(EvaluationView(item)) }
        return ModelView(
            name: row.name, version: row.version, digest: row.digest, run: row.run, trainedBy: row.trainedBy, created: row.created, record: row.record,
            aliases: try aliases(row.name).filter { $0.version == row.version }.map(\.alias),
            files: try modelFiles(row.name, row.version).map { .init(name: $0.file, digest: $0.digest, bytes: $0.bytes) }, evaluations: evaluations,
            quarantined: try isQuarantined(row))
    }

    /// Whether a model that was made elsewhere has not been measured yet.
    func isQuarantined(_ row: ModelVersionRow) throws(Fault) -> Bool {
        guard row.run == nil else { return false }
        return try !evaluations(row.name, row.version).contains { $0.suite == EvaluationRequest.importing }
    }

    /// The model's files with the keys of their blobs.
    func sealedModel(_ row: ModelVersionRow) throws(Fault) -> SealedModel {
        var files: [SealedModel.File] = []
        for file in try modelFiles(row.name, row.version) {
            guard let blob = try blob(file.blob), let keyRow = try wrappedKey(blob.key) else { throw Database.corrupt("`\(row.name)@\(row.version)` has a file without a key") }
            files.append(.init(name: file.file, digest: file.digest, count: file.bytes, key: try key(keyRow)))
        }
        return SealedModel(digest: row.digest, files: files)
    }

    /// The score on held-out documents that counts for a promotion: the newest, on one data set if that is asked for.
    func heldout(_ name: String, _ version: Int64, on dataset: Digest? = nil) throws(Fault) -> EvaluationRow? {
        let rows = try evaluations(name, version).filter { $0.suite == EvaluationRequest.heldout }
        return rows.first { $0.dataset == dataset } ?? rows.first
    }
}

extension EvaluationView {
    init(_ row: EvaluationRow) {
        self.init(
            id: row.id, suite: row.suite, dataset: row.dataset, microbitsPerByte: row.microbitsPerByte, baselineMicrobitsPerByte: row.baselineMicrobitsPerByte, created: row.created,
            record: row.record)
    }
}

extension Fault {
    static func quarantined(_ row: ModelVersionRow, _ what: String) -> Fault {
        Fault(
            .request, "model.quarantined", "cannot \(what) `\(row.name)@\(row.version)`", why: "it was brought in from outside and has not been measured yet",
            remedy: "`forge eval \(row.name)@\(row.version) --import` measures it")
    }

    static func noModel(_ text: String) -> Fault {
        Fault(.request, "model.not_found", "there is no model `\(text.prefix(160))`", why: "a model is `name@version`, `name@alias` or its digest", remedy: "`forge model ls` shows them")
    }
}
