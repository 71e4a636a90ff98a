import Glibc

/// Rotary positions stretched over more than a model was first trained on (YaRN: Peng, Quesnelle, Fan & Shippole 2023, arXiv:2309.00071): pairs that turn
/// often keep their frequency, pairs that turn seldom get `factor` times slower, those between are mixed.
package struct Yarn: Hashable, Sendable {
    package var factor: Double
    /// Positions before the stretch.
    package var originalContext: Int
    /// Turns over the original context above which a pair keeps its frequency, and below which it is fully stretched.
    package var betaFast: Double
    package var betaSlow: Double
    /// Multiplies cosines and sines, and with them every score by its square. Which value belongs to a checkpoint is a fact of the checkpoint: 1 where native
    /// weights say `apply_scale: false`.
    package var attentionFactor: Double

    /// - Parameter attentionFactor: nil takes the paper's 0.1·ln(factor) + 1.
    package init(factor: Double, originalContext: Int, betaFast: Double = 32, betaSlow: Double = 1, attentionFactor: Double? = nil) {
        self.factor = factor
        self.originalContext = originalContext
        self.betaFast = betaFast
        self.betaSlow = betaSlow
        self.attentionFactor = attentionFactor ?? Yarn.magnitude(factor)
    }

    /// 0.1·m·ln(factor) + 1, the paper's eq. 22 with transformers' `mscale` m.
    package static func magnitude(_ factor: Double, mscale: Double = 1) -> Double { factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1 }

    /// By pair, in float32 as torch forms them: theta^(-2i/dimensions) unless they are stretched.
    static func frequencies(_ yarn: Yarn?, dimensions: Int, theta: Double) -> [Float] {
        (0..<dimensions / 2).map { i in
            let period = Float(pow(theta, Double(Float(2 * i) / Float(dimensions))))
            return yarn?.frequency(pair: i, period: period, dimensions: dimensions, theta: theta) ?? 1 / period
        }
    }

    /// The frequency of pair `i` of `dimensions / 2`, formed in float32 as torch forms it.
    /// - Parameter period: theta^(2i/dimensions), one over the frequency without a stretch.
    private func frequency(pair i: Int, period: Float, dimensions: Int, theta: Double) -> Float {
        func pairTurning(_ turns: Double) -> Double { Double(dimensions) * log(Double(originalContext) / (turns * 2 * .pi)) / (2 * log(theta)) }
        let low = max(pairTurning(betaFast).rounded(.down), 0)
        var high = min(pairTurning(betaSlow).rounded(.up), Double(dimensions - 1))
        if low == high { high += 0.001 }
        let ramp = min(max((Float(i) - Float(low)) / Float(high - low), 0), 1), kept = 1 - ramp
        return 1 / (Float(factor) * period) * (1 - kept) + 1 / period * kept
    }
}

/// Queries that grow with their position, so that attention stays sharp over long contexts: q ← q·(1 + beta·ln(1 + ⌊position / originalContext⌋)),
/// after rotation (Llama 4's attention temperature, as Ministral 3 uses it).
package struct QueryScale: Hashable, Sendable {
    package var beta: Double
    package var originalContext: Int

    package init(beta: Double, originalContext: Int) {
        self.beta = beta
        self.originalContext = originalContext
    }

    /// In float32, as torch forms it.
    func factor(at position: Int) -> Float { 1 + Float(beta) * logf(1 + Float(position / originalContext)) }
}
