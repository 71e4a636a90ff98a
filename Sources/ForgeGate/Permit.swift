package import ForgeCore

/// Proof that one action was decided and that the decision is durably on record. Spent by use: it cannot be copied.
package struct Permit: ~Copyable, Sendable {
    package let request: AccessRequest
    package let decision: Decision

    fileprivate init(_ request: AccessRequest, _ decision: Decision) {
        self.request = request
        self.decision = decision
    }

    /// The audit record of the decision.
    package var record: AuditIndex { decision.record }
}

/// Who decides: the local bundle for ordinary actions, forge-admin for privileged ones. Both record, then answer.
package protocol Authority: Sendable {
    /// - Throws: `.environment` when no decision can be made or recorded; the answer is then no.
    func decide(_ request: AccessRequest) async throws(Fault) -> Decision
}

/// The only maker of permits.
package struct Gate: Sendable {
    private let authority: any Authority

    package init(_ authority: any Authority) { self.authority = authority }

    /// - Returns: a permit for exactly this request.
    /// - Throws: `.denied` naming the policies, `.approval` when votes are missing, `.environment` when the decision could not be recorded.
    package func permit(_ request: AccessRequest) async throws(Fault) -> Permit {
        let decision = try await authority.decide(request)
        guard decision.allowed else { throw decision.refusal(of: request) }
        return Permit(request, decision)
    }
}
