/// A formula over daily prices as a tree (docs/formats/quant-language.md §2).
package indirect enum Formula: Hashable, Sendable {
    case field(Field)
    /// In units of a ten-thousandth.
    case number(Int64)
    case pair(Pair, Formula, Formula)
    case window(Window, Formula, days: Int)
    case magnitude(Formula)
    case choice(Formula, then: Formula, otherwise: Formula)

    package enum Field: String, Hashable, Sendable, CaseIterable { case open, high, low, close, volume }

    /// Operations on two values of the same day.
    package enum Pair: String, Hashable, Sendable, CaseIterable { case add, sub, mul, div, max, min, gt, ge, lt, le, eq }

    /// Operations on the values of several days.
    package enum Window: String, Hashable, Sendable, CaseIterable {
        case mean, sum, std, peak, trough, rank, lag, delta

        /// It looks at one day of the past, not at all the days up to this one.
        package var isStepBack: Bool { self == .lag || self == .delta }
    }

    package static let magnitudeName = "abs"
    package static let choiceName = "if"

    /// What the texts and values of the language keep to.
    package enum Bounds {
        package static let textBytes = 512
        package static let depth = 16
        package static let windowDays = 250
        package static let marketDays = 4096
        /// Units in one.
        package static let unit: Int64 = 10_000
        package static let decimals = 4
        /// Whole part of the largest number that can be written.
        package static let number: Int64 = 1_000_000
        /// 2⁵³ − 1, so that any reader of JSON holds a value.
        package static let value: Int64 = 1 << 53 - 1
    }
}

extension Formula {
    /// The formulas it is made of, left to right.
    package var operands: [Formula] {
        switch self {
        case .field, .number: []
        case .pair(_, let a, let b): [a, b]
        case .window(_, let a, _), .magnitude(let a): [a]
        case .choice(let condition, let then, let otherwise): [condition, then, otherwise]
        }
    }

    /// How many of its nodes compute something: a task's level.
    package var operations: Int {
        switch self {
        case .field, .number: 0
        default: operands.reduce(1) { $0 + $1.operations }
        }
    }

    package var depth: Int { 1 + (operands.map(\.depth).max() ?? 0) }

    package var holdsChoice: Bool { if case .choice = self { true } else { operands.contains(where: \.holdsChoice) } }

    package var isField: Bool { if case .field = self { true } else { false } }

    /// The canonical text: one for each formula.
    package var text: String {
        switch self {
        case .field(let field): field.rawValue
        case .number(let units): Formula.text(ofUnits: units)
        case .pair(let pair, let a, let b): "\(pair.rawValue)(\(a.text),\(b.text))"
        case .window(let window, let a, let days): "\(window.rawValue)(\(a.text),\(days))"
        case .magnitude(let a): "\(Formula.magnitudeName)(\(a.text))"
        case .choice(let condition, let then, let otherwise): "\(Formula.choiceName)(\(condition.text),\(then.text),\(otherwise.text))"
        }
    }

    private static func text(ofUnits units: Int64) -> String {
        let (whole, rest) = units.quotientAndRemainder(dividingBy: Bounds.unit)
        guard rest != 0 else { return String(whole) }
        var digits = String(Bounds.unit + rest).dropFirst()
        while digits.last == "0" { digits.removeLast() }
        return "\(whole).\(digits)"
    }
}
