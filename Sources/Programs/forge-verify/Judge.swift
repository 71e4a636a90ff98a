/// Where evidence comes from: leaves in order, signed roots by size, catalog rows by record.
protocol Evidence: AnyObject {
    /// The next signed root of a size not yet asked for, by size; nil after the last.
    func nextCheckpoint() throws -> (place: String, size: UInt64, root: Hash)?
    func nextLeaf() throws -> (place: String, bytes: [UInt8], storedHash: Hash?)?
    /// The next catalog row the log speaks for, by record; nil after the last.
    func nextRow() throws -> CatalogRow?
    /// Whether rows are there to be compared.
    var hasCatalog: Bool { get }
    /// A node of the tree that just became complete.
    func check(level: Int, index: UInt64, hash: Hash) throws
    /// After each leaf that read well.
    func check(_ leaf: Leaf) throws
    /// After the last leaf.
    func finish(size: UInt64) throws
}

/// A row, as docs/formats/catalog.md §4 writes it.
struct CatalogRow: Hashable {
    let record: UInt64
    let members: [String: Value]
    let place: String

    static func == (a: CatalogRow, b: CatalogRow) -> Bool { a.record == b.record && a.members == b.members }
    func hash(into hasher: inout Hasher) { hasher.combine(record) }
}

/// What was found, when nothing was wrong.
struct Verdict {
    var records: UInt64 = 0
    var root = Hash(bytes: [])
    var checkpoints = 0
    var signed: UInt64 = 0
    var witnessed: UInt64 = 0
    var facts = 0
    var boots = 0
    var clockSteps = 0
    var intents = 0
    var open: [(index: UInt64, action: String)] = []
    var sealed = 0
    var restored = false
}

/// Reads the log from its first record to its last, holding one leaf, the right edge of the tree and the open intents.
struct Judge {
    private struct Intent: Hashable {
        let request: String
        let action: String
    }

    private let sha: SHA256
    private let evidence: any Evidence
    /// Roots that others vouch for: the witness's last checkpoint, by size.
    private let outside: [(place: String, size: UInt64, root: Hash)]
    private var tree: Tree
    private var verdict = Verdict()
    private var open: [Intent: UInt64] = [:]
    private var last: (boot: String, boottime: Int64, time: Int64)?
    private var pending: (place: String, size: UInt64, root: Hash)?
    private var row: CatalogRow?

    init(_ evidence: any Evidence, outside: [(place: String, size: UInt64, root: Hash)], sha: SHA256) {
        self.evidence = evidence
        self.outside = outside
        self.sha = sha
        tree = Tree(sha)
    }

    mutating func run() throws -> Verdict {
        pending = try evidence.nextCheckpoint()
        row = try evidence.nextRow()
        try checkRoots()
        while let (place, bytes, stored) = try evidence.nextLeaf() {
            let index = tree.size
            let leaf: Leaf
            do {
                leaf = try Leaf(bytes)
                guard leaf.seq == index else { throw Bad("its `seq` is \(leaf.seq)") }
                try follow(leaf)
                try pair(leaf, index)
            } catch let bad as Bad {
                throw Bad("record \(index) (\(place)): \(bad.what)")
            }
            let hash = sha.leaf(bytes)
            if let stored, stored != hash { throw Bad("record \(index) (\(place)): its stored hash is not the hash of its bytes") }
            for node in tree.append(hash) { try evidence.check(level: node.level, index: node.index, hash: node.hash) }
            try compareRows(leaf, index)
            do { try evidence.check(leaf) } catch let bad as Bad { throw Bad("record \(index) (\(place)): \(bad.what)") }
            try checkRoots()
        }
        for head in outside where head.size > tree.size {
            throw Bad("truncated: the log ends at record \(tree.size), \(head.place) vouches for \(head.size) (the tail was cut, or an older database was restored)")
        }
        if let pending { throw Bad("\(pending.place): it signs \(pending.size) records, the log has \(tree.size)") }
        if let row { throw Bad("\(row.place): no record of the log stands for it") }
        try evidence.finish(size: tree.size)
        verdict.records = tree.size
        verdict.root = tree.root
        verdict.open = open.map { ($0.value, $0.key.action) }.sorted { $0.index < $1.index }
        return verdict
    }

    private mutating func checkRoots() throws {
        let here = outside.filter { $0.size == tree.size }
        guard pending?.size == tree.size || !here.isEmpty else { return }
        let root = tree.root
        while let head = pending, head.size == tree.size {
            guard head.root == root else { throw Bad("\(head.place): the records before index \(head.size) do not have the root it signs") }
            verdict.checkpoints += 1
            verdict.signed = max(verdict.signed, head.size)
            pending = try evidence.nextCheckpoint()
            if let next = pending, next.size < head.size { throw Bad("\(next.place): out of order") }
        }
        for head in here where head.root != root {
            throw Bad("the log was rewritten: at size \(head.size) it has another root than \(head.place) vouches for, so a record before index \(head.size) is not the one that was signed")
        }
    }

