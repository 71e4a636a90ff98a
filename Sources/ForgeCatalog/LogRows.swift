package import ForgeCore
package import ForgeGate

/// A leaf with what is searched for in it.
package struct LeafRow: Hashable, Sendable {
    package var index: AuditIndex
    package var bytes: [UInt8]
    package var hash: Digest
    package var action: String
    package var phase: String
    package var decision: String?
    package var who: String
    package var objectType: String?
    package var objectID: String?
    package var request: ID
    package var unit: String
    package var time: Int64

    package init(
        index: AuditIndex, bytes: [UInt8], hash: Digest, action: String, phase: String, decision: String?, who: String, objectType: String?, objectID: String?,
        request: ID, unit: String, time: Int64
    ) {
        self.index = index
        self.bytes = bytes
        self.hash = hash
        self.action = action
        self.phase = phase
        self.decision = decision
        self.who = who
        self.objectType = objectType
        self.objectID = objectID
        self.request = request
        self.unit = unit
        self.time = time
    }
}

/// What to look for; every part that is nil matches all.
package struct RecordFilter: Hashable, Sendable {
    package var action: String?
    package var who: String?
    package var objectType: String?
    package var objectID: String?
    package var decision: String?
    package var request: ID?

    package init(action: String? = nil, who: String? = nil, objectType: String? = nil, objectID: String? = nil, decision: String? = nil, request: ID? = nil) {
        self.action = action
        self.who = who
        self.objectType = objectType
        self.objectID = objectID
        self.decision = decision
        self.request = request
    }
}

