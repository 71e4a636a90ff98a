package import ForgeCore
package import ForgeGate

/// One approval as people see it. The document is what votes sign, byte for byte (docs/formats/approval.md).
package struct ApprovalView: Codable, Sendable, Hashable {
    package struct Vote: Codable, Sendable, Hashable {
        package var user: String
        package var person: String
        package var roles: [String]
        package var fingerprint: String
        /// SSHSIG, armoured: evidence that outlives this appliance.
        package var signature: String
        package var record: AuditIndex?

        package init(user: String, person: String, roles: [String], fingerprint: String, signature: String, record: AuditIndex? = nil) {
            self.user = user
            self.person = person
            self.roles = roles
            self.fingerprint = fingerprint
            self.signature = signature
            self.record = record
        }
    }

    package var id: ID
    package var state: String
    /// Canonical JSON.
    package var document: String
    package var votes: [Vote]
    package var vetoes: [Vote]
    /// Distinct persons still missing.
    package var missingPersons: Int
    package var missingRoles: [String]
    package var note: String

    package init(id: ID, state: String, document: String, votes: [Vote], vetoes: [Vote], missingPersons: Int, missingRoles: [String], note: String) {
        self.id = id
        self.state = state
        self.document = document
        self.votes = votes
        self.vetoes = vetoes
        self.missingPersons = missingPersons
        self.missingRoles = missingRoles
        self.note = note
    }
}

package struct ApprovalList: Codable, Sendable, Hashable {
    package var approvals: [ApprovalView]
    package init(approvals: [ApprovalView]) { self.approvals = approvals }
}

package enum Ballot: String, Codable, Sendable, Hashable {
    case approve
    case veto

    package static let namespace = "forge-approval"

    /// The bytes a voter signs; the digest is SHA-256 of the document the voter read.
    package func signedMessage(_ digest: Digest) -> [UInt8] { Array("forge-approval-v1 \(rawValue) \(digest)\n".utf8) }
}

package struct VoteRequest: Codable, Sendable, Hashable {
    package var ballot: Ballot
    /// What the voter signed; another document's digest is refused before any signature is looked at.
    package var digest: Digest
    package var signature: String

    package init(ballot: Ballot, digest: Digest, signature: String) {
        self.ballot = ballot
        self.digest = digest
        self.signature = signature
    }
}

/// A privileged action, asked by the daemon that would carry it out, in the name of the person who wants it.
package struct DecisionRequest: Codable, Sendable, Hashable {
    package var principal: EntityID
    package var method: AuthMethod
    package var uid: UInt32
    package var action: String
    package var resource: EntityID
    package var resourceDigest: Digest?
    package var attributes: JSON.Object
    package var context: JSON.Object

    package init(_ request: AccessRequest) {
        principal = request.principal.entity
        method = request.method
        uid = request.uid
        action = request.action
        resource = request.resource
        resourceDigest = request.resourceDigest
        attributes = request.attributes
        context = request.context
    }

    /// - Throws: `.request` when the principal is of no known kind.
    package func accessRequest() throws(Fault) -> AccessRequest {
        guard let principal = Principal(principal) else {
            throw Fault(.request, "admin.principal", "cannot decide", why: "`\(principal)` is no principal")
        }
        return AccessRequest(
            principal, method: method, uid: uid, action: action, resource: resource, resourceDigest: resourceDigest, attributes: attributes, context: context)
    }
}

/// How an approved action ended, told by the daemon that carried it out.
package struct ExecutionReport: Codable, Sendable, Hashable {
    package var ok: Bool
    package var note: String
    package var record: AuditIndex?

    package init(ok: Bool, note: String = "", record: AuditIndex? = nil) {
        self.ok = ok
        self.note = note
        self.record = record
    }
}
