/// What Forge asks of a bundle beyond the language. Each complaint is a sentence for the bundle's author.
enum PolicyProfile {
    static func complaints(about set: PolicySet, schema: Schema) -> [String] {
        var out: [String] = []
        for policy in set.policies {
            for key in ["owner", "reason"] where policy.annotations[key]?.isEmpty != false { out.append("policy `\(policy.id)` has no `@\(key)`") }
            if policy.effect == .permit, policy.isUnconditional { out.append("policy `\(policy.id)` permits everything") }
            if policy.annotations["guardrail"] != nil, policy.effect != .forbid { out.append("policy `\(policy.id)` is a guardrail and does not forbid") }
            for condition in policy.conditions where readsVotes(condition.body) {
                if policy.annotations["guardrail"] == nil || policy.effect != .forbid || !condition.isUnless {
                    out.append("policy `\(policy.id)` reads `context.approval` outside the `unless` of a guardrail")
                }
            }
        }
        return out + uncovered(set, schema)
    }

    /// Privileged actions that no guardrail names in its scope.
    private static func uncovered(_ set: PolicySet, _ schema: Schema) -> [String] {
        guard let store = try? EntityStore(schema.actionEntities) else { return ["the schema's actions are members of themselves"] }
        let privileged = PolicyEngine.action("privileged")
        let guardrails = set.policies.filter { $0.annotations["guardrail"] != nil }
        return schema.actions.keys.filter { $0 != privileged && store.isMember($0, of: privileged) }.sorted().compactMap { action in
            let covered = guardrails.contains { policy in
                switch policy.action {
                case .any: false
                case .equal(let uid): uid == action
                case .within(let group): store.isMember(action, of: group)
                case .withinAny(let groups): groups.contains { store.isMember(action, of: $0) }
                }
            }
            return covered ? nil : "no guardrail covers the privileged action `\(action.id)`"
        }
    }

    /// Whether an expression reads `context.approval`, or `context` as a whole.
    private static func readsVotes(_ expression: Expression) -> Bool {
        switch expression {
        case .variable(.context): true
        case .literal, .variable: false
        case .attribute(.variable(.context), let name): name.text == "approval"
        case .has(.variable(.context), let path): path[0].text == "approval"
        case .conditional(let a, let b, let c): readsVotes(a) || readsVotes(b) || readsVotes(c)
        case .or(let items), .and(let items), .set(let items), .call(_, let items): items.contains(where: readsVotes)
        case .not(let a), .negate(let a), .attribute(let a, _), .like(let a, _), .isType(let a, _), .isEmpty(let a), .has(let a, _): readsVotes(a)
        case .binary(_, let a, let b): readsVotes(a) || readsVotes(b)
        case .arithmetic(let first, let steps): readsVotes(first) || steps.contains { readsVotes($0.operand) }
        case .record(let fields): fields.contains { readsVotes($0.value) }
        }
    }
}
