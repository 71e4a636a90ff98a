import ForgeArtifact
import ForgeAudit
import ForgeCatalog
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeHTTP
import ForgeVault
import RegistryAPI

extension Registry {
    var receiptRoutes: [Route] {
        [Route(.get, "/v1/receipts/{id}", deadline: .seconds(60), summary: "All evidence behind one answer (docs/formats/receipt.md)") { [self] in try await readReceipt($0) }]
    }

    private func readReceipt(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let who = try await visitor(request)
        let text = request.parameter("id")
        let answer = try await ledger.reader.snapshot { (database) throws(Fault) -> Answer? in
            guard let id = ID(parsing: text), let row = try database.receipt(id) else { return nil }
            return try Answer(id, row.record, database)
        }
        var attributes = JSON.Object()
        switch answer?.asker {
        case .user(let name): attributes["user"] = ["__entity": ["type": "Forge::User", "id": .string(name)]]
        case .app(let name): attributes["app"] = ["__entity": ["type": "Forge::App", "id": .string(name)]]
        default: break
        }
        _ = try await permit(.receiptRead, on: EntityID("Forge::Receipt", text), attributes: attributes, for: who)
        guard let answer else { throw Fault(.request, "receipt.not_found", "there is no receipt `\(text.prefix(40))`", why: "no answer with that id is on record") }
        return .bytes(try await bundle(answer).encoded, type: "application/json")
    }

    /// The two records of an answer, and the model they name.
    private struct Answer: Sendable {
        let id: ID
        let intent: AuditIndex
        let outcome: AuditIndex
        let asker: Principal?
        let model: ModelVersionRow

        init(_ id: ID, _ outcome: AuditIndex, _ database: Database) throws(Fault) {
            guard let leaf = try database.leaf(outcome), let intent = try database.intent(id, action: AuditAction.infer.rawValue)?.index else {
                throw Database.corrupt("receipt \(id) has no records")
            }
            let entry = try AuditRecord(parsing: leaf).entry
            let versions = try entry.object?.digest.map { digest throws(Fault) in try database.modelVersions(digest: digest) } ?? []
            // Equal work gives equal digests, so two versions may share one; the record says which it was.
            guard let model = versions.first(where: { $0.name == entry.object?.id && String($0.version) == entry.object?.version }) ?? versions.first else {
                throw Fault(.request, "receipt.no_model", "receipt \(id) has no evidence here", why: "the model that answered is not in this registry")
            }
            (self.id, self.intent, self.outcome, asker, self.model) = (id, intent, outcome, entry.who.principal, model)
        }
    }

    private func bundle(_ answer: Answer) async throws(Fault) -> ReceiptBundle {
        let row = answer.model
        let found = try await ledger.reader.snapshot { database throws(Fault) in try Evidence(answer.model, before: answer.intent, database) }
        var files: [String: [UInt8]] = [:]
        for file in found.small { files[file.name] = try await strongroom.read(file.key, limit: .mib(1)) }
        var datasets: [ReceiptBundle.Dataset] = []
        if let list = files[ModelFile.datasets.rawValue] {
            for item in try DatasetsRecord(parsing: list).items {
                guard let row = try await ledger.reader.read({ (database) throws(Fault) -> DatasetRow? in try database.dataset(item.digest) }) else {
                    throw Fault(.request, "receipt.no_dataset", "the evidence of `\(row.name)@\(row.version)` is not whole", why: "its data set \(item.digest) is not registered here")
                }
                datasets.append(.init(name: row.name, digest: row.digest, record: row.record))
            }
        }
        var indexes: Set<AuditIndex> = [answer.intent, answer.outcome, row.record]
        indexes.formUnion(found.records + datasets.map(\.record) + found.evaluations.map(\.record))
        if let promotion = found.promotion { indexes.formUnion([promotion.record] + promotion.enrolments) }
        return ReceiptBundle(
            id: answer.id, logKey: found.logKey, manifestKey: found.manifestKey, witnessKeys: found.witnesses, intent: answer.intent, outcome: answer.outcome,
            model: .init(name: row.name, version: row.version, record: row.record, manifest: found.manifest, provenance: found.provenance, files: files), datasets: datasets,
            evaluations: found.evaluations, promotion: found.promotion, proofs: try await proofs(of: indexes.sorted()))
    }

