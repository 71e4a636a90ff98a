/// A copy of the registry's state directory (docs/formats/catalog.md).
final class DatabaseEvidence: Evidence {
    private let root: String
    private let file: String
    private let database: SQLite
    private let sha: SHA256
    let logKey: Key
    private(set) var witnessKeys: [Key] = []
    private let heads: Statement
    private let cosignatures: Statement
    private let leaves: Statement
    private let nodes: Statement
    private let rows: Statement
    private let found: Statement
    private let details: Statement
    private let receipts: Statement
    private let under: RowsEvidence
    /// What the latest record that speaks of them says of `keyslots.json`.
    private var keyslots: String?
    private(set) var cosigned: UInt64 = 0
    private(set) var signers: [(name: String, time: UInt64)] = []
    private(set) var blobs = 0
    let hasCatalog = true

    static let fileName = "registry.sqlite"

    init(_ root: String, given: Key?, sha: SHA256) throws {
        self.root = root
        self.sha = sha
        file = root + "/" + DatabaseEvidence.fileName
        try WriteAheadLog.check(file + "-wal")
        // While the first page is in the write-ahead log, SQLite never looks at these bytes.
        var head = try OpenFile(file)
        guard try head.exactly(16).elementsEqual("SQLite format 3\0".utf8) else { throw Bad("\(file): not a database") }
        database = try SQLite(file)
        guard try database.one("PRAGMA application_id")?.int == 0x4652_4731 else { throw Bad("\(file): not a registry's database") }
        guard try database.one("PRAGMA user_version")?.int == 1 else { throw Unreadable(what: "\(file): a version this program does not know") }
        guard case .text("ok")? = try database.one("PRAGMA integrity_check(1)") else {
            throw Bad("\(file): SQLite finds it damaged: \(try database.one("PRAGMA integrity_check(1)")?.text ?? "")")
        }
        let strays = try database.prepare("PRAGMA foreign_key_check")
        if try strays.next() { throw Bad("\(file): a row of \(strays[0].text ?? "") refers to a row of \(strays[2].text ?? "") that is not there") }
        guard let line = try database.one("SELECT value FROM meta WHERE key = 'log_vkey'")?.text else { throw Bad("\(file): it names no key of the log") }
        logKey = try Place.name("meta.log_vkey") { try Key(line, sha) }
        guard logKey.type == 1, given == nil || given == logKey else { throw Bad("meta.log_vkey: not the key that was given") }
        guard try database.one("SELECT value FROM meta WHERE key = 'origin'")?.text == logKey.name else { throw Bad("meta.origin: not the name of the log's key") }
        heads = try database.prepare("SELECT size, root, note FROM tree_head ORDER BY size")
        cosignatures = try database.prepare("SELECT line, name FROM cosignature WHERE size = ? ORDER BY name")
        leaves = try database.prepare("SELECT seq, bytes, hash FROM leaf ORDER BY seq")
        nodes = try database.prepare("SELECT hash FROM node WHERE level = ? AND idx = ?")
        rows = try database.prepare(
            """
            SELECT record, 'dataset', digest, name, NULL, NULL, NULL FROM dataset UNION ALL
            SELECT record, 'model_version', digest, name, version, NULL, NULL FROM model_version UNION ALL
            SELECT record, 'alias_move', NULL, name, to_version, alias, NULL FROM alias_move UNION ALL
            SELECT record, 'evaluation', dataset, name, version, id, microbits_per_byte FROM evaluation UNION ALL
            SELECT record, 'receipt', id, NULL, NULL, NULL, NULL FROM receipt ORDER BY 1
            """)
        found = try database.prepare("SELECT seq, act, phase, dec, who, obj_type, obj_id, req, unit, t FROM record_index ORDER BY seq")
        details = try database.prepare("SELECT salt, bytes FROM detail WHERE seq = ?")
        receipts = try database.prepare("SELECT model, app, created FROM receipt WHERE record = ?")
        under = try RowsEvidence(database, sha)
        let keys = try database.prepare("SELECT name, vkey FROM witness ORDER BY name")
        while try keys.next() {
            let key = try Place.name("witness \(keys[0].text ?? "")") { try Key(keys[1].text ?? "", sha) }
            guard key.type == 4, key.name == keys[0].text else { throw Bad("witness \(keys[0].text ?? ""): not a witness's key") }
            witnessKeys.append(key)
        }
    }

