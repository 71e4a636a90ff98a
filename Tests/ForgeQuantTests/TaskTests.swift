import ForgeCore
import Testing

@testable import ForgeQuant

struct TaskTests {
    private func tasks(_ seed: UInt64, _ split: QuantSplit, _ count: Int, levels: [Int] = [1, 2, 3, 4]) throws -> [DrawnTask] {
        var draw = try TaskDraw(seed: seed, split: split, levels: levels)
        return try (0..<count).map { _ in try draw.next() }
    }

    /// FNV-1a: enough to notice that one byte moved.
    private func digest(_ lines: [String]) -> String {
        String(lines.joined(separator: "\n").utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }, radix: 16)
    }

    @Test(arguments: [(1, QuantSplit.train, TaskForm.sft, "699a9f7c6e859092"), (2, .train, .prompts, "acde9061e2e9a607"), (1, .heldout, .tasks, "58709ad3ecc3c47e")])
    func `a seed draws the same tasks everywhere`(seed: UInt64, split: QuantSplit, form: TaskForm, golden: String) throws {
        let made = digest(try tasks(seed, split, 60, levels: Array(1...6)).map { $0.line(form) })
        #expect(made == golden)
    }

    @Test func `a task asks in English for the formula behind it`() throws {
        let read = try tasks(1, .train, 4).map { "\($0.task.prompt) → \($0.reference.text)" }
        #expect(
            read == [
                "the two day total of the closing price → sum(close,2)", "the two day minimum of the close of three days before → trough(lag(close,3),2)",
                "the 3 day mean of the 2 day peak of the 1 day lag of the day's high → mean(peak(lag(high,1),2),3)",
                "half of the three day minimum of the three day move of the 3 day deviation of the high → div(trough(delta(std(high,3),3),3),2)",
            ])
    }

    @Test func `no held-out task means what a training task means, whatever the seeds`() throws {
        let trained = Set(try [1, 2, 3].flatMap { try tasks($0, .train, 400).map(\.fingerprint) })
        for seed in [1, 9] as [UInt64] {
            let heldOut = try tasks(seed, .heldout, 200)
            #expect(trained.isDisjoint(with: heldOut.map(\.fingerprint)))
            // Other words for the same thing fall on the same side.
            for task in heldOut { #expect(Probe(.window(.lag, .window(.lag, task.reference, days: 1), days: 2)).fingerprint == Probe(.window(.lag, task.reference, days: 3)).fingerprint) }
        }
    }

    @Test func `within a file no prompt and no meaning stands twice, and levels take turns`() throws {
        let drawn = try tasks(4, .train, 600)
        #expect(Set(drawn.map(\.task.prompt)).count == 600 && Set(drawn.map(\.fingerprint)).count == 600 && Set(drawn.map(\.task.id)).count == 600)
        for (number, task) in drawn.enumerated() {
            #expect(task.task.level == number % 4 + 1 && task.reference.operations == task.task.level, "\(task.reference.text)")
        }
    }

    /// Two readings of one sentence would show as one sentence for two meanings.
    @Test func `a sentence means one thing`() throws {
        var meanings: [String: UInt64] = [:]
        var repeated = 0
        var random = SplitMix64(state: 11)
        for _ in 0..<20_000 {
            let formula = FormulaDraw.formula(Int(random.within(1...2)), from: &random)
            let prompt = Phrasing.text(of: formula, from: &random)
            let fingerprint = Probe(formula).fingerprint
            if let known = meanings.updateValue(fingerprint, forKey: prompt) {
                repeated += 1
                #expect(known == fingerprint, "\(prompt)")
            }
        }
        #expect(repeated > 2_000)
    }

    @Test func `a level that has no more to ask says so`() throws {
        var draw = try TaskDraw(seed: 1, split: .heldout, levels: [1])
        let fault = #expect(throws: Fault.self) { for _ in 0..<2_000 { _ = try draw.next() } }
        #expect(fault?.code == "quant.exhausted")
        #expect(throws: Fault.self) { try TaskDraw(seed: 1, split: .train, levels: [0]) }
        #expect(throws: Fault.self) { try TaskDraw(seed: 1, split: .train, levels: []) }
    }

    @Test func `a task is read back from its line, and its line alone judges`() throws {
        for drawn in try tasks(3, .heldout, 40) {
            let line = drawn.line(.tasks)
            let read = try QuantTask(json: try JSON.parse(line))
            #expect(read == drawn.task)
            #expect(!line.contains(drawn.reference.text) || drawn.reference.operations == 0)
            #expect(Verdict(on: drawn.reference.text, to: read) == .right)
        }
    }

    @Test(arguments: [
        "[]", "{}", #"{"id":"a","level":7,"prompt":"p","checks":[{"market":{"open":[1],"high":[1],"low":[1],"close":[1],"volume":[1]},"expected":[1]}]}"#, #"{"id":"","level":1,"prompt":"","checks":[]}"#, #"{"id":"a","level":1,"prompt":"p","checks":[]}"#, #"{"id":"a","level":1,"prompt":"p","checks":[],"more":1}"#,
        #"{"id":"a","level":1,"prompt":"p","checks":[{"market":{},"expected":[]}]}"#,
        #"{"id":"a","level":1,"prompt":"p","checks":[{"market":{"open":[1],"high":[1],"low":[1],"close":[1],"volume":[1.5]},"expected":[1]}]}"#,
        #"{"id":"a","level":1,"prompt":"p","checks":[{"market":{"open":[1],"high":[1],"low":[1],"close":[1],"volume":[9007199254740992]},"expected":[1]}]}"#,
        #"{"id":"a","level":1,"prompt":"p","checks":[{"market":{"open":[1],"high":[1],"low":[1],"close":[1],"volume":[1]},"expected":[1,2]}]}"#,
        #"{"id":"a","level":1,"prompt":"p","checks":[{"market":{"open":[1],"high":[1],"low":[1],"close":[1],"volume":[1]},"expected":["1"]}]}"#,
    ])
    func `what is no task is refused`(text: String) throws {
        let json = try JSON.parse(text)
        #expect(throws: Fault.self) { try QuantTask(json: json) }
    }
}
