import ForgeAudit
import ForgeCatalog
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeHTTP
import RegistryAPI

extension Registry {
    var scrubRoutes: [Route] {
        [Route(.post, "/v1/scrub", deadline: nil, summary: "Compare every stored byte with the catalog; needs no key") { [self] in try await scrub($0) }]
    }

    /// Reads every blob and compares its ciphertext's digests. Works while the registry is sealed; the first damage does not stop it.
    private func scrub(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let who = try await visitor(request)
        let (project, blobs) = try await ledger.reader.snapshot { (database) throws(Fault) -> (ID, [(id: ID, segments: [SealedSegment])]) in
            var rows: [BlobRow] = []
            try database.forEachBlob { row throws(Fault) in rows.append(row) }
            var blobs: [(id: ID, segments: [SealedSegment])] = []
            for row in rows {
                blobs.append(
                    (
                        row.id,
                        try database.segments(ofBlob: row.id).map { SealedSegment(index: Int($0.index), count: Int($0.bytes), sealedCount: Int($0.stored), digest: $0.digest) }
                    ))
            }
            return (try database.project(), blobs)
        }
        let permit = try await permit(.storeScrub, on: Registry.entity, for: who)
        let id = permit.decision.request
        var damaged: [String] = []
        var bytes: Int64 = 0
        for blob in blobs {
            do throws(Fault) { try await strongroom.scrub(blob.id, project: project, segments: blob.segments) } catch {
                // A scrub looks for damage; finding it is its result, not its failure.
                damaged.append(error.message)
            }
            bytes += blob.segments.reduce(0) { $0 + Int64($1.sealedCount) }
        }
        let found: AuditEntry.Outcome = damaged.isEmpty ? .ok : .failed(code: "blob.damaged")
        let facts: JSON.Object = ["files": .int(Int64(blobs.count)), "bytes": .int(bytes), "findings": .int(Int64(damaged.count))]
        let index = try await ledger.append([.outcome(.storeScrub, found, request: id, who: who, object: .init(Registry.entity), data: facts)])
        return .json([
            "files": .int(Int64(blobs.count)), "bytes": .int(bytes), "damaged": .array(damaged.map { .string($0) }), "record": .int(Int64(index.first ?? 0)),
        ])
    }

    /// What crashes and forgotten uploads left behind goes at every start: uploads past their day, then files that no row knows. A file is never
    /// removed while an open upload may still make it a blob.
    package func sweep() async {
        guard ledger.damage == nil, let now = try? await ledger.isInitialised, now else { return }
        do throws(Fault) {
            let uploads = try await ledger.reader.read { database throws(Fault) in try database.openUploads() }
            for row in uploads where row.expires < LogTime.now { try await abandon(row) }
            let (known, open) = try await ledger.reader.snapshot { (database) throws(Fault) -> (Set<ID>, Set<ID>) in
                var known: Set<ID> = []
                try database.forEachBlob { row throws(Fault) in known.insert(row.id) }
                var open: Set<ID> = []
                for row in try database.openUploads() { open.formUnion(try Registry.blobs(of: row)) }
                return (known, open)
            }
            for id in try await strongroom.leftovers(known: known.union(open), staged: open) { try await strongroom.remove(id) }
        } catch {
            // Left for the next start: nothing depends on it but space.
        }
    }
}
