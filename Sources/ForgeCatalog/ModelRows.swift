package import ForgeCore
package import ForgeGate

/// One immutable version of a model.
package struct ModelVersionRow: Hashable, Sendable {
    package var name: String
    package var version: Int64
    package var digest: Digest
    /// The run that made it; nil for an imported model.
    package var run: String?
    package var trainedBy: String
    package var created: Int64
    package var record: AuditIndex

    package init(name: String, version: Int64, digest: Digest, run: String?, trainedBy: String, created: Int64, record: AuditIndex) {
        self.name = name
        self.version = version
        self.digest = digest
        self.run = run
        self.trainedBy = trainedBy
        self.created = created
        self.record = record
    }

    init(_ row: SQLRow) throws(Fault) {
        self.init(
            name: try row.text(0), version: try row.int(1), digest: try row.digest(2), run: try row.optionalText(3), trainedBy: try row.text(4), created: try row.int(5), record: try row.index(6))
    }
}

package struct ModelFileRow: Hashable, Sendable {
    package var file: String
    package var digest: Digest
    package var bytes: Int64
    package var blob: ID

    package init(file: String, digest: Digest, bytes: Int64, blob: ID) {
        self.file = file
        self.digest = digest
        self.bytes = bytes
        self.blob = blob
    }
}

/// That an alias, such as `production`, went from one version to another.
package struct AliasMoveRow: Hashable, Sendable {
    package var record: AuditIndex
    package var name: String
    package var alias: String
    package var from: Int64?
    package var to: Int64
    package var approval: ID?

    package init(record: AuditIndex, name: String, alias: String, from: Int64?, to: Int64, approval: ID?) {
        self.record = record
        self.name = name
        self.alias = alias
        self.from = from
        self.to = to
        self.approval = approval
    }

    init(_ row: SQLRow) throws(Fault) {
        self.init(
            record: try row.index(0), name: try row.text(1), alias: try row.text(2), from: try row.optionalInt(3), to: try row.int(4), approval: try row.optionalID(5))
    }
}

package struct EvaluationRow: Hashable, Sendable {
    package var id: ID
    package var name: String
    package var version: Int64
    package var suite: String
    /// What it was measured on.
    package var dataset: Digest
    package var microbitsPerByte: Int64
    package var baselineMicrobitsPerByte: Int64?
    /// The report as it was handed in, byte for byte.
    package var report: [UInt8]
    package var created: Int64
    package var record: AuditIndex

    package init(
        id: ID, name: String, version: Int64, suite: String, dataset: Digest, microbitsPerByte: Int64, baselineMicrobitsPerByte: Int64?, report: [UInt8], created: Int64, record: AuditIndex
    ) {
        self.id = id
        self.name = name
        self.version = version
        self.suite = suite
        self.dataset = dataset
        self.microbitsPerByte = microbitsPerByte
        self.baselineMicrobitsPerByte = baselineMicrobitsPerByte
        self.report = report
        self.created = created
        self.record = record
    }

    init(_ row: SQLRow) throws(Fault) {
        self.init(
            id: try row.id(0), name: try row.text(1), version: try row.int(2), suite: try row.text(3), dataset: try row.digest(4), microbitsPerByte: try row.int(5),
            baselineMicrobitsPerByte: try row.optionalInt(6), report: try row.blob(7), created: try row.int(8), record: try row.index(9))
    }
}

extension Database {
    /// Adds a version, its files and, for the first version, the model itself.
    package func insert(_ version: ModelVersionRow, files: [ModelFileRow]) throws(Fault) {
        try run("INSERT INTO model (name, created, record) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING", version.name, version.created, version.record)
        try run(
            "INSERT INTO model_version (name, version, digest, run, trained_by, created, record) VALUES (?, ?, ?, ?, ?, ?, ?)",
            version.name, version.version, version.digest, version.run, version.trainedBy, version.created, version.record)
        for file in files {
            try run(
                "INSERT INTO model_file (name, version, file, digest, bytes, blob) VALUES (?, ?, ?, ?, ?, ?)", version.name, version.version, file.file, file.digest, file.bytes, file.blob)
        }
    }

    /// The number the next version of a model gets.
    package func nextVersion(of name: String) throws(Fault) -> Int64 { try first("SELECT coalesce(max(version), 0) + 1 FROM model_version WHERE name = ?", name)?.int(0) ?? 1 }

    package func modelNames() throws(Fault) -> [String] {
        var names: [String] = []
        for row in try rows("SELECT name FROM model ORDER BY name") { names.append(try row.text(0)) }
        return names
    }

