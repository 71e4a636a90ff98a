/// The rows that stand under each record, against the digest the record names (docs/formats/catalog.md §5). Reads every table once, in the
/// order of the records, beside the log.
final class RowsEvidence {
    /// One table, its next row at hand: the record, then the columns.
    private final class Cursor {
        let label: String
        private let rows: Statement
        private(set) var record: UInt64?

        init(_ label: String, _ sql: String, _ database: SQLite) throws {
            self.label = label
            rows = try database.prepare(sql)
            try advance()
        }

        func advance() throws {
            record = nil
            guard try rows.next() else { return }
            guard let number = rows[0].int, number >= 0 else { throw Bad("\(label): a row names no record") }
            record = UInt64(number)
        }

        var bytes: [UInt8] {
            func number(_ value: Int64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * $0)) } }
            var bytes = Array(label.utf8) + [0]
            for column in 1..<rows.count {
                switch rows[column] {
                case .null: bytes.append(0)
                case .int(let value): bytes += [1] + number(value)
                case .text(let value): bytes += [2] + number(Int64(value.utf8.count)) + Array(value.utf8)
                case .blob(let value): bytes += [3] + number(Int64(value.count)) + value
                }
            }
            return bytes
        }
    }

    private let cursors: [Cursor]
    private let sha: SHA256
    /// The first record whose rows are not its own. Told last: a check that knows what a table means says it better.
    private(set) var bad: Bad?

    init(_ database: SQLite, _ sha: SHA256) throws {
        self.sha = sha
        func plain(_ table: String, by key: String) -> (String, String) { (table, "SELECT record, * FROM \(table) ORDER BY record, \(key)") }
        let tables = [
            ("meta", "SELECT 0, * FROM meta WHERE key <> 'closed_below' ORDER BY key"),
            ("wrapped_key", "SELECT record, * FROM wrapped_key WHERE purpose <> 'blob' ORDER BY record, id"),
            ("blob_key", "SELECT b.record, k.* FROM blob AS b JOIN wrapped_key AS k ON k.id = b.key ORDER BY b.record, k.id"),
            plain("blob", by: "id"),
            ("blob_segment", "SELECT b.record, s.* FROM blob AS b JOIN blob_segment AS s ON s.blob = b.id ORDER BY b.record, s.blob, s.idx"),
            plain("dataset", by: "digest"), plain("model", by: "name"), plain("model_version", by: "name, version"),
            (
                "model_file",
                "SELECT v.record, f.* FROM model_version AS v JOIN model_file AS f ON f.name = v.name AND f.version = v.version ORDER BY v.record, f.name, f.version, f.file"
            ),
            plain("attestation", by: "name, version, kind"), plain("alias_move", by: "record"), plain("evaluation", by: "id"), plain("run_ref", by: "run"), plain("witness", by: "name"),
        ]
        cursors = try tables.map { try Cursor($0.0, $0.1, database) }
    }

    /// To be called for each record in turn.
    func check(_ leaf: Leaf) throws {
        var labels: [String] = []
        sha.begin()
        for cursor in cursors {
            if let record = cursor.record, record < leaf.seq { fail("\(cursor.label) row of record \(record): no record stands for it") }
            while cursor.record == leaf.seq {
                sha.add(cursor.bytes)
                if labels.last != cursor.label { labels.append(cursor.label) }
                try cursor.advance()
            }
        }
        let digest = sha.end().spelled
        // Rows are the registry's: what another daemon says of them counts for nothing.
        let named = leaf.unit == "registry" ? leaf.value["data"]?["rows"]?.string : nil
        guard !labels.isEmpty || named != nil else { return }
        if named == nil { return fail("record \(leaf.seq): rows stand under it (\(labels.joined(separator: ", "))) and it names none") }
        if labels.isEmpty { return fail("record \(leaf.seq): the rows that stood under it are gone") }
        if named != digest { fail("record \(leaf.seq): a row under it was changed, added or removed (\(labels.joined(separator: ", ")))") }
    }

    /// After the last record.
    func finish() throws {
        for cursor in cursors { if let record = cursor.record { fail("\(cursor.label) row of record \(record): the log has no such record") } }
        if let bad { throw bad }
    }

    private func fail(_ what: String) { if bad == nil { bad = Bad(what) } }
}