extension Database {
    package func meta(_ key: String) throws(Fault) -> String? { try first("SELECT value FROM meta WHERE key = ?", key)?.text(0) }
    package func setMeta(_ key: String, _ value: String) throws(Fault) {
        try run("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)
    }

    // MARK: leaves and nodes

    package func insert(_ leaf: LeafRow) throws(Fault) {
        try run("INSERT INTO leaf (seq, bytes, hash) VALUES (?, ?, ?)", leaf.index, leaf.bytes, leaf.hash)
        try run(
            "INSERT INTO record_index (seq, act, phase, dec, who, obj_type, obj_id, req, unit, t) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            leaf.index, leaf.action, leaf.phase, leaf.decision, leaf.who, leaf.objectType, leaf.objectID, leaf.request, leaf.unit, leaf.time)
    }

    package func insertNode(level: Int, index: UInt64, _ hash: Digest) throws(Fault) {
        try run("INSERT INTO node (level, idx, hash) VALUES (?, ?, ?)", level, index, hash)
    }

    package func leafCount() throws(Fault) -> UInt64 { try first("SELECT coalesce(max(seq) + 1, 0) FROM leaf")?.index(0) ?? 0 }

    package func leaf(_ index: AuditIndex) throws(Fault) -> [UInt8]? { try first("SELECT bytes FROM leaf WHERE seq = ?", index)?.blob(0) }

    /// Level 0 are leaf hashes.
    package func node(level: Int, index: UInt64) throws(Fault) -> Digest {
        let row = level == 0 ? try first("SELECT hash FROM leaf WHERE seq = ?", index) : try first("SELECT hash FROM node WHERE level = ? AND idx = ?", level, index)
        guard let row else {
            throw .store("corrupt", "the log's tree has a hole", why: "node \(index) of level \(level) is missing", remedy: "run `forge-verify` on a copy and restore a backup")
        }
        return try row.digest(0)
    }

    package func forEachLeaf(from: AuditIndex, to: AuditIndex, _ body: (AuditIndex, [UInt8], Digest) throws(Fault) -> Void) throws(Fault) {
        try forEach("SELECT seq, bytes, hash FROM leaf WHERE seq >= ? AND seq < ? ORDER BY seq", from, to) { row throws(Fault) in
            try body(try row.index(0), try row.blob(1), try row.digest(2))
        }
    }

    /// A page of leaves, by index, that match the filter.
    package func leaves(from: AuditIndex, limit: Int, _ filter: RecordFilter = .init()) throws(Fault) -> [(index: AuditIndex, bytes: [UInt8])] {
        // One statement for all filters: a part that is NULL matches everything. SQLite picks the index of the most selective part.
        let rows =
            filter == .init()
            ? try rows("SELECT seq, bytes FROM leaf WHERE seq >= ? ORDER BY seq LIMIT ?", from, limit)
            : try rows(
                """
                SELECT leaf.seq, leaf.bytes FROM record_index AS i JOIN leaf ON leaf.seq = i.seq WHERE i.seq >= ?1 AND (?3 IS NULL OR i.act = ?3) AND (?4 IS NULL OR i.who = ?4)
                AND (?5 IS NULL OR i.obj_type = ?5) AND (?6 IS NULL OR i.obj_id = ?6) AND (?7 IS NULL OR i.dec = ?7) AND (?8 IS NULL OR i.req = ?8) ORDER BY i.seq LIMIT ?2
                """, from, limit, filter.action, filter.who, filter.objectType, filter.objectID, filter.decision, filter.request)
        var leaves: [(index: AuditIndex, bytes: [UInt8])] = []
        for row in rows { leaves.append((try row.index(0), try row.blob(1))) }
        return leaves
    }

    /// Allowed intents without an outcome, oldest first.
    package func openIntents(from: AuditIndex = 0, limit: Int = 1 << 20) throws(Fault) -> [(index: AuditIndex, action: String, request: ID)] {
        var open: [(index: AuditIndex, action: String, request: ID)] = []
        try forEach(
            """
            SELECT i.seq, i.act, i.req FROM record_index AS i WHERE i.phase = 'intent' AND i.dec = 'allow' AND i.seq >= ?
            AND NOT EXISTS (SELECT 1 FROM record_index AS o WHERE o.req = i.req AND o.act = i.act AND o.phase = 'outcome') ORDER BY i.seq LIMIT ?
            """, from, limit
        ) { row throws(Fault) in open.append((try row.index(0), try row.text(1), try row.id(2))) }
        return open
    }

    /// The allowed intent that an outcome answers, and whether one has answered it.
    package func intent(_ request: ID, action: String) throws(Fault) -> (index: AuditIndex, isAnswered: Bool)? {
        guard let row = try first("SELECT seq FROM record_index WHERE req = ? AND act = ? AND phase = 'intent' AND dec = 'allow'", request, action) else { return nil }
        let outcome = try first("SELECT 1 FROM record_index WHERE req = ? AND act = ? AND phase = 'outcome'", request, action)
        return (try row.index(0), outcome != nil)
    }

    /// The last record of an action on an object before another record.
    package func latestRecord(_ action: String, _ objectType: String, _ objectID: String, before index: AuditIndex) throws(Fault) -> AuditIndex? {
        try first("SELECT seq FROM record_index WHERE act = ? AND obj_type = ? AND obj_id = ? AND seq < ? ORDER BY seq DESC LIMIT 1", action, objectType, objectID, index)?.index(0)
    }

    package func insertDetail(_ index: AuditIndex, salt: [UInt8], _ bytes: [UInt8]) throws(Fault) {
        try run("INSERT INTO detail (seq, salt, bytes) VALUES (?, ?, ?)", index, salt, bytes)
    }

    package func detail(_ index: AuditIndex) throws(Fault) -> (salt: [UInt8], bytes: [UInt8])? {
        guard let row = try first("SELECT salt, bytes FROM detail WHERE seq = ?", index) else { return nil }
        return (try row.blob(0), try row.blob(1))
    }

    /// Erases the text; the leaf and every proof stay as they are.
    package func eraseDetail(_ index: AuditIndex) throws(Fault) { try run("DELETE FROM detail WHERE seq = ?", index) }

    // MARK: tree heads and witnesses

    package func insertTreeHead(size: UInt64, root: Digest, note: String, time: Int64) throws(Fault) {
        try run("INSERT INTO tree_head (size, root, note, t) VALUES (?, ?, ?, ?)", size, root, note, time)
    }

    package struct TreeHeadRow: Sendable {
        package let size: UInt64
        package let root: Digest
        /// With the log's own line alone.
        package let note: String
        package let time: Int64

        init(_ row: SQLRow) throws(Fault) {
            size = try row.index(0)
            root = try row.digest(1)
            note = try row.text(2)
            time = try row.int(3)
        }
    }

    package func latestTreeHead() throws(Fault) -> TreeHeadRow? {
        guard let row = try first("SELECT size, root, note, t FROM tree_head ORDER BY size DESC LIMIT 1") else { return nil }
        return try TreeHeadRow(row)
    }

    package func treeHead(size: UInt64) throws(Fault) -> TreeHeadRow? {
        guard let row = try first("SELECT size, root, note, t FROM tree_head WHERE size = ?", size) else { return nil }
        return try TreeHeadRow(row)
    }

    package func forEachTreeHead(_ body: (TreeHeadRow) throws(Fault) -> Void) throws(Fault) {
        try forEach("SELECT size, root, note, t FROM tree_head ORDER BY size") { row throws(Fault) in try body(try TreeHeadRow(row)) }
    }

    /// A witness may sign one size again later; the newest line stays.
    package func putCosignature(size: UInt64, name: String, line: String, time: Int64) throws(Fault) {
        try run(
            "INSERT INTO cosignature (size, name, line, t) VALUES (?, ?, ?, ?) ON CONFLICT (size, name) DO UPDATE SET line = excluded.line, t = excluded.t", size, name, line, time)
    }

    package func cosignatures(size: UInt64) throws(Fault) -> [String] {
        var lines: [String] = []
        for row in try rows("SELECT line FROM cosignature WHERE size = ? ORDER BY name", size) { lines.append(try row.text(0)) }
        return lines
    }

    /// The largest size any witness signed.
    package func latestCosignedSize() throws(Fault) -> UInt64? { try first("SELECT max(size) FROM cosignature")?.optionalInt(0).flatMap { UInt64(exactly: $0) } }

    package func putWitness(name: String, vkey: String, record: AuditIndex) throws(Fault) {
        try run("INSERT INTO witness (name, vkey, record) VALUES (?, ?, ?)", name, vkey, record)
    }

    package func witnesses() throws(Fault) -> [String] {
        var keys: [String] = []
        for row in try rows("SELECT vkey FROM witness ORDER BY vkey") { keys.append(try row.text(0)) }
        return keys
    }
}
