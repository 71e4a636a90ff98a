import CForgeKernels
package import ForgeCore

/// Which elements of a head turn together.
package enum RopeLayout: Sendable {
    /// Pairs (i, i + d/2): Hugging Face Llama and Mistral.
    case half
    /// Pairs (2i, 2i + 1): native Mistral weights.
    case interleaved
}

/// The shape of causal attention over packed sequences; q, k and v are views whose rows may be strided.
package struct AttentionShape: Hashable, Sendable {
    package var queryHeads: Int
    package var kvHeads: Int
    package var headDim: Int
    /// Keys a query sees at most, itself included; 0 is no limit.
    package var window: Int
    package var scale: Float
    /// With `.bf16` operands may be rounded before they are multiplied, where that is faster: on a GPU.
    package var precision: Precision

    package init(queryHeads: Int, kvHeads: Int, headDim: Int, window: Int = 0, scale: Float? = nil, precision: Precision = .f32) {
        self.queryHeads = queryHeads
        self.kvHeads = kvHeads
        self.headDim = headDim
        self.window = window
        self.scale = scale ?? 1 / Float(headDim).squareRoot()
        self.precision = precision
    }
}

extension Device {
    /// The widest head attention takes.
    package static let headDimMax = Int(FK_HEAD_MAX)

    /// `sum = x + add; out = sum · rstd · w`. Shapes `[n, d]`, `weight` `[1, d]`, `rstd` `[n, 1]`; see the kernel table for the formula.
    package func rmsnorm(_ out: Tensor, sum: Tensor? = nil, rstd: Tensor? = nil, x: Tensor, add: Tensor? = nil, weight: Tensor, eps: Float) throws(Fault) {
        precondition(same(out, x) && (sum.map { same($0, x) } ?? true) && (add.map { same($0, x) } ?? true), "rmsnorm: rows of one shape")
        precondition(weight.count == x.columns && (add == nil || sum != nil) && (rstd.map { $0.count >= x.rows } ?? true), "rmsnorm: one weight a column")
        try check(
            unsafe ops.rmsnorm_fwd(
                out.pointer, sum?.pointer, rstd?.pointer, x.pointer, add?.pointer, weight.pointer, Int64(x.rows), Int64(x.columns), eps, stream), "normalise")
    }

    /// `dx (+)=` the gradient of `rmsnorm` at `x`, `dw +=` that of the weight.
    package func rmsnormBackward(dx: Tensor, dw: Tensor?, dy: Tensor, x: Tensor, weight: Tensor, rstd: Tensor, accumulate: Bool) throws(Fault) {
        precondition(same(dx, x) && same(dy, x) && weight.count == x.columns && (dw.map { $0.count == x.columns } ?? true) && rstd.count >= x.rows, "rmsnorm: shapes")
        try check(
            unsafe ops.rmsnorm_bwd(
                dx.pointer, dw?.pointer, dy.pointer, x.pointer, weight.pointer, rstd.pointer, Int64(x.rows), Int64(x.columns), accumulate ? 1 : 0, stream),
            "normalise backward")
    }

    /// Turns heads side by side in the first columns of `x` by their positions. `cosines` and `sines` are `[positions, headDim/2]`.
    package func rope(
        _ x: Tensor, heads: Int, headDim: Int, positions: Indices, cosines: Tensor, sines: Tensor, layout: RopeLayout = .half, inverse: Bool = false
    ) throws(Fault) {
        precondition(x.columns >= heads * headDim && positions.capacity >= x.rows && cosines.columns == headDim / 2 && same(cosines, sines), "rope: shapes")
        try check(
            unsafe ops.rope(
                x.pointer, positions.pointer, cosines.pointer, sines.pointer, Int64(x.rows), Int64(heads), Int64(headDim), Int64(x.layout.stride),
                layout == .half ? FK_ROPE_HALF : FK_ROPE_INTERLEAVED, inverse ? 1 : 0, stream), "rotate positions")
    }

    /// `out[n, f] = silu(gu[n, f]) · gu[n, width + f]`.
    package func swiglu(_ out: Tensor, _ gu: Tensor) throws(Fault) {
        precondition(gu.rows == out.rows && gu.columns == 2 * out.columns && gu.layout.isContiguous && out.layout.isContiguous, "swiglu: shapes")
        try check(unsafe ops.swiglu_fwd(out.pointer, gu.pointer, Int64(out.rows), Int64(out.columns), stream), "apply swiglu")
    }

