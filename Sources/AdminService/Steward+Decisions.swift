package import AdminAPI
import ForgeAudit
package import ForgeCore
package import ForgeGate
import ForgePolicy
import RegistryAPI

/// forge-admin deciding for itself, under the request's id: evaluate, record, answer.
package struct StewardAuthority: Authority {
    let steward: Steward
    let id: ID
    var session: ID?
    var data = JSON.Object()
    var why: String?

    package func decide(_ request: AccessRequest) async throws(Fault) -> Decision {
        try await steward.decide(request, id: id, session: session, why: why, data: data)
    }
}

extension Steward {
    /// Evaluates, records, answers. What cannot be recorded is not decided.
    func decide(
        _ request: AccessRequest, id: ID, session: ID? = nil, votes: VoteFacts? = nil, asksForVotes: Bool = false, approvers: [String] = [], approval: ID? = nil,
        why: String? = nil, data: JSON.Object = .init()
    ) async throws(Fault) -> Decision {
        _ = try site()
        let verdict = engine.verdict(on: request, entities: entities, epoch: epoch, votes: votes, asksForVotes: asksForVotes)
        let record = try await self.record(verdict, of: request, id: id, session: session, approvers: approvers, why: why, data: data)
        return Decision(verdict, record: record, request: id, approval: approval)
    }

    func record(
        _ verdict: Verdict, of request: AccessRequest, id: ID, session: ID? = nil, approvers: [String] = [], why: String? = nil, data: JSON.Object = .init()
    ) async throws(Fault) -> AuditIndex {
        guard let action = AuditAction(rawValue: request.action) else {
            throw Fault(.request, "policy.action", "there is no action `\(request.action)`")
        }
        let who = subject(request.principal, method: request.method, uid: request.uid, session: session)
        return try await audit.append(
            .decision(action, verdict, request: id, who: who, object: .init(request.resource, digest: request.resourceDigest), approvers: approvers, why: why, data: data))
    }

    /// What became of an allowed intent. A missing outcome is closed as unknown when this daemon starts again, so failing to
    /// write it undoes nothing.
    func conclude(_ permit: borrowing Permit, ok: Bool = true, code: String = "") async {
        guard let action = AuditAction(rawValue: permit.request.action) else { return }
        let who = subject(permit.request.principal, method: permit.request.method, uid: permit.request.uid)
        _ = try? await audit.append(
            .outcome(action, ok ? .ok : .failed(code: code), request: permit.decision.request, who: who, object: .init(permit.request.resource, digest: permit.request.resourceDigest)))
    }

    /// What the policies would say; nothing is recorded because nothing is decided.
    package func canI(_ request: AccessRequest) throws(Fault) -> CanI {
        _ = try site()
        let verdict = engine.verdict(on: request, entities: entities, epoch: epoch, asksForVotes: true)
        return CanI(action: request.action, resource: request.resource, verdict: verdict)
    }

    // MARK: privileged actions, asked by the daemon that would carry them out

    /// Decides in the name of a person who is really here. Denied plainly, or waiting for votes (the request is filed and stays
    /// filed), or allowed once: then the approval is executing and the daemon reports how it ended.
    package func decidePrivileged(_ request: AccessRequest, for daemon: DaemonName, id: ID) async throws(Fault) -> Decision {
        try await exclusively { () async throws(Fault) in
            let (directory, _) = try site()
            guard engine.isPrivileged(request.action) else {
                throw Fault(.request, "policy.ordinary", "`\(request.action)` is not decided here", why: "it is not privileged; the daemon decides it with the snapshot")
            }
            guard case .user(let name) = request.principal, let account = directory.accounts[name], isHere(account, method: request.method, uid: request.uid) else {
                throw Fault(
                    .denied, "decision.absent", "`\(daemon.rawValue)` may not ask for `\(request.principal.entity.id)`", why: "that person is not signed in with uid \(request.uid)",
                    remedy: "run `forge login`")
            }
            var parameters = request.context
            let reason = parameters["reason"]?.string ?? ""
            parameters["reason"] = nil
            // Facts of the sign-in change from call to call and are no part of what is asked for.
            parameters["sessionAgeSeconds"] = nil
            parameters["door"] = nil
            let now = clock()
            if let known = approvals.open(action: request.action, resource: request.resource, parameters: parameters, requester: name, now: now) {
                if let decision = try await resume(known, request, id: id) { return decision }
            }
            return try await file(request, account, parameters: parameters, reason: reason, id: id)
        }
    }

