import ForgeCore

/// Says a formula in English: at every node one of several phrases of one meaning (docs/formats/quant-language.md §5).
///
/// A phrase is a row of words; capitals stand for what is filled in: `A` … `D` the operands, `N` the number, `T` the days ("five days").
struct Phrasing {
    private let phrases: [String]
    private let operands: [Formula]
    private let days: Int

    private init(_ phrases: [String], _ operands: [Formula], days: Int = 0) {
        self.phrases = phrases
        self.operands = operands
        self.days = days
    }

    static func text(of formula: Formula, from random: inout SplitMix64) -> String { words(for: formula, isRoot: true, from: &random) }

    private static func words(for formula: Formula, isRoot: Bool = false, from random: inout SplitMix64) -> String {
        let phrasing = phrasing(of: formula, isRoot: isRoot)
        return random.one(of: phrasing.phrases).split(separator: " ").map { word in
            switch word {
            case "A": words(for: phrasing.operands[0], from: &random)
            case "B": words(for: phrasing.operands[1], from: &random)
            case "C": words(for: phrasing.operands[2], from: &random)
            case "D": words(for: phrasing.operands[3], from: &random)
            case "N": number(phrasing.days, from: &random)
            case "T": number(phrasing.days, from: &random) + (phrasing.days == 1 ? " day" : " days")
            default: String(word)
            }
        }.joined(separator: " ")
    }

    private static let numbers = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]

    /// Three times of four as a word.
    private static func number(_ value: Int, from random: inout SplitMix64) -> String {
        random.below(4) > 0 && numbers.indices.contains(value) ? numbers[value] : String(value)
    }

    private static let two = Formula.number(2 * Formula.Bounds.unit)

    /// Idioms first, for what has a name of its own; then the operation.
    private static func phrasing(of formula: Formula, isRoot: Bool) -> Phrasing {
        switch formula {
        case .pair(.sub, .field(.high), .field(.low)): Phrasing(["the day's range", "the day's range", "the difference between the high and the low"], [])
        case .pair(.div, .pair(.add, let a, let b), two): Phrasing(["the midpoint of A and B", "the point halfway between A and B"], [a, b])
        case .pair(.div, .window(.delta, let a, let n), .window(.lag, let b, days: let m)) where n == m && a == b && a.isField:
            Phrasing(["the N day return of A", "the return of A over T"], [a], days: n)
        case .pair(.div, let a, two): Phrasing(["half of A", "one half of A"], [a])
        case .pair(.mul, two, let a): Phrasing(["twice A", "the double of A"], [a])
        case .pair(let pair, let a, let b):
            // Between its operands an operator is clear only once in a sentence, and not beside an `else` that could reach over it.
            Phrasing(around(pair) + (isRoot && !formula.holdsChoice ? between(pair) : []), [a, b])
        case .window(let window, let a, let days): Phrasing(before(window) + (a.isField ? behind(window) : []), [a], days: days)
        case .choice(.pair(let pair, let a, let b), let then, let otherwise):
            Phrasing(conditions(pair).map { "if \($0) then C else D" } + conditions(pair).map { "when \($0) take C otherwise D" }, [a, b, then, otherwise])
        case .choice(let condition, let then, let otherwise): Phrasing(["if A is not zero then B else C"], [condition, then, otherwise])
        case .magnitude(let a): Phrasing(["the size of A", "the absolute value of A"], [a])
        case .field(let field): Phrasing(names(field), [])
        case .number: Phrasing([formula.text], [])
        }
    }

    private static func names(_ field: Formula.Field) -> [String] {
        switch field {
        case .open: ["the open", "the opening price"]
        case .high: ["the high", "the day's high"]
        case .low: ["the low", "the day's low"]
        case .close: ["the close", "the closing price", "the last price"]
        case .volume: ["the volume", "the turnover"]
        }
    }

    private static func before(_ window: Formula.Window) -> [String] {
        switch window {
        case .mean: ["the N day mean of A", "the N day average of A"]
        case .sum: ["the N day total of A", "the N day sum of A"]
        case .std: ["the N day deviation of A", "the N day volatility of A"]
        case .peak: ["the N day peak of A", "the N day maximum of A"]
        case .trough: ["the N day trough of A", "the N day minimum of A"]
        case .rank: ["the N day rank of A", "the N day standing of A"]
        case .lag: ["the N day lag of A"]
        case .delta: ["the N day change of A", "the N day move of A"]
        }
    }

    private static func behind(_ window: Formula.Window) -> [String] {
        switch window {
        case .mean: ["A averaged over T"]
        case .sum: ["A summed over T"]
        case .std: ["how A varies over T"]
        case .peak: ["the most that A was in T"]
        case .trough: ["the least that A was in T"]
        case .rank: ["where A ranks in T"]
        case .lag: ["A T ago", "A of T before"]
        case .delta: ["how far A moved in T"]
        }
    }

    private static func around(_ pair: Formula.Pair) -> [String] {
        switch pair {
        case .add: ["the sum of A and B"]
        case .sub: ["the difference between A and B"]
        case .mul: ["the product of A and B"]
        case .div: ["the ratio of A to B"]
        case .max: ["the greater of A and B", "the larger of A and B"]
        case .min: ["the lesser of A and B", "the smaller of A and B"]
        case .gt, .ge, .lt, .le, .eq: conditions(pair).map { "whether \($0)" }
        }
    }

    private static func between(_ pair: Formula.Pair) -> [String] {
        switch pair {
        case .add: ["A plus B", "A added to B"]
        case .sub: ["A minus B", "A less B", "B taken from A"]
        case .mul: ["A times B"]
        case .div: ["A divided by B", "A per B"]
        default: []
        }
    }

    private static func conditions(_ pair: Formula.Pair) -> [String] {
        switch pair {
        case .gt: ["A is above B", "A exceeds B"]
        case .lt: ["A is below B", "A is under B"]
        case .ge: ["A is at least B"]
        case .le: ["A is at most B"]
        case .eq: ["A equals B"]
        default: ["\(around(pair)[0]) is not zero"]
        }
    }
}
