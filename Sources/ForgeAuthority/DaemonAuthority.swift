package import AdminAPI
package import ForgeAudit
package import ForgeCore
package import ForgeGate
internal import ForgePolicy
package import RegistryAPI

/// Judges ordinary actions by the bundle at hand, and has forge-admin decide the privileged ones. Either way the decision is on
/// record before it is answered; refusals too.
package struct DaemonAuthority: Authority {
    private let mirror: EntityMirror
    private let log: any AuditPort
    private let admin: AdminClient?

    /// - Parameter admin: who decides privileged actions; nil denies them.
    package init(_ mirror: EntityMirror, log: any AuditPort, admin: AdminClient?) {
        self.mirror = mirror
        self.log = log
        self.admin = admin
    }

    package func decide(_ request: AccessRequest) async throws(Fault) -> Decision {
        guard let action = AuditAction(rawValue: request.action) else {
            throw Fault(.denied, "policy.unknown_action", "cannot decide", why: "`\(request.action)` is no action that can stand on record")
        }
        let view = try await mirror.current()
        if view.engine.isPrivileged(request.action) {
            guard let admin else { throw Fault(.denied, "policy.privileged", "cannot decide `\(request.action)` here", why: "forge-admin alone decides it") }
            return try await admin.decide(request)
        }
        let verdict = view.engine.verdict(on: request, entities: view.entities, epoch: view.snapshot.epoch)
        let id = ID()
        let record = try await log.append(DaemonAuthority.entry(action, verdict, of: request, id: id, roles: view.roles(of: request.principal)))
        return Decision(verdict, record: record, request: id)
    }

    /// How a decision stands on record.
    package static func entry(
        _ action: AuditAction, _ verdict: Verdict, of request: AccessRequest, id: ID, roles: [String], approvers: [String] = [], data: JSON.Object = .init()
    ) -> AuditEntry {
        var version: String?
        if let number = request.attributes["version"]?.int { version = String(number) }
        return .decision(
            action, verdict, request: id, who: .init(request.principal, method: request.method, uid: request.uid, roles: roles),
            object: .init(request.resource, version: version, digest: request.resourceDigest), approvers: approvers, why: request.context["reason"]?.string, data: data)
    }
}
