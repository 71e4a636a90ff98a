import ForgeAudit
import ForgeCatalog
import ForgeCore
import ForgeGate
import ForgeHTTP
import ForgeVault
import RegistryAPI

extension Registry {
    static let log = EntityID("Forge::Log", "audit")
    static let entriesMax = 256

    var auditRoutes: [Route] {
        [
            Route(.post, "/v1/audit/records", body: .whole(.mib(4)), summary: "Put records on the log (daemons)") { [self] in try await appendRecords($0) },
            Route(.get, "/v1/audit/records", summary: "A page of the log") { [self] in try await readRecords($0) },
            Route(.get, "/v1/audit/checkpoint", summary: "The latest signed checkpoint") { [self] in try await readCheckpoint($0) },
            Route(.get, "/v1/audit/proof/inclusion", summary: "Proof of one record (C2SP tlog-proof)") { [self] in try await proveRecord($0) },
            Route(.get, "/v1/audit/proof/consistency", summary: "Proof that the log only grew between two sizes") { [self] in try await proveGrowth($0) },
            Route(.get, "/v1/audit/witness-request", summary: "What a witness is asked to sign (C2SP tlog-witness)") { [self] in try await askWitness($0) },
            Route(.post, "/v1/audit/witnesses", summary: "Make a witness's key known (forge-admin)") { [self] in try await enrolWitness($0) },
            Route(.post, "/v1/audit/cosignatures", summary: "Hand a witness's signature in (forge-admin)") { [self] in try await addCosignature($0) },
            Route(.post, "/v1/audit/lookup", summary: "What the log holds instead of a value") { [self] in try await lookUp($0) },
            Route(.post, "/v1/audit/verify", deadline: nil, summary: "Read the whole log again") { [self] in try await verifyLog($0) },
        ]
    }

    // MARK: writing

    private func appendRecords(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let service = try await requireService(request)
        guard let items = try request.json()["entries"]?.array, (1...Registry.entriesMax).contains(items.count) else {
            throw Fault(.request, "audit.malformed", "the request holds no entries", why: "`entries` is a list of 1 to \(Registry.entriesMax)")
        }
        var entries: [AuditEntry] = []
        for item in items {
            let entry = try AuditEntry(json: item)
            // What the log says about itself only the registry can say.
            guard ![.logInit, .clockStep, .registryInit, .auditWitness].contains(entry.action) else {
                throw Fault(.request, "audit.malformed", "`\(entry.action.rawValue)` cannot be recorded from outside", why: "the registry states it itself")
            }
            entries.append(entry)
        }
        let indexes = try await ledger.append(entries, by: service)
        return .json(["records": .array(indexes.map { .int(Int64($0)) })], status: 201)
    }

    // MARK: reading

    private func readRecords(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let query = try RecordQuery(request)
        let who = try await visitor(request)
        _ = try await permit(.auditRead, on: Registry.log, for: who)
        let filter = RecordFilter(
            action: query.action, who: query.who, objectType: query.objectType, objectID: query.objectID, decision: query.decision, request: query.request)
        let (page, size) = try await ledger.reader.snapshot { database throws(Fault) in
            (try database.leaves(from: query.from, limit: query.limit + 1, filter), try database.leafCount())
        }
        let shown = page.prefix(query.limit)
        var answer = JSON.Object()
        answer["leaves"] = .array(shown.map { .string(Base64.encode($0.bytes)) })
        if page.count > query.limit, let next = page.last?.index { answer["next"] = .int(Int64(next)) }
        answer["size"] = .int(Int64(size))
        return .json(.object(answer))
    }

    /// Daemons read heads and proofs every second and leave no trace: they say nothing of any record's content, and a record of each would
    /// need a head of its own. People's reading is decided and recorded like all reading of the log.
    private func admitReader(_ request: HTTPRequest) async throws(Fault) {
        let who = try await visitor(request)
        if case .service = who.principal { return }
        _ = try await permit(.auditRead, on: Registry.log, for: who)
    }

    private func readCheckpoint(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        try await admitReader(request)
        return .text(try await ledger.checkpoint().note.description)
    }

    private func proveRecord(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        try request.allowQuery("index")
        let index = try request.size("index")
        try await admitReader(request)
        let head = try await ledger.checkpoint()
        let proof = try await ledger.reader.read { database throws(Fault) in
            guard index < head.size, let leaf = try database.leaf(index) else {
                throw Fault(
                    .request, "audit.not_found", "there is no proof of record \(index)", why: "the signed log has \(head.size) records",
                    remedy: "while the registry is sealed newer records are not signed; `forge audit tail` shows the latest")
            }
            let path = try InclusionProof(index: index, size: head.size) { node throws(Fault) in try database.node(level: node.level, index: node.index) }
            return LogProof(leaf: leaf, index: index, hashes: path.hashes, checkpoint: head.note)
        }
        return .text(proof.description)
    }

    private func proveGrowth(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        try request.allowQuery("from", "to")
        let (first, second) = (try request.size("from"), try request.size("to"))
        try await admitReader(request)
        let proof = try await consistency(from: first, to: second)
        return .json(["hashes": .array(proof.hashes.map { .string(Base64.encode($0.bytes)) })])
    }

    private func consistency(from first: UInt64, to second: UInt64) async throws(Fault) -> ConsistencyProof {
        try await ledger.reader.read { database throws(Fault) in
            guard try second <= database.leafCount() else { throw Fault(.request, "audit.not_found", "there is no log of \(second) records yet") }
            return try ConsistencyProof(from: first, to: second) { node throws(Fault) in try database.node(level: node.level, index: node.index) }
        }
    }

