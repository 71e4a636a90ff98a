import ForgeCore

/// Draws formulas of a given number of operations, such as a person at a trading desk might ask for (docs/formats/quant-language.md §5).
struct FormulaDraw {
    private enum Shape { case window, pair, comparison, choice, double, half, size, midpoint, returns }

    /// `days` at most, in windows and steps back: what English number words are at hand for.
    static let daysMax: Int64 = 10

    private static let one = Formula.Bounds.unit

    static func formula(_ operations: Int, from random: inout SplitMix64) -> Formula { part(operations, isRoot: true, from: &random) }

    private static func part(_ operations: Int, isRoot: Bool = false, from random: inout SplitMix64) -> Formula {
        guard operations > 0 else { return .field(random.one(of: [.close, .close, .close, .open, .high, .low, .volume])) }
        var shapes: [Shape] = [.window, .window, .window, .window, .window, .pair, .pair, .pair, .pair, random.one(of: [.double, .half])]
        if isRoot { shapes += [.comparison, .comparison] }
        if operations >= 2 { shapes += [.choice, .midpoint, .returns, .size] }
        switch random.one(of: shapes) {
        case .window:
            let window = random.one(of: Formula.Window.allCases)
            let days = Int(random.within((window.isStepBack ? 1 : 2)...daysMax))
            return .window(window, part(operations - 1, from: &random), days: days)
        case .pair:
            let pair = random.one(of: [Formula.Pair.add, .sub, .sub, .mul, .div, .div, .max, .min])
            let parts = operands(2, sharing: operations - 1, from: &random)
            return .pair(pair, parts[0], parts[1])
        case .comparison: return comparison(operands(2, sharing: operations - 1, from: &random), from: &random)
        case .choice:
            let parts = operands(4, sharing: operations - 2, from: &random)
            return .choice(comparison(Array(parts[..<2]), from: &random), then: parts[2], otherwise: parts[3])
        case .double: return .pair(.mul, .number(2 * one), part(operations - 1, from: &random))
        case .half: return .pair(.div, part(operations - 1, from: &random), .number(2 * one))
        case .size: return .magnitude(.window(.delta, part(operations - 2, from: &random), days: Int(random.within(1...daysMax))))
        case .midpoint:
            let parts = operands(2, sharing: operations - 2, from: &random)
            return .pair(.div, .pair(.add, parts[0], parts[1]), .number(2 * one))
        case .returns:
            // The operand stands twice, so its operations count twice: a field keeps the count right.
            let days = Int(random.within(1...daysMax))
            let field = part(0, from: &random)
            let returns = Formula.pair(.div, .window(.delta, field, days: days), .window(.lag, field, days: days))
            return wrapped(returns, operations - 3, from: &random)
        }
    }

    /// `formula` with as many windows around it as operations are left; with one too many already, a change in place of the return.
    private static func wrapped(_ formula: Formula, _ left: Int, from random: inout SplitMix64) -> Formula {
        guard left >= 0 else { return .window(.delta, part(1, from: &random), days: Int(random.within(1...daysMax))) }
        var out = formula
        for _ in 0..<left { out = .window(random.one(of: [.mean, .sum, .std, .peak, .trough, .rank]), out, days: Int(random.within(2...daysMax))) }
        return out
    }

    private static func comparison(_ parts: [Formula], from random: inout SplitMix64) -> Formula { .pair(random.one(of: [.gt, .lt]), parts[0], parts[1]) }

    /// Some formulas that together have `operations`, every way to share them being equally likely.
    private static func operands(_ count: Int, sharing operations: Int, from random: inout SplitMix64) -> [Formula] {
        let cuts = (1..<count).map { _ in Int(random.within(0...Int64(operations))) }.sorted() + [operations]
        var from = 0
        var out: [Formula] = []
        for cut in cuts {
            out.append(part(cut - from, from: &random))
            from = cut
        }
        return out
    }
}
