import ForgeCore

/// What may follow `is`.
enum Test: String, Sendable {
    case defined, undefined, string, none, mapping, iterable, sequence, boolean, number
    case isTrue = "true"
    case isFalse = "false"
    case equal = "eq"
    case unequal = "ne"
    case less = "lt"
    case lessOrEqual = "le"
    case greater = "gt"
    case greaterOrEqual = "ge"
    case isIn = "in"

    private static let others = ["equalto": "eq", "==": "eq", "!=": "ne", "<": "lt", "lessthan": "lt", "<=": "le", ">": "gt", "greaterthan": "gt", ">=": "ge"]

    init?(name: String) { self.init(rawValue: Test.others[name] ?? name) }

    fileprivate var comparison: Comparison? {
        switch self {
        case .equal: .equal
        case .unequal: .unequal
        case .less: .less
        case .lessOrEqual: .lessOrEqual
        case .greater: .greater
        case .greaterOrEqual: .greaterOrEqual
        case .isIn: .isIn
        default: nil
        }
    }
}

extension Renderer {
    func check(_ inner: Expression, _ test: Test, _ arguments: Arguments, at place: Int) throws(Fault) -> Value {
        let value = try value(inner), inputs = try inputs(arguments)
        offset = place
        return .bool(try check(value, test, inputs))
    }

    func check(_ value: Value, _ test: Test, _ inputs: Inputs) throws(Fault) -> Bool {
        if let comparison = test.comparison {
            return try compares(value, comparison, try bind(inputs, test.rawValue, ["value"], required: 1)[0] ?? .none)
        }
        _ = try bind(inputs, test.rawValue, [])
        switch (test, value) {
        case (.defined, _): return !value.isUndefined
        case (.undefined, _): return value.isUndefined
        case (.string, .text), (.none, .none), (.mapping, .dict), (.boolean, .bool), (.number, .bool), (.number, .int), (.number, .float): return true
        case (.isTrue, .bool(let value)): return value
        case (.isFalse, .bool(let value)): return !value
        case (.iterable, .text), (.iterable, .list), (.iterable, .dict), (.iterable, .undefined), (.iterable, .stream), (.iterable, .loop): return true
        case (.sequence, .list(let list)): return list.kind != .view
        case (.sequence, .text), (.sequence, .dict), (.sequence, .undefined): return true
        default: return false
        }
    }
}
