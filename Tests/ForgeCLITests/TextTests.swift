import Testing

@testable import ForgeCLI

@Suite struct TextTests {
    @Test(arguments: [(0.0, "0.00"), (1.005, "1.00"), (2.0 / 3, "0.67"), (-0.001, "0.00"), (-1.5, "-1.50"), (12.345, "12.35")])
    func `a number has the decimals asked for`(value: Double, text: String) {
        #expect(Text.decimal(value, 2) == text)
    }

    @Test(arguments: [(0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567")])
    func `thousands are set apart`(value: Int, text: String) {
        #expect(Text.grouped(value) == text)
    }

    @Test(arguments: [(0.4, "0 s"), (59.6, "1 min 0 s"), (61, "1 min 1 s"), (3_700, "1 h 1 min"), (Double.infinity, "?")])
    func `a duration reads at a glance`(seconds: Double, text: String) {
        #expect(Text.duration(seconds: seconds) == text)
    }

    @Test func `columns align, numbers to the right, and no line ends in blanks`() {
        let lines = Table.lines([["name", "bytes"], ["policies", "7"], ["a", "1024"]], numbers: [false, true])
        #expect(lines == ["name      bytes", "policies      7", "a          1024"])
        #expect(Table.lines([["a", "b"], ["long", "c"]], numbers: [false, false]) == ["a     b", "long  c"])
    }

    @Test(arguments: [(0.0, "░░░░"), (0.5, "██░░"), (1.0, "████"), (0.28125, "█▏░░"), (7, "████")])
    func `a bar is as full as the work is done`(fraction: Double, bar: String) {
        #expect(Progress.bar(fraction, width: 4) == bar)
    }

    @Test func `a curve in one line falls as its values fall`() {
        #expect(Sparkline.draw([8, 7, 6, 5, 4, 3, 2, 1], width: 8) == "█▇▆▅▄▃▂▁")
        #expect(Sparkline.draw([1, 1, 1], width: 8) == "▁▁▁")
        #expect(Sparkline.draw([.nan], width: 8) == "")
        #expect(Sparkline.draw([4, 4, 0, 0], width: 2) == "█▁")
    }
}
