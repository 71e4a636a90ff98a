extension PolicyLoss {
    /// Sums and counts of one pass; those of a step's passes are added, then read.
    package struct Metrics: Sendable, Hashable {
        package var sequences = 0
        /// Tokens that are learnt from.
        package var tokens = 0
        /// Ratios that were looked at: one a token, or one a sequence.
        package var ratios = 0
        /// Ratios below the clip of bad answers, and above that of good ones: they have no derivative (in `cispo`, a truncated weight).
        package var clippedLow = 0
        package var clippedHigh = 0
        /// Sums over tokens, of the estimate of the divergence from the reference, and of log π_old − log π.
        package var divergence = 0.0
        package var drift = 0.0
        /// Sum and largest of the ratios.
        package var ratioSum = 0.0
        package var ratioMax = 0.0
        /// Tokens that the rollout correction left out, and sequences left out for their drift.
        package var uncorrected = 0
        package var drifted = 0

        package init() {}

        package var clippedLowShare: Double { share(Double(clippedLow), ratios) }
        package var clippedHighShare: Double { share(Double(clippedHigh), ratios) }
        package var meanRatio: Double { share(ratioSum, ratios) }
        package var meanDivergence: Double { share(divergence, tokens) }
        package var meanDrift: Double { share(drift, tokens) }

        private func share(_ sum: Double, _ count: Int) -> Double { count > 0 ? sum / Double(count) : 0 }

        package static func += (a: inout Metrics, b: Metrics) {
            a.sequences += b.sequences
            a.tokens += b.tokens
            a.ratios += b.ratios
            a.clippedLow += b.clippedLow
            a.clippedHigh += b.clippedHigh
            a.divergence += b.divergence
            a.drift += b.drift
            a.ratioSum += b.ratioSum
            a.ratioMax = max(a.ratioMax, b.ratioMax)
            a.uncorrected += b.uncorrected
            a.drifted += b.drifted
        }
    }
}

extension PolicyLoss.Part {
    mutating func count(_ ratio: Double, _ advantage: Double, beyond bounds: ClosedRange<Double>) {
        metrics.ratios += 1
        metrics.ratioSum += ratio
        metrics.ratioMax = max(metrics.ratioMax, ratio)
        if ratio < bounds.lowerBound, advantage < 0 { metrics.clippedLow += 1 }
        if ratio > bounds.upperBound, advantage > 0 { metrics.clippedHigh += 1 }
    }
}
