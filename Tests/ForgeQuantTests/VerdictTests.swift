import ForgeCore
import Testing

@testable import ForgeQuant

struct VerdictTests {
    /// A task with a known reference, judged on two drawn markets.
    private func task(_ reference: String, id: String = "a", prompt: String = "p") throws -> QuantTask {
        var random = SplitMix64(state: 5)
        let formula = try Formula(parsing: reference)
        let checks = (0..<2).map { _ in
            let market = Market(drawing: &random, days: 40)
            return QuantTask.Check(market: market, expected: formula.values(on: market))
        }
        return QuantTask(id: id, level: max(1, formula.operations), prompt: prompt, checks: checks)
    }

    @Test(arguments: [
        ("sub(mean(close,5),open)", "sub(mean(close,5),open)"), ("sub(mean(close,5),open)", "  sub( div(sum(close,5),5), open )\n"), ("gt(open,close)", "lt(close,open)"),
        ("delta(close,3)", "sub(close,lag(close,3))"), ("lag(mean(close,5),2)", "mean(lag(close,2),5)"), ("mul(2,close)", "add(close,close)"),
        ("max(open,close)", "if(gt(open,close),open,close)"),
    ])
    func `another text of the same values is as right`(reference: String, answer: String) throws {
        #expect(Verdict(on: answer, to: try task(reference)) == .right)
    }

    @Test func `a wrong answer is told where it differs, undefined days included`() throws {
        let task = try task("lag(close,2)")
        let check = task.checks[0]
        #expect(Verdict(on: "lag(close,3)", to: task) == .wrong(check: 0, day: 2, expected: check.market[.close][0], given: nil))
        #expect(Verdict(on: "close", to: task) == .wrong(check: 0, day: 0, expected: nil, given: check.market[.close][0]))
        #expect(Verdict(on: "close", to: task).description == "wrong: in check 0 day 0 should be undefined, and is \(check.market[.close][0]) units")
    }

    @Test func `words around a formula make it no formula`() throws {
        let task = try task("close")
        for answer in ["", " \n", "close.", "the answer is close", "close close", "`close`", "close\u{0}"] {
            guard case .malformed = Verdict(on: answer, to: task) else {
                Issue.record("`\(answer)` was \(Verdict(on: answer, to: task))")
                continue
            }
        }
    }

    @Test func `form alone earns what the run says it does`() throws {
        let task = try task("close")
        let answers = ["close", "open", "opening"]
        #expect(answers.map { Verdict(on: $0, to: task).reward() } == [1, 0, 0])
        #expect(answers.map { Verdict(on: $0, to: task).reward(forForm: 0.1) } == [1, 0.1, 0])
    }

    @Test(arguments: 0..<32 as Range<UInt64>)
    func `any bytes get a verdict, and the right one only for the right values`(seed: UInt64) throws {
        var random = SplitMix64(state: seed)
        let task = try task("div(sub(high,low),mean(volume,3))")
        for _ in 0..<200 {
            let bytes = hostile(from: &random)
            let verdict = Verdict(on: bytes, to: task)
            if case .right = verdict {
                let formula = try Formula(parsing: String(decoding: bytes, as: UTF8.self))
                #expect(task.checks.allSatisfy { formula.values(on: $0.market) == $0.expected })
            }
            #expect([0, 0.1, 1].contains(verdict.reward(forForm: 0.1)))
        }
    }

    @Test func `a sheet gives one verdict a task, and a missing answer is malformed`() throws {
        let lines = try [task("close", id: "a"), task("open", id: "b"), task("high", id: "c")].map(\.json.text).joined(separator: "\n")
        let answers = #"{"id":"b","answer":"open"}"# + "\n\n" + #"{"answer":"low","id":"c"}"# + "\n"
        let verdicts = try AnswerSheet(tasks: Array(lines.utf8), answers: Array(answers.utf8)).verdicts()
        #expect(verdicts.map(\.verdict.name) == ["malformed", "right", "wrong"])
        for bad in [#"{"id":"d","answer":"open"}"#, #"{"id":"a"}"#, "nonsense", #"{"id":"a","answer":1}"#, #"{"id":"a","answer":"x","more":1}"#] {
            #expect(throws: Fault.self, "\(bad)") { try AnswerSheet(tasks: Array(lines.utf8), answers: Array(bad.utf8)) }
        }
        let twice = try AnswerSheet(tasks: Array(lines.utf8), answers: Array((answers + answers).utf8))
        #expect(throws: Fault.self) { try twice.verdicts() }
        #expect(throws: Fault.self) { try AnswerSheet(tasks: Array((lines + "\n" + lines).utf8), answers: []) }
    }

    @Test func `each failure beside a right answer makes one pair`() throws {
        let lines = try [task("close", id: "a", prompt: "the close"), task("open", id: "b")].map(\.json.text).joined(separator: "\n")
        let answers = [("a", "low"), ("a", "close"), ("a", "low"), ("a", "cl"), ("a", "add(close,0)"), ("b", "low"), ("b", "high")]
        let sheet = try AnswerSheet(
            tasks: Array(lines.utf8), answers: Array(answers.map { #"{"id":"\#($0.0)","answer":"\#($0.1)"}"# }.joined(separator: "\n").utf8))
        let pairs = sheet.pairs()
        #expect(pairs.map { $0["chosen"]?.array?.first?["content"]?.string } == ["close", "add(close,0)"])
        #expect(pairs.map { $0["rejected"]?.array?.first?["content"]?.string } == ["low", "cl"])
        #expect(pairs.allSatisfy { $0["prompt"] == [["role": "user", "content": "the close"]] })
    }

    /// R's `prop.test(x, n, correct = FALSE)` gives these.
    @Test(arguments: [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (231, 400, 0.5288, 0.6250)])
    func `the interval is Wilson's`(right: Int, count: Int, from: Double, to: Double) {
        let interval = PassRate(right: right, of: count).interval
        #expect(abs(interval.lowerBound - from) < 5e-4 && abs(interval.upperBound - to) < 5e-4)
        #expect(PassRate().interval == 0...1)
    }
}
