import ForgeAudit
import ForgeCatalog
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeOS
import ForgeVault
import Glibc
import RegistryAPI
import RegistryService
import Testing

/// A registry with some history and a witness, made once; each test works on a copy of it, as an auditor would.
final class History: Sendable {
    let scratch: Scratch
    let state: String
    let archive: String
    /// The same state, two records earlier.
    let older: String
    let records: UInt64
    var admin: String { scratch.file("admin") }

    static let made = Task { try await History() }

    private init() async throws {
        let scratch = try Scratch("history")
        self.scratch = scratch
        let (older, archive) = (scratch.file("older"), scratch.file("archive"))
        records = try await Bench.with(scratch) { bench in
            let admin = bench.client("admin")
            let witness = try Witness(scratch.file("admin"), log: Bench.signer().key)
            try await admin.enrol(witness: witness.key)
            try await History.register(bench)
            try await History.promote(bench)
            for _ in 0..<150 { _ = try await bench.client("serve").append(infer()) }
            try await witness.follow(admin)
            try copy(scratch.file("state"), to: older)
            for _ in 0..<10 { _ = try await bench.client("serve").append(infer()) }
            try await witness.follow(admin)
            _ = try await bench.client("olga").exportArchive(to: archive)
            return try await bench.client("olga").status().records
        }
        (self.older, self.archive, state) = (older, archive, scratch.file("state"))
    }

    private static func register(_ bench: Bench) async throws {
        let leaves = (0..<5).map { Array("{\"bytes\":10,\"path\":\"\($0).txt\"}".utf8) }
        let root = Merkle.root(of: leaves.map { Merkle.leafHash($0) })
        let head: JSON = ["count": 5, "format": "forge-dataset/v1", "root": .string(root.description)]
        let manifest = head.canonical + [0x0a] + leaves.flatMap { $0 + [0x0a] }
        _ = try await bench.client("trainer").register(dataset: "manuals", manifest: manifest, bytes: 50, person: "dana")
    }

    /// Rows of a model, two versions and a promotion, written as the service writes them.
    private static func promote(_ bench: Bench) async throws {
        let store = bench.registry.vault.store
        for version in 1...2 as ClosedRange<Int64> {
            let file = Digest.sha256("weights \(version)")
            let digest = Digest.sha256(file.bytes)
            let id = ID()
            let object = AuditEntry.Object("Forge::Model", "policies", version: String(version), digest: digest)
            try await bench.ledger.write { database, log throws(Fault) in
                try log.record(AuditEntry(.modelPut, .intent, request: id, who: dana, object: object, decision: .allow, policy: yes), in: database)
                _ = try log.record(in: database) { record, _ throws(Fault) in
                    let key = ID(), blob = ID()
                    try database.insert(WrappedKeyRow(id: key, purpose: "blob", subject: blob, project: store, version: 1, wrapped: [1], created: 1, record: record))
                    // A sealed file of one segment; nobody needs its key to see that it is whole.
                    let header = Array("FORGEBLB".utf8) + [0, 1, 0, 1, 26] + blob.bytes + store.bytes + store.bytes + [UInt8](repeating: 0, count: 67)
                    let segment = [UInt8](repeating: UInt8(version), count: 5000)
                    let path = bench.ledger.directory + "/blobs/\(blob.description.prefix(2))/\(blob)"
                    try Durable.makeDirectory(Path.parent(path))
                    try Durable.replace(path, with: header + segment)
                    try database.insert(
                        BlobRow(id: blob, key: key, digest: file, bytes: 4900, stored: 5128, segments: 1, created: 1, record: record),
                        segments: [.init(index: 0, digest: .sha256(segment), bytes: 4900, stored: 5000)])
                    try database.insert(
                        ModelVersionRow(name: "policies", version: version, digest: digest, run: nil, trainedBy: "dana", created: 1, record: record),
                        files: [.init(file: "model.safetensors", digest: file, bytes: 4900, blob: blob)])
                    return (.outcome(.modelPut, .ok, request: id, who: dana, object: object), ())
                }
            }
            let move = ID()
            try await bench.ledger.write { database, log throws(Fault) in
                try log.record(AuditEntry(.modelPromote, .intent, request: move, who: dana, object: object, decision: .allow, policy: yes), in: database)
                _ = try log.record(in: database) { record, _ throws(Fault) in
                    try database.move(.init(record: record, name: "policies", alias: "production", from: version == 1 ? nil : version - 1, to: version, approval: ID()))
                    return (.outcome(.modelPromote, .ok, request: move, who: dana, object: object, approvers: ["olga", "marc"], data: ["alias": "production"]), ())
                }
            }
        }
    }
}

