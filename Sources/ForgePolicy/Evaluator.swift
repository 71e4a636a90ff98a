/// Why an expression has no value.
package struct EvaluationError: Error, Hashable, Sendable, CustomStringConvertible {
    package let reason: String
    init(_ reason: String) { self.reason = reason }
    package var description: String { reason }
}

/// The question put to the policies.
package struct PolicyRequest: Hashable, Sendable {
    package let principal: EntityUID
    package let action: EntityUID
    package let resource: EntityUID
    package var context: [ExactText: Value]

    package init(principal: EntityUID, action: EntityUID, resource: EntityUID, context: [ExactText: Value] = [:]) {
        self.principal = principal
        self.action = action
        self.resource = resource
        self.context = context
    }
}

/// Expression → value, for one request over one store: the rules of the language's formal definition
/// (cedar-spec, `Cedar/Spec/Evaluator.lean`), clause by clause.
package struct Evaluator: Sendable {
    package let request: PolicyRequest
    package let store: EntityStore

    package init(_ request: PolicyRequest, _ store: EntityStore) {
        self.request = request
        self.store = store
    }

    /// For expressions that ask nothing of a request: extension values in JSON.
    static let constant = Evaluator(PolicyRequest(principal: EntityUID("", ""), action: EntityUID("", ""), resource: EntityUID("", "")), EntityStore())

    package func value(_ expression: Expression) throws(EvaluationError) -> Value {
        switch expression {
        case .literal(let value): return value
        case .variable(.principal): return .entity(request.principal)
        case .variable(.action): return .entity(request.action)
        case .variable(.resource): return .entity(request.resource)
        case .variable(.context): return .record(request.context)
        case .conditional(let condition, let then, let otherwise): return try value(try bool(condition) ? then : otherwise)
        case .and(let operands):
            for operand in operands where try !bool(operand) { return .bool(false) }
            return .bool(true)
        case .or(let operands):
            for operand in operands where try bool(operand) { return .bool(true) }
            return .bool(false)
        case .not(let operand): return .bool(try !bool(operand))
        case .negate(let operand):
            let number = try long(try value(operand))
            guard number != .min else { throw EvaluationError("integer overflow in `-(\(number))`") }
            return .long(-number)
        case .arithmetic(let first, let steps): return .long(try arithmetic(first, steps))
        case .binary(let operation, let left, let right): return try binary(operation, try value(left), try value(right))
        case .has(let subject, let path): return .bool(try has(try value(subject), path[...]))
        case .attribute(let subject, let name): return try attribute(try value(subject), name)
        case .like(let subject, let pattern): return .bool(pattern.matches(try string(try value(subject))))
        case .isType(let subject, let type): return .bool(try entity(try value(subject)).type == type)
        case .isEmpty(let subject): return .bool(try set(try value(subject)).isEmpty)
        case .set(let items):
            var out: Set<Value> = []
            for item in items { out.insert(try value(item)) }
            return .set(out)
        case .record(let fields):
            var out: [ExactText: Value] = [:]
            for field in fields { out[field.name] = try value(field.value) }
            return .record(out)
        case .call(let function, let arguments):
            var values: [Value] = []
            for argument in arguments { values.append(try value(argument)) }
            return try call(function, values)
        }
    }

    package func bool(_ expression: Expression) throws(EvaluationError) -> Bool {
        let value = try value(expression)
        guard case .bool(let bool) = value else { throw mismatch("bool", value) }
        return bool
    }

    // MARK: operators

    private func arithmetic(_ first: Expression, _ steps: [Expression.ArithmeticStep]) throws(EvaluationError) -> Int64 {
        var total = try long(try value(first))
        for step in steps {
            let operand = try long(try value(step.operand))
            let (result, overflow) =
                switch step.operation {
                case .add: total.addingReportingOverflow(operand)
                case .subtract: total.subtractingReportingOverflow(operand)
                case .multiply: total.multipliedReportingOverflow(by: operand)
                }
            guard !overflow else { throw EvaluationError("integer overflow in `\(total) \(step.operation.rawValue) \(operand)`") }
            total = result
        }
        return total
    }

    private func binary(_ operation: Expression.Binary, _ a: Value, _ b: Value) throws(EvaluationError) -> Value {
        switch operation {
        case .equal: return .bool(a == b)
        case .notEqual: return .bool(a != b)
        case .less: return .bool(try precedes(a, b))
        case .greaterEqual: return .bool(try !precedes(a, b))
        case .greater: return .bool(try precedes(b, a, swapped: true))
        case .lessEqual: return .bool(try !precedes(b, a, swapped: true))
        case .in: return .bool(try isMember(a, b))
        case .contains: return .bool(try set(a).contains(b))
        case .containsAll:
            let (whole, part) = (try set(a), try set(b))
            return .bool(part.isSubset(of: whole))
        case .containsAny:
            let (one, other) = (try set(a), try set(b))
            return .bool(!one.isDisjoint(with: other))
        case .hasTag:
            let (uid, tag) = (try entity(a), try string(b))
            return .bool(store[uid]?.tags[tag] != nil)
        case .getTag:
            let (uid, tag) = (try entity(a), try string(b))
            guard let entity = store[uid] else { throw EvaluationError("entity `\(uid)` does not exist") }
            guard let value = entity.tags[tag] else { throw EvaluationError("`\(uid)` has no tag `\(tag)`") }
            return value
        }
    }

    /// `a < b` on integers, times and durations of one kind.
    private func precedes(_ a: Value, _ b: Value, swapped: Bool = false) throws(EvaluationError) -> Bool {
        switch (a, b) {
        case (.long(let x), .long(let y)): return x < y
        case (.datetime(let x), .datetime(let y)): return x < y
        case (.duration(let x), .duration(let y)): return x < y
        default:
            let (left, right) = swapped ? (b, a) : (a, b)
            throw EvaluationError("type error: \(left.typeName) and \(right.typeName) have no order")
        }
    }

    private func isMember(_ a: Value, _ b: Value) throws(EvaluationError) -> Bool {
        let member = try entity(a)
        switch b {
        case .entity(let group): return store.isMember(member, of: group)
        case .set(let groups):
            var uids: [EntityUID] = []
            for group in groups { uids.append(try entity(group)) }
            return uids.contains { store.isMember(member, of: $0) }
        default: throw mismatch("an entity or a set of entities", b)
        }
    }

    private func has(_ subject: Value, _ path: ArraySlice<ExactText>) throws(EvaluationError) -> Bool {
        var value = subject
        for name in path {
            let attributes: [ExactText: Value]
            switch value {
            case .record(let record): attributes = record
            case .entity(let uid): attributes = store[uid]?.attributes ?? [:]
            default: throw mismatch("a record or an entity", value)
            }
            guard let next = attributes[name] else { return false }
            value = next
        }
        return true
    }

    private func attribute(_ subject: Value, _ name: ExactText) throws(EvaluationError) -> Value {
        switch subject {
        case .record(let record):
            guard let value = record[name] else { throw EvaluationError("the record has no attribute `\(name)`") }
            return value
        case .entity(let uid):
            guard let entity = store[uid] else { throw EvaluationError("entity `\(uid)` does not exist") }
            guard let value = entity.attributes[name] else { throw EvaluationError("`\(uid)` has no attribute `\(name)`") }
            return value
        default: throw mismatch("a record or an entity", subject)
        }
    }

    // MARK: types

    func mismatch(_ wanted: String, _ value: Value) -> EvaluationError { EvaluationError("type error: expected \(wanted), got \(value.typeName)") }

    private func long(_ value: Value) throws(EvaluationError) -> Int64 {
        guard case .long(let number) = value else { throw mismatch("long", value) }
        return number
    }

    func string(_ value: Value) throws(EvaluationError) -> ExactText {
        guard case .string(let text) = value else { throw mismatch("string", value) }
        return text
    }

    private func set(_ value: Value) throws(EvaluationError) -> Set<Value> {
        guard case .set(let items) = value else { throw mismatch("set", value) }
        return items
    }

    private func entity(_ value: Value) throws(EvaluationError) -> EntityUID {
        guard case .entity(let uid) = value else { throw mismatch("an entity", value) }
        return uid
    }
}