    func nextCheckpoint() throws -> (place: String, size: UInt64, root: Hash)? {
        guard try heads.next() else { return nil }
        guard let size = heads[0].int, let root = heads[1].blob, let note = heads[2].text else { throw Bad("tree_head: a row does not read") }
        let place = "tree_head \(size)"
        var text = note
        var names: Set<String> = []
        cosignatures.bind(size)
        while try cosignatures.next() {
            text += (cosignatures[0].text ?? "") + "\n"
            names.insert(cosignatures[1].text ?? "")
        }
        let checkpoint = try Place.name(place) { try Checkpoint(Array(text.utf8), log: logKey, witnesses: witnessKeys) }
        guard checkpoint.size == UInt64(size), checkpoint.root.bytes == root else { throw Bad("\(place): its columns are not what its note signs") }
        guard checkpoint.witnesses.count == names.count else { throw Bad("\(place): a cosignature is not by a known witness") }
        guard checkpoint.witnesses.allSatisfy({ names.contains($0.name) }) else { throw Bad("\(place): a cosignature stands under another name than its own") }
        if !names.isEmpty { (cosigned, signers) = (checkpoint.size, checkpoint.witnesses) }
        return (place, checkpoint.size, checkpoint.root)
    }

    func nextLeaf() throws -> (place: String, bytes: [UInt8], storedHash: Hash?)? {
        guard try leaves.next() else { return nil }
        guard let seq = leaves[0].int, let bytes = leaves[1].blob, let hash = leaves[2].blob else { throw Bad("leaf: a row does not read") }
        return ("leaf row \(seq)", bytes, Hash(bytes: hash))
    }

    func check(level: Int, index: UInt64, hash: Hash) throws {
        guard level > 0 else { return }
        nodes.bind(Int64(level), Int64(index))
        guard try nodes.next(), nodes[0].blob == hash.bytes else { throw Bad("node \(index) of level \(level): it does not follow from the records below it") }
    }

    /// The row for searching says what the record says, and an erasable text is the one the record commits to.
    func check(_ leaf: Leaf) throws {
        guard try found.next() else { throw Bad("record_index has no row for it") }
        let object = leaf.value["obj"]
        func text(_ value: String?) -> Column { value.map { .text($0) } ?? .null }
        let expected: [Column] = [
            .int(Int64(leaf.seq)), .text(leaf.action), .text(leaf.phase), text(leaf.decision), text(leaf.value["who"]?["id"]?.string), text(object?["type"]?.string),
            text(object?["id"]?.string), .blob(Text.unhex(leaf.request) ?? []), .text(leaf.unit), .int(leaf.time),
        ]
        for (column, value) in expected.enumerated() where found[column] != value { throw Bad("record_index differs from it in column \(column)") }
        if leaf.unit == "registry", let named = leaf.value["data"]?["keyslots"]?.string { keyslots = named }
        try checkReceipt(leaf)
        try under.check(leaf)
        details.bind(Int64(leaf.seq))
        if try details.next() {
            guard let salt = details[0].blob, let bytes = details[1].blob, leaf.value["dc"]?.string == sha.hash(salt + bytes).spelled else { throw Bad("its erasable text is not the one it commits to") }
        }
    }

    /// A receipt's row repeats what its record says.
    private func checkReceipt(_ leaf: Leaf) throws {
        receipts.bind(Int64(leaf.seq))
        guard try receipts.next() else { return }
        let object = leaf.value["obj"]
        let model = object.map { "\($0["id"]?.string ?? "")" + ($0["version"]?.string.map { "@\($0)" } ?? "") } ?? ""
        guard receipts[0].text == model, receipts[1].text == leaf.value["who"]?["id"]?.string, receipts[2].int == leaf.time else { throw Bad("the row of its receipt differs from it") }
    }

