import ForgeCore
import Testing

@testable import ForgeQuant

/// What a formula means, day by day and straight from docs/formats/quant-language.md §3: every day asks its operands again, and nothing is kept.
private struct PlainTwin {
    let market: Market

    func value(_ formula: Formula, _ t: Int) -> Int64? {
        switch formula {
        case .field(let field): return market[field][t]
        case .number(let units): return units
        case .magnitude(let a): return value(a, t).map { $0 < 0 ? -$0 : $0 }
        case .choice(let condition, let then, let otherwise): return value(condition, t).flatMap { value($0 == 0 ? otherwise : then, t) }
        case .pair(let pair, let a, let b):
            guard let x = value(a, t), let y = value(b, t) else { return nil }
            return bounded(pair, Int128(x), Int128(y))
        case .window(let window, let a, let n):
            if window == .lag { return t < n ? nil : value(a, t - n) }
            if window == .delta { return t < n ? nil : value(.pair(.sub, a, .window(.lag, a, days: n)), t) }
            guard t >= n - 1 else { return nil }
            var values: [Int128] = []
            for day in (t - n + 1)...t {
                guard let x = value(a, day) else { return nil }
                values.append(Int128(x))
            }
            let sum = values.reduce(0, +)
            switch window {
            case .sum: return fit(sum)
            case .mean: return fit(nearest(sum, Int128(n)))
            case .std: return fit(nearest(root(Int128(n) * values.reduce(0) { $0 + $1 * $1 } - sum * sum), Int128(n)))
            case .peak: return fit(values.sorted()[n - 1])
            case .trough: return fit(values.sorted()[0])
            default: return fit(Int128(values.filter { $0 < values[n - 1] }.count) * 10_000)
            }
        }
    }

    private func bounded(_ pair: Formula.Pair, _ x: Int128, _ y: Int128) -> Int64? {
        switch pair {
        case .add: fit(x + y)
        case .sub: fit(x - y)
        case .mul: fit(nearest(x * y, 10_000))
        case .div: y == 0 ? nil : fit(nearest(x * 10_000, y))
        case .max: fit(x > y ? x : y)
        case .min: fit(x > y ? y : x)
        case .gt: x > y ? 10_000 : 0
        case .ge: x >= y ? 10_000 : 0
        case .lt: x < y ? 10_000 : 0
        case .le: x <= y ? 10_000 : 0
        case .eq: x == y ? 10_000 : 0
        }
    }

    private func fit(_ x: Int128) -> Int64? { x > 9_007_199_254_740_991 || x < -9_007_199_254_740_991 ? nil : Int64(x) }

    /// The integer q with |a − q·b| least, the even one of two: of the three around a / b.
    private func nearest(_ a: Int128, _ b: Int128) -> Int128 {
        let q = a / b
        let best = [q - 1, q, q + 1].map { ($0, (a - $0 * b).magnitude) }.sorted { $0.1 < $1.1 }
        return best[0].1 == best[1].1 && best[0].0 % 2 != 0 ? best[1].0 : best[0].0
    }

    /// Bit by bit from the top.
    private func root(_ n: Int128) -> Int128 {
        var out: Int128 = 0
        for bit in stride(from: 62, through: 0, by: -1) where (out + (1 << Int128(bit))) * (out + (1 << Int128(bit))) <= n { out += 1 << Int128(bit) }
        return out
    }
}

struct ValueTests {
    private func market(_ close: [Int64], volume: [Int64]? = nil) throws -> Market {
        try Market { field in field == .volume ? volume ?? close : close }
    }

    @Test(arguments: [
        ("mean(close,2)", [nil, 15_000, 25_000, 35_000]), ("sum(close,3)", [nil, nil, 60_000, 90_000]), ("std(close,2)", [nil, 5_000, 5_000, 5_000]),
        ("lag(close,1)", [nil, 10_000, 20_000, 30_000]), ("delta(close,3)", [nil, nil, nil, 30_000]), ("rank(close,3)", [nil, nil, 20_000, 20_000]),
        ("peak(mul(close,close),2)", [nil, 40_000, 90_000, 160_000]), ("trough(close,4)", [nil, nil, nil, 10_000]),
        // 1/3 is rounded to the unit; 10000/40000 ends.
        ("div(1,close)", [10_000, 5_000, 3_333, 2_500]), ("div(close,sub(close,2))", [-10_000, nil, 30_000, 20_000]),
        ("if(gt(close,2),close,0)", [0, 0, 30_000, 40_000]),
        // Only the branch that is taken need be defined.
        ("if(gt(close,1),lag(close,1),7)", [70_000, 10_000, 20_000, 30_000]), ("mean(lag(close,1),2)", [nil, nil, 15_000, 25_000]),
        ("abs(sub(close,3))", [20_000, 10_000, 0, 10_000]),
    ] as [(String, Column)])
    func `values are those of the page`(text: String, values: Column) throws {
        #expect(try Formula(parsing: text).values(on: market([10_000, 20_000, 30_000, 40_000])) == values)
    }

    @Test func `halves go to the even unit on both sides of zero`() throws {
        let halves = try market([1, 3, 5, -1, -3, -5])
        #expect(try Formula(parsing: "div(close,2)").values(on: halves) == [0, 2, 2, 0, -2, -2])
        #expect(try Formula(parsing: "mul(close,0.5)").values(on: halves) == [0, 2, 2, 0, -2, -2])
    }

    @Test func `what is too large is undefined, and what follows from it`() throws {
        let large = Formula.Bounds.value
        let edge = try market([large, -large, large], volume: [1, 0, 10_000])
        #expect(try Formula(parsing: "add(close,volume)").values(on: edge) == [nil, -large, nil])
        #expect(try Formula(parsing: "mul(close,close)").values(on: edge) == [nil, nil, nil])
        #expect(try Formula(parsing: "delta(close,1)").values(on: edge) == [nil, nil, nil])
        #expect(try Formula(parsing: "mean(close,3)").values(on: edge) == [nil, nil, large / 3])
        #expect(try Formula(parsing: "div(close,volume)").values(on: edge) == [nil, nil, large])
        // The largest spread there is: the square of it stays within 128 bits.
        let swings = try market((0..<250).map { $0 % 2 == 0 ? large : -large })
        #expect(try Formula(parsing: "std(close,250)").values(on: swings)[249] == large)
    }

    @Test(arguments: 0..<64 as Range<UInt64>)
    func `values are those of the plain twin`(seed: UInt64) throws {
        var random = SplitMix64(state: seed)
        for _ in 0..<6 {
            let market = Market(drawing: &random, days: 24)
            let formula = Formula.anything(depth: 4, from: &random)
            let twin = PlainTwin(market: market)
            #expect(formula.values(on: market) == (0..<24).map { twin.value(formula, $0) }, "\(formula.text)")
        }
    }

    @Test func `a market keeps the order of its prices and has one length`() throws {
        var random = SplitMix64(state: 7)
        let market = Market(drawing: &random, days: 4096)
        for t in 0..<4096 {
            #expect(market[.low][t] <= min(market[.open][t], market[.close][t]) && market[.high][t] >= max(market[.open][t], market[.close][t]) && market[.low][t] > 0)
        }
        #expect(throws: Fault.self) { try Market { $0 == .low ? [1] : [1, 2] } }
        #expect(throws: Fault.self) { try Market { _ in [] } }
        #expect(throws: Fault.self) { try Market { _ in [1 << 53] } }
    }
}