/// Changes a closed database as somebody with the file and a tool can: triggers and all.
func tamper(_ state: String, _ sql: String) async throws {
    let result = try await Built.run("/usr/bin/sqlite3", [Path.join(state, "registry.sqlite"), "PRAGMA writable_schema=ON; " + sql])
    guard result.code == 0 else { throw Fault(.environment, "test.sqlite", result.output) }
}

@Suite(.enabled(if: Path.exists("/usr/bin/sqlite3"), "the sqlite3 tool is not here")) struct TamperTests {
    private func copied(_ scratch: Scratch, older: Bool = false) async throws -> String {
        let history = try await History.made.value
        let target = scratch.file("copy")
        try copy(older ? history.older : history.state, to: target)
        return target
    }

    private func drop(_ table: String) -> String { "DROP TRIGGER IF EXISTS \(table)_no_update; DROP TRIGGER IF EXISTS \(table)_no_delete; " }

    @Test func `an untouched copy verifies, also against the witness`() async throws {
        let history = try await History.made.value
        let scratch = try Scratch("copy")
        let state = try await copied(scratch)
        let result = try await Built.verify(state, "--state-of-admin", history.admin)
        #expect(result.code == 0, "\(result.output)")
        #expect(result.output.contains("VERIFIED \(history.records) records") && result.output.contains("2 sealed files whole"))
    }

    @Test func `forge-admin's own memory counts as a witness, and a changed byte in it is named`() async throws {
        let history = try await History.made.value
        let scratch = try Scratch("copy")
        let older = try await copied(scratch, older: true)
        let note = try SignedNote(parsing: File(history.admin + "/witness/checkpoint", .read).readAll(limit: .kib(64)))
        let memory: JSON = ["v": 1, "log": .string(Bench.signer().key.description), "head": .string(note.text)]
        let content = Array("forge-admin-v1 \(Digest.sha256(memory.canonical))\n".utf8) + memory.canonical
        let admin = scratch.file("admin")
        try Durable.makeDirectory(admin)
        try Durable.replace(admin + "/witness.json", with: content)
        #expect(try await Built.verify(history.state, "--state-of-admin", admin).code == 0)
        let result = try await Built.verify(older, "--state-of-admin", admin)
        #expect(result.code == 1 && result.output.contains("witness.json vouches for"), "\(result.output)")
        for at in stride(from: 0, to: content.count, by: 23) {
            var changed = content
            changed[at] ^= 0x01
            try Durable.replace(admin + "/witness.json", with: changed)
            let bad = try await Built.verify(history.state, "--state-of-admin", admin)
            #expect(bad.code == 1 && bad.output.contains("witness.json"), "byte \(at): \(bad.output)")
        }
    }

    @Test func `a changed record is named by its index`() async throws {
        let scratch = try Scratch("copy")
        let state = try await copied(scratch)
        try await tamper(state, drop("leaf") + "UPDATE leaf SET bytes = CAST(replace(CAST(bytes AS TEXT), 'prompt_tokens\":12', 'prompt_tokens\":13') AS BLOB) WHERE seq = (SELECT max(seq) FROM record_index WHERE act = 'infer' AND phase = 'outcome' AND seq < 100);")
        let result = try await Built.verify(state)
        #expect(result.code == 1 && result.output.contains("its stored hash is not the hash of its bytes"), "\(result.output)")
    }

    @Test func `a changed record with every hash recomputed is caught by the signed root`() async throws {
        let scratch = try Scratch("copy")
        let state = try await copied(scratch)
        try await rewrite(state) { index, leaf in index == 60 || index == 61 ? Array(String(decoding: leaf, as: UTF8.self).replacing("\"id\":\"dana\"", with: "\"id\":\"dora\"").utf8) : leaf }
        let result = try await Built.verify(state)
        #expect(result.code == 1 && result.output.contains("do not have the root it signs"), "\(result.output)")
    }

    @Test func `a rewritten log with its signed roots thrown away is caught by the witness`() async throws {
        let history = try await History.made.value
        let scratch = try Scratch("copy")
        let state = try await copied(scratch)
        try await rewrite(state) { index, leaf in index == 60 || index == 61 ? Array(String(decoding: leaf, as: UTF8.self).replacing("\"id\":\"dana\"", with: "\"id\":\"dora\"").utf8) : leaf }
        try await tamper(state, "DELETE FROM cosignature; " + drop("tree_head") + "DELETE FROM tree_head;")
        #expect(try await Built.verify(state).code == 0)
        let result = try await Built.verify(state, "--state-of-admin", history.admin)
        #expect(result.code == 1 && result.output.contains("the log was rewritten"), "\(result.output)")
    }

    @Test func `a cut tail is caught, by the log's own root and by the witness`() async throws {
        let history = try await History.made.value
        let scratch = try Scratch("copy")
        let state = try await copied(scratch)
        let keep = history.records - 4
        let cut = "PRAGMA foreign_keys=OFF; " + ["leaf", "node", "receipt", "tree_head"].map(drop).joined() + """
            DELETE FROM receipt WHERE record >= \(keep); DELETE FROM record_index WHERE seq >= \(keep); DELETE FROM leaf WHERE seq >= \(keep);
            DELETE FROM node WHERE (idx + 1) * (1 << level) > \(keep);
            """
        try await tamper(state, cut)
        let own = try await Built.verify(state)
        #expect(own.code == 1 && own.output.contains("it signs"), "\(own.output)")
        try await tamper(state, "PRAGMA foreign_keys=OFF; DELETE FROM cosignature WHERE size > \(keep); DELETE FROM tree_head WHERE size > \(keep);")
        #expect(try await Built.verify(state).code == 0)
        let result = try await Built.verify(state, "--witness", history.admin + "/witness/checkpoint")
        #expect(result.code == 1 && result.output.contains("truncated"), "\(result.output)")
    }

    @Test func `a restored older database is caught by the witness, and the registry's own next start cannot tell`() async throws {
        let history = try await History.made.value
        let scratch = try Scratch("copy")
        let state = try await copied(scratch, older: true)
        #expect(try await Built.verify(state).code == 0)
        let result = try await Built.verify(state, "--state-of-admin", history.admin)
        #expect(result.code == 1 && result.output.contains("older database was restored"), "\(result.output)")
        // The witness says so too, when the restored log asks it for a signature.
        try Durable.makeDirectory(scratch.file("run"))
        let bench = try await Bench(state: state, sockets: scratch.file("run"))
        let latest = try TreeHead(parsing: SignedNote(parsing: File(history.admin + "/witness/checkpoint", .read).readAll(limit: .kib(64))).text)
        #expect(await #expect(throws: Fault.self) { try await bench.client("admin").witnessRequest(old: latest.size) }?.code == "witness.ahead")
        try await bench.stop()
    }

    @Test(arguments: [
        ("UPDATE model_version SET digest = zeroblob(32) WHERE version = 2", "model_version row"),
        ("UPDATE alias_move SET to_version = 1", "alias_move row"),
        ("UPDATE alias SET version = 1", "points elsewhere"),
        ("DELETE FROM alias", "its row is gone"),
        ("DELETE FROM receipt WHERE record = (SELECT min(record) FROM receipt)", "the catalog lost the row"),
        ("UPDATE dataset SET name = 'others'", "dataset row"),
        ("UPDATE dataset SET manifest = CAST(manifest || x'0a' AS BLOB)", "its manifest does not"),
        ("UPDATE model_file SET digest = zeroblob(32) WHERE version = 1", "do not make its digest"),
        ("UPDATE record_index SET who = 'nobody' WHERE seq = 40", "record_index differs"),
        ("UPDATE node SET hash = zeroblob(32) WHERE level = 3 AND idx = 2", "node 2 of level 3"),
        ("INSERT INTO receipt SELECT randomblob(16), model, app, created, (SELECT max(seq) FROM record_index WHERE phase = 'intent') FROM receipt LIMIT 1", "does not stand for it"),
        ("UPDATE tree_head SET root = zeroblob(32) WHERE size = (SELECT max(size) FROM tree_head)", "not what its note signs"),
        ("UPDATE cosignature SET line = replace(line, 'A', 'B')", "tree_head"),
        ("UPDATE meta SET value = 'bank.example/forge-2/audit' WHERE key = 'origin'", "meta.origin"),
        ("UPDATE meta SET value = value + 1 WHERE key = 'created'", "a row under it was changed, added or removed (meta)"),
        ("UPDATE wrapped_key SET wrapped = x'02' WHERE record = (SELECT min(record) FROM blob)", "(blob_key, blob, blob_segment, model, model_version, model_file)"),
        ("INSERT INTO wrapped_key SELECT randomblob(16), 'run', subject, project, version, wrapped, created, record FROM wrapped_key LIMIT 1", "(wrapped_key, blob_key, blob"),
        ("INSERT INTO wrapped_key SELECT randomblob(16), 'run', subject, project, version, wrapped, created, (SELECT max(seq) FROM leaf) FROM wrapped_key LIMIT 1", "rows stand under it (wrapped_key) and it names none"),
        ("DELETE FROM witness", "is not by a known witness"),
        ("UPDATE cosignature SET name = 'bank.example/forge-2/admin'", "under another name than its own"),
        ("DELETE FROM wrapped_key WHERE purpose = 'blob'", "a row of blob refers to a row of wrapped_key that is not there"),
        ("DELETE FROM cosignature; DELETE FROM witness", "the rows that stood under it are gone"),
        ("UPDATE blob SET digest = zeroblob(32)", "a row under it was changed"),
        ("UPDATE model_version SET trained_by = 'marc' WHERE version = 2", "a row under it was changed"),
        ("UPDATE model SET record = record + 1", "a row under it was changed, added or removed (blob_key"),
        ("UPDATE receipt SET app = 'marc' WHERE record = (SELECT max(record) FROM receipt)", "the row of its receipt differs"),
        ("UPDATE alias SET record = 3", "another record than that of its last move"),
    ]) func `an edited row is named`(sql: String, expected: String) async throws {
        let scratch = try Scratch("copy")
        let state = try await copied(scratch)
        try await tamper(state, "PRAGMA foreign_keys=OFF; " + ["dataset", "model_version", "model_file", "alias_move", "receipt", "node", "tree_head"].map(drop).joined() + sql + ";")
        let result = try await Built.verify(state)
        #expect(result.code == 1 && result.output.contains(expected), "\(sql): \(result.output)")
    }

    @Test func `a registry whose log does not verify starts, says so, and records nothing`() async throws {
        let scratch = try Scratch("copy")
        let state = try await copied(scratch)
        try await tamper(state, drop("leaf") + "UPDATE leaf SET bytes = CAST(replace(CAST(bytes AS TEXT), 'dana', 'dora') AS BLOB) WHERE seq = 30;")
        try Durable.makeDirectory(scratch.file("run"))
        let bench = try await Bench(state: state, sockets: scratch.file("run"))
        let status = try await bench.client(nil).status()
        #expect(status.health == .damaged && status.reason.contains("record 30"))
        let before = try await bench.client(nil).status().records
        #expect(await #expect(throws: Fault.self) { try await bench.client("serve").append(infer()) }?.code == "audit.damaged")
        #expect(try await bench.client(nil).status().records == before)
        try await bench.stop()
    }

    /// Recomputes what a careful intruder would: every hash that follows from the new leaves.
    private func rewrite(_ state: String, _ change: (AuditIndex, [UInt8]) -> [UInt8]) async throws {
        var leaves: [[UInt8]] = []
        do {
            let database = try Database(Path.join(state, "registry.sqlite"), .writer)
            try database.forEachLeaf(from: 0, to: .max >> 1) { _, bytes, _ in leaves.append(bytes) }
        }
        var edge = TreeEdge()
        var sql = drop("leaf") + drop("node") + drop("receipt") + "BEGIN; DELETE FROM node; "
        for (index, old) in leaves.enumerated() {
            let bytes = change(UInt64(index), old)
            let hash = Merkle.leafHash(bytes)
            if bytes != old {
                sql += "UPDATE leaf SET bytes = x'\(Hex.encode(bytes))', hash = x'\(hash.hex)' WHERE seq = \(index); UPDATE record_index SET who = 'dora' WHERE seq = \(index); "
                sql += "UPDATE receipt SET app = 'dora' WHERE record = \(index); "
            }
            for (node, hash) in edge.append(hash) { sql += "INSERT INTO node VALUES (\(node.level), \(node.index), x'\(hash.hex)'); " }
        }
        try await tamper(state, sql + "COMMIT;")
    }
}

