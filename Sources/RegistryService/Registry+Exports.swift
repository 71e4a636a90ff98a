import AdminAPI
import ForgeAudit
import ForgeCatalog
import ForgeCore
import ForgeGate
import ForgeHTTP
import ForgeVault
import RegistryAPI

extension Registry {
    var exportRoutes: [Route] {
        [Route(.post, "/v1/models/{name}/export", deadline: nil, summary: "A model's files in the clear, as one stream; needs votes") { [self] in try await exportModel($0) }]
    }

    private static let piece = 1 << 20

    private func exportModel(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let message: ExportRequest = try request.decode()
        let who = try await visitor(request)
        let row = try await find(request.parameter("name"))
        guard try await !ledger.reader.read({ database throws(Fault) in try database.isQuarantined(row) }) else { throw Fault.quarantined(row, "export") }
        let sealed = try await ledger.reader.snapshot { database throws(Fault) in try database.sealedModel(row) }
        let attributes: JSON.Object = ["name": .string(row.name), "version": .int(row.version), "digest": .string(row.digest.description)]
        let permit = try await permit(
            .modelExport, on: Registry.model(row), digest: row.digest, attributes: attributes, context: message.reason.map { ["reason": .string($0)] } ?? .init(), for: who)
        let (id, approval) = (permit.decision.request, permit.decision.approval)
        do throws(Fault) {
            let evidence = try await evidence(approval)
            let model = try await strongroom.open(sealed, with: permit)
            return .stream { writer in try await self.send(model, row, to: writer, intent: id, approval, evidence.map { ($0.votes.map(\.user), ApprovalEvidence($0).bytes) }, for: who) }
        } catch {
            await recordFailure(of: .modelExport, request: id, for: who, object: Registry.object(row), error)
            await report(.init(ok: false, note: error.code), of: approval)
            throw error
        }
    }

    /// A line that says what comes, the files' bytes one after another, and a line that says where their leaving is on record: a stream without it is not whole.
    private func send(
        _ model: OpenedModel, _ row: ModelVersionRow, to writer: BodyWriter, intent: ID, _ approval: ID?, _ votes: (voters: [String], evidence: [UInt8])?, for who: AuditEntry.Subject
    ) async throws {
        let object = Registry.object(row)
        var isOnRecord = false
        do {
            let header = ExportHeader(
                name: row.name, version: row.version, digest: row.digest, files: model.files.map { .init(name: $0.name, digest: $0.digest, bytes: $0.count) })
            try await writer.write(try Wire.encode(header) + [0x0a])
            for (number, file) in model.files.enumerated() {
                // A piece is opened while the one before it is on its way.
                var piece = try await strongroom.read(model, number, Registry.piece, at: 0), at = Int64(piece.count)
                while !piece.isEmpty {
                    let from = at
                    async let next = from < file.count ? strongroom.read(model, number, Registry.piece, at: from) : []
                    try await writer.write(piece)
                    piece = try await next
                    at += Int64(piece.count)
                }
            }
            var data: JSON.Object = ["bytes": .int(model.files.reduce(0) { $0 + $1.count }), "files": .int(Int64(model.files.count))]
            if let approval { data["approval"] = .string(approval.description) }
            var outcome = AuditEntry.outcome(.modelExport, .ok, request: intent, who: who, object: object, approvers: votes?.voters ?? [], data: data)
            outcome.detail = votes?.evidence
            let record = try await ledger.append([outcome])[0]
            isOnRecord = true
            await report(.init(ok: true, record: record), of: approval)
            try await writer.write(try Wire.encode(ExportEnd(record: record)) + [0x0a])
        } catch {
            // Whoever went away before the last line has the model all the same, and one outcome answers an intent.
            guard !isOnRecord else { throw error }
            let fault = error as? Fault ?? Fault(.environment, "model.export_cut", "the export was cut", why: "whoever asked went away")
            await recordFailure(of: .modelExport, request: intent, for: who, object: object, fault)
            await report(.init(ok: false, note: fault.code), of: approval)
            throw error
        }
    }
}
