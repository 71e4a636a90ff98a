package import ForgeAudit
package import ForgeCatalog
package import ForgeCore
package import ForgeGate
package import ForgeHTTP
import ForgeOS
package import ForgeVault
import RegistryAPI

/// The service behind registry.sock. Routes live in the extension files, one a noun.
package final class Registry: Sendable {
    package let ledger: Ledger
    /// The keys; sealed after every start.
    package let vault: Vault
    package let gate: Gate
    /// Who a caller is; the daemon's identity source (a credential, the kernel's word, a sign-in), never a header's claim.
    package let identify: @Sendable (Caller) async throws(Fault) -> AuditEntry.Subject
    /// Where blobs, uploads and keyslots live.
    package let directory: String
    /// The vault's heavy work, on its own thread.
    let strongroom: Strongroom
    /// Which blobs are being written.
    let intake = Intake()
    /// What needs an open store besides keys: signing manifests, making keys.
    let keyring = Keyring()
    /// Who holds weights.
    package let leases = Leases()
    /// The votes behind approvals, and where their execution is reported.
    let approvals: ApprovalDesk?

    /// - Parameter segmentLog2: of the store's blobs; anything but 26 is for tests.
    package init(
        ledger: Ledger, vault: Vault, authority: any Authority, directory: String, approvals: ApprovalDesk? = nil, segmentLog2: Int = 26,
        identify: @escaping @Sendable (Caller) async throws(Fault) -> AuditEntry.Subject
    ) {
        self.approvals = approvals
        strongroom = Strongroom(vault: vault, directory: directory, segmentLog2: segmentLog2)
        self.ledger = ledger
        self.vault = vault
        self.gate = Gate(authority)
        self.directory = directory
        self.identify = identify
    }

    /// All routes of registry.sock.
    package var routes: [Route] {
        statusRoutes + auditRoutes + archiveRoutes + datasetRoutes + ceremonyRoutes + keyRoutes + modelRoutes + uploadRoutes + segmentRoutes + promotionRoutes + exportRoutes + receiptRoutes + scrubRoutes
    }

    /// What runs beside the routes, for as long as the daemon lives.
    package func run() async {
        await sweep()
        await ledger.signTail()
    }

    // MARK: who asks

    /// A caller that has been established; nobody else gets further.
    package func visitor(_ request: HTTPRequest) async throws(Fault) -> AuditEntry.Subject {
        let who = try await identify(request.caller)
        guard who.principal != nil else {
            throw Fault(.unauthenticated, "auth.required", "who is asking could not be established", remedy: "`forge login --key FILE` signs you in")
        }
        return who
    }

    /// The daemon that calls, as its credential or uid proves; `nil` for people and applications.
    package func service(_ request: HTTPRequest) async throws(Fault) -> LeafStamp.Service? {
        guard case .service(let name) = try await visitor(request).principal else { return nil }
        return LeafStamp.Service(name, pid: Int64(request.caller.pid), uid: request.caller.uid)
    }

    /// For calls that only daemons make. It stands before any policy: the log cannot ask itself whether it may write.
    package func requireService(_ request: HTTPRequest, _ names: DaemonName...) async throws(Fault) -> LeafStamp.Service {
        guard let service = try await service(request), names.isEmpty || names.contains(service.unit) else {
            throw Fault(
                .denied, "auth.services_only", "`\(request.method.rawValue) \(request.pattern)` is not for you",
                why: "only \(names.isEmpty ? "a daemon of this appliance" : names.map(\.rawValue).joined(separator: " or ")) may ask this")
        }
        return service
    }

    // MARK: asking and telling

    /// Asks the policy, and has the decision recorded.
    package func permit(
        _ action: AuditAction, on resource: EntityID, digest: Digest? = nil, attributes: JSON.Object = .init(), context: JSON.Object = .init(), for who: AuditEntry.Subject
    ) async throws(Fault) -> Permit {
        guard let principal = who.principal, let method = who.method else { preconditionFailure("a visitor has been established before a permit is asked for") }
        return try await gate.permit(
            AccessRequest(
                principal, method: method, uid: who.uid, action: action.rawValue, resource: resource, resourceDigest: digest, attributes: attributes, context: context))
    }

    /// Carries out a permitted change of the catalog: the rows and the outcome commit together. When the change fails, its failure is recorded instead.
    /// - Parameters:
    ///   - detail: erasable side text of the outcome, bound by its salted digest.
    ///   - change: writes the rows; it is told the index the outcome will have, and returns the facts of the outcome.
    package func carryOut<T: Sendable>(
        _ permit: consuming Permit, for who: AuditEntry.Subject, object: AuditEntry.Object?, approvers: [String] = [], detail: [UInt8]? = nil,
        _ change: @escaping @Sendable (Database, AuditIndex, _ now: Int64) throws(Fault) -> (value: T, data: JSON.Object)
    ) async throws(Fault) -> T {
        guard let action = AuditAction(rawValue: permit.request.action) else { preconditionFailure("a permit of this registry names a recorded action") }
        let request = permit.decision.request
        do throws(Fault) {
            return try await ledger.write { database, log throws(Fault) in
                try log.record(in: database) { index, now throws(Fault) in
                    let done = try change(database, index, now)
                    var outcome = AuditEntry.outcome(action, .ok, request: request, who: who, object: object, approvers: approvers, data: done.data)
                    outcome.detail = detail
                    return (outcome, done.value)
                }.value
            }
        } catch {
            await recordFailure(of: action, request: request, for: who, object: object, error)
            throw error
        }
    }

    /// The other end of an intent whose effect failed. If even this cannot be recorded, the intent stays open, which every verifier shows.
    package func recordFailure(of action: AuditAction, request: ID, for who: AuditEntry.Subject, object: AuditEntry.Object?, _ fault: Fault) async {
        let outcome = AuditEntry.outcome(action, .failed(code: fault.code), request: request, who: who, object: object)
        _ = try? await ledger.append([outcome])
    }
}
