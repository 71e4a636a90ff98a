package import ForgeCore

/// What a column of a STRICT table holds.
package enum SQLValue: Hashable, Sendable {
    case null
    case int(Int64)
    case text(String)
    case blob([UInt8])
}

/// What can be bound to a statement.
package protocol SQLBindable {
    var sql: SQLValue { get }
}

extension Int64: SQLBindable { package var sql: SQLValue { .int(self) } }
extension Int: SQLBindable { package var sql: SQLValue { .int(Int64(self)) } }
extension UInt64: SQLBindable { package var sql: SQLValue { .int(Int64(clamping: self)) } }
extension String: SQLBindable { package var sql: SQLValue { .text(self) } }
extension [UInt8]: SQLBindable { package var sql: SQLValue { .blob(self) } }
extension Digest: SQLBindable { package var sql: SQLValue { .blob(bytes) } }
extension ID: SQLBindable { package var sql: SQLValue { .blob(bytes) } }
extension SQLValue: SQLBindable { package var sql: SQLValue { self } }

/// One row of a result, by column from zero. A value of another type than asked for is damage, not a bug: STRICT tables cannot
/// hold it, so somebody changed the file.
package struct SQLRow: Sendable {
    let values: [SQLValue]

    private func damaged(_ column: Int) -> Fault {
        .store("corrupt", "the catalog holds a value of the wrong kind", why: "column \(column) is \(values[column])", remedy: "run `forge-verify` on a copy and restore a backup")
    }

    package func int(_ column: Int) throws(Fault) -> Int64 {
        guard case .int(let value) = values[column] else { throw damaged(column) }
        return value
    }

    /// A count or an index.
    package func index(_ column: Int) throws(Fault) -> UInt64 {
        guard let value = UInt64(exactly: try int(column)) else { throw damaged(column) }
        return value
    }

    package func text(_ column: Int) throws(Fault) -> String {
        guard case .text(let value) = values[column] else { throw damaged(column) }
        return value
    }

    package func blob(_ column: Int) throws(Fault) -> [UInt8] {
        guard case .blob(let value) = values[column] else { throw damaged(column) }
        return value
    }

    package func digest(_ column: Int) throws(Fault) -> Digest {
        guard let digest = Digest(try blob(column)) else { throw damaged(column) }
        return digest
    }

    package func id(_ column: Int) throws(Fault) -> ID {
        guard let id = ID(try blob(column)) else { throw damaged(column) }
        return id
    }

    package func isNull(_ column: Int) -> Bool { values[column] == .null }
    package func optionalInt(_ column: Int) throws(Fault) -> Int64? { isNull(column) ? nil : try int(column) }
    package func optionalText(_ column: Int) throws(Fault) -> String? { isNull(column) ? nil : try text(column) }
    package func optionalID(_ column: Int) throws(Fault) -> ID? { isNull(column) ? nil : try id(column) }
}