    // MARK: witnesses

    private func askWitness(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        try request.allowQuery("old")
        let old = try request.size("old")
        try await admitReader(request)
        let head = try await ledger.checkpoint()
        guard old <= head.size else {
            throw Fault(
                .request, "witness.ahead", "a witness signed size \(old), this log has \(head.size) signed records", why: "records were removed, or an older database was restored",
                remedy: "stop changing things and run `forge-verify` on a copy")
        }
        let proof = old == 0 ? [] : try await consistency(from: old, to: head.size).hashes
        // The log's own line alone: a witness judges the log, not its other witnesses.
        let bare = SignedNote(text: head.note.text, signatures: [head.note.signatures[0]])
        return .text(WitnessRequest(old: old, proof: proof, checkpoint: bare).text)
    }

    private func enrolWitness(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let service = try await requireService(request, .admin)
        let key = try NoteKey(parsing: try request.json()["vkey"]?.string ?? "")
        guard key.kind == .cosignature else { throw Fault(.request, "audit.malformed", "`\(key.name)` cannot be a witness", why: "its key is not one for cosignatures") }
        let who = try await visitor(request)
        try await ledger.write { database, log throws(Fault) in
            for known in try database.witnesses() {
                let known = try NoteKey(parsing: known)
                if known == key { return }
                guard Array(known.name.utf8) != Array(key.name.utf8) else {
                    throw Fault(.request, "witness.exists", "`\(key.name)` has another key", why: "a witness keeps its key for life", remedy: "enrol the new key under a new name")
                }
            }
            let entry = AuditEntry(.auditWitness, .event, request: request.id, who: who, object: .init("Forge::Key", key.name), data: ["name": .string(key.name), "digest": .string(key.digest.description)])
            _ = try log.record(in: database) { index, _ throws(Fault) in
                try database.putWitness(name: key.name, vkey: key.description, record: index)
                return (entry, ())
            }
        }
        _ = service
        return .done
    }

    private func addCosignature(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        _ = try await requireService(request, .admin)
        let message = try request.json()
        guard let size = message["size"]?.int.flatMap({ UInt64(exactly: $0) }), let text = message["line"]?.string else {
            throw Fault(.request, "audit.malformed", "the cosignature does not read", why: "`size` and `line` are needed")
        }
        let line = try NoteSignature(parsing: text)
        try await ledger.write(as: .officer) { database, log throws(Fault) in
            guard let head = try database.treeHead(size: size) else { throw Fault(.request, "audit.not_found", "there is no checkpoint of size \(size)") }
            var keys: [NoteKey] = []
            for text in try database.witnesses() { keys.append(try NoteKey(parsing: text)) }
            let note = SignedNote(text: try SignedNote(parsing: head.note.utf8).text, signatures: [line])
            guard let signed = try note.verify(keys).first else { throw Fault(.request, "witness.unknown", "`\(line.name)` is not a witness of this log", remedy: "its key is enrolled first") }
            try database.putCosignature(size: size, name: signed.key.name, line: line.line, time: log.now)
        }
        return .done
    }

    // MARK: officers

    private func lookUp(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let message = try request.json()
        guard let path = message["path"]?.string, let value = message["value"], value.isCanonicalisable, path == "why" || path.hasPrefix("data.") else {
            throw Fault(.request, "audit.malformed", "cannot look this up", why: "`path` is `why` or `data.` and a name, `value` is what may have been recorded there")
        }
        let who = try await visitor(request)
        _ = try await permit(.auditRead, on: Registry.log, for: who)
        guard let hash = try await ledger.lookup(value, path: path) else { throw Vault.sealed("look a value up") }
        return .json(["hash": .string(hash)])
    }

    private func verifyLog(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let who = try await visitor(request)
        _ = try await permit(.auditVerify, on: Registry.log, for: who)
        let report = try await ledger.reader.snapshot { database throws(Fault) in
            try database.check()
            return try LogAudit.all(database)
        }
        return .json([
            "records": .int(Int64(report.records)), "root": .string(Base64.encode(report.root.bytes)), "checkpoints": .int(Int64(report.heads)),
            "open_intents": .int(Int64(report.openIntents)),
        ])
    }
}

extension RecordQuery {
    init(_ request: HTTPRequest) throws(Fault) {
        for name in request.query.keys.sorted() where !RecordQuery.names.contains(name) {
            throw Fault(.request, "http.query", "cannot use the query `\(name)`", why: "this path knows \(RecordQuery.names.map { "`\($0)`" }.joined(separator: ", "))")
        }
        self.init(
            from: request.query["from"] == nil ? 0 : try request.size("from"), limit: try request.queryInt("limit", default: 100, in: 1...RecordQuery.limitMax),
            action: request.query["act"], who: request.query["who"], objectType: request.query["obj_type"], objectID: request.query["obj_id"], decision: request.query["dec"])
        if let text = request.query["req"] {
            guard let id = ID(parsing: text) else { throw Fault(.request, "http.query", "cannot use `req=\(text)`", why: "it is not an id") }
            self.request = id
        }
    }
}

extension HTTPRequest {
    /// A size or index of the log.
    func size(_ name: String) throws(Fault) -> UInt64 {
        guard let text = query[name], let value = TreeHead.decimal(text) else {
            throw Fault(.request, "http.query", "the query `\(name)` is missing or wrong", why: "it is a whole number without leading zeroes")
        }
        return value
    }
}
