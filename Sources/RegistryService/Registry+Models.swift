import ForgeArtifact
import ForgeAudit
import ForgeCatalog
import ForgeCore
import ForgeGate
import ForgeHTTP
import RegistryAPI

extension Registry {
    var modelRoutes: [Route] {
        [
            Route(.get, "/v1/models", summary: "All models, every version") { [self] in try await listModels($0) },
            Route(.get, "/v1/models/{name}", summary: "All versions of one model") { [self] in try await listVersions($0) },
            Route(.get, "/v1/models/{name}/{version}", summary: "One version, by number or alias") { [self] in try .json(try await readModel($0).view) },
            Route(.get, "/v1/models/{name}/{version}/manifest", summary: "Its signed manifest (OpenSSF Model Signing)") { [self] in try await readAttestation($0, "manifest") },
            Route(.get, "/v1/models/{name}/{version}/provenance", summary: "Its signed provenance (SLSA)") { [self] in try await readAttestation($0, "provenance") },
            Route(.get, "/v1/models/{name}/{version}/lineage", summary: "What it came from, and what happened to it") { [self] in try await readLineage($0) },
        ]
    }

    static func model(_ row: ModelVersionRow) -> EntityID { EntityID("Forge::Model", "\(row.name)@\(row.version)") }

    /// Name, version as the log's outcomes write them (docs/formats/catalog.md §4).
    static func object(_ row: ModelVersionRow) -> AuditEntry.Object { .init("Forge::Model", row.name, version: String(row.version), digest: row.digest) }

    private func listModels(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        try request.allowQuery()
        let who = try await visitor(request)
        _ = try await permit(.modelRead, on: EntityID("Forge::Model", "*"), for: who)
        return try .json(
            try await ledger.reader.snapshot { database throws(Fault) in
                var views: [ModelView] = []
                for name in try database.modelNames() { for row in try database.modelVersions(name) { views.append(try database.view(row)) } }
                return ModelList(models: views)
            })
    }

    private func listVersions(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let name = request.parameter("name")
        let who = try await visitor(request)
        _ = try await permit(.modelRead, on: EntityID("Forge::Model", name), for: who)
        let views = try await ledger.reader.snapshot { database throws(Fault) in
            var views: [ModelView] = []
            for row in try database.modelVersions(name) { views.append(try database.view(row)) }
            return views
        }
        guard !views.isEmpty else { throw Fault.noModel(name) }
        return try .json(ModelList(models: views))
    }

    private func readModel(_ request: HTTPRequest) async throws(Fault) -> (row: ModelVersionRow, view: ModelView) {
        let who = try await visitor(request)
        let (name, version) = (request.parameter("name"), request.parameter("version"))
        guard let pointer = ModelPointer(name: name, version: version) else { throw Fault.noModel("\(name)@\(version)") }
        let found = try await ledger.reader.snapshot { (database) throws(Fault) -> (row: ModelVersionRow, view: ModelView)? in
            guard let found = try database.find(pointer) else { return nil }
            return (found.row, try database.view(found.row))
        }
        _ = try await permit(.modelRead, on: EntityID("Forge::Model", found.map { "\($0.row.name)@\($0.row.version)" } ?? "\(name)@\(version)"), digest: found?.row.digest, for: who)
        guard let found else { throw Fault.noModel("\(name)@\(version)") }
        return found
    }

    private func readAttestation(_ request: HTTPRequest, _ kind: String) async throws(Fault) -> HTTPResponse {
        let row = try await readModel(request).row
        let envelope = try await ledger.reader.read { database throws(Fault) in try database.attestation(row.name, row.version, kind: kind) }
        guard let envelope else { throw Fault(.request, "model.no_\(kind)", "`\(row.name)@\(row.version)` has no \(kind)") }
        return .bytes(envelope, type: "application/vnd.dev.sigstore.bundle.v0.3+json")
    }

    private func readLineage(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let row = try await readModel(request).row
        return try .json(try await ledger.reader.snapshot { database throws(Fault) in try database.lineage(row) })
    }
}

extension Database {
    func lineage(_ row: ModelVersionRow) throws(Fault) -> Lineage {
        var lineage = Lineage(name: row.name, version: row.version, digest: row.digest, run: row.run, recipe: nil, sources: [], steps: [])
        if let envelope = try attestation(row.name, row.version, kind: "provenance"), let manifestKey = try manifestKey() {
            let summary = try Provenance.summary(verifying: try SignedStatement(parsing: envelope, source: "provenance"), with: manifestKey, source: "provenance")
            lineage.recipe = summary.recipe
            lineage.sources = summary.dependencies.map { .init(name: $0.name, digest: $0.digest) }
            lineage.steps = summary.records.map { .init(what: $0.name.hasPrefix("record:") ? String($0.name.dropFirst(7)) : $0.name, detail: "", record: $0.index) }
        }
        lineage.steps.removeAll { $0.record == row.record }
        lineage.steps.append(.init(what: "model.put", detail: "stored as version \(row.version)", record: row.record))
        for item in try evaluations(row.name, row.version).reversed() {
            lineage.steps.append(.init(what: "model.evaluate", detail: "\(item.suite): \(item.microbitsPerByte) microbits per byte", record: item.record))
        }
        for alias in try aliasNames(row.name) {
            for move in try aliasMoves(row.name, alias) where move.to == row.version || move.from == row.version {
                guard let leaf = try leaf(move.record) else { continue }
                let action = try AuditRecord(parsing: leaf).entry.action.rawValue
                lineage.steps.append(.init(what: action, detail: "`\(alias)` went from \(move.from.map(String.init) ?? "nothing") to \(move.to)", record: move.record))
            }
        }
        lineage.steps.sort { $0.record < $1.record }
        return lineage
    }

    private func aliasNames(_ name: String) throws(Fault) -> [String] { try aliases(name).map(\.alias) }
}
