/// One `permit` or `forbid`.
package struct Policy: Hashable, Sendable {
    package enum Effect: String, Hashable, Sendable { case permit, forbid }

    /// The scope's test of the principal or the resource.
    package enum Target: Hashable, Sendable {
        case any
        case equal(EntityUID)
        case within(EntityUID)
        case type(ExactText)
        case typeWithin(ExactText, EntityUID)
    }

    package enum ActionTarget: Hashable, Sendable {
        case any
        case equal(EntityUID)
        case within(EntityUID)
        case withinAny([EntityUID])
    }

    package struct Condition: Hashable, Sendable {
        package let isUnless: Bool
        package let body: Expression
    }

    package var id: String
    package let annotations: [String: String]
    package let effect: Effect
    package let principal: Target
    package let action: ActionTarget
    package let resource: Target
    package let conditions: [Condition]
    package let position: TextPosition

    /// Whether it tests nothing at all.
    package var isUnconditional: Bool { principal == .any && action == .any && resource == .any && conditions.isEmpty }

    /// What the policy means, as one expression: the scope and the conditions, joined in the order they are written.
    package var meaning: Expression {
        func test(_ variable: Expression.Variable, _ target: Target) -> [Expression] {
            let subject = Expression.variable(variable)
            return switch target {
            case .any: []
            case .equal(let uid): [.binary(.equal, subject, .literal(.entity(uid)))]
            case .within(let uid): [.binary(.in, subject, .literal(.entity(uid)))]
            case .type(let type): [.isType(subject, type)]
            case .typeWithin(let type, let uid): [.isType(subject, type), .binary(.in, subject, .literal(.entity(uid)))]
            }
        }
        let subject = Expression.variable(.action)
        let actionTest: [Expression] =
            switch action {
            case .any: []
            case .equal(let uid): [.binary(.equal, subject, .literal(.entity(uid)))]
            case .within(let uid): [.binary(.in, subject, .literal(.entity(uid)))]
            case .withinAny(let uids): [.binary(.in, subject, .set(uids.map { .literal(.entity($0)) }))]
            }
        let when = conditions.map { $0.isUnless ? Expression.not($0.body) : $0.body }
        return .and([.literal(.bool(true))] + test(.principal, principal) + actionTest + test(.resource, resource) + when)
    }
}

/// The policies of one text, in its order.
package struct PolicySet: Hashable, Sendable {
    package private(set) var policies: [Policy]

    package init(_ policies: [Policy] = []) { self.policies = policies }

    /// Reads a text. Policies are named `policy0`, `policy1`, … as the reference library names them.
    package init(parsing text: String, limits: ParserLimits = .init()) throws(SyntaxError) {
        var parser = try Parser(text, limits: limits)
        policies = try parser.policies()
    }
}

/// Bounds of what is parsed; the language sets none and asks services to.
package struct ParserLimits: Hashable, Sendable {
    /// UTF-8 bytes of one text.
    package var bytes: Int
    /// Parentheses, sets, records, conditionals and member chains inside each other.
    package var depth: Int
    package var policies: Int

    package init(bytes: Int = 1 << 20, depth: Int = 256, policies: Int = 10_000) {
        self.bytes = bytes
        self.depth = depth
        self.policies = policies
    }
}