    func nextRow() throws -> CatalogRow? {
        guard try rows.next() else { return nil }
        guard let record = rows[0].int, let table = rows[1].text else { throw Bad("the catalog holds a row that does not read") }
        var members: [String: Value] = ["record": .int(record), "table": .string(table)]
        func digest(_ column: Int) -> Value? { rows[column].blob.map { .string(Hash(bytes: $0).spelled) } }
        func id(_ column: Int) -> Value? { rows[column].blob.map { .string(Text.hex($0)) } }
        func text(_ column: Int) -> Value? { rows[column].text.map { .string($0) } }
        func int(_ column: Int) -> Value? { rows[column].int.map { .int($0) } }
        switch table {
        case "dataset": (members["digest"], members["name"]) = (digest(2), text(3))
        case "model_version": (members["digest"], members["name"], members["version"]) = (digest(2), text(3), int(4))
        case "alias_move": (members["name"], members["to"], members["alias"]) = (text(3), int(4), text(5))
        case "evaluation":
            (members["dataset"], members["name"], members["version"], members["id"], members["microbits_per_byte"]) = (digest(2), text(3), int(4), id(5), int(6))
            guard let report = try database.one("SELECT report FROM evaluation WHERE record = \(record)")?.blob else { throw Bad("evaluation: a report does not read") }
            members["report"] = .string(sha.hash(report).spelled)
        default: members["id"] = id(2)
        }
        return CatalogRow(record: UInt64(record), members: members, place: "\(table) row of record \(record)")
    }

    func finish(size: UInt64) throws {
        if try found.next() { throw Bad("record_index: a row without a record") }
        var complete: UInt64 = 0
        for level in 1..<64 { complete += size >> UInt64(level) }
        guard try database.one("SELECT count(*) FROM node")?.int == Int64(complete) else { throw Bad("node: there are others than the records make") }
        let latest = "(SELECT to_version FROM alias_move AS m WHERE m.name = a.name AND m.alias = a.alias ORDER BY m.record DESC LIMIT 1)"
        if let name = try database.one("SELECT a.name || ':' || a.alias FROM alias AS a WHERE a.version IS NOT \(latest)")?.text { throw Bad("alias \(name): it points elsewhere than its last move") }
        if let name = try database.one("SELECT m.name || ':' || m.alias FROM alias_move AS m WHERE NOT EXISTS (SELECT 1 FROM alias AS a WHERE a.name = m.name AND a.alias = m.alias)")?.text {
            throw Bad("alias \(name): it moved, and its row is gone")
        }
        if let name = try database.one("SELECT a.name || ':' || a.alias FROM alias AS a WHERE a.record IS NOT (SELECT max(record) FROM alias_move AS m WHERE m.name = a.name AND m.alias = a.alias)")?.text {
            throw Bad("alias \(name): it names another record than that of its last move")
        }
        try checkModels()
        try checkDatasets()
        try checkBlobs()
        try under.finish()
        try checkFiles()
    }

    /// The files beside the database (docs/formats/catalog.md §6).
    private func checkFiles() throws {
        let slots = root + "/keyslots.json"
        if let keyslots {
            guard sha.hash(try Files.read(slots, limit: 1 << 16)).spelled == keyslots else { throw Bad("keyslots.json: not the file that the log names; the store's keys are behind it") }
        } else if Files.isThere(slots) {
            throw Bad("keyslots.json: no record of the log names this file")
        }
        let reserve = root + "/reserve"
        guard Files.isThere(reserve) else { return }
        var file = try OpenFile(reserve)
        while let piece = try file.next(1 << 20) { guard piece.allSatisfy({ $0 == 0 }) else { throw Bad("reserve: something stands where only zeroes are kept") } }
    }