    /// All under one checkpoint.
    private func proofs(of indexes: [AuditIndex]) async throws(Fault) -> [LogProof] {
        let head = try await ledger.checkpoint()
        return try await ledger.reader.read { database throws(Fault) in
            var proofs: [LogProof] = []
            for index in indexes {
                guard index < head.size, let leaf = try database.leaf(index) else {
                    throw Fault(
                        .environment, "receipt.unsigned", "the evidence is not signed yet", why: "record \(index) lies beyond the signed log of \(head.size) records",
                        remedy: "unseal the registry; it signs what grew meanwhile", retryable: true)
                }
                let path = try InclusionProof(index: index, size: head.size) { node throws(Fault) in try database.node(level: node.level, index: node.index) }
                proofs.append(LogProof(leaf: leaf, index: index, hashes: path.hashes, checkpoint: head.note))
            }
            return proofs
        }
    }

    /// What the catalog holds about a model at the time of an answer.
    private struct Evidence: Sendable {
        let manifest: [UInt8]
        let provenance: [UInt8]
        let small: [SealedModel.File]
        let records: [AuditIndex]
        let evaluations: [ReceiptBundle.Evaluation]
        let promotion: ReceiptBundle.Promotion?
        let logKey: String
        let manifestKey: String
        let witnesses: [String]

        init(_ row: ModelVersionRow, before intent: AuditIndex, _ database: Database) throws(Fault) {
            guard let manifest = try database.attestation(row.name, row.version, kind: "manifest"), let provenance = try database.attestation(row.name, row.version, kind: "provenance"),
                let logKey = try database.meta("log_vkey"), let key = try database.manifestKey()
            else { throw Database.corrupt("`\(row.name)@\(row.version)` has no signed statements") }
            let summary = try Provenance.summary(verifying: SignedStatement(parsing: provenance, source: "provenance"), with: key, source: "provenance")
            let wanted = [ModelFile.code, .datasets, .recipe].map(\.rawValue)
            (self.manifest, self.provenance, self.logKey, manifestKey) = (manifest, provenance, logKey, key.pem)
            small = try database.sealedModel(row).files.filter { wanted.contains($0.name) }
            records = summary.records.map(\.index)
            witnesses = try database.witnesses()
            var reports: [ReceiptBundle.Evaluation] = []
            for item in try database.evaluations(row.name, row.version).reversed() where item.record < intent {
                reports.append(.init(record: item.record, report: String(decoding: item.report, as: UTF8.self)))
            }
            evaluations = reports
            promotion = try database.promotion(of: row, before: intent)
        }
    }
}

extension Database {
    /// The latest promotion of that version before a record, with the votes behind it.
    func promotion(of row: ModelVersionRow, before intent: AuditIndex) throws(Fault) -> ReceiptBundle.Promotion? {
        var latest: AuditIndex?
        for alias in try aliases(row.name) {
            for move in try aliasMoves(row.name, alias.alias) where move.to == row.version && move.record < intent {
                guard let leaf = try leaf(move.record), try AuditRecord(parsing: leaf).entry.action == .modelPromote else { continue }
                latest = max(latest ?? 0, move.record)
            }
        }
        guard let latest else { return nil }
        guard let detail = try detail(latest) else { return ReceiptBundle.Promotion(record: latest, evidence: nil) }
        var enrolments: Set<AuditIndex> = []
        for voter in ApprovalEvidence.voters(detail.bytes) {
            if let record = try latestRecord(AuditAction.userEnrol.rawValue, "Forge::User", voter, before: latest) { enrolments.insert(record) }
        }
        return ReceiptBundle.Promotion(record: latest, evidence: (detail.bytes, detail.salt), enrolments: enrolments.sorted())
    }
}
