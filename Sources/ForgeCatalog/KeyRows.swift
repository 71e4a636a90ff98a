package import ForgeCore
package import ForgeGate

/// A key that only a higher key opens.
package struct WrappedKeyRow: Hashable, Sendable {
    package var id: ID
    /// What it opens, such as `project`, `blob`, `run`, `dataset`, `log` or `manifest`.
    package var purpose: String
    /// Whose it is: a blob, a data set, a run; its own id for keys under the root key.
    package var subject: ID
    package var project: ID
    package var version: Int64
    package var wrapped: [UInt8]
    package var created: Int64
    package var record: AuditIndex

    package init(id: ID, purpose: String, subject: ID, project: ID, version: Int64, wrapped: [UInt8], created: Int64, record: AuditIndex) {
        self.id = id
        self.purpose = purpose
        self.subject = subject
        self.project = project
        self.version = version
        self.wrapped = wrapped
        self.created = created
        self.record = record
    }

    init(_ row: SQLRow) throws(Fault) {
        self.init(
            id: try row.id(0), purpose: try row.text(1), subject: try row.id(2), project: try row.id(3), version: try row.int(4), wrapped: try row.blob(5), created: try row.int(6),
            record: try row.index(7))
    }
}

/// One sealed file of the store. The row stands only when its bytes are durable.
package struct BlobRow: Hashable, Sendable {
    package var id: ID
    package var key: ID
    /// Of the plaintext.
    package var digest: Digest
    package var bytes: Int64
    package var stored: Int64
    package var segments: Int64
    package var created: Int64
    package var record: AuditIndex

    package init(id: ID, key: ID, digest: Digest, bytes: Int64, stored: Int64, segments: Int64, created: Int64, record: AuditIndex) {
        self.id = id
        self.key = key
        self.digest = digest
        self.bytes = bytes
        self.stored = stored
        self.segments = segments
        self.created = created
        self.record = record
    }

    init(_ row: SQLRow) throws(Fault) {
        self.init(
            id: try row.id(0), key: try row.id(1), digest: try row.digest(2), bytes: try row.int(3), stored: try row.int(4), segments: try row.int(5), created: try row.int(6),
            record: try row.index(7))
    }
}

/// Part of a blob or an upload: enough to scrub it without a key.
package struct SegmentRow: Hashable, Sendable {
    package var index: Int64
    /// Of the ciphertext.
    package var digest: Digest
    package var bytes: Int64
    package var stored: Int64

    package init(index: Int64, digest: Digest, bytes: Int64, stored: Int64) {
        self.index = index
        self.digest = digest
        self.bytes = bytes
        self.stored = stored
    }

    init(_ row: SQLRow) throws(Fault) { self.init(index: try row.int(0), digest: try row.digest(1), bytes: try row.int(2), stored: try row.int(3)) }
}

extension Database {
    package func insert(_ key: WrappedKeyRow) throws(Fault) {
        try run(
            "INSERT INTO wrapped_key (id, purpose, subject, project, version, wrapped, created, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            key.id, key.purpose, key.subject, key.project, key.version, key.wrapped, key.created, key.record)
    }

    package func wrappedKey(_ id: ID) throws(Fault) -> WrappedKeyRow? {
        guard let row = try first("SELECT id, purpose, subject, project, version, wrapped, created, record FROM wrapped_key WHERE id = ?", id) else { return nil }
        return try WrappedKeyRow(row)
    }

    /// The newest key for that purpose and subject.
    package func wrappedKey(purpose: String, subject: ID) throws(Fault) -> WrappedKeyRow? {
        guard
            let row = try first(
                "SELECT id, purpose, subject, project, version, wrapped, created, record FROM wrapped_key WHERE purpose = ? AND subject = ? ORDER BY version DESC LIMIT 1", purpose, subject)
        else { return nil }
        return try WrappedKeyRow(row)
    }

    package func wrappedKeys(purpose: String) throws(Fault) -> [WrappedKeyRow] {
        var keys: [WrappedKeyRow] = []
        for row in try rows("SELECT id, purpose, subject, project, version, wrapped, created, record FROM wrapped_key WHERE purpose = ? ORDER BY record, id", purpose) { keys.append(try WrappedKeyRow(row)) }
        return keys
    }

    /// Puts a new wrapping in place of the old one, when a higher key is rotated.
    package func rewrap(_ id: ID, version: Int64, wrapped: [UInt8]) throws(Fault) {
        try run("UPDATE wrapped_key SET version = ?, wrapped = ? WHERE id = ?", version, wrapped, id)
    }

    /// Without its key a blob is noise: that is how data is shredded.
    package func deleteWrappedKey(_ id: ID) throws(Fault) { try run("DELETE FROM wrapped_key WHERE id = ?", id) }

    package func insert(_ blob: BlobRow, segments: [SegmentRow] = []) throws(Fault) {
        try run(
            "INSERT INTO blob (id, key, digest, bytes, stored, segments, created, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            blob.id, blob.key, blob.digest, blob.bytes, blob.stored, blob.segments, blob.created, blob.record)
        for segment in segments {
            try run("INSERT INTO blob_segment (blob, idx, digest, bytes, stored) VALUES (?, ?, ?, ?, ?)", blob.id, segment.index, segment.digest, segment.bytes, segment.stored)
        }
    }

    package func blob(_ id: ID) throws(Fault) -> BlobRow? {
        guard let row = try first("SELECT id, key, digest, bytes, stored, segments, created, record FROM blob WHERE id = ?", id) else { return nil }
        return try BlobRow(row)
    }

    package func segments(ofBlob id: ID) throws(Fault) -> [SegmentRow] {
        var segments: [SegmentRow] = []
        for row in try rows("SELECT idx, digest, bytes, stored FROM blob_segment WHERE blob = ? ORDER BY idx", id) { segments.append(try SegmentRow(row)) }
        return segments
    }

    /// All blobs, to scrub them or to find files no row refers to.
    package func forEachBlob(_ body: (BlobRow) throws(Fault) -> Void) throws(Fault) {
        try forEach("SELECT id, key, digest, bytes, stored, segments, created, record FROM blob ORDER BY id") { row throws(Fault) in try body(try BlobRow(row)) }
    }

    package func deleteBlob(_ id: ID) throws(Fault) { try run("DELETE FROM blob WHERE id = ?", id) }
}