    /// `dgu` (may be `gu`) from `dy`; `again`, if given, receives the forward result once more.
    package func swigluBackward(dgu: Tensor, again: Tensor?, dy: Tensor, gu: Tensor) throws(Fault) {
        precondition(same(dgu, gu) && gu.columns == 2 * dy.columns && gu.rows == dy.rows && dy.layout.isContiguous, "swiglu: shapes")
        try check(unsafe ops.swiglu_bwd(dgu.pointer, again?.pointer, dy.pointer, gu.pointer, Int64(dy.rows), Int64(dy.columns), stream), "apply swiglu backward")
    }

    /// `out[t] = w[ids[t]]`.
    package func embed(_ out: Tensor, weight: Tensor, ids: Indices) throws(Fault) {
        precondition(out.columns == weight.columns && ids.capacity >= out.rows && out.layout.isContiguous && weight.layout.isContiguous, "embed: shapes")
        try check(
            unsafe ops.embed_fwd(out.pointer, weight.pointer, ids.pointer, Int64(out.rows), Int64(out.columns), Int64(weight.rows), stream), "look up embeddings")
    }

    /// `dw[ids[t]] += dy[t]`, in the order of t.
    package func embedBackward(dw: Tensor, dy: Tensor, ids: Indices) throws(Fault) {
        precondition(dy.columns == dw.columns && ids.capacity >= dy.rows && dy.layout.isContiguous, "embed: shapes")
        try check(
            unsafe ops.embed_bwd(dw.pointer, dy.pointer, ids.pointer, Int64(dy.rows), Int64(dy.columns), Int64(dw.rows), stream), "look up embeddings backward")
    }

    /// Causal attention inside each of `sequences` packed sequences. `q`, `k`, `v`, `out` have a row a token; `lse` is `[tokens, queryHeads]`.
    package func attention(_ out: Tensor, lse: Tensor?, q: Tensor, k: Tensor, v: Tensor, cumulativeLengths: Indices, sequences: Int, shape: AttentionShape) throws(Fault) {
        var c = attentionShape(shape, q: q, k: k, v: v, out: out, sequences: sequences, lengths: cumulativeLengths)
        precondition(lse.map { $0.count >= q.rows * shape.queryHeads } ?? true, "attention: one denominator a query and head")
        try check(
            unsafe ops.attn_fwd(out.pointer, lse?.pointer, q.pointer, k.pointer, v.pointer, cumulativeLengths.pointer, &c, stream), "attend")
    }

    /// Replaces `dq`, `dk`, `dv`, laid out as `q`, `k`, `v`. `delta` is workspace, `[tokens, queryHeads]`.
    package func attentionBackward(
        dq: Tensor, dk: Tensor, dv: Tensor, delta: Tensor, dout: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, cumulativeLengths: Indices,
        sequences: Int, shape: AttentionShape
    ) throws(Fault) {
        var c = attentionShape(shape, q: q, k: k, v: v, out: out, sequences: sequences, lengths: cumulativeLengths)
        precondition(
            dq.layout == q.layout && dk.layout == k.layout && dv.layout == v.layout && dout.layout == out.layout && delta.count >= q.rows * shape.queryHeads,
            "attention: gradients are laid out as their values")
        try check(
            unsafe ops.attn_bwd(
                dq.pointer, dk.pointer, dv.pointer, delta.pointer, dout.pointer, q.pointer, k.pointer, v.pointer, out.pointer, lse.pointer,
                cumulativeLengths.pointer, &c, stream), "attend backward")
    }

    private func attentionShape(
        _ shape: AttentionShape, q: Tensor, k: Tensor, v: Tensor, out: Tensor, sequences: Int, lengths: Indices
    ) -> fk_attn_shape {
        let (wide, narrow) = (shape.queryHeads * shape.headDim, shape.kvHeads * shape.headDim)
        precondition(q.columns == wide && out.columns == wide && k.columns == narrow && v.columns == narrow, "attention: heads side by side")
        precondition(k.layout == v.layout && q.rows == k.rows && q.rows == out.rows && lengths.capacity > sequences, "attention: a row a token")
        return fk_attn_shape(
            tokens: Int64(q.rows), sequences: Int64(sequences), q_heads: Int64(shape.queryHeads), kv_heads: Int64(shape.kvHeads), head_dim: Int64(shape.headDim),
            q_stride: Int64(q.layout.stride), kv_stride: Int64(k.layout.stride), o_stride: Int64(out.layout.stride), window: Int64(shape.window), scale: shape.scale,
            flags: Int32(shape.precision.flag))
    }

    func same(_ a: Tensor, _ b: Tensor) -> Bool {
        a.rows == b.rows && a.columns == b.columns && a.layout.isContiguous && b.layout.isContiguous
    }
}
