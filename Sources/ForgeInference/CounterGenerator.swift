/// Random numbers that are looked up rather than consumed: Philox-4x32 with ten rounds, Salmon et al. 2011 (SC'11, "Parallel random numbers: as
/// easy as 1, 2, 3"), table 2 and its reference vectors.
///
/// A draw depends on (seed, position, token) and nothing else, so batching, preemption, speculation and the order of evaluation cannot change it.
package enum CounterGenerator {
    package typealias Words = (UInt32, UInt32, UInt32, UInt32)

    package static func philox(counter: Words, key: (UInt32, UInt32)) -> Words {
        var (c0, c1, c2, c3) = counter
        var (k0, k1) = key
        for _ in 0..<10 {
            let a = UInt64(0xD251_1F53) * UInt64(c0)
            let b = UInt64(0xCD9E_8D57) * UInt64(c2)
            (c0, c1, c2, c3) = (
                UInt32(truncatingIfNeeded: b >> 32) ^ c1 ^ k0, UInt32(truncatingIfNeeded: b),
                UInt32(truncatingIfNeeded: a >> 32) ^ c3 ^ k1, UInt32(truncatingIfNeeded: a)
            )
            k0 &+= 0x9E37_79B9
            k1 &+= 0xBB67_AE85
        }
        return (c0, c1, c2, c3)
    }

    /// A number in (0, 1), never either end: the middle of one of 2^53 equal steps.
    /// - Parameters:
    ///   - position: the place in the sequence that the token would take, the first prompt token being 0.
    ///   - choice: which of several answers to one prompt.
    package static func uniform(seed: UInt64, position: Int, token: TokenID, choice: Int = 0) -> Double {
        let words = philox(
            counter: (UInt32(truncatingIfNeeded: position), UInt32(truncatingIfNeeded: position >> 32), UInt32(bitPattern: token), UInt32(truncatingIfNeeded: choice)),
            key: (UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32)))
        let bits = (UInt64(words.1) << 32 | UInt64(words.0)) >> 11
        return (Double(bits) + 0.5) * 0x1p-53
    }
}