@Suite struct FlipTests {
    /// Every file of the archive, at three places each.
    @Test func `one changed byte in any file of an archive is caught, and the file or record is named`() async throws {
        let history = try await History.made.value
        let scratch = try Scratch("flips")
        let target = scratch.file("archive")
        try copy(history.archive, to: target)
        let clean = try await Built.verify(target)
        #expect(clean.code == 0, "\(clean.output)")
        for path in try files(target) {
            let whole = Path.join(target, path)
            let bytes = try File(whole, .read).readAll(limit: .mib(16))
            let places = path.hasPrefix("checkpoints/") && !path.hasSuffix("1") ? [bytes.count / 2] : [0, bytes.count / 2, bytes.count - 1]
            for at in places where !bytes.isEmpty {
                var changed = bytes
                changed[at] ^= 0x04
                try Durable.replace(whole, with: changed)
                let result = try await Built.verify(target, "--quiet")
                #expect(result.code == 1 && result.output.contains("NOT VERIFIED"), "\(path) at \(at): \(result.output)")
            }
            try Durable.replace(whole, with: bytes)
        }
        #expect(try await Built.verify(target).code == 0)
    }

    @Test func `a missing and an added file are caught`() async throws {
        let history = try await History.made.value
        let scratch = try Scratch("flips")
        let target = scratch.file("archive")
        try copy(history.archive, to: target)
        try Durable.replace(Path.join(target, "tile/0/notes"), with: [1])
        #expect(try await Built.verify(target).output.contains("nothing vouches for this file"))
        try Durable.remove(Path.join(target, "tile/0/notes"))
        let tile = try #require(try files(target).first { $0.hasPrefix("tile/entries/") })
        try Durable.remove(Path.join(target, tile))
        #expect(try await Built.verify(target).code == 1)
    }

