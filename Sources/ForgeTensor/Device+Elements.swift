import CForgeKernels
package import ForgeCore

/// What one AdamW step holds fixed (Loshchilov & Hutter 2019, arXiv:1711.05101; torch.optim.AdamW).
package struct AdamWStep: Sendable {
    package var rate: Float
    package var beta1: Float
    package var beta2: Float
    package var eps: Float
    package var decay: Float
    /// 1, 2, …
    package var number: Int
    /// Multiplies the gradient first (clipping).
    package var scale: Float

    package init(rate: Float, beta1: Float, beta2: Float, eps: Float, decay: Float, number: Int, scale: Float = 1) {
        precondition(number >= 1, "the first step is number 1")
        (self.rate, self.beta1, self.beta2, self.eps, self.decay, self.number, self.scale) = (rate, beta1, beta2, eps, decay, number, scale)
    }

    /// 1 - βᵗ by repeated squaring: the same bits on every system.
    static func bias(_ beta: Float, _ number: Int) -> Float {
        var (power, base, left) = (1.0, Double(beta), number)
        while left > 0 {
            if left & 1 == 1 { power *= base }
            base *= base
            left >>= 1
        }
        return Float(1 - power)
    }
}

extension Device {
    /// `out = alpha x + beta y`; `out` may be `x` or `y`.
    package func combine(_ out: Tensor, _ alpha: Float, _ x: Tensor, _ beta: Float = 0, _ y: Tensor? = nil) throws(Fault) {
        precondition(same(out, x) && (y.map { same($0, x) } ?? true), "combine: one shape")
        try check(unsafe ops.axpby(out.pointer, alpha, x.pointer, beta, y?.pointer, Int64(x.count), stream), "combine")
    }

    /// `out = x` for matrices whose rows may be strided: how columns of one become columns of another.
    package func copyColumns(_ out: Tensor, from x: Tensor) throws(Fault) {
        precondition(out.rows == x.rows && out.columns == x.columns, "copy columns: one shape")
        try check(
            unsafe ops.copy_columns(out.pointer, x.pointer, Int64(x.rows), Int64(x.columns), Int64(out.layout.stride), Int64(x.layout.stride), stream), "copy columns")
    }

    /// Σ x² in double, in one fixed order. `partials`: workspace of `sumOfSquaresWorkspace(x.count)` floats.
    package func sumOfSquares(_ x: Tensor, partials: Tensor) throws(Fault) -> Double {
        precondition(x.layout.isContiguous && partials.count >= Device.sumOfSquaresWorkspace(x.count), "sum of squares: workspace")
        let room = unsafe UnsafeMutableRawPointer(partials.pointer).assumingMemoryBound(to: Double.self)
        let sum = unsafe room + Int(fk_sumsq_partials(Int64(x.count)))
        try check(unsafe ops.sumsq(sum, room, x.pointer, Int64(x.count), stream), "sum squares")
        var result = 0.0
        try check(unsafe ops.copy(&result, sum, 8, stream), "sum squares")
        return result
    }

    /// In floats; partial sums and the sum are doubles. The workspace starts at a multiple of eight bytes.
    package static func sumOfSquaresWorkspace(_ count: Int) -> Int { 2 * (Int(fk_sumsq_partials(Int64(count))) + 1) }

    /// One AdamW step on parameters that lie together.
    package func adamw(_ p: Tensor, m: Tensor, v: Tensor, gradient: Tensor, step: AdamWStep) throws(Fault) {
        precondition(same(p, m) && same(p, v) && same(p, gradient), "adamw: one shape")
        var c = fk_adamw(
            lr: step.rate, beta1: step.beta1, beta2: step.beta2, eps: step.eps, weight_decay: step.decay, bias1: AdamWStep.bias(step.beta1, step.number),
            bias2: AdamWStep.bias(step.beta2, step.number), scale: step.scale)
        try check(unsafe ops.adamw(p.pointer, m.pointer, v.pointer, gradient.pointer, Int64(p.count), &c, stream), "update parameters")
    }
}
