import ForgeCore
package import ForgeGate

/// What votes add up to, as the policies read it in `context.approval`. Computed from verified signatures, never received.
package struct VoteFacts: Hashable, Sendable {
    package var digestMatches: Bool
    /// Distinct persons other than the requester.
    package var count: Int
    package var roles: Set<String>
    package var ageSeconds: Int64

    package init(digestMatches: Bool, count: Int, roles: Set<String>, ageSeconds: Int64) {
        self.digestMatches = digestMatches
        self.count = count
        self.roles = roles
        self.ageSeconds = ageSeconds
    }

    var value: Value {
        .record([
            "digestMatches": .bool(digestMatches), "count": .long(Int64(count)), "roles": .set(Set(roles.map { .string(ExactText($0)) })),
            "ageSeconds": .long(ageSeconds),
        ])
    }
}

/// How many distinct persons must vote, and which roles must be among theirs.
package struct Quorum: Hashable, Sendable, Codable {
    package let persons: Int
    package let roles: Set<String>

    package init(persons: Int, roles: Set<String>) {
        self.persons = persons
        self.roles = roles
    }
}

/// The Forge profile at run time: an `AccessRequest` becomes the language's request, conforms to the schema or is denied, and
/// an erroring `forbid` denies.
package struct PolicyEngine: Sendable {
    package let bundle: PolicyBundle
    private let reader: EntityReader

    package init(_ bundle: PolicyBundle) {
        self.bundle = bundle
        reader = EntityReader(schema: bundle.schema)
    }

    package static func action(_ id: String) -> EntityUID { EntityUID("Forge::Action", ExactText(id)) }

    /// Whether forge-admin alone decides this action.
    package func isPrivileged(_ action: String) -> Bool {
        let uid = PolicyEngine.action(action)
        return bundle.schema.actions[uid]?.parents.contains(PolicyEngine.action("privileged")) == true
    }

    /// Users, roles, services and applications exist only in the snapshot; a request cannot bring its own.
    private static let enrolled: Set<ExactText> = ["Forge::User", "Forge::Role", "Forge::Service", "Forge::App"]
    private static let requestLimit = 64 << 10

    /// What the bundle says of one request.
    /// - Parameters:
    ///   - entities: the snapshot's principals and roles, with the schema's actions.
    ///   - votes: the facts of the approval that was filed for exactly this request, if there is one.
    ///   - asksForVotes: whether to tell a plain deny from one that votes would change; only forge-admin asks.
    package func verdict(
        on request: AccessRequest, entities: EntityStore, epoch: UInt64, votes: VoteFacts? = nil, asksForVotes: Bool = false
    ) -> Verdict {
        explanation(of: request, entities: entities, epoch: epoch, votes: votes, asksForVotes: asksForVotes).verdict
    }

    /// The verdict with every policy that spoke, for `can-i` and for officers.
    package func explanation(
        of request: AccessRequest, entities: EntityStore, epoch: UInt64, votes: VoteFacts? = nil, asksForVotes: Bool = false
    ) -> Explanation {
        func outcome(_ outcome: Verdict.Outcome, _ reasons: [PolicyReason], _ errors: [PolicyReason]) -> Verdict {
            Verdict(outcome, reasons: reasons, errors: errors, policyDigest: bundle.digest, entityEpoch: epoch)
        }
        let answer: Answer
        do {
            answer = try ask(request, entities, votes)
        } catch {
            return Explanation(verdict: outcome(.deny, [], [PolicyReason(id: "profile.request", text: error.reason)]), permits: [], forbids: [])
        }
        let errors = answer.failures.map { PolicyReason(id: $0.policy, text: $0.reason) }
        let brokenForbid = answer.failures.contains { bundle.policy($0.policy)?.effect == .forbid }
        let allowed = answer.allowed && !brokenForbid
        var verdict = outcome(allowed ? .allow : .deny, answer.reasons.map(bundle.reason), errors)
        if !allowed && brokenForbid { verdict = outcome(.deny, answer.forbids.map(bundle.reason), errors) }
        if !allowed, asksForVotes, let roles = roles(in: entities) {
            let most = VoteFacts(digestMatches: true, count: 1000, roles: roles, ageSeconds: 0)
            if (try? ask(request, entities, most)).map({ $0.allowed && $0.failures.isEmpty }) == true {
                verdict = outcome(.needsApproval, answer.forbids.map(bundle.reason), errors)
            }
        }
        return Explanation(verdict: verdict, permits: answer.permits.map(bundle.reason), forbids: answer.forbids.map(bundle.reason))
    }

    /// The fewest persons and the roles without which votes do not help, found by asking the bundle itself: the thresholds live
    /// in the policies. Nil when no votes would be enough. Votes only ever add (profile, rule 4), so each part is found alone.
    package func quorum(for request: AccessRequest, entities: EntityStore) -> Quorum? {
        guard let all = roles(in: entities) else { return nil }
        func suffices(_ count: Int, _ roles: Set<String>) -> Bool {
            let facts = VoteFacts(digestMatches: true, count: count, roles: roles, ageSeconds: 0)
            return (try? ask(request, entities, facts)).map { $0.allowed && $0.failures.isEmpty } == true
        }
        guard let persons = (0...16).first(where: { suffices($0, all) }) else { return nil }
        var needed = all
        for role in all.sorted() where suffices(persons, needed.subtracting([role])) { needed.remove(role) }
        return Quorum(persons: persons, roles: needed)
    }

    private func roles(in entities: EntityStore) -> Set<String>? {
        Set(entities.uids.filter { $0.type == "Forge::Role" && $0.id != "everyone" }.map(\.id.text))
    }

    private func ask(_ request: AccessRequest, _ entities: EntityStore, _ votes: VoteFacts?) throws(EntityError) -> Answer {
        let principal = EntityUID(request.principal.entity)
        let resource = EntityUID(request.resource)
        guard entities[principal] != nil else { throw EntityError("`\(principal)` is not enrolled") }
        guard JSON.object(request.context).text.utf8.count + JSON.object(request.attributes).text.utf8.count <= PolicyEngine.requestLimit else {
            throw EntityError("the request is longer than \(PolicyEngine.requestLimit) bytes")
        }
        var store = entities
        if PolicyEngine.enrolled.contains(resource.type) {
            guard entities[resource] != nil else { throw EntityError("`\(resource)` is not enrolled") }
        } else {
            let stated = try reader.entity(resource, attributes: .object(request.attributes))
            store = entities.hosting(resource, attributes: stated.attributes)
        }
        let action = PolicyEngine.action(request.action)
        guard request.context["approval"] == nil, request.context["authMethod"] == nil else {
            throw EntityError("a caller cannot state how it signed in or what votes there are")
        }
        var stated = request.context
        stated["authMethod"] = .string(request.method.rawValue)
        var context = try reader.context(.object(stated), for: action)
        if let votes { context["approval"] = votes.value }
        let question = PolicyRequest(principal: principal, action: action, resource: resource, context: context)
        try reader.validate(question)
        return bundle.authorizer.answer(question, store)
    }
}

/// A verdict and all that spoke for and against.
package struct Explanation: Hashable, Sendable {
    package let verdict: Verdict
    package let permits: [PolicyReason]
    package let forbids: [PolicyReason]
}