    /// Time and boots.
    private mutating func follow(_ leaf: Leaf) throws {
        defer { last = (leaf.boot, leaf.boottime, leaf.time) }
        let isStart = leaf.action == "daemon.start" && leaf.unit == "registry"
        guard let last else {
            verdict.boots = 1
            guard leaf.action == "log.init" else { throw Bad("the first record is not `log.init`") }
            return
        }
        if leaf.boot == last.boot {
            guard leaf.boottime >= last.boottime else { throw Bad("its boot time runs backwards") }
        } else {
            verdict.boots += 1
            guard isStart else { throw Bad("a new boot begins with the registry's start") }
        }
        if leaf.action == "clock.step" { verdict.clockSteps += 1 }
        guard leaf.time >= last.time || leaf.action == "clock.step" || isStart else { throw Bad("its time runs backwards") }
        guard leaf.action != "log.init" else { throw Bad("a log begins once") }
    }

    private mutating func pair(_ leaf: Leaf, _ index: UInt64) throws {
        let key = Intent(request: leaf.request, action: leaf.action)
        if leaf.value["drop"] != nil { verdict.sealed += 1 }
        switch leaf.phase {
        case "intent" where leaf.decision == "allow":
            verdict.intents += 1
            guard open.updateValue(index, forKey: key) == nil else { throw Bad("its request has an open intent of `\(leaf.action)` already") }
        case "outcome":
            guard open.removeValue(forKey: key) != nil else { throw Bad("an outcome of `\(leaf.action)` that answers no open intent") }
        default: break
        }
    }

    /// What a record says of the catalog must stand there, and nothing else may.
    private mutating func compareRows(_ leaf: Leaf, _ index: UInt64) throws {
        guard evidence.hasCatalog else { return }
        if let fact = Facts.row(of: leaf, index) {
            verdict.facts += 1
            guard let found = row else { throw Bad("the catalog lost the row of `\(leaf.action)` that record \(index) stands for") }
            guard found.record == index else {
                throw found.record < index ? Bad("\(found.place): record \(found.record) does not stand for it") : Bad("the catalog lost the row of `\(leaf.action)` that record \(index) stands for")
            }
            guard found == fact else { throw Bad("\(found.place): it differs from what record \(index) says\(Facts.difference(found, fact))") }
            row = try evidence.nextRow()
        }
        if let found = row, found.record <= index { throw Bad("\(found.place): record \(found.record) does not stand for it") }
    }
}

/// Which row a record stands for.
enum Facts {
    static func row(of leaf: Leaf, _ index: UInt64) -> CatalogRow? {
        guard leaf.phase == "outcome", leaf.status == "ok" || leaf.action == "infer" else { return nil }
        let object = leaf.value["obj"]
        let data = leaf.value["data"]
        let version = object?["version"]?.string.flatMap { Text.decimal($0) }.map { Value.int(Int64($0)) }
        var members: [String: Value] = ["record": .int(Int64(index))]
        func put(_ table: String, _ pairs: [(String, Value?)]) {
            members["table"] = .string(table)
            for (name, value) in pairs { members[name] = value }
        }
        switch leaf.action {
        case "data.add" where leaf.unit == "registry": put("dataset", [("digest", object?["digest"]), ("name", object?["id"])])
        // Without a version it opened an upload; the commit makes the row.
        case "model.put" where version != nil: put("model_version", [("digest", object?["digest"]), ("name", object?["id"]), ("version", version)])
        case "model.promote", "model.rollback": put("alias_move", [("alias", data?["alias"]), ("name", object?["id"]), ("to", version)])
        case "model.evaluate" where leaf.unit == "registry":
            put(
                "evaluation",
                [
                    ("dataset", data?["heldout"]), ("id", data?["evaluation"]), ("microbits_per_byte", data?["microbits_per_byte"]), ("name", object?["id"]),
                    ("report", data?["report"]), ("version", version),
                ])
        case "infer":
            guard let receipt = data?["receipt"] else { return nil }
            put("receipt", [("id", receipt)])
        default: return nil
        }
        return CatalogRow(record: index, members: members, place: "")
    }

    static func difference(_ found: CatalogRow, _ fact: CatalogRow) -> String {
        let names = Set(found.members.keys).union(fact.members.keys).filter { found.members[$0] != fact.members[$0] }.sorted()
        return names.isEmpty ? "" : " (\(names.joined(separator: ", ")))"
    }
}
