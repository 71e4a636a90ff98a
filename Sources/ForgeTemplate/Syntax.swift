/// An expression. `depth` bounds every recursion over it, its release included.
struct Expression: Sendable {
    let kind: Kind
    /// Code points from the start of the source.
    let offset: Int
    let depth: Int

    indirect enum Kind: Sendable {
        case literal(Value)
        case name(String)
        case list([Expression])
        case tuple([Expression])
        case dict([(key: Expression, value: Expression)])
        case conditional(test: Expression, then: Expression, otherwise: Expression?)
        case and([Expression])
        case or([Expression])
        case not(Expression)
        case compare(Expression, [(op: Comparison, right: Expression)])
        case binary(Expression, [(op: String, right: Expression)])
        case concat([Expression])
        case sign(isNegative: Bool, Expression)
        case attribute(Expression, String)
        case subscripted(Expression, Expression)
        case slice(Expression, from: Expression?, to: Expression?, by: Expression?)
        case call(Expression, Arguments)
        case filter(Expression, Filter, Arguments)
        case test(Expression, Test, Arguments)
        /// What the block around a filter held.
        case captured
    }
}

enum Comparison: String, Sendable {
    case equal = "=="
    case unequal = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case isIn = "in"
    case isNotIn = "not in"
}

struct Arguments: Sendable {
    var positional: [Expression] = []
    var named: [(name: String, value: Expression)] = []
}

enum Statement: Sendable {
    case data(Text)
    case output(Expression)
    case choice([(test: Expression, body: [Statement])], otherwise: [Statement])
    case loop(Loop)
    case assign(Target, Expression)
    case capture(Target, filter: Expression, body: [Statement])
    case macro(Macro)
    case call(Expression, caller: Macro)
    case filtered(Expression, body: [Statement])
    case generation([Statement])
    case leave
    case next
}

indirect enum Target: Sendable {
    case name(String)
    /// An attribute of a namespace.
    case attribute(of: String, String, offset: Int)
    case tuple([Target], offset: Int)
}

final class Loop: Sendable {
    let target: Target
    let iterable: Expression
    let test: Expression?
    let body: [Statement]
    let otherwise: [Statement]

    init(target: Target, iterable: Expression, test: Expression?, body: [Statement], otherwise: [Statement]) {
        self.target = target
        self.iterable = iterable
        self.test = test
        self.body = body
        self.otherwise = otherwise
    }
}

final class Macro: Sendable {
    /// A `call` block has none.
    let name: String?
    let parameters: [(name: String, standard: Expression?)]
    let usesCaller: Bool
    let body: [Statement]
    let offset: Int

    init(name: String?, parameters: [(name: String, standard: Expression?)], usesCaller: Bool, body: [Statement], offset: Int) {
        self.name = name
        self.parameters = parameters
        self.usesCaller = usesCaller
        self.body = body
        self.offset = offset
    }
}
