package import ForgeCore
package import ForgeGate

/// A registered data set: what it is called, and the manifest whose root is its digest.
package struct DatasetRow: Hashable, Sendable {
    package var digest: Digest
    package var name: String
    package var documents: Int64
    package var bytes: Int64
    /// As it was registered, byte for byte.
    package var manifest: [UInt8]
    package var created: Int64
    package var record: AuditIndex

    package init(digest: Digest, name: String, documents: Int64, bytes: Int64, manifest: [UInt8], created: Int64, record: AuditIndex) {
        self.digest = digest
        self.name = name
        self.documents = documents
        self.bytes = bytes
        self.manifest = manifest
        self.created = created
        self.record = record
    }
}

/// What the registry keeps of a run: enough to say which data and recipe a model came from.
package struct RunRow: Hashable, Sendable {
    package var run: ID
    package var dataset: Digest
    package var recipe: Digest
    package var submittedBy: String
    package var created: Int64
    package var record: AuditIndex

    package init(run: ID, dataset: Digest, recipe: Digest, submittedBy: String, created: Int64, record: AuditIndex) {
        self.run = run
        self.dataset = dataset
        self.recipe = recipe
        self.submittedBy = submittedBy
        self.created = created
        self.record = record
    }
}

/// Where an answer's evidence stands in the log.
package struct ReceiptRow: Hashable, Sendable {
    package var id: ID
    package var model: String
    package var app: String
    package var created: Int64
    package var record: AuditIndex

    package init(id: ID, model: String, app: String, created: Int64, record: AuditIndex) {
        self.id = id
        self.model = model
        self.app = app
        self.created = created
        self.record = record
    }
}

extension Database {
    package func insert(_ dataset: DatasetRow) throws(Fault) {
        try run(
            "INSERT INTO dataset (digest, name, documents, bytes, manifest, created, record) VALUES (?, ?, ?, ?, ?, ?, ?)",
            dataset.digest, dataset.name, dataset.documents, dataset.bytes, dataset.manifest, dataset.created, dataset.record)
    }

    private func dataset(_ row: SQLRow) throws(Fault) -> DatasetRow {
        DatasetRow(
            digest: try row.digest(0), name: try row.text(1), documents: try row.int(2), bytes: try row.int(3), manifest: try row.blob(4), created: try row.int(5), record: try row.index(6))
    }

    package func dataset(_ digest: Digest) throws(Fault) -> DatasetRow? {
        guard let row = try first("SELECT digest, name, documents, bytes, manifest, created, record FROM dataset WHERE digest = ?", digest) else { return nil }
        return try dataset(row)
    }

    /// The latest data set of that name.
    package func dataset(named name: String) throws(Fault) -> DatasetRow? {
        guard let row = try first("SELECT digest, name, documents, bytes, manifest, created, record FROM dataset WHERE name = ? ORDER BY record DESC LIMIT 1", name) else { return nil }
        return try dataset(row)
    }

    /// Without manifests; oldest first.
    package func datasets(limit: Int = 1000) throws(Fault) -> [DatasetRow] {
        var datasets: [DatasetRow] = []
        for row in try rows("SELECT digest, name, documents, bytes, x'', created, record FROM dataset ORDER BY record LIMIT ?", limit) { datasets.append(try dataset(row)) }
        return datasets
    }

    package func insert(_ run: RunRow) throws(Fault) {
        try self.run("INSERT INTO run_ref (run, dataset, recipe, submitted_by, created, record) VALUES (?, ?, ?, ?, ?, ?)", run.run, run.dataset, run.recipe, run.submittedBy, run.created, run.record)
    }

    package func run(_ id: ID) throws(Fault) -> RunRow? {
        guard let row = try first("SELECT run, dataset, recipe, submitted_by, created, record FROM run_ref WHERE run = ?", id) else { return nil }
        return RunRow(run: try row.id(0), dataset: try row.digest(1), recipe: try row.digest(2), submittedBy: try row.text(3), created: try row.int(4), record: try row.index(5))
    }

    package func insert(_ receipt: ReceiptRow) throws(Fault) {
        try run("INSERT INTO receipt (id, model, app, created, record) VALUES (?, ?, ?, ?, ?)", receipt.id, receipt.model, receipt.app, receipt.created, receipt.record)
    }

    package func receipt(_ id: ID) throws(Fault) -> ReceiptRow? {
        guard let row = try first("SELECT id, model, app, created, record FROM receipt WHERE id = ?", id) else { return nil }
        return ReceiptRow(id: try row.id(0), model: try row.text(1), app: try row.text(2), created: try row.int(3), record: try row.index(4))
    }
}
