import ForgeAudit
import ForgeCatalog
import ForgeCore
import ForgeGate
import ForgeHTTP
import ForgeOS
import RegistryAPI

extension Registry {
    var datasetRoutes: [Route] {
        [
            Route(.post, "/v1/datasets", body: .whole(.mib(512)), deadline: .seconds(120), summary: "Register a data set by its manifest (forged)") { [self] in try await registerDataset($0) },
            Route(.get, "/v1/datasets", summary: "All data sets") { [self] in try await listDatasets($0) },
            Route(.get, "/v1/datasets/{ref}", summary: "One data set, by digest or latest of its name") { [self] in try await showDataset($0) },
            Route(.get, "/v1/datasets/{ref}/manifest", deadline: .seconds(120), summary: "Its manifest, byte for byte") { [self] in try await readManifest($0) },
        ]
    }

    private func registerDataset(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        try request.allowQuery("name", "bytes", "person")
        guard let name = request.query["name"], Names.isName(name) else {
            throw Fault(.request, "data.name", "cannot register a data set without a good name", why: "a name has 1 to 64 small letters, digits, dots and hyphens and starts with a letter or digit")
        }
        try ledger.requireRoom(to: "take a new data set")
        guard let bytes = request.query["bytes"].flatMap({ Int64($0) }), bytes >= 0 else {
            throw Fault(.request, "data.bytes", "cannot register `\(name)`", why: "the query `bytes` says how large its texts are together")
        }
        _ = try await requireService(request, .trainer)
        let who = try await visitor(request)
        let manifest = try DatasetManifest(parsing: request.body)
        var facts: JSON.Object = ["dataset": .string(manifest.root.description), "documents": .int(manifest.count), "bytes": .int(bytes)]
        if let person = request.query["person"], person.utf8.count <= 256 { facts["person"] = .string(person) }
        let outcomeFacts = facts
        let permit = try await permit(.dataAdd, on: EntityID("Forge::Dataset", name), digest: manifest.root, for: who)
        let object = AuditEntry.Object("Forge::Dataset", name, digest: manifest.root)
        let body = request.body
        let summary = try await carryOut(permit, for: who, object: object) { database, index, now throws(Fault) in
            if let known = try database.dataset(manifest.root) {
                throw Fault(.request, "data.exists", "the data set `\(known.name)` is registered already", why: "it has the same digest, \(manifest.root)", remedy: "use `\(known.name)`", record: known.record)
            }
            let row = DatasetRow(digest: manifest.root, name: name, documents: manifest.count, bytes: bytes, manifest: body, created: now, record: index)
            try database.insert(row)
            return (DatasetSummary(row), outcomeFacts)
        }
        return try .json(summary, status: 201)
    }

    private func listDatasets(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let who = try await visitor(request)
        _ = try await permit(.dataRead, on: EntityID("Forge::Dataset", "*"), for: who)
        return try .json(DatasetList(datasets: try await ledger.reader.read { database throws(Fault) in try database.datasets().map(DatasetSummary.init) }))
    }

    private func find(_ request: HTTPRequest) async throws(Fault) -> DatasetRow {
        let reference = request.parameter("ref")
        let who = try await visitor(request)
        let row = try await ledger.reader.read { database throws(Fault) in
            if let digest = Digest(parsing: reference) { return try database.dataset(digest) }
            return try database.dataset(named: reference)
        }
        _ = try await permit(.dataRead, on: EntityID("Forge::Dataset", row?.name ?? reference), digest: row?.digest, for: who)
        guard let row else { throw Fault(.request, "data.not_found", "there is no data set `\(reference)`", remedy: "`forge data ls` shows them") }
        return row
    }

    private func showDataset(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse { try .json(DatasetSummary(try await find(request))) }

    private func readManifest(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse { .bytes(try await find(request).manifest, type: "application/jsonl") }
}

extension DatasetSummary {
    init(_ row: DatasetRow) { self.init(digest: row.digest, name: row.name, documents: row.documents, bytes: row.bytes, created: row.created, record: row.record) }
}

/// Names people give to data sets and models.
enum Names {
    /// `[a-z0-9][a-z0-9.-]{0,63}`
    static func isName(_ text: String) -> Bool {
        guard (1...64).contains(text.utf8.count), let first = text.utf8.first, first != 0x2e, first != 0x2d else { return false }
        return text.utf8.allSatisfy { 0x61...0x7a ~= $0 || 0x30...0x39 ~= $0 || $0 == 0x2e || $0 == 0x2d }
    }
}

/// What the registry must know of docs/formats/dataset.md §5: the count and root that the first line states are those of the leaves.
struct DatasetManifest: Sendable {
    let root: Digest
    let count: Int64

    init(parsing bytes: [UInt8]) throws(Fault) {
        func fault(_ why: String) -> Fault { Fault(.request, "data.manifest", "the manifest does not read", why: why) }
        guard bytes.last == 0x0a else { throw fault("it does not end in a newline") }
        var lines = bytes.dropLast().split(separator: 0x0a, omittingEmptySubsequences: false)[...]
        guard let first = lines.popFirst(), let head = try? JSON.parse(first), head["format"]?.string == "forge-dataset/v1", head.isCanonicalisable, head.canonical == Array(first) else {
            throw fault("its first line is not that of `forge-dataset/v1`")
        }
        guard let stated = head["root"]?.string.flatMap({ Digest(parsing: $0) }), let count = head["count"]?.int, count == lines.count, count > 0 else {
            throw fault("it states \(head["count"]?.int ?? 0) leaves and holds \(lines.count)")
        }
        var edge = TreeEdge()
        for (index, line) in lines.enumerated() {
            guard !line.isEmpty else { throw fault("leaf \(index) is empty") }
            _ = edge.append(Merkle.leafHash(line))
        }
        guard edge.root == stated else { throw fault("its leaves have the root \(edge.root), it states \(stated)") }
        (root, self.count) = (stated, count)
    }
}