    @Test func `a changed byte in the store's files is caught: sealed data, database, write-ahead log`() async throws {
        let history = try await History.made.value
        let scratch = try Scratch("flips")
        let state = scratch.file("state")
        try copy(history.state, to: state)
        func flip(_ path: String, at place: Int) async throws -> Built.Result {
            let whole = Path.join(state, path)
            let bytes = try File(whole, .read).readAll(limit: .gib(1))
            var changed = bytes
            changed[place < 0 ? bytes.count + place : place] ^= 0x10
            try Durable.replace(whole, with: changed)
            let result = try await Built.verify(state, "--quiet", "--state-of-admin", history.admin)
            try copyAll(history.state, to: state)
            return result
        }
        let blob = try #require(try files(Path.join(state, "blobs")).first)
        for place in [0, 9, 20, 40, 50, 100, 128, 3000, -1] {
            let result = try await flip("blobs/\(blob)", at: place)
            #expect(result.code == 1 && result.output.contains(blob), "blob at \(place): \(result.output)")
        }
        #expect(try await flip("registry.sqlite", at: 0).code != 0)
        for place in [0, -1] {
            let result = try await flip("keyslots.json", at: place)
            #expect(result.code == 1 && result.output.contains("keyslots.json"), "key slots at \(place): \(result.output)")
        }
        let wal = "registry.sqlite-wal"
        if let size = try Path.information(Path.join(state, wal))?.size, size > 9000 {
            for place in [2, 40, 60, 5000, 9000] {
                let result = try await flip(wal, at: place)
                #expect(result.code == 1, "WAL at \(place): \(result.output)")
            }
        }
        #expect(try await Built.verify(state).code == 0)
    }

