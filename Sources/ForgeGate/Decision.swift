package import ForgeCore

/// The index of a record in the audit log, from zero.
package typealias AuditIndex = UInt64

/// A policy that had a part in a decision, as the person refused may read it.
package struct PolicyReason: Hashable, Sendable, Codable {
    /// The policy's `@id`.
    package let id: String
    /// The policy's `@reason`.
    package let text: String

    package init(id: String, text: String) {
        self.id = id
        self.text = text
    }
}

/// What the policies say of one request, before it is on record.
package struct Verdict: Hashable, Sendable, Codable {
    package enum Outcome: String, Sendable, Hashable, Codable {
        case allow
        case deny
        /// Denied now, and votes would change that.
        case needsApproval = "needs_approval"
    }

    package let outcome: Outcome
    /// The satisfied permits of an allow, the satisfied forbids of a deny; empty when nothing permitted.
    package let reasons: [PolicyReason]
    /// Policies that could not be evaluated. An erroring forbid denies.
    package let errors: [PolicyReason]
    package let policyDigest: Digest
    package let entityEpoch: UInt64

    package init(_ outcome: Outcome, reasons: [PolicyReason], errors: [PolicyReason] = [], policyDigest: Digest, entityEpoch: UInt64) {
        self.outcome = outcome
        self.reasons = reasons
        self.errors = errors
        self.policyDigest = policyDigest
        self.entityEpoch = entityEpoch
    }
}

/// A verdict that is durably on record.
package struct Decision: Hashable, Sendable, Codable {
    package let verdict: Verdict
    /// The leaf of the audit log that holds it.
    package let record: AuditIndex
    /// Links the decision, its outcome and other daemons' records of the same request.
    package let request: ID
    /// The approval that was filed, when votes are missing.
    package let approval: ID?

    package init(_ verdict: Verdict, record: AuditIndex, request: ID, approval: ID? = nil) {
        self.verdict = verdict
        self.record = record
        self.request = request
        self.approval = approval
    }

    package var allowed: Bool { verdict.outcome == .allow }

    /// The refusal a caller reads: which policy, its reason, who can help, and the record's number.
    package func refusal(of request: AccessRequest) -> Fault {
        let subject = "\(request.principal.entity.id) may not `\(request.action)` on `\(request.resource.id)`"
        if verdict.outcome == .needsApproval, let approval {
            return Fault(
                .approval, "approval.needed", "`\(request.action)` on `\(request.resource.id)` needs votes",
                why: verdict.reasons.map { "policy `\($0.id)`: \($0.text)" }.joined(separator: "; "),
                remedy: "approval \(approval) was filed; `forge approval show \(approval)` tells who can vote", record: record)
        }
        let why: String
        if let error = verdict.errors.first {
            why = "policy `\(error.id)` could not be evaluated: \(error.text)"
        } else if verdict.reasons.isEmpty {
            why = "no policy permits it"
        } else {
            why = verdict.reasons.map { "policy `\($0.id)`: \($0.text)" }.joined(separator: "; ")
        }
        return Fault(
            .denied, "policy.denied", subject, why: why,
            remedy: "`forge can-i \(request.action)` shows what you may do; a security officer can read audit record \(record)", record: record)
    }
}
