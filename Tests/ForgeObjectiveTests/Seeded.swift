import ForgeObjective
import Testing

/// Numbers that follow from a seed: SplitMix64 (Steele et al. 2014).
struct Seeded: RandomNumberGenerator {
    var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = (state ^ (state >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func number(_ range: ClosedRange<Double>) -> Double { Double.random(in: range, using: &self) }
    mutating func list(_ count: Int, _ range: ClosedRange<Double>) -> [Double] { (0..<count).map { _ in number(range) } }

    mutating func completion(_ kind: PreferenceLoss.Kind) -> PreferenceLoss.Completion {
        let reference = number(-30 ... -5)
        return .init(policy: reference + number(-4...4), reference: kind.needsReference ? reference : nil, tokens: Int.random(in: 1...12, using: &self))
    }

    mutating func pair(_ kind: PreferenceLoss.Kind) -> PreferenceLoss.Pair {
        var pair = PreferenceLoss.Pair(chosen: completion(kind), rejected: completion(kind))
        if kind.takesPreference { pair.preference = number(0...1) }
        if kind.needsScores { pair.scores = .init(chosen: number(2...5), rejected: number(0.1...1.9)) }
        return pair
    }

    /// - Parameter reach: how far a log-ratio goes.
    mutating func rollout(reach: Double = 0.6) -> Rollout {
        let count = Int.random(in: 1...7, using: &self), old = list(count, -4 ... -0.1)
        let near = { (rng: inout Seeded, by: Double) in old.map { $0 + rng.number(-by...by) } }
        var mask = (0..<count).map { _ in number(0...1) < 0.8 }
        mask[Int.random(in: 0..<count, using: &self)] = true
        let policy = near(&self, reach), reference = near(&self, 1), sampler = near(&self, 0.4)
        return Rollout(policy: policy, old: old, reference: reference, sampler: sampler, mask: mask, advantage: number(-2...2))
    }
}

/// The quotient (f(x + h) − f(x − h)) / 2h against a derivative. Its own error is h²f‴/6 and ulp(f)/h: 1e-6 of either's size covers both at h = 1e-5.
func expect(_ derivative: Double, isSlopeOf f: (Double) throws -> Double, at x: Double, _ note: @autoclosure () -> String, location: SourceLocation = #_sourceLocation) rethrows {
    let h = 1e-5, quotient = (try f(x + h) - f(x - h)) / (2 * h), size = try abs(f(x))
    #expect(abs(derivative - quotient) <= 1e-6 * max(abs(derivative), 1e-3, size), "\(note()): \(derivative), not \(quotient)", sourceLocation: location)
}
