import ForgeAudit
import ForgeCatalog
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeHTTP
import ForgeVault
import RegistryAPI

extension Registry {
    var keyRoutes: [Route] {
        [Route(.post, "/v1/keys/release", summary: "The key of a data set or run (forged)") { [self] in try await releaseKey($0) }]
    }

    /// The trainer's data and checkpoints are sealed under keys that only this call gives; a sealed registry means that the trainer waits.
    private func releaseKey(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let message: KeyRequest = try request.decode()
        _ = try await requireService(request, .trainer)
        let who = try await visitor(request)
        let entity = EntityID("Forge::Key", message.id.description)
        let permit = try await permit(.keyRelease, on: entity, attributes: ["purpose": .string(message.purpose.rawValue)], for: who)
        let (id, record) = (permit.decision.request, permit.record)
        let object = AuditEntry.Object(entity)
        do throws(Fault) {
            let open = try keyring.current(to: "release a key")
            @Sendable func outcome(_ key: WrappedKey) -> AuditEntry {
                .outcome(.keyRelease, .ok, request: id, who: who, object: object, data: ["purpose": .string(message.purpose.rawValue), "key": .string(key.id.description)])
            }
            let (key, isNew) = try await findOrMakeKey(message, open, outcome)
            let secret = try vault.release(key, with: permit)
            // On record before it leaves: what was handed out cannot be called back.
            if !isNew { _ = try await ledger.append([outcome(key)]) }
            return try .json(KeyReply(store: vault.store, project: key.project, key: Base64.encode(secret.reveal()), record: record))
        } catch {
            await recordFailure(of: .keyRelease, request: id, for: who, object: object, error)
            throw error
        }
    }

    /// A new key stands under the outcome of its first release, so both commit together: should it then not be released after all, the record says
    /// too much, never too little.
    private func findOrMakeKey(
        _ message: KeyRequest, _ open: Keyring.Open, _ outcome: @escaping @Sendable (WrappedKey) -> AuditEntry
    ) async throws(Fault) -> (key: WrappedKey, isNew: Bool) {
        let purpose: WrappedKey.Purpose = message.purpose == .dataset ? .dataset : .run
        let subject = message.id
        if let known = try await ledger.reader.read({ database throws(Fault) in try database.key(purpose, subject: subject) }) { return (known, false) }
        let fresh = try vault.makeKey(purpose, subject: subject, project: open.project, version: open.version)
        return try await ledger.write { database, log throws(Fault) in
            // Two first requests may have met; the one that committed first made the key.
            if let known = try database.key(purpose, subject: subject) { return (known, false) }
            return try log.record(in: database) { index, now throws(Fault) in
                try database.insert(fresh, record: index, now: now)
                return (outcome(fresh), (fresh, true))
            }.value
        }
    }
}