    private func isHere(_ account: Directory.Account, method: AuthMethod, uid: UInt32) -> Bool {
        guard !account.disabled else { return false }
        return switch method {
        case .sshsig: sessions.isSignedIn(user: account.name, uid: uid, now: clock())
        case .peercred: account.uid == uid
        case .apikey, .handed: false
        }
    }

    /// With an approval that is open: allowed if it is approved and the policies now in force agree; still waiting if it is not.
    /// - Returns: nil when the approval covers other content or other rules and was invalidated.
    private func resume(_ approval: Approval, _ request: AccessRequest, id: ID) async throws(Fault) -> Decision? {
        let now = clock()
        let approver = approval.votes.map(\.user)
        let data: JSON.Object = ["approval": .string(approval.request.id.description), "votes": .int(Int64(approval.votes.count))]
        guard approval.request.content == request.resourceDigest, approval.request.policy == engine.bundle.digest else {
            let note = approval.request.content == request.resourceDigest ? "the policies changed" : "the content changed"
            try commit(.invalidate(note: note), to: approval.request.id, at: now)
            return nil
        }
        switch approval.state(at: now) {
        case .executing:
            throw Fault(
                .request, "approval.conflict", "the approval \(approval.request.id) is being executed", remedy: "wait for it, and look with `forge approval show \(approval.request.id)`",
                retryable: true)
        case .approved:
            let facts = approval.facts(content: request.resourceDigest, at: now)
            let decision = try await decide(
                request, id: id, votes: facts, approvers: approver, approval: approval.request.id, why: approval.request.reason.isEmpty ? nil : approval.request.reason, data: data)
            // The record is written; nobody else could move the approval meanwhile but by a veto or a withdrawal, which win.
            if decision.allowed { try commit(.begin, to: approval.request.id, at: clock(), request: id) }
            return decision
        default:
            let facts = approval.facts(content: request.resourceDigest, at: now)
            return try await decide(request, id: id, votes: facts, asksForVotes: true, approval: approval.request.id, data: data)
        }
    }

    /// Without one: denied plainly, or filed.
    private func file(_ request: AccessRequest, _ account: Directory.Account, parameters: JSON.Object, reason: String, id: ID) async throws(Fault) -> Decision {
        guard reason.utf8.count <= 4096 else { throw Fault(.request, "approval.reason", "the reason is longer than 4096 bytes") }
        let verdict = engine.verdict(on: request, entities: entities, epoch: epoch, asksForVotes: true)
        guard verdict.outcome == .needsApproval, let quorum = engine.quorum(for: request, entities: entities) else {
            let record = try await self.record(verdict, of: request, id: id, why: reason.isEmpty ? nil : reason)
            return Decision(verdict, record: record, request: id)
        }
        let now = clock()
        let filed = ApprovalRequest(
            id: ID(), action: request.action, resource: request.resource, content: request.resourceDigest, parameters: parameters, requester: account.name,
            person: account.person, reason: reason, created: now, voteBy: now + Steward.voteTime, executeWithinSeconds: Steward.executeSeconds, policy: engine.bundle.digest,
            quorum: quorum)
        guard filed.json.isCanonicalisable else { throw Fault(.request, "approval.parameters", "the request holds a number that cannot be signed") }
        let asking = AccessRequest(
            request.principal, method: request.method, uid: request.uid, action: "approval.request", resource: EntityID("Forge::Approval", filed.id.description),
            attributes: Steward.attributes(Approval(filed)))
        let facts: JSON.Object = ["approval": .string(filed.id.description), "digest": .string(filed.digest.description), "threshold": .int(Int64(quorum.persons))]
        let permission = try await decide(asking, id: id, why: reason.isEmpty ? nil : reason, data: facts)
        guard permission.allowed else { return permission }
        let record = try await self.record(verdict, of: request, id: id, why: reason.isEmpty ? nil : reason, data: ["approval": .string(filed.id.description)])
        try approvalJournal.append(ApprovalBook.filed(filed))
        try approvals.apply(ApprovalBook.filed(filed))
        return Decision(verdict, record: record, request: id, approval: filed.id)
    }

    static let voteTime: Int64 = 72 * 3600 * 1_000_000
    static let executeSeconds: Int64 = 24 * 3600
}
