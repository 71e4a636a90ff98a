/// How many of some independent tasks were answered rightly, and what that says of the rate behind it.
package struct PassRate: Hashable, Sendable {
    package private(set) var right = 0
    package private(set) var count = 0

    package init(right: Int = 0, of count: Int = 0) {
        precondition(right >= 0 && right <= count, "no more than all answers are right")
        self.right = right
        self.count = count
    }

    package mutating func add(_ verdict: Verdict) {
        count += 1
        if verdict == .right { right += 1 }
    }

    package var share: Double { count == 0 ? 0 : Double(right) / Double(count) }

    /// Wilson's score interval (1927) at 95 %: unlike p ± 1.96 σ it stays within 0 and 1 and holds near them. Of no tasks it is all of them.
    package var interval: ClosedRange<Double> {
        guard count > 0 else { return 0...1 }
        let z = 1.959964, n = Double(count)
        let middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        let reach = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)).squareRoot()
        return max(0, middle - reach)...min(1, middle + reach)
    }
}
