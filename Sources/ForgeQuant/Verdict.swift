/// What an answer is worth, and why (docs/formats/quant-language.md §6). Any bytes get one.
package enum Verdict: Hashable, Sendable, CustomStringConvertible {
    case right
    /// The first check and day at which the answer's value is not the expected one.
    case wrong(check: Int, day: Int, expected: Int64?, given: Int64?)
    case malformed(FormulaError)

    package init(on answer: [UInt8], to task: QuantTask) {
        let formula: Formula
        do throws(FormulaError) {
            formula = try Formula(parsing: Verdict.trimmed(answer))
        } catch {
            self = .malformed(error)
            return
        }
        for (number, check) in task.checks.enumerated() {
            let values = formula.values(on: check.market)
            if let day = values.indices.first(where: { values[$0] != check.expected[$0] }) {
                self = .wrong(check: number, day: day, expected: check.expected[day], given: values[day])
                return
            }
        }
        self = .right
    }

    package init(on answer: String, to task: QuantTask) { self.init(on: Array(answer.utf8), to: task) }

    /// - Parameter forForm: what a well-formed wrong answer earns, from 0 to below 1.
    package func reward(forForm: Double = 0) -> Double {
        switch self {
        case .right: 1
        case .wrong: forForm
        case .malformed: 0
        }
    }

    package var name: String {
        switch self {
        case .right: "right"
        case .wrong: "wrong"
        case .malformed: "malformed"
        }
    }

    package var description: String {
        switch self {
        case .right: "right"
        case .wrong(let check, let day, let expected, let given):
            "wrong: in check \(check) day \(day) should be \(Verdict.text(expected)), and is \(Verdict.text(given))"
        case .malformed(let error): "malformed: \(error)"
        }
    }

    private static func text(_ value: Int64?) -> String { value.map { "\($0) units" } ?? "undefined" }

    /// Without the spaces and line ends around it.
    private static func trimmed(_ answer: [UInt8]) -> [UInt8] {
        let isBlank = { (byte: UInt8) in byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 }
        guard let first = answer.firstIndex(where: { !isBlank($0) }), let last = answer.lastIndex(where: { !isBlank($0) }) else { return [] }
        return Array(answer[first...last])
    }
}
