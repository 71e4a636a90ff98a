package import ForgeCore

/// Five columns of daily values, earliest first.
package struct Market: Hashable, Sendable {
    private let columns: [[Int64]]

    package var days: Int { columns[0].count }

    package subscript(field: Formula.Field) -> [Int64] {
        switch field {
        case .open: columns[0]
        case .high: columns[1]
        case .low: columns[2]
        case .close: columns[3]
        case .volume: columns[4]
        }
    }

    /// - Throws: `.request` for columns of unlike length, too many days or none, or a value the language does not hold.
    package init(_ column: (Formula.Field) throws(Fault) -> [Int64]) throws(Fault) {
        var columns: [[Int64]] = []
        for field in Formula.Field.allCases { columns.append(try column(field)) }
        let days = columns[0].count
        guard (1...Formula.Bounds.marketDays).contains(days), columns.allSatisfy({ $0.count == days }) else {
            throw Fault(
                .request, "quant.market", "the market cannot be used", why: "its columns have \(columns.map { String($0.count) }.joined(separator: ", ")) days",
                remedy: "give every column the same number of days, 1 to \(Formula.Bounds.marketDays)")
        }
        guard columns.allSatisfy({ $0.allSatisfy { $0.magnitude <= Formula.Bounds.value.magnitude } }) else {
            throw Fault(.request, "quant.market", "the market cannot be used", why: "a value is larger than 2^53 - 1", remedy: "give values in ten-thousandths")
        }
        self.columns = columns
    }

    /// A random walk of prices in cents and of volume, with the order low ≤ open, close ≤ high kept: markets to tell formulas apart on, not to believe in.
    package init(drawing random: inout SplitMix64, days: Int) {
        precondition((1...Formula.Bounds.marketDays).contains(days), "a market has 1 to 4096 days")
        var columns = [[Int64]](repeating: [], count: Formula.Field.allCases.count)
        var price = random.within(2_000...20_000)
        var volume = random.within(200...3_000)
        for _ in 0..<days {
            let open = max(500, price + random.within(around: price / 50))
            let close = max(500, open + random.within(around: open / 25))
            let high = max(open, close) + random.within(0...price / 60)
            let low = min(open, close) - random.within(0...price / 60)
            volume = max(50, volume + random.within(around: volume / 4))
            for (i, cents) in [open, high, low, close].enumerated() { columns[i].append(cents * Formula.Bounds.unit / 100) }
            columns[4].append(volume * Formula.Bounds.unit)
            price = close
        }
        self.columns = columns
    }
}

extension SplitMix64 {
    mutating func within(_ range: ClosedRange<Int64>) -> Int64 { range.lowerBound + Int64(below(UInt64(range.upperBound - range.lowerBound + 1))) }
    mutating func within(around bound: Int64) -> Int64 { within(-bound...bound) }

    /// - Precondition: there is at least one.
    mutating func one<Element>(of items: [Element]) -> Element { items[Int(below(UInt64(items.count)))] }
}
