/// Values of a formula, one a day; nil where it is undefined.
package typealias Column = [Int64?]

extension Formula {
    /// Column by column, bottom up: a node's time is its days, or days × window for `peak`, `trough` and `rank`. Cannot fail.
    package func values(on market: Market) -> Column {
        switch self {
        case .field(let field): market[field].map { $0 }
        case .number(let units): Column(repeating: units, count: market.days)
        case .pair(let pair, let a, let b):
            zip(a.values(on: market), b.values(on: market)).map { x, y in
                guard let x, let y else { return nil }
                return pair.value(x, y)
            }
        case .magnitude(let a): a.values(on: market).map { $0.map { abs($0) } }
        case .choice(let condition, let then, let otherwise):
            zip(condition.values(on: market), zip(then.values(on: market), otherwise.values(on: market))).map { c, branches in
                guard let c else { return nil }
                return c != 0 ? branches.0 : branches.1
            }
        case .window(let window, let a, let days): window.values(a.values(on: market), days)
        }
    }
}

extension Formula.Pair {
    fileprivate func value(_ x: Int64, _ y: Int64) -> Int64? {
        switch self {
        case .add: Exact.bounded(Int128(x) + Int128(y))
        case .sub: Exact.bounded(Int128(x) - Int128(y))
        case .mul: Exact.bounded(Exact.quotient(Int128(x) * Int128(y), by: Int128(Formula.Bounds.unit)))
        case .div: y == 0 ? nil : Exact.bounded(Exact.quotient(Int128(x) * Int128(Formula.Bounds.unit), by: Int128(y)))
        case .max: Swift.max(x, y)
        case .min: Swift.min(x, y)
        case .gt: truth(x > y)
        case .ge: truth(x >= y)
        case .lt: truth(x < y)
        case .le: truth(x <= y)
        case .eq: truth(x == y)
        }
    }

    private func truth(_ holds: Bool) -> Int64 { holds ? Formula.Bounds.unit : 0 }
}

extension Formula.Window {
    fileprivate func values(_ x: Column, _ days: Int) -> Column {
        switch self {
        case .lag: x.indices.map { $0 < days ? nil : x[$0 - days] }
        case .delta:
            x.indices.map { t in
                guard t >= days, let now = x[t], let then = x[t - days] else { return nil }
                return Exact.bounded(Int128(now) - Int128(then))
            }
        case .sum: sliding(x, days) { sums in Exact.bounded(sums.first) }
        case .mean: sliding(x, days) { sums in Exact.bounded(Exact.quotient(sums.first, by: Int128(days))) }
        case .std:
            // n·Σx² − (Σx)² is below 2¹²² for 250 values of 53 bits, and never negative (Cauchy and Schwarz).
            sliding(x, days) { sums in
                Exact.bounded(Exact.quotient(Exact.root(Int128(days) * sums.second - sums.first * sums.first), by: Int128(days)))
            }
        case .peak: whole(x, days) { $0.max() }
        case .trough: whole(x, days) { $0.min() }
        case .rank:
            whole(x, days) { values in
                guard let last = values.last else { return nil }
                return Int64(values.count { $0 < last }) * Formula.Bounds.unit
            }
        }
    }

    /// The sums of the last `days` values and of their squares, kept up from day to day.
    private func sliding(_ x: Column, _ days: Int, _ value: ((first: Int128, second: Int128)) -> Int64?) -> Column {
        var sums: (first: Int128, second: Int128) = (0, 0)
        var undefined = 0
        return x.indices.map { t in
            if let added = x[t] {
                sums.first += Int128(added)
                sums.second += Int128(added) * Int128(added)
            } else {
                undefined += 1
            }
            if t >= days {
                if let gone = x[t - days] {
                    sums.first -= Int128(gone)
                    sums.second -= Int128(gone) * Int128(gone)
                } else {
                    undefined -= 1
                }
            }
            return t + 1 >= days && undefined == 0 ? value(sums) : nil
        }
    }

    private func whole(_ x: Column, _ days: Int, _ value: ([Int64]) -> Int64?) -> Column {
        x.indices.map { t in
            guard t + 1 >= days else { return nil }
            let values = x[(t + 1 - days)...t].compactMap { $0 }
            return values.count == days ? value(values) : nil
        }
    }
}