    /// A model's digest is that of its files (docs/formats/model.md); its envelopes are those its record names.
    private func checkModels() throws {
        let versions = try database.prepare("SELECT v.name, v.version, v.digest, l.bytes FROM model_version AS v JOIN leaf AS l ON l.seq = v.record ORDER BY v.record")
        while try versions.next() {
            guard let name = versions[0].text, let version = versions[1].int, let digest = versions[2].blob, let bytes = versions[3].blob else { throw Bad("model_version: a row does not read") }
            let place = "model \(name)@\(version)"
            var files: [(String, [UInt8])] = []
            let rows = try database.prepare("SELECT file, digest FROM model_file WHERE name = '\(SQLText.quoted(name))' AND version = \(version)")
            while try rows.next() { files.append((rows[0].text ?? "", rows[1].blob ?? [])) }
            files.sort { $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }
            guard sha.hash(files.flatMap(\.1)).bytes == digest else { throw Bad("\(place): its files do not make its digest") }
            let record = try StrictJSON.parse(bytes)
            for kind in ["manifest", "provenance"] {
                guard let stated = record["data"]?[kind]?.string else { continue }
                let envelope = try database.one("SELECT envelope FROM attestation WHERE name = '\(SQLText.quoted(name))' AND version = \(version) AND kind = '\(kind)'")?.blob
                guard let envelope, sha.hash(envelope).spelled == stated else { throw Bad("\(place): its \(kind) is not the one its record names") }
            }
        }
    }

    /// A data set's digest is the root over the lines of its manifest (docs/formats/dataset.md §5).
    private func checkDatasets() throws {
        let sets = try database.prepare("SELECT name, digest, manifest FROM dataset ORDER BY record")
        while try sets.next() {
            guard let name = sets[0].text, let digest = sets[1].blob, let manifest = sets[2].blob else { throw Bad("dataset: a row does not read") }
            var tree = Tree(sha)
            let lines = manifest.split(separator: 0x0a, omittingEmptySubsequences: false)
            guard lines.count >= 3, manifest.last == 0x0a else { throw Bad("data set \(name): its manifest does not read") }
            for line in lines.dropFirst().dropLast() { _ = tree.append(sha.leaf(Array(line))) }
            guard tree.root.bytes == digest, let head = try? StrictJSON.parse(Array(lines[0])), head["root"]?.string == tree.root.spelled, head["count"]?.int == Int64(tree.size),
                head["format"]?.string == "forge-dataset/v1", head.members?.count == 3
            else { throw Bad("data set \(name): its manifest does not have its digest") }
        }
    }

    /// Every sealed file against the digests of its segments: no key is needed (docs/formats/sealed-blob.md).
    private func checkBlobs() throws {
        guard let store = try database.one("SELECT value FROM meta WHERE key = 'store'")?.text.flatMap({ Text.unhex($0) }) else { throw Bad("meta.store: missing") }
        let blobs = try database.prepare("SELECT b.id, b.stored, k.project FROM blob AS b JOIN wrapped_key AS k ON k.id = b.key ORDER BY b.id")
        while try blobs.next() {
            guard let id = blobs[0].blob, let stored = blobs[1].int, let project = blobs[2].blob else { throw Bad("blob: a row does not read") }
            let name = Text.hex(id)
            let place = "blobs/\(name.prefix(2))/\(name)"
            try Place.name(place) {
                var file = try OpenFile(root + "/" + place)
                let header = try file.exactly(128)
                let isOurs =
                    header[0..<12].elementsEqual(Array("FORGEBLB".utf8) + [0, 1, 0, 1]) && (16...26).contains(header[12]) && header[13..<29].elementsEqual(id)
                    && header[29..<45].elementsEqual(project) && header[45..<61].elementsEqual(store) && header[61...].allSatisfy { $0 == 0 }
                guard isOurs else { throw Bad("its header is not its own") }
                var total: Int64 = 128
                let segments = try database.prepare("SELECT idx, digest, stored FROM blob_segment WHERE blob = x'\(name)' ORDER BY idx")
                while try segments.next() {
                    guard let index = segments[0].int, let digest = segments[1].blob, let count = segments[2].int else { throw Bad("a segment's row does not read") }
                    sha.begin()
                    var left = Int(count)
                    while left > 0 {
                        sha.add(try file.exactly(min(left, 1 << 20)))
                        left -= min(left, 1 << 20)
                    }
                    guard sha.end().bytes == digest else { throw Bad("segment \(index) was changed") }
                    total += count
                }
                guard total == stored, try file.next(1) == nil else { throw Bad("its length is not that of its row") }
            }
            self.blobs += 1
        }
    }
}

enum SQLText {
    static func quoted(_ text: String) -> String { text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") }
}
