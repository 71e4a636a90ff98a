package import ForgeCore

/// Which side of the split a task is on. A formula's meaning alone decides it, so no two seeds can mix them up.
package enum QuantSplit: String, Sendable, CaseIterable { case train, heldout }

/// A task with the answer it was made from, which stays out of the task.
package struct DrawnTask: Sendable {
    package let task: QuantTask
    package let reference: Formula
    /// Equal for formulas that mean the same (docs/formats/quant-language.md §5).
    package let fingerprint: UInt64
}

/// Draws tasks one after the other: a seed, a split and the levels in turn decide all of it.
package struct TaskDraw: Sendable {
    private let seed: UInt64
    private let split: QuantSplit
    private let levels: [Int]
    private var number: UInt64 = 0
    private var fingerprints: Set<UInt64> = []
    private var prompts: Set<String> = []

    package static let levelMax = 6
    private static let checks = 2
    private static let days = 40
    /// A level of one operation has some hundreds of meanings; whoever asks for more is told so and does not wait.
    private static let attempts = 20_000

    /// - Throws: `.request` if there is no level or one that is not drawn.
    package init(seed: UInt64, split: QuantSplit, levels: [Int]) throws(Fault) {
        guard !levels.isEmpty, levels.allSatisfy({ (1...TaskDraw.levelMax).contains($0) }) else {
            throw Fault(.request, "quant.level", "cannot draw tasks of levels \(levels)", remedy: "name levels from 1 to \(TaskDraw.levelMax)")
        }
        self.seed = seed
        self.split = split
        self.levels = levels
    }

    /// - Throws: `.request`, code `quant.exhausted`, when the level has no formula left that this file has not asked for.
    package mutating func next() throws(Fault) -> DrawnTask {
        let level = levels[Int(number % UInt64(levels.count))]
        var random = SplitMix64(state: SplitMix64.mix(SplitMix64.mix(seed) ^ number))
        for _ in 0..<TaskDraw.attempts {
            let formula = FormulaDraw.formula(level, from: &random)
            let probe = Probe(formula)
            guard probe.isHeldOut == (split == .heldout), !fingerprints.contains(probe.fingerprint), Probe.isWorthAsking(formula) else { continue }
            let prompt = Phrasing.text(of: formula, from: &random)
            guard prompts.insert(prompt).inserted else { continue }
            fingerprints.insert(probe.fingerprint)
            let checks = (0..<TaskDraw.checks).map { _ in
                let market = Market(drawing: &random, days: TaskDraw.days)
                return QuantTask.Check(market: market, expected: formula.values(on: market))
            }
            let task = QuantTask(id: "\(split.rawValue)-\(seed)-\(number)", level: level, prompt: prompt, checks: checks)
            number += 1
            return DrawnTask(task: task, reference: formula, fingerprint: probe.fingerprint)
        }
        throw Fault(
            .request, "quant.exhausted", "cannot draw another task of level \(level)", why: "\(TaskDraw.attempts) draws gave no meaning that is new after \(number) tasks",
            remedy: "ask for fewer tasks, or for higher levels")
    }
}
