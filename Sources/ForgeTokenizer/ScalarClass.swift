/// What the splitter needs to know of a Unicode scalar: which of the classes of its expression it belongs to.
enum ScalarClass {
    static let other: UInt8 = 0
    /// Lu, Lt
    static let upper: UInt8 = 1
    /// Ll
    static let lower: UInt8 = 2
    /// Lm, Lo: letters without case, which stand on both sides of the expression
    static let letter: UInt8 = 3
    /// Mn, Mc, Me
    static let mark: UInt8 = 4
    /// Nd, Nl, No
    static let number: UInt8 = 5
    /// White_Space
    static let space: UInt8 = 6

    /// One byte per scalar value, 0…0x10ffff, spread out from the runs once. A flat table costs 1.1 MB and saves a search per scalar.
    static let table: [UInt8] = {
        var table = [UInt8](repeating: other, count: 0x110000)
        for (i, run) in runs.enumerated() {
            let start = Int(run >> 3)
            let end = i + 1 < runs.count ? Int(runs[i + 1] >> 3) : table.count
            for value in start..<end { table[value] = UInt8(run & 7) }
        }
        return table
    }()
}
