import ForgeCore
package import ForgeTensor

/// The weights latent attention has beside those of its queries and its latents.
package struct LatentWeights {
    /// `[1, rank]`
    package let norm: Weight
    /// `[heads · (plain + value), rank]`: of each head, keys first.
    package let up: Weight

    package init(norm: Weight, up: Weight) {
        self.norm = norm
        self.up = up
    }
}

extension Tape {
    /// Multi-head latent attention (DeepSeek-AI 2024, arXiv:2405.04434), with what leads out of the latent taken to the query's side: a head's query becomes one for the
    /// latent itself, and what it reads becomes a value afterwards. A position then is one key for all heads, which is its own value too, and serving and training
    /// have the same bits from the same cache.
    /// - Parameters:
    ///   - queries: `[rows, heads · query]`, turned in place. `latents`: `[rows, joined]`, normalised and turned in place. Nothing else may use either.
    ///   - attention: one head of keys, `joined` wide.
    /// - Returns: `[rows, heads · value]`
    package func attend(
        _ queries: Buffer, _ latents: Buffer, _ weights: LatentWeights, eps: Float, shape: LatentShape, attention: AttentionShape, rotation: Rotation
    ) -> Buffer {
        precondition(attention.headDim == shape.joined && attention.kvHeads == 1 && attention.queryHeads == shape.heads, "every head reads the one latent")
        let joined = shape.joined, precision = precision
        let raw = value(columns: shape.rank), normed = value(columns: shape.rank), rstd = value(columns: 1)
        let asked = value(columns: shape.heads * joined), read = value(columns: shape.heads * joined), lse = value(columns: shape.heads), out = value(columns: shape.heads * shape.value)
        let packed = workspace(max(Device.packedCount(k: shape.plain, n: shape.rank), Device.packedCount(k: shape.rank, n: shape.value)))
        func keys(_ up: Tensor, _ head: Int) -> Tensor { up.rows(head * (shape.plain + shape.value), shape.plain) }
        func values(_ up: Tensor, _ head: Int) -> Tensor { up.rows(head * (shape.plain + shape.value) + shape.plain, shape.value) }

        record("latents", [latents, raw, normed, rstd]) { (tape) throws(Fault) in
            try tape.device.settleLatents(
                tape[latents], raw: tape[raw], normed: tape[normed], rstd: tape[rstd], norm: weights.norm.value, eps: eps, shape: shape, rotation: rotation,
                positions: tape.inputs.positions)
        }
        record("latent queries", [queries, packed, asked]) { (tape) throws(Fault) in
            let (queries, asked) = (tape[queries], tape[asked])
            try tape.device.turnQueries(queries, shape: shape, rotation: rotation, positions: tape.inputs.positions)
            for head in 0..<shape.heads {
                try tape.device.pack(tape[packed], from: keys(weights.up.value, head), as: .plain, precision: precision)
                try tape.device.multiply(
                    shape.part(asked, head: head, wide: joined, take: shape.rank), shape.part(queries, head: head, wide: shape.query, take: shape.plain), packed: tape[packed],
                    precision: precision)
            }
            try tape.device.copyColumns(
                shape.byHead(asked, wide: joined, from: shape.rank, take: shape.turned), from: shape.byHead(queries, wide: shape.query, from: shape.plain, take: shape.turned))
        }
        record("latent attention", [asked, latents, read, lse]) { (tape) throws(Fault) in
            try tape.device.attention(
                tape[read], lse: tape[lse], q: tape[asked], k: tape[latents], v: tape[latents], cumulativeLengths: tape.inputs.cumulativeLengths,
                sequences: tape.inputs.sequences, shape: attention)
        }
        record("latent values", [read, packed, out]) { (tape) throws(Fault) in
            for head in 0..<shape.heads {
                try tape.device.pack(tape[packed], from: values(weights.up.value, head), as: .weight, precision: precision)
                try tape.device.multiply(
                    shape.part(tape[out], head: head, wide: shape.value, take: shape.value), shape.part(tape[read], head: head, wide: joined, take: shape.rank),
                    packed: tape[packed], precision: precision)
            }
        }

        rule { tape in
            let dout = tape.gradient(of: out), dread = tape.value(columns: shape.heads * joined)
            let back = tape.workspace(max(Device.packedCount(k: shape.value, n: shape.rank), Device.packedCount(k: shape.rank, n: shape.plain)))
            let rows = tape.workspace(Device.packedCount(k: tape.capacity, n: shape.rank))
            tape.recordBackward("latent values", [dout, back, dread, read, rows]) { (tape) throws(Fault) in
                // The turned end of what a head reads is no value: nobody gives it a gradient.
                tape[dread].fill(0)
                for head in 0..<shape.heads {
                    let dy = shape.part(tape[dout], head: head, wide: shape.value, take: shape.value)
                    try tape.device.pack(tape[back], from: values(weights.up.value, head), as: .plain, precision: precision)
                    try tape.device.multiply(shape.part(tape[dread], head: head, wide: joined, take: shape.rank), dy, packed: tape[back], precision: precision)
                    guard let gradient = weights.up.gradient else { continue }
                    try tape.device.pack(tape[rows], from: shape.part(tape[read], head: head, wide: joined, take: shape.rank), as: .plain, precision: precision)
                    try tape.device.multiply(values(gradient, head), dy, packed: tape[rows], transposed: true, accumulate: true, precision: precision)
                }
            }
            let dasked = tape.value(columns: shape.heads * joined), dvalues = tape.value(columns: joined), delta = tape.value(columns: shape.heads)
            let (dlatents, again) = tape.claimGradient(of: latents), (dqueries, twice) = tape.claimGradient(of: queries)
            precondition(!again && !twice, "queries and latents are used by attention alone")
            tape.recordBackward("latent attention", [dread, asked, latents, read, lse, dasked, dlatents, dvalues, delta]) { (tape) throws(Fault) in
                try tape.device.attentionBackward(
                    dq: tape[dasked], dk: tape[dlatents], dv: tape[dvalues], delta: tape[delta], dout: tape[dread], q: tape[asked], k: tape[latents], v: tape[latents],
                    out: tape[read], lse: tape[lse], cumulativeLengths: tape.inputs.cumulativeLengths, sequences: tape.inputs.sequences, shape: attention)
                try tape.device.combine(tape[dlatents], 1, tape[dlatents], 1, tape[dvalues])
            }
            tape.recordBackward("latent queries", [dasked, back, rows, queries, dqueries]) { (tape) throws(Fault) in
                let (queries, dasked, dqueries) = (tape[queries], tape[dasked], tape[dqueries])
                for head in 0..<shape.heads {
                    let dy = shape.part(dasked, head: head, wide: joined, take: shape.rank)
                    try tape.device.pack(tape[back], from: keys(weights.up.value, head), as: .weight, precision: precision)
                    try tape.device.multiply(shape.part(dqueries, head: head, wide: shape.query, take: shape.plain), dy, packed: tape[back], precision: precision)
                    guard let gradient = weights.up.gradient else { continue }
                    // dW = queryᵀ·dy: the rows of the matrix are the query's dimensions.
                    try tape.device.pack(tape[rows], from: dy, as: .plain, precision: precision)
                    try tape.device.multiply(
                        keys(gradient, head), shape.part(queries, head: head, wide: shape.query, take: shape.plain), packed: tape[rows], transposed: true, accumulate: true,
                        precision: precision)
                }
                try tape.device.copyColumns(
                    shape.byHead(dqueries, wide: shape.query, from: shape.plain, take: shape.turned), from: shape.byHead(dasked, wide: joined, from: shape.rank, take: shape.turned))
                try tape.device.turnQueries(dqueries, shape: shape, rotation: rotation, positions: tape.inputs.positions, inverse: true)
            }
            let dnormed = tape.value(columns: shape.rank), draw = tape.value(columns: shape.rank)
            tape.recordBackward("latents", [dlatents, dnormed, draw, raw, rstd]) { (tape) throws(Fault) in
                let plain = tape[dlatents].view(rows: tape[dlatents].rows, columns: shape.rank, stride: joined)
                try tape.device.turnKeys(tape[dlatents], shape: shape, rotation: rotation, positions: tape.inputs.positions, inverse: true)
                try tape.device.copyColumns(tape[dnormed], from: plain)
                try tape.device.rmsnormBackward(
                    dx: tape[draw], dw: weights.norm.gradient, dy: tape[dnormed], x: tape[raw], weight: weights.norm.value, rstd: tape[rstd], accumulate: false)
                try tape.device.copyColumns(plain, from: tape[draw])
            }
        }
        return out
    }
}