    @Test func `missing or foreign key slots are named, and so is a reserve that holds something`() async throws {
        let history = try await History.made.value
        let scratch = try Scratch("flips")
        let state = scratch.file("state")
        try copy(history.state, to: state)
        try Durable.remove(Path.join(state, "keyslots.json"))
        #expect(try await Built.verify(state).output.contains("keyslots.json: missing"))
        try Durable.replace(Path.join(state, "keyslots.json"), with: Bench.slots)
        #expect(try await Built.verify(state).code == 0)
        try Durable.replace(Path.join(state, "reserve"), with: [UInt8](repeating: 0, count: 70_000) + [1])
        #expect(try await Built.verify(state).output.contains("reserve: something stands"))
    }

    /// forge-admin's directory as docs/formats/admin-state.md lays it out, written here by hand: the verifier reads the page, not our code.
    @Test func `a changed byte in any of forge-admin's files is caught and the file named`() async throws {
        let history = try await History.made.value
        let scratch = try Scratch("flips")
        let (state, admin) = (scratch.file("state"), scratch.file("admin"))
        try copy(history.state, to: state)
        try Durable.makeDirectory(admin)
        func summed(_ content: [UInt8]) -> [UInt8] { Array("forge-admin-v1 \(Digest.sha256(content))\n".utf8) + content }
        var files: [String: [UInt8]] = [:]
        let note = try SignedNote(parsing: File(history.admin + "/witness/checkpoint", .read).readAll(limit: .kib(64)))
        let memory: JSON = ["v": 1, "log": .string(Bench.signer().key.description), "head": .string(note.text)]
        files["witness.json"] = summed(memory.canonical)
        files["site.json"] = summed(Array("{\"persons\":[]}".utf8))
        files["policy.json"] = summed(Array("{\"digest\":\"none\"}".utf8))
        files["epoch"] = summed(Array("1025".utf8))
        for name in ["approvals.journal", "appkeys.journal"] {
            var (lines, last): ([UInt8], String) = ([], "")
            for number in 0..<3 as Range<Int64> {
                var members: JSON.Object = ["event": "noted", "text": .string("a \"quoted\" word,\u{1}\n\(number)"), "t": .int(number), "list": [true, ["x": -1]]]
                last = Digest.sha256(Array(last.utf8) + JSON.object(members).canonical).hex
                members["h"] = .string(last)
                lines += JSON.object(members).canonical + [0x0a]
            }
            files[name] = lines
        }
        let snapshot = Ed25519.PrivateKey()
        files["snapshot.key"] = snapshot.seed.reveal()
        files["witness.key"] = try File(history.admin + "/witness.key", .read).readAll(limit: .kib(1))
        for (name, bytes) in files { try Durable.replace(Path.join(admin, name), with: bytes) }
        let pin = Path.join(state, "admin.key")
        try Durable.replace(pin, with: Array(Base64.encode(snapshot.publicKey.raw).utf8))
        let clean = try await Built.verify(state, "--state-of-admin", admin)
        #expect(clean.code == 0, "\(clean.output)")
        for (name, bytes) in files.sorted(by: { $0.key < $1.key }) {
            for at in [0, bytes.count / 2, bytes.count - 1] {
                var changed = bytes
                changed[at] ^= 0x04
                try Durable.replace(Path.join(admin, name), with: changed)
                let result = try await Built.verify(state, "--quiet", "--state-of-admin", admin)
                #expect(result.code == 1 && result.output.contains(name), "\(name) at \(at): \(result.output)")
            }
            try Durable.replace(Path.join(admin, name), with: bytes)
        }
        // A line taken out of the middle of a journal.
        let votes = try #require(files["approvals.journal"]).split(separator: 0x0a)
        try Durable.replace(Path.join(admin, "approvals.journal"), with: Array(votes[0]) + [0x0a] + Array(votes[2]) + [0x0a])
        #expect(try await Built.verify(state, "--state-of-admin", admin).output.contains("approvals.journal, line 2"))
        try Durable.replace(Path.join(admin, "approvals.journal"), with: try #require(files["approvals.journal"]))
        try Durable.replace(pin, with: Array(Base64.encode(Ed25519.PrivateKey().publicKey.raw).utf8))
        #expect(try await Built.verify(state, "--state-of-admin", admin).output.contains("not two halves of one key"))
    }

    /// A page has room that nothing uses, so not every byte of a database means something. Whatever a flip changes for a reader is caught.
    @Test(.enabled(if: Path.exists("/usr/bin/sqlite3"), "the sqlite3 tool is not here"), arguments: 0..<24 as Range<UInt64>)
    func `a changed byte of the database is caught, or changes nothing that can be read`(seed: UInt64) async throws {
        let history = try await History.made.value
        let scratch = try Scratch("flips")
        let state = scratch.file("state")
        try copy(history.state, to: state)
        let file = Path.join(state, "registry.sqlite")
        func sqlite(_ sql: String) async throws -> Built.Result { try await Built.run("/usr/bin/sqlite3", [file, sql]) }
        _ = try await sqlite("PRAGMA wal_checkpoint(TRUNCATE)")
        let before = try await sqlite(".dump")
        var bytes = try File(file, .read).readAll(limit: .gib(1))
        let at = Int((seed &* 0x9e37_79b9_7f4a_7c15) >> 11) % bytes.count
        bytes[at] ^= UInt8(1 << (seed % 8))
        try Durable.replace(file, with: bytes)
        let result = try await Built.verify(state, "--quiet", "--state-of-admin", history.admin)
        if result.code == 0 { #expect(try await sqlite(".dump").output == before.output, "byte \(at) of \(bytes.count)") }
    }

    private func copyAll(_ from: String, to target: String) throws {
        try Path.removeTree(target)
        try copy(from, to: target)
    }
}

/// Paths of all files below a directory.
func files(_ directory: String) throws -> [String] {
    try Path.list(directory).flatMap { name in
        let path = Path.join(directory, name)
        return try Path.information(path)?.kind == .directory ? files(path).map { "\(name)/\($0)" } : [name]
    }
}

@Suite struct SecondOpinionTests {
    static let python = ["/usr/bin/python3", "/usr/local/bin/python3"].first { Path.exists($0) }

    @Test(.enabled(if: SecondOpinionTests.python != nil, "Python is not here")) func `the script written from the format pages verifies the archive, and catches a changed record`() async throws {
        let history = try await History.made.value
        let tests = "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
        let script = tests + "/../docs/examples/verify.py"
        let python = try #require(SecondOpinionTests.python)
        let good = try await Built.run(python, ["-B", script, history.archive, "--log-key", history.admin + "/witness/log.vkey", "--witness", history.admin + "/witness/checkpoint"])
        #expect(good.code == 0 && good.output.contains("verified:"), "\(good.output)")
        let scratch = try Scratch("script")
        let target = scratch.file("archive")
        try copy(history.archive, to: target)
        for path in ["tile/entries/000", "catalog.jsonl", "tile/0/000", "checkpoint"] {
            let whole = Path.join(target, path)
            let bytes = try File(whole, .read).readAll(limit: .mib(16))
            var changed = bytes
            changed[bytes.count / 2] ^= 0x02
            try Durable.replace(whole, with: changed)
            let bad = try await Built.run(python, ["-B", script, target])
            #expect(bad.code == 1 && bad.output.contains("NOT VERIFIED"), "\(path): \(bad.output)")
            try Durable.replace(whole, with: bytes)
        }
    }
}
