package import ForgeCore
package import ForgeGate

/// A model on its way in, piece by piece.
package struct UploadRow: Hashable, Sendable {
    package enum State: String, Sendable, Hashable {
        case open
        case committed
        case abandoned
    }

    package var id: ID
    /// Who began it; nobody else may continue it.
    package var principal: String
    package var name: String
    package var state: State
    /// Bytes set aside for it.
    package var reserved: Int64
    /// What the sender announced, as canonical JSON.
    package var declared: [UInt8]
    package var created: Int64
    package var expires: Int64
    package var record: AuditIndex

    package init(
        id: ID, principal: String, name: String, state: State = .open, reserved: Int64, declared: [UInt8], created: Int64, expires: Int64, record: AuditIndex
    ) {
        self.id = id
        self.principal = principal
        self.name = name
        self.state = state
        self.reserved = reserved
        self.declared = declared
        self.created = created
        self.expires = expires
        self.record = record
    }

    init(_ row: SQLRow) throws(Fault) {
        guard let state = State(rawValue: try row.text(3)) else { throw .store("corrupt", "the catalog holds an upload in no known state", why: try row.text(3)) }
        self.init(
            id: try row.id(0), principal: try row.text(1), name: try row.text(2), state: state, reserved: try row.int(4), declared: try row.blob(5), created: try row.int(6),
            expires: try row.int(7), record: try row.index(8))
    }
}

extension Database {
    package func insert(_ upload: UploadRow) throws(Fault) {
        try run(
            "INSERT INTO upload (id, principal, name, state, reserved, declared, created, expires, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            upload.id, upload.principal, upload.name, upload.state.rawValue, upload.reserved, upload.declared, upload.created, upload.expires, upload.record)
    }

    package func upload(_ id: ID) throws(Fault) -> UploadRow? {
        guard let row = try first("SELECT id, principal, name, state, reserved, declared, created, expires, record FROM upload WHERE id = ?", id) else { return nil }
        return try UploadRow(row)
    }

    package func openUploads() throws(Fault) -> [UploadRow] {
        var uploads: [UploadRow] = []
        for row in try rows("SELECT id, principal, name, state, reserved, declared, created, expires, record FROM upload WHERE state = 'open' ORDER BY created, id") { uploads.append(try UploadRow(row)) }
        return uploads
    }

    package func setUpload(_ id: ID, _ state: UploadRow.State) throws(Fault) { try run("UPDATE upload SET state = ? WHERE id = ?", state.rawValue, id) }

    /// A segment that is durable on disk. Sent again, it replaces what was there.
    package func putSegment(_ segment: SegmentRow, upload: ID, file: String) throws(Fault) {
        try run(
            """
            INSERT INTO upload_segment (upload, file, idx, digest, bytes, stored) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (upload, file, idx) DO UPDATE SET digest = excluded.digest, bytes = excluded.bytes, stored = excluded.stored
            """, upload, file, segment.index, segment.digest, segment.bytes, segment.stored)
    }

    package func removeSegment(_ index: Int64, upload: ID, file: String) throws(Fault) {
        try run("DELETE FROM upload_segment WHERE upload = ? AND file = ? AND idx = ?", upload, file, index)
    }

    package func segments(ofUpload id: ID, file: String) throws(Fault) -> [SegmentRow] {
        var segments: [SegmentRow] = []
        for row in try rows("SELECT idx, digest, bytes, stored FROM upload_segment WHERE upload = ? AND file = ? ORDER BY idx", id, file) { segments.append(try SegmentRow(row)) }
        return segments
    }

    package func reservedBytes() throws(Fault) -> Int64 { try first("SELECT coalesce(sum(reserved), 0) FROM upload WHERE state = 'open'")?.int(0) ?? 0 }
}
