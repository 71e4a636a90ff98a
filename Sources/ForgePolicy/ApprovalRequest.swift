package import ForgeCore
import ForgeCrypto
package import ForgeGate

/// What is asked for, in the form that is signed (docs/formats/approval.md).
package struct ApprovalRequest: Hashable, Sendable {
    package let id: ID
    package let action: String
    package let resource: EntityID
    package let content: Digest?
    package let parameters: JSON.Object
    package let requester: String
    package let person: String
    package let reason: String
    /// UTC microseconds.
    package let created: Int64
    package let voteBy: Int64
    package let executeWithinSeconds: Int64
    package let policy: Digest
    package let quorum: Quorum

    package init(
        id: ID, action: String, resource: EntityID, content: Digest?, parameters: JSON.Object, requester: String, person: String, reason: String,
        created: Int64, voteBy: Int64, executeWithinSeconds: Int64, policy: Digest, quorum: Quorum
    ) {
        precondition(ApprovalRequest.delays.contains(executeWithinSeconds), "an execution waits at most a year")
        self.id = id
        self.action = action
        self.resource = resource
        self.content = content
        self.parameters = parameters
        self.requester = requester
        self.person = person
        self.reason = reason
        self.created = created
        self.voteBy = voteBy
        self.executeWithinSeconds = executeWithinSeconds
        self.policy = policy
        self.quorum = quorum
    }

    package var json: JSON {
        [
            "v": 1, "id": .string(id.description), "action": .string(action),
            "resource": ["type": .string(resource.type), "id": .string(resource.id)],
            "content": content.map { .string($0.description) } ?? .null, "parameters": .object(parameters), "requester": .string(requester),
            "person": .string(person), "reason": .string(reason), "created": .int(created), "vote_by": .int(voteBy),
            "execute_within": .int(executeWithinSeconds), "policy": .string(policy.description),
            "quorum": ["persons": .int(Int64(quorum.persons)), "roles": .array(quorum.roles.sorted().map { .string($0) })],
        ]
    }

    /// - Returns: nil unless every member is there with its type, and nothing else.
    package init?(_ json: JSON) {
        guard let object = json.object, object.count == 14, object["v"]?.int == 1, json.isCanonicalisable,
            let id = object["id"]?.string.flatMap({ ID(parsing: $0) }), let action = object["action"]?.string,
            let type = object["resource"]?["type"]?.string, let name = object["resource"]?["id"]?.string, object["resource"]?.object?.count == 2,
            let contentJSON = object["content"], let parameters = object["parameters"]?.object, let requester = object["requester"]?.string,
            let person = object["person"]?.string, let reason = object["reason"]?.string, reason.utf8.count <= 4096, let created = object["created"]?.int,
            let voteBy = object["vote_by"]?.int, let within = object["execute_within"]?.int, ApprovalRequest.delays.contains(within),
            let policy = object["policy"]?.string.flatMap({ Digest(parsing: $0) }), let quorum = object["quorum"]?.object, quorum.count == 2,
            let persons = quorum["persons"]?.int, (0...1000).contains(persons), let roleItems = quorum["roles"]?.array
        else { return nil }
        let roles = roleItems.compactMap(\.string)
        guard roles.count == roleItems.count, roles == roles.sorted(), Set(roles).count == roles.count else { return nil }
        var content: Digest?
        if contentJSON != .null {
            guard let digest = contentJSON.string.flatMap({ Digest(parsing: $0) }) else { return nil }
            content = digest
        }
        self.init(
            id: id, action: action, resource: EntityID(type, name), content: content, parameters: parameters, requester: requester, person: person,
            reason: reason, created: created, voteBy: voteBy, executeWithinSeconds: within, policy: policy,
            quorum: Quorum(persons: Int(persons), roles: Set(roles)))
    }

    /// Seconds an execution may wait: up to a year.
    package static let delays: ClosedRange<Int64> = 0...31_536_000

    /// What votes sign; covers request, content, rules and deadline.
    package var digest: Digest { Digest.sha256(json.canonical) }

    package enum Ballot: String, Hashable, Sendable, Codable { case approve, veto }

    package static let signatureNamespace = "forge-approval"

    /// The bytes a voter signs, with SSHSIG namespace `forge-approval`.
    package func signedMessage(_ ballot: Ballot) -> [UInt8] { Array("forge-approval-v1 \(ballot.rawValue) \(digest)\n".utf8) }
}
