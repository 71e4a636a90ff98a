package import ForgeCore

/// The extents of latent attention: heads whose query has `plain + turned` dimensions and whose key is what `rank + turned` numbers of a position say.
package struct LatentShape: Hashable, Sendable {
    package let heads: Int
    package let rank: Int
    package let plain: Int
    package let turned: Int
    package let value: Int

    package init(heads: Int, rank: Int, plain: Int, turned: Int, value: Int) {
        self.heads = heads
        self.rank = rank
        self.plain = plain
        self.turned = turned
        self.value = value
    }

    /// Of a head's query.
    package var query: Int { plain + turned }
    /// Of what is kept of a position, and of a query that reads it.
    package var joined: Int { rank + turned }

    /// The part of head `head` that `take` columns from `skip` on are, of rows whose heads have `wide` columns each.
    package func part(_ rows: Tensor, head: Int, wide: Int, from skip: Int = 0, take: Int) -> Tensor {
        rows.view(from: head * wide + skip, rows: rows.rows, columns: take, stride: rows.layout.stride)
    }

    /// A row a head instead of a row a token: heads lie side by side, so it is the same memory.
    package func byHead(_ rows: Tensor, wide: Int, from skip: Int, take: Int) -> Tensor {
        rows.view(from: skip, rows: rows.rows * heads, columns: take, stride: wide)
    }
}

extension Device {
    /// The latent and the shared key of each row, in place: the first `rank` columns are normalised, the others turned by the row's position.
    /// - Parameters:
    ///   - raw: receives the columns that are normalised, as they were: `[rows, rank]`.
    ///   - normed: workspace of the same shape.
    ///   - rstd: `[rows, 1]`, where somebody will go back through the norm.
    package func settleLatents(
        _ latents: Tensor, raw: Tensor, normed: Tensor, rstd: Tensor? = nil, norm: Tensor, eps: Float, shape: LatentShape, rotation: Rotation, positions: Indices
    ) throws(Fault) {
        let plain = latents.view(rows: latents.rows, columns: shape.rank, stride: shape.joined)
        try copyColumns(raw, from: plain)
        try rmsnorm(normed, rstd: rstd, x: raw, weight: norm, eps: eps)
        try copyColumns(plain, from: normed)
        try turnKeys(latents, shape: shape, rotation: rotation, positions: positions)
    }

    /// The turned end of each row of `latents`, or with `inverse` of its gradient.
    package func turnKeys(_ latents: Tensor, shape: LatentShape, rotation: Rotation, positions: Indices, inverse: Bool = false) throws(Fault) {
        try rope(
            latents.view(from: shape.rank, rows: latents.rows, columns: shape.turned, stride: shape.joined), heads: 1, headDim: shape.turned, positions: positions,
            cosines: rotation.keys.cosines, sines: rotation.keys.sines, layout: .interleaved, inverse: inverse)
    }

    /// Every head of every query.
    package func turnQueries(_ queries: Tensor, shape: LatentShape, rotation: Rotation, positions: Indices, inverse: Bool = false) throws(Fault) {
        guard let turns = rotation.queries else { preconditionFailure("queries of latent attention turn in part") }
        try rope(
            queries, heads: shape.heads, headDim: shape.query, positions: positions, cosines: turns.cosines, sines: turns.sines, layout: .interleaved, inverse: inverse)
    }
}
