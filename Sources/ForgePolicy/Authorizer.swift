/// What the policies answer, as the language defines it.
package struct Answer: Hashable, Sendable {
    package struct Failure: Hashable, Sendable {
        package let policy: String
        package let reason: String
    }

    /// Ids of the satisfied policies, in the policies' order.
    package let permits: [String]
    package let forbids: [String]
    /// Policies that could not be evaluated. The language passes over them; the Forge profile does not.
    package let failures: [Failure]

    package var allowed: Bool { forbids.isEmpty && !permits.isEmpty }
    /// The satisfied permits of an allow, the satisfied forbids of a deny.
    package var reasons: [String] { allowed ? permits : forbids }
}

/// Allow when no forbid and at least one permit is satisfied (cedar-spec, `Cedar/Spec/Authorizer.lean`).
///
/// The scope is tested by look-ups before anything is evaluated, and only policies whose action can match are visited:
/// a scope never fails, so passing over a policy whose scope is false changes nothing.
package struct Authorizer: Sendable {
    package let policies: [Policy]
    /// Which policies an action can match, for every action some policy names; the others match only the `open` ones.
    private let byAction: [EntityUID: [Int]]
    private let open: [Int]

    package init(_ set: PolicySet) {
        policies = set.policies
        var named: [EntityUID: [Int]] = [:]
        var open: [Int] = []
        for (i, policy) in policies.enumerated() {
            switch policy.action {
            case .any: open.append(i)
            case .equal(let uid), .within(let uid): named[uid, default: []].append(i)
            case .withinAny(let uids): for uid in Set(uids) { named[uid, default: []].append(i) }
            }
        }
        byAction = named
        self.open = open
    }

    package func answer(_ request: PolicyRequest, _ store: EntityStore) -> Answer {
        let evaluator = Evaluator(request, store)
        var permits: [String] = []
        var forbids: [String] = []
        var failures: [Answer.Failure] = []
        for policy in candidates(request.action, store) where inScope(policy, request, store) {
            do {
                guard try holds(policy, evaluator) else { continue }
                if policy.effect == .permit { permits.append(policy.id) } else { forbids.append(policy.id) }
            } catch {
                failures.append(.init(policy: policy.id, reason: error.reason))
            }
        }
        return Answer(permits: permits, forbids: forbids, failures: failures)
    }

    private func candidates(_ action: EntityUID, _ store: EntityStore) -> [Policy] {
        var indices = Set(open)
        indices.formUnion(byAction[action] ?? [])
        for group in store[action]?.ancestors ?? [] { indices.formUnion(byAction[group] ?? []) }
        return indices.sorted().map { policies[$0] }
    }

    private func inScope(_ policy: Policy, _ request: PolicyRequest, _ store: EntityStore) -> Bool {
        func matches(_ uid: EntityUID, _ target: Policy.Target) -> Bool {
            switch target {
            case .any: true
            case .equal(let other): uid == other
            case .within(let group): store.isMember(uid, of: group)
            case .type(let type): uid.type == type
            case .typeWithin(let type, let group): uid.type == type && store.isMember(uid, of: group)
            }
        }
        let actionMatches =
            switch policy.action {
            case .any: true
            case .equal(let uid): request.action == uid
            case .within(let group): store.isMember(request.action, of: group)
            case .withinAny(let groups): groups.contains { store.isMember(request.action, of: $0) }
            }
        return actionMatches && matches(request.principal, policy.principal) && matches(request.resource, policy.resource)
    }

    private func holds(_ policy: Policy, _ evaluator: Evaluator) throws(EvaluationError) -> Bool {
        for condition in policy.conditions where try evaluator.bool(condition.body) == condition.isUnless { return false }
        return true
    }
}

/// The plain twin: every policy is one expression, evaluated whole. Slow, and obviously what is meant.
package enum PlainAuthorizer {
    package static func answer(_ request: PolicyRequest, _ store: EntityStore, _ set: PolicySet) -> Answer {
        let evaluator = Evaluator(request, store)
        let outcomes = set.policies.map { policy in (policy, Result { () throws(EvaluationError) in try evaluator.bool(policy.meaning) }) }
        func satisfied(_ effect: Policy.Effect) -> [String] {
            outcomes.compactMap { policy, outcome in
                if policy.effect == effect, case .success(true) = outcome { policy.id } else { nil }
            }
        }
        let failures = outcomes.compactMap { policy, outcome in
            if case .failure(let error) = outcome { Answer.Failure(policy: policy.id, reason: error.reason) } else { nil }
        }
        return Answer(permits: satisfied(.permit), forbids: satisfied(.forbid), failures: failures)
    }
}
