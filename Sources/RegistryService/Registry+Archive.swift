import ForgeAudit
import ForgeCore
import ForgeGate
import ForgeHTTP
import ForgeOS
import RegistryAPI

extension Registry {
    var archiveRoutes: [Route] {
        [Route(.post, "/v1/audit/export", deadline: nil, summary: "The audit archive, as a tar stream") { [self] in try await exportArchive($0) }]
    }

    private func exportArchive(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let who = try await visitor(request)
        let permit = try await permit(.auditExport, on: Registry.log, for: who)
        let intent = permit.decision.request
        let object = AuditEntry.Object(permit.request.resource)
        let archive: Archive
        do throws(Fault) {
            archive = try await Archive(ledger)
        } catch {
            await recordFailure(of: .auditExport, request: intent, for: who, object: object, error)
            throw error
        }
        return HTTPResponse.stream(type: "application/x-tar") { writer in try await self.send(archive, to: writer, intent: intent, for: who) }
    }

    private func send(_ archive: Archive, to writer: BodyWriter, intent: ID, for who: AuditEntry.Subject) async throws {
        let object = AuditEntry.Object(Registry.log)
        var isOnRecord = false
        do {
            let modified = Clock.now().seconds
            try await archive.write { path, bytes in try await writer.write(TarStream.file(path, bytes, modified: modified)) }
            // The end mark follows the record: an archive that is whole is on record.
            let outcome = AuditEntry.outcome(.auditExport, .ok, request: intent, who: who, object: object, data: ["size": .int(Int64(archive.size))])
            _ = try await ledger.append([outcome])
            isOnRecord = true
            try await writer.write(TarStream.end)
        } catch {
            // One outcome answers an intent.
            guard !isOnRecord else { throw error }
            let fault = error as? Fault ?? Fault(.environment, "audit.export_cut", "the export was cut", why: "whoever asked went away")
            await recordFailure(of: .auditExport, request: intent, for: who, object: object, fault)
            throw error
        }
    }
}
