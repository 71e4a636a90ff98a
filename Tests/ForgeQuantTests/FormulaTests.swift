import ForgeCore
import Testing

@testable import ForgeQuant

struct FormulaTests {
    @Test(arguments: [
        "close", "mean(close,5)", "sub(mean(close,5),lag(close,2))", "if(gt(open,close),high,low)", "abs(delta(volume,1))", "mul(2,close)", "div(close,0.5)", "add(0.0001,1000000)",
        "std(rank(peak(trough(sum(open,250),1),2),3),4)", "max(min(eq(ge(le(lt(open,low),high),1),close),3),12.25)",
    ])
    func `a canonical text is read and written again as it stands`(text: String) throws {
        #expect(try Formula(parsing: text).text == text)
    }

    @Test(arguments: [(" add( close ,1.50 ) ", "add(close,1.5)"), ("mean(close , 5)", "mean(close,5)"), ("2.0000", "2"), ("0.0", "0")])
    func `spaces and trailing zeros are not part of a formula`(text: String, canonical: String) throws {
        #expect(try Formula(parsing: text).text == canonical)
    }

    @Test(arguments: [
        ("", 0, "a formula should stand here"), ("mean", 4, "the text ends where `(` should stand"), ("mean(close)", 10, "`,` should stand here"),
        ("mean(close,0)", 11, "a number of days is at least 1"), ("mean(close,251)", 11, "a number of days is larger than 250"),
        ("mean(close,05)", 11, "a number of days starts with a zero"), ("mean(close,2.5)", 12, "`)` should stand here"), ("mean(close,close)", 11, "a number of days should stand here"),
        ("close close", 6, "something follows the formula"), ("price", 0, "`price` is no field and no operation"), ("Close", 0, "a formula should stand here"),
        ("01", 0, "a number starts with a zero"), ("1.", 2, "a digit should follow the point"), ("1.23456", 6, "more than 4 digits after the point"),
        ("1000001", 0, "a number is larger than 1000000"), ("1000000.0001", 0, "a number is larger than 1000000"), ("add(close,-1)", 10, "a formula should stand here"),
        ("add(close,open", 14, "the text ends where `)` should stand"), ("99999999999999999999999999", 0, "a number is larger than 1000000"), ("add(close,\u{0})", 10, "a formula should stand here"),
        ("close\n", 5, "something follows the formula"),
    ])
    func `what is no formula is refused with the byte and the reason`(text: String, offset: Int, reason: String) {
        #expect(throws: FormulaError(reason: reason, offset: offset)) { try Formula(parsing: text) }
    }

    @Test func `depth and length are bounded before anything is computed`() throws {
        let nested = { (depth: Int) in String(repeating: "abs(", count: depth - 1) + "close" + String(repeating: ")", count: depth - 1) }
        #expect(try Formula(parsing: nested(16)).depth == 16)
        #expect(throws: FormulaError(reason: "nested deeper than 16", offset: 64)) { try Formula(parsing: nested(17)) }
        let padded = { (count: Int) in String(repeating: " ", count: count - 5) + "close" }
        #expect(try Formula(parsing: padded(512)) == .field(.close))
        #expect(throws: FormulaError(reason: "longer than 512 bytes", offset: 512)) { try Formula(parsing: padded(513)) }
        #expect(throws: FormulaError.self) { try Formula(parsing: [UInt8](repeating: UInt8(ascii: "("), count: 1 << 20)) }
    }

    @Test(arguments: 0..<64 as Range<UInt64>)
    func `any formula is read back from its canonical text`(seed: UInt64) throws {
        var random = SplitMix64(state: seed)
        for _ in 0..<50 {
            let formula = Formula.anything(depth: Int(random.within(1...5)), from: &random)
            let text = formula.text
            if text.utf8.count <= Formula.Bounds.textBytes { #expect(try Formula(parsing: text) == formula, "\(text)") }
        }
    }

    /// Cut, doubled, swapped and overwritten texts, and bytes that were never text: each is a formula whose text reads back, or a refusal within its bytes.
    @Test(arguments: 0..<64 as Range<UInt64>)
    func `no bytes trap the reader`(seed: UInt64) throws {
        var random = SplitMix64(state: seed)
        let market = Market(drawing: &random, days: 20)
        for _ in 0..<200 {
            let bytes = hostile(from: &random)
            do throws(FormulaError) {
                let formula = try Formula(parsing: bytes)
                #expect(try Formula(parsing: formula.text) == formula)
                #expect(formula.values(on: market).count == 20)
            } catch {
                #expect((0...bytes.count).contains(error.offset))
            }
        }
    }
}

extension Formula {
    /// Any formula of the language, not only such as tasks ask for.
    static func anything(depth: Int, from random: inout SplitMix64) -> Formula {
        guard depth > 1, random.below(6) > 0 else {
            switch random.below(4) {
            case 0: return .number(random.within(0...(Bounds.number * Bounds.unit)))
            case 1: return .number(random.within(0...3) * Bounds.unit)
            default: return .field(random.one(of: Field.allCases))
            }
        }
        switch random.below(8) {
        case 0: return .magnitude(anything(depth: depth - 1, from: &random))
        case 1:
            return .choice(
                anything(depth: depth - 1, from: &random), then: anything(depth: depth - 1, from: &random), otherwise: anything(depth: depth - 1, from: &random))
        case 2...4: return .window(random.one(of: Window.allCases), anything(depth: depth - 1, from: &random), days: Int(random.within(1...12)))
        default: return .pair(random.one(of: Pair.allCases), anything(depth: depth - 1, from: &random), anything(depth: depth - 1, from: &random))
        }
    }
}

/// Bytes near the language and far from it.
func hostile(from random: inout SplitMix64) -> [UInt8] {
    if random.below(8) == 0 { return (0..<random.below(700)).map { _ in UInt8(truncatingIfNeeded: random.next()) } }
    var bytes = Array(Formula.anything(depth: 4, from: &random).text.utf8)
    let marks = Array("(),. 09az-\u{0}\u{e9}".utf8)
    for _ in 0...random.below(4) where !bytes.isEmpty {
        let at = Int(random.below(UInt64(bytes.count)))
        switch random.below(5) {
        case 0: bytes.remove(at: at)
        case 1: bytes.insert(random.one(of: marks), at: at)
        case 2: bytes[at] = UInt8(truncatingIfNeeded: random.next())
        case 3: bytes = Array(bytes[..<at])
        default: bytes.insert(contentsOf: bytes[at...], at: Int(random.below(UInt64(bytes.count))))
        }
    }
    return bytes
}
