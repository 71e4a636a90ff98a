package import AdminAPI
package import ForgeAudit
package import ForgeCore
import ForgeCrypto
package import ForgeGate
import ForgePolicy
import RegistryAPI

/// Votes: a permit from the policies, a signature over the request's digest, one step of the machine, one line of the journal.
extension Steward {
    /// What the policies read of an approval.
    static func attributes(_ approval: Approval) -> JSON.Object {
        let request = approval.request
        let json: JSON = [
            "action": .string(request.action), "requester": ["__entity": ["type": "Forge::User", "id": .string(request.requester)]],
            "requesterPerson": .string(request.person), "votedPersons": .array(approval.votes.map { .string($0.person) }),
        ]
        return json.object ?? .init()
    }

    package func approvalAttributes(_ id: ID) throws(Fault) -> JSON.Object { Steward.attributes(try approval(id)) }

    package func approvalViews(state: String?) -> [ApprovalView] {
        approvals.sorted.map(view).filter { state == nil || $0.state == state }
    }

    package func approvalView(_ id: ID) throws(Fault) -> ApprovalView { view(try approval(id)) }

    func approval(_ id: ID) throws(Fault) -> Approval {
        guard let approval = approvals[id] else { throw Fault(.request, "approval.not_found", "there is no approval `\(id)`", remedy: "`forge approval ls` lists them") }
        return approval
    }

    private func view(_ approval: Approval) -> ApprovalView {
        func vote(_ vote: Approval.Vote) -> ApprovalView.Vote {
            .init(user: vote.user, person: vote.person, roles: vote.roles.sorted(), fingerprint: vote.key, signature: vote.signature)
        }
        let state = approval.state(at: clock())
        return ApprovalView(
            id: approval.request.id, state: state.rawValue, document: String(decoding: approval.request.json.canonical, as: UTF8.self), votes: approval.votes.map(vote),
            vetoes: approval.vetoes.map(vote), missingPersons: state == .pending ? max(0, approval.request.quorum.persons - approval.votes.count) : 0,
            missingRoles: state == .pending ? approval.request.quorum.roles.subtracting(approval.rolesOfVoters).sorted() : [], note: approval.note)
    }

    /// Counts a vote or a veto.
    /// - Parameter permit: for `approval.vote` or `approval.veto` on this approval.
    package func vote(_ request: VoteRequest, on id: ID, with permit: consuming Permit) throws(Fault) -> ApprovalView {
        let (directory, _) = try site()
        guard case .user(let name) = permit.request.principal, let account = directory.accounts[name], permit.request.resource.id == id.description,
            permit.request.action == (request.ballot == .approve ? "approval.vote" : "approval.veto")
        else { throw Fault(.denied, "approval.permit", "the permit is for something else") }
        let approval = try approval(id)
        let key = try signer(request, of: approval, account)
        let vote = Approval.Vote(user: name, person: account.person, roles: Set(account.roles), key: key.fingerprint, signature: request.signature)
        try commit(request.ballot == .approve ? .vote(vote) : .veto(vote), to: id, at: clock())
        return try approvalView(id)
    }

    /// Checked before the policies are asked, so that what is on record as a permitted vote carries a good signature.
    package func checkSignature(_ request: VoteRequest, on id: ID, by caller: AdminCaller, request requestID: ID) async throws(Fault) {
        let (directory, _) = try site()
        let approval = try approval(id)
        guard let account = directory.accounts[try caller.user()] else { throw Fault(.denied, "admin.person", "only a person may vote") }
        do throws(Fault) {
            _ = try signer(request, of: approval, account)
        } catch {
            let record = try await audit.append(
                AuditEntry(
                    request.ballot == .approve ? .approvalVote : .approvalVeto, .event, request: requestID,
                    who: subject(caller.principal, method: caller.method, uid: caller.uid, session: caller.session?.id), object: .init("Forge::Approval", id.description),
                    outcome: .failed(code: error.code)))
            var fault = error
            fault.record = record
            throw fault
        }
    }

    private func signer(_ request: VoteRequest, of approval: Approval, _ account: Directory.Account) throws(Fault) -> SSHPublicKey {
        guard request.digest == approval.request.digest else {
            throw Fault(
                .request, "approval.digest", "the vote is for another document", why: "it covers \(request.digest.short)…, the approval is \(approval.request.digest.short)…",
                remedy: "read it again with `forge approval show \(approval.request.id)`")
        }
        let ballot: ApprovalRequest.Ballot = request.ballot == .approve ? .approve : .veto
        guard
            let key = Steward.signer(
                account, of: approval.request.signedMessage(ballot), namespace: ApprovalRequest.signatureNamespace, request.signature)
        else {
            throw Fault(
                .denied, "approval.signature", "the vote was refused", why: "the signature is not one of `\(account.name)`'s enrolled keys over this \(ballot.rawValue)",
                remedy: "sign with the key that is enrolled: `forge approval approve \(approval.request.id) --key FILE`")
        }
        return key
    }

    /// Facts for the record of a vote: which document, what it adds up to.
    package func voteFacts(_ request: VoteRequest, on id: ID) throws(Fault) -> JSON.Object {
        let approval = try approval(id)
        return [
            "approval": .string(id.description), "digest": .string(approval.request.digest.description), "vote": .string(Digest.sha256(request.signature).description),
            "votes": .int(Int64(approval.votes.count)), "threshold": .int(Int64(approval.request.quorum.persons)),
        ]
    }

    package func withdraw(_ id: ID, with permit: consuming Permit) throws(Fault) -> ApprovalView {
        let (directory, _) = try site()
        guard case .user(let name) = permit.request.principal, let account = directory.accounts[name], permit.request.resource.id == id.description else {
            throw Fault(.denied, "approval.permit", "the permit is for something else")
        }
        _ = try approval(id)
        try commit(.withdraw(user: name, person: account.person), to: id, at: clock())
        return try approvalView(id)
    }

    /// The daemon that carried an approved action out says how it ended.
    package func report(_ report: ExecutionReport, of id: ID) throws(Fault) {
        _ = try approval(id)
        try commit(report.ok ? .executed : .failed(note: String(report.note.prefix(512))), to: id, at: clock())
    }

    /// Closes executions whose daemon could not tell how they ended, by what the log says. The log closes what a crash left open, so
    /// nothing stays executing for ever.
    /// - Parameter outcome: of the request with this id; nil while the log has none.
    package func settle(olderThan age: Duration = .seconds(30), _ outcome: (ID) async throws(Fault) -> AuditEntry.Outcome?) async {
        let latest = clock() - age.components.seconds * 1_000_000
        for approval in approvals.sorted where approval.state == .executing && approval.latest <= latest {
            let id = approval.request.id
            guard let request = approvals.executions[id], let found = try? await outcome(request) else { continue }
            // Somebody may have reported while the log was asked.
            guard approvals[id]?.state == .executing else { continue }
            switch found {
            case .ok: try? commit(.executed, to: id, at: clock())
            case .failed(let code), .unknown(let code): try? commit(.failed(note: code), to: id, at: clock())
            }
        }
    }

    /// One step of the machine, durable before it counts.
    func commit(_ event: Approval.Event, to id: ID, at now: Int64, request: ID? = nil) throws(Fault) {
        var approval = try approval(id)
        do throws(Approval.Refusal) { try approval.apply(event, at: now) } catch { throw error.fault }
        let line = ApprovalBook.event(event, of: id, at: approval.latest, request: request)
        try approvalJournal.append(line)
        try approvals.apply(line)
    }
}
