package import ForgeCore
package import ForgeGate

/// Rows that were written together, as the bytes whose digest their leaf names (docs/formats/catalog.md §5).
extension Database {
    private static let statements: [(label: String, sql: StaticString)] = [
        ("meta", "SELECT * FROM meta WHERE ?1 = 0 AND key <> 'closed_below' ORDER BY key"),
        ("wrapped_key", "SELECT * FROM wrapped_key WHERE record = ? AND purpose <> 'blob' ORDER BY id"),
        ("blob_key", "SELECT k.* FROM blob AS b JOIN wrapped_key AS k ON k.id = b.key WHERE b.record = ? ORDER BY k.id"),
        ("blob", "SELECT * FROM blob WHERE record = ? ORDER BY id"),
        ("blob_segment", "SELECT s.* FROM blob AS b JOIN blob_segment AS s ON s.blob = b.id WHERE b.record = ? ORDER BY s.blob, s.idx"),
        ("dataset", "SELECT * FROM dataset WHERE record = ? ORDER BY digest"),
        ("model", "SELECT * FROM model WHERE record = ? ORDER BY name"),
        ("model_version", "SELECT * FROM model_version WHERE record = ? ORDER BY name, version"),
        (
            "model_file",
            "SELECT f.* FROM model_version AS v JOIN model_file AS f ON f.name = v.name AND f.version = v.version WHERE v.record = ? ORDER BY f.name, f.version, f.file"
        ),
        ("attestation", "SELECT * FROM attestation WHERE record = ? ORDER BY name, version, kind"),
        ("alias_move", "SELECT * FROM alias_move WHERE record = ?"),
        ("evaluation", "SELECT * FROM evaluation WHERE record = ? ORDER BY id"),
        ("run_ref", "SELECT * FROM run_ref WHERE record = ? ORDER BY run"),
        ("witness", "SELECT * FROM witness WHERE record = ? ORDER BY name"),
    ]

    /// - Returns: every row that stands under `record`, one after another; empty when there is none.
    package func rowBytes(under record: AuditIndex) throws(Fault) -> [UInt8] {
        var bytes: [UInt8] = []
        for (label, sql) in Database.statements {
            try forEach(sql, record) { row throws(Fault) in
                bytes += label.utf8
                bytes.append(0)
                for value in row.values { value.append(to: &bytes) }
            }
        }
        return bytes
    }
}

extension SQLValue {
    fileprivate func append(to bytes: inout [UInt8]) {
        func number(_ value: Int64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * $0)) } }
        switch self {
        case .null: bytes.append(0)
        case .int(let value): bytes += [1] + number(value)
        case .text(let value): bytes += [2] + number(Int64(value.utf8.count)) + Array(value.utf8)
        case .blob(let value): bytes += [3] + number(Int64(value.count)) + value
        }
    }
}
