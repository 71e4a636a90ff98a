import ForgeAudit
package import ForgeCatalog
package import ForgeCore
import ForgeGate

/// Reads the log again and says whether it is what it was. The registry's own look; forge-verify is the stranger's.
package enum LogAudit {
    /// Leaves read at each start. Older ones are held by the nodes above them until somebody asks for everything.
    static let window: UInt64 = 1 << 18

    package struct Report: Sendable, Hashable {
        package let records: UInt64
        package let root: Digest
        package let heads: Int
        package let openIntents: Int
    }

    /// The last part of the log, down to a tile's edge: leaves against hashes, hashes against nodes, the root against the signed heads.
    /// - Returns: the right edge, ready to grow.
    static func recent(_ database: Database) throws(Fault) -> TreeEdge {
        let size = try database.leafCount()
        let from = size > window ? (size - window) / Tile.width * Tile.width : 0
        return try fold(database, from: from, to: size).edge
    }

    /// Everything, leaf by leaf, in constant memory.
    package static func all(_ database: Database) throws(Fault) -> Report {
        let size = try database.leafCount()
        let (edge, heads) = try fold(database, from: 0, to: size, strictly: true)
        return Report(records: size, root: edge.root, heads: heads, openIntents: try database.openIntents().count)
    }

    private static func fold(_ database: Database, from: UInt64, to size: UInt64, strictly: Bool = false) throws(Fault) -> (edge: TreeEdge, heads: Int) {
        let key = try database.meta("log_vkey").map { text throws(Fault) in try NoteKey(parsing: text) }
        var heads: [UInt64: Digest] = [:]
        var newest: Database.TreeHeadRow?
        try database.forEachTreeHead { row throws(Fault) in
            newest = row
            guard row.size >= from else { return }
            heads[row.size] = row.root
            if strictly, let key { _ = try SignedTreeHead(parsing: row.note.utf8, log: key) }
        }
        if let newest {
            guard let key else { throw .unproven("the catalog names no key of the log", "a signed checkpoint is there, its key is not") }
            let head = try SignedTreeHead(parsing: newest.note.utf8, log: key).head
            guard head.size == newest.size, head.root == newest.root else { throw .unproven("the checkpoint of size \(newest.size) is not what its row says", "the row was changed") }
            guard head.size <= size else { throw .unproven("the log was cut", "it has \(size) records, its own checkpoint signs \(head.size)") }
        }
        var edge = try TreeEdge(size: from) { node throws(Fault) in try database.node(level: node.level, index: node.index) }
        func check() throws(Fault) {
            guard let root = heads[edge.size], root != edge.root else { return }
            throw .unproven("the checkpoint of size \(edge.size) signs another root", "records before index \(edge.size) were changed")
        }
        try check()
        try database.forEachLeaf(from: from, to: size) { index, bytes, hash throws(Fault) in
            guard index == edge.size else { throw .unproven("record \(edge.size) is missing", "the next one is \(index)") }
            guard Merkle.leafHash(bytes) == hash else { throw .unproven("record \(index) was changed", "its hash is not the stored one") }
            if strictly, try AuditRecord(parsing: bytes).index != index { throw .unproven("record \(index) is another one", "its `seq` says so") }
            for (node, hash) in edge.append(hash) where try database.node(level: node.level, index: node.index) != hash {
                throw .unproven("the tree above record \(index) was changed", "node \(node.index) of level \(node.level) does not follow from its leaves")
            }
            try check()
        }
        return (edge, heads.count)
    }
}

extension Fault {
    fileprivate static func unproven(_ what: String, _ why: String, file: StaticString = #fileID, line: UInt = #line) -> Fault {
        Fault(.environment, "audit.unproven", what, why: why, remedy: "run `forge-verify` on a copy; do not write to the original", file: file, line: line)
    }
}
