/// A hash table from a pair of tokens to a 64-bit value, by open addressing. The standard dictionary hashes with a keyed function that
/// defends against chosen keys; here keys are our own ids and the lookup is the innermost step of encoding.
struct PairTable {
    private var keys: [UInt64]
    private var values: [UInt64]
    private var mask: Int
    private(set) var count = 0

    private static let empty = UInt64.max

    init(capacity: Int) {
        var size = 16
        while size < capacity * 2 { size <<= 1 }
        keys = Array(repeating: PairTable.empty, count: size)
        values = Array(repeating: 0, count: size)
        mask = size - 1
    }

    @inline(__always)
    static func key(_ left: Token, _ right: Token) -> UInt64 { UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right)) }

    /// Fibonacci hashing: the high bits of a product with 2^64 divided by the golden ratio.
    @inline(__always)
    private func slot(_ key: UInt64) -> Int {
        var mixed = key ^ key >> 32
        mixed = mixed &* 0x9e37_79b9_7f4a_7c15
        return Int(truncatingIfNeeded: mixed >> 20) & mask
    }

    @inline(__always)
    subscript(key: UInt64) -> UInt64? {
        var at = slot(key)
        while true {
            let found = keys[at]
            if found == key { return values[at] }
            if found == PairTable.empty { return nil }
            at = (at + 1) & mask
        }
    }

    mutating func insert(_ value: UInt64, for key: UInt64) {
        if count * 2 >= keys.count { grow() }
        var at = slot(key)
        while keys[at] != PairTable.empty, keys[at] != key { at = (at + 1) & mask }
        if keys[at] == PairTable.empty { count += 1 }
        keys[at] = key
        values[at] = value
    }

    /// All keys with their values, in no order.
    var entries: some Sequence<(key: UInt64, value: UInt64)> {
        keys.indices.lazy.filter { keys[$0] != PairTable.empty }.map { (key: keys[$0], value: values[$0]) }
    }

    private mutating func grow() {
        var larger = PairTable(capacity: keys.count)
        for (i, key) in keys.enumerated() where key != PairTable.empty { larger.insert(values[i], for: key) }
        self = larger
    }
}
