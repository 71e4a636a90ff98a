import ForgeCore

/// What a formula does on two fixed markets: enough to tell meanings apart, and the same for everybody (docs/formats/quant-language.md §5).
struct Probe {
    private static let markets: [Market] = {
        var random = SplitMix64(state: SplitMix64.mix(0))
        return (0..<2).map { _ in Market(drawing: &random, days: 48) }
    }()

    let columns: [Column]
    let fingerprint: UInt64

    init(_ formula: Formula) {
        columns = Probe.markets.map(formula.values)
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for column in columns {
            for value in column {
                let bits = UInt64(bitPattern: value ?? .min)
                for byte in 0..<8 { hash = (hash ^ (bits >> UInt64(8 * byte) & 0xff)) &* 0x100_0000_01b3 }
            }
        }
        fingerprint = hash
    }

    var isHeldOut: Bool { SplitMix64.mix(fingerprint) % 5 == 0 }

    /// At least two values on each market: there is something to be right about.
    private var varies: Bool {
        columns.allSatisfy { column in
            let values = column.compactMap { $0 }
            return values.contains { $0 != values[0] }
        }
    }

    /// Whether it is worth asking for: it and every part of it vary, no part already has its values, and what stands side by side differs.
    static func isWorthAsking(_ formula: Formula) -> Bool {
        let whole = Probe(formula)
        return whole.varies && isWorthAsking(formula, insideOf: whole)
    }

    private static func isWorthAsking(_ formula: Formula, insideOf whole: Probe) -> Bool {
        let parts = formula.operands.filter { if case .number = $0 { false } else { true } }
        let probes = parts.map(Probe.init)
        guard probes.allSatisfy({ $0.varies && $0.fingerprint != whole.fingerprint }) else { return false }
        // The condition of a choice may have the values of a result; what is chosen between may not be one thing.
        if Set(probes.suffix(2).map(\.fingerprint)).count < min(2, probes.count) { return false }
        return parts.allSatisfy { isWorthAsking($0, insideOf: whole) }
    }
}
