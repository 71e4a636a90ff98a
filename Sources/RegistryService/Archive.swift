import ForgeAudit
import ForgeCatalog
package import ForgeCore
import ForgeCrypto
import ForgeOS

/// The audit archive of docs/formats/audit-tree.md §6, file by file, in constant memory but for the catalog.
package struct Archive: Sendable {
    private let reader: Reader
    /// Records it proves.
    package let size: UInt64
    private let note: SignedNote

    /// - Throws: when nothing has been signed yet.
    package init(_ ledger: Ledger) async throws(Fault) {
        reader = ledger.reader
        let head = try await ledger.checkpoint()
        (note, size) = (head.note, head.size)
    }

    package typealias Sink = (_ path: String, _ bytes: [UInt8]) async throws -> Void

    package func write(_ sink: Sink) async throws {
        try await sink("FORMAT", Array("forge-audit-archive 1\n".utf8))
        let (logKey, witnesses) = try await reader.read { database throws(Fault) in
            (try database.meta("log_vkey") ?? "", try database.witnesses().sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
        }
        try await sink("keys/log.vkey", Array((logKey + "\n").utf8))
        try await sink("keys/witnesses.vkeys", Array(witnesses.map { $0 + "\n" }.joined().utf8))
        for tile in Tile.all(size: size) {
            let bytes = try await reader.read { database throws(Fault) in try Archive.bytes(of: tile, database) }
            try await sink(tile.path, bytes)
        }
        try await writeHeads(sink)
        try await sink("catalog.jsonl", try await reader.snapshot { database throws(Fault) in try CatalogLines.all(database, below: size) })
        // Last, so that an archive that was cut on its way has no checkpoint.
        try await sink("checkpoint", note.bytes)
    }

    private func writeHeads(_ sink: Sink) async throws {
        var from: Int64 = -1
        while true {
            let (start, size) = (from, size)
            let page = try await reader.snapshot { database throws(Fault) -> [(UInt64, [UInt8])] in
                var page: [(UInt64, [UInt8])] = []
                for row in try database.rows("SELECT size FROM tree_head WHERE size > ? AND size < ? ORDER BY size LIMIT 500", start, size) {
                    guard let head = try database.treeHead(size: try row.index(0)) else { continue }
                    page.append((head.size, try Ledger.note(head, in: database).bytes))
                }
                return page
            }
            for (size, bytes) in page {
                let digits = String(size)
                try await sink("checkpoints/" + String(repeating: "0", count: 20 - digits.count) + digits, bytes)
                from = Int64(size)
            }
            if page.count < 500 { return }
        }
    }

    private static func bytes(of tile: Tile, _ database: Database) throws(Fault) -> [UInt8] {
        switch tile.kind {
        case .entries:
            var leaves: [[UInt8]] = []
            let first = tile.index * Tile.width
            try database.forEachLeaf(from: first, to: first + UInt64(tile.width)) { _, bytes, _ in leaves.append(bytes) }
            guard leaves.count == tile.width else {
                throw Fault(.environment, "audit.damaged", "the archive cannot be made", why: "a record between \(first) and \(first + UInt64(tile.width)) is missing", remedy: "run `forge-verify` on a copy of the state directory")
            }
            return EntryBundle.encode(leaves)
        case .hashes:
            var bytes: [UInt8] = []
            for node in tile.nodes { bytes += try database.node(level: node.level, index: node.index).bytes }
            return bytes
        }
    }
}

/// The rows that the log speaks for, as docs/formats/catalog.md §4 writes them.
enum CatalogLines {
    static func all(_ database: Database, below size: UInt64) throws(Fault) -> [UInt8] {
        var lines: [(record: Int64, table: String, bytes: [UInt8])] = []
        func add(_ table: String, _ record: Int64, _ members: JSON.Object) {
            var members = members
            members["table"] = .string(table)
            members["record"] = .int(record)
            lines.append((record, table, JSON.object(members).canonical + [0x0a]))
        }
        func digest(_ row: SQLRow, _ column: Int) throws(Fault) -> JSON { .string(try row.digest(column).description) }
        try database.forEach("SELECT record, digest, name FROM dataset WHERE record < ?", size) { row throws(Fault) in
            add("dataset", try row.int(0), ["digest": try digest(row, 1), "name": .string(try row.text(2))])
        }
        try database.forEach("SELECT record, digest, name, version FROM model_version WHERE record < ?", size) { row throws(Fault) in
            add("model_version", try row.int(0), ["digest": try digest(row, 1), "name": .string(try row.text(2)), "version": .int(try row.int(3))])
        }
        try database.forEach("SELECT record, alias, name, from_version, to_version FROM alias_move WHERE record < ?", size) { row throws(Fault) in
            var members: JSON.Object = ["alias": .string(try row.text(1)), "name": .string(try row.text(2)), "to": .int(try row.int(4))]
            if let from = try row.optionalInt(3) { members["from"] = .int(from) }
            add("alias_move", try row.int(0), members)
        }
        try database.forEach("SELECT record, id, name, version, dataset, microbits_per_byte, report FROM evaluation WHERE record < ?", size) { row throws(Fault) in
            add(
                "evaluation", try row.int(0),
                [
                    "id": .string(try row.id(1).description), "name": .string(try row.text(2)), "version": .int(try row.int(3)), "dataset": try digest(row, 4),
                    "microbits_per_byte": .int(try row.int(5)), "report": .string(Digest.sha256(try row.blob(6)).description),
                ])
        }
        try database.forEach("SELECT record, id FROM receipt WHERE record < ?", size) { row throws(Fault) in
            add("receipt", try row.int(0), ["id": .string(try row.id(1).description)])
        }
        lines.sort { $0.record != $1.record ? $0.record < $1.record : $0.table.utf8.lexicographicallyPrecedes($1.table.utf8) }
        return lines.flatMap(\.bytes)
    }
}