    package func modelVersion(_ name: String, _ version: Int64) throws(Fault) -> ModelVersionRow? {
        guard let row = try first("SELECT name, version, digest, run, trained_by, created, record FROM model_version WHERE name = ? AND version = ?", name, version) else { return nil }
        return try ModelVersionRow(row)
    }

    package func modelVersions(_ name: String) throws(Fault) -> [ModelVersionRow] {
        var versions: [ModelVersionRow] = []
        for row in try rows("SELECT name, version, digest, run, trained_by, created, record FROM model_version WHERE name = ? ORDER BY version", name) { versions.append(try ModelVersionRow(row)) }
        return versions
    }

    package func modelVersions(digest: Digest) throws(Fault) -> [ModelVersionRow] {
        var versions: [ModelVersionRow] = []
        for row in try rows("SELECT name, version, digest, run, trained_by, created, record FROM model_version WHERE digest = ? ORDER BY record", digest) { versions.append(try ModelVersionRow(row)) }
        return versions
    }

    package func modelFiles(_ name: String, _ version: Int64) throws(Fault) -> [ModelFileRow] {
        var files: [ModelFileRow] = []
        for row in try rows("SELECT file, digest, bytes, blob FROM model_file WHERE name = ? AND version = ? ORDER BY file", name, version) {
            files.append(ModelFileRow(file: try row.text(0), digest: try row.digest(1), bytes: try row.int(2), blob: try row.id(3)))
        }
        return files
    }

    /// - Parameter kind: `manifest` or `provenance`.
    package func insertAttestation(_ name: String, _ version: Int64, kind: String, envelope: [UInt8], record: AuditIndex) throws(Fault) {
        try run("INSERT INTO attestation (name, version, kind, envelope, record) VALUES (?, ?, ?, ?, ?)", name, version, kind, envelope, record)
    }

    package func attestation(_ name: String, _ version: Int64, kind: String) throws(Fault) -> [UInt8]? {
        try first("SELECT envelope FROM attestation WHERE name = ? AND version = ? AND kind = ?", name, version, kind)?.blob(0)
    }

    // MARK: aliases

    package func alias(_ name: String, _ alias: String) throws(Fault) -> Int64? { try first("SELECT version FROM alias WHERE name = ? AND alias = ?", name, alias)?.int(0) }

    package func aliases(_ name: String) throws(Fault) -> [(alias: String, version: Int64)] {
        var aliases: [(alias: String, version: Int64)] = []
        for row in try rows("SELECT alias, version FROM alias WHERE name = ? ORDER BY alias", name) { aliases.append((try row.text(0), try row.int(1))) }
        return aliases
    }

    /// Points an alias at another version and keeps that it did.
    package func move(_ move: AliasMoveRow) throws(Fault) {
        try run(
            "INSERT INTO alias_move (record, name, alias, from_version, to_version, approval) VALUES (?, ?, ?, ?, ?, ?)", move.record, move.name, move.alias, move.from, move.to, move.approval)
        try run(
            "INSERT INTO alias (name, alias, version, record) VALUES (?, ?, ?, ?) ON CONFLICT (name, alias) DO UPDATE SET version = excluded.version, record = excluded.record",
            move.name, move.alias, move.to, move.record)
    }

    /// Oldest first.
    package func aliasMoves(_ name: String, _ alias: String) throws(Fault) -> [AliasMoveRow] {
        var moves: [AliasMoveRow] = []
        for row in try rows("SELECT record, name, alias, from_version, to_version, approval FROM alias_move WHERE name = ? AND alias = ? ORDER BY record", name, alias) { moves.append(try AliasMoveRow(row)) }
        return moves
    }

    // MARK: evaluations

    package func insert(_ evaluation: EvaluationRow) throws(Fault) {
        try run(
            "INSERT INTO evaluation (id, name, version, suite, dataset, microbits_per_byte, baseline_microbits_per_byte, report, created, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            evaluation.id, evaluation.name, evaluation.version, evaluation.suite, evaluation.dataset, evaluation.microbitsPerByte, evaluation.baselineMicrobitsPerByte, evaluation.report,
            evaluation.created, evaluation.record)
    }

    /// Newest first.
    package func evaluations(_ name: String, _ version: Int64) throws(Fault) -> [EvaluationRow] {
        var evaluations: [EvaluationRow] = []
        for row in try rows(
            """
            SELECT id, name, version, suite, dataset, microbits_per_byte, baseline_microbits_per_byte, report, created, record FROM evaluation
            WHERE name = ? AND version = ? ORDER BY record DESC
            """, name, version)
        { evaluations.append(try EvaluationRow(row)) }
        return evaluations
    }
}
