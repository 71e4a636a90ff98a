package import ForgeTensor

/// Multi-head latent attention (DeepSeek-AI 2024, arXiv:2405.04434, §2.1.2 and appendix C): a position's keys and values are one short latent, and one key turned by
/// the position that all heads share. Nothing else of a position is kept.
package struct LatentAttention: Hashable, Sendable {
    /// Width that queries are squeezed to first; nil where they are not.
    package var queryRank: Int?
    /// Width of the latent.
    package var rank: Int
    /// Dimensions of a head's query and key that do not turn.
    package var plainDim: Int
    /// Dimensions that do, in neighbouring pairs (2i, 2i + 1) as every checkpoint has them.
    package var turnedDim: Int
    package var valueDim: Int
    /// Whether stretched positions raise every score by YaRN's magnitude squared. A fact of the checkpoint (`yarn.apply_scale` of params.json), not of the architecture:
    /// nil where it does not say, and then they do not, unless a text scores better so.
    package var raisesScores: Bool?

    package init(queryRank: Int?, rank: Int, plainDim: Int, turnedDim: Int, valueDim: Int, raisesScores: Bool? = nil) {
        self.queryRank = queryRank
        self.rank = rank
        self.plainDim = plainDim
        self.turnedDim = turnedDim
        self.valueDim = valueDim
        self.raisesScores = raisesScores
    }

    package var headDim: Int { plainDim + turnedDim }
    /// What is kept of a position: the latent, then the turned key.
    package var width: Int { rank + turnedDim }

    /// Of the norms of both latents, whatever `rms_norm_eps` says.
    package static let normEps: Float = 1e-6
}

extension MistralConfig {
    /// How a layer attends: with grouped heads, or with every head reading the one latent of a position as its key and, but for the turned end, as its value.
    package func attention(of layer: Int, precision: Precision = .f32) -> AttentionShape {
        guard let latent else { return AttentionShape(queryHeads: queryHeads, kvHeads: kvHeads, headDim: headDim, window: window(of: layer), precision: precision) }
        let raise = latent.raisesScores == true ? yarn.map { Yarn.magnitude($0.factor) } ?? 1 : 1
        return AttentionShape(
            queryHeads: queryHeads, kvHeads: 1, headDim: latent.width, scale: Float(raise * raise) / Float(latent.headDim).squareRoot(), precision: precision)
    }

    /// What else the file that this was read from could mean; nil where it is plain.
    package var otherReading: MistralConfig? {
        guard let latent, latent.raisesScores == nil, let yarn, yarn.factor > 1 else { return nil }
        var other = self
        other.latent?.raisesScores = true
        return other
    }

    /// Inputs of the output projection.
    package var headsWidth: Int { queryHeads * (latent?.valueDim ?? headDim) }
    /// Outputs of the one product that gives queries: all heads side by side.
    package var queryWidth: Int { queryHeads * headDim }
}

extension LatentShape {
    package init(_ config: MistralConfig, _ latent: LatentAttention) {
        self.init(heads: config.queryHeads, rank: latent.rank, plain: latent.plainDim, turned: latent.turnedDim, value: latent.valueDim)
    }
}
