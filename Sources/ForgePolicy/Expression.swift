/// A condition as a tree. `&&`, `||` and sums are lists, so that a long chain is evaluated in a loop, not by recursion.
package indirect enum Expression: Hashable, Sendable {
    case literal(Value)
    case variable(Variable)
    case conditional(Expression, then: Expression, otherwise: Expression)
    case or([Expression])
    case and([Expression])
    case not(Expression)
    case negate(Expression)
    case binary(Binary, Expression, Expression)
    case arithmetic(Expression, [ArithmeticStep])
    /// `x has a.b.c`: every step of the path is there.
    case has(Expression, [ExactText])
    case attribute(Expression, ExactText)
    case like(Expression, Pattern)
    case isType(Expression, ExactText)
    case isEmpty(Expression)
    case set([Expression])
    case record([Field])
    case call(ExtensionFunction, [Expression])

    package enum Variable: String, Hashable, Sendable, CaseIterable { case principal, action, resource, context }

    package enum Binary: String, Hashable, Sendable {
        case equal = "==", notEqual = "!=", less = "<", lessEqual = "<=", greater = ">", greaterEqual = ">=", `in`
        case contains, containsAll, containsAny, hasTag, getTag
    }

    package enum Arithmetic: String, Hashable, Sendable { case add = "+", subtract = "-", multiply = "*" }

    package struct ArithmeticStep: Hashable, Sendable {
        package let operation: Arithmetic
        package let operand: Expression
    }

    package struct Field: Hashable, Sendable {
        package let name: ExactText
        package let value: Expression
    }
}

/// The functions of the extension types. The first four are called as functions, the others as methods of their first argument.
package enum ExtensionFunction: String, Hashable, Sendable, CaseIterable {
    case ip, decimal, datetime, duration
    case isIpv4, isIpv6, isLoopback, isMulticast, isInRange
    case lessThan, lessThanOrEqual, greaterThan, greaterThanOrEqual
    case offset, durationSince, toDate, toTime
    case toMilliseconds, toSeconds, toMinutes, toHours, toDays

    package var isConstructor: Bool {
        switch self {
        case .ip, .decimal, .datetime, .duration: true
        default: false
        }
    }

    /// Arguments, the object of a method call included.
    package var arity: Int {
        switch self {
        case .isInRange, .lessThan, .lessThanOrEqual, .greaterThan, .greaterThanOrEqual, .offset, .durationSince: 2
        default: 1
        }
    }
}
