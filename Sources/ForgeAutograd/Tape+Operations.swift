import ForgeCore
package import ForgeTensor

// Each operation records its forward step and a rule that emits its backward steps. A weight is packed where it is used:
// that costs one pass over it against hundreds of multiplications of each element, and no second copy stays in memory.

extension Tape {
    /// `[rows, width]`: the embedding of each token.
    package func embed(_ weight: Weight) -> Buffer {
        let out = value(columns: weight.value.columns)
        record("embed", [out]) { (tape) throws(Fault) in try tape.device.embed(tape[out], weight: weight.value, ids: tape.inputs.ids) }
        guard let gradient = weight.gradient else { return out }
        rule { tape in
            let dy = tape.gradient(of: out)
            tape.recordBackward("embed", [dy]) { (tape) throws(Fault) in try tape.device.embedBackward(dw: gradient, dy: tape[dy], ids: tape.inputs.ids) }
        }
        return out
    }

    /// `y = x·Wᵀ`, W `[out, in]`, in the tape's precision or another.
    package func linear(_ x: Buffer, _ weight: Weight, precision: Precision? = nil) -> Buffer {
        let precision = precision ?? self.precision
        let (outputs, inputs) = (weight.value.rows, weight.value.columns)
        let out = value(columns: outputs)
        let packed = workspace(Device.packedCount(k: inputs, n: outputs))
        record("linear", [x, packed, out]) { (tape) throws(Fault) in
            try tape.device.pack(tape[packed], from: weight.value, as: .weight, precision: precision)
            try tape.device.multiply(tape[out], tape[x], packed: tape[packed], precision: precision)
        }
        rule { tape in
            let dy = tape.gradient(of: out)
            tape.recordWeightGradients("linear weight", [(weight, dy, 0)], x: x, precision: precision)
            let (dx, accumulate) = tape.claimGradient(of: x)
            let packed = tape.workspace(Device.packedCount(k: outputs, n: inputs))
            tape.recordBackward("linear input", [dy, packed, dx]) { (tape) throws(Fault) in
                try tape.device.pack(tape[packed], from: weight.value, as: .plain, precision: precision)
                try tape.device.multiply(tape[dx], tape[dy], packed: tape[packed], accumulate: accumulate, precision: precision)
            }
        }
        return out
    }

    /// `dW += dyᵀ·x` for the weights that learn, all from the same inputs, which are laid out once for all of them.
    /// - Parameter parts: a weight, the gradient of its outputs, and the column of that which is its first output.
    func recordWeightGradients(_ name: StaticString, _ parts: [(weight: Weight, dy: Buffer, firstOutput: Int)], x: Buffer, precision: Precision) {
        let learning = parts.compactMap { part in part.weight.gradient.map { (gradient: $0, dy: part.dy, firstOutput: part.firstOutput) } }
        guard let columns = learning.first?.gradient.columns else { return }
        let packed = workspace(Device.packedCount(k: capacity, n: columns))
        recordBackward(name, [x, packed] + learning.map(\.dy)) { (tape) throws(Fault) in
            try tape.device.pack(tape[packed], from: tape[x], as: .plain, precision: precision)
            for (gradient, dy, firstOutput) in learning {
                let dy = tape[dy].view(from: firstOutput, rows: tape[dy].rows, columns: gradient.rows, stride: tape[dy].layout.stride)
                try tape.device.multiply(gradient, dy, packed: tape[packed], transposed: true, accumulate: true, precision: precision)
            }
        }
    }

    /// `sum = x + add`, and `sum` normalised. `x` and `add` must not be used by anything else.
    /// - Returns: the normalised rows, and the sum that goes on.
    package func normalise(_ x: Buffer, add: Buffer? = nil, _ weight: Weight, eps: Float) -> (out: Buffer, sum: Buffer) {
        let columns = weight.value.columns
        let out = value(columns: columns), rstd = value(columns: 1)
        let sum = add == nil ? x : value(columns: columns)
        record("normalise", [x, out, rstd, sum] + (add.map { [$0] } ?? [])) { (tape) throws(Fault) in
            try tape.device.rmsnorm(
                tape[out], sum: add == nil ? nil : tape[sum], rstd: tape[rstd], x: tape[x], add: add.map { tape[$0] }, weight: weight.value, eps: eps)
        }
        rule { tape in
            let dy = tape.gradient(of: out)
            let (dsum, accumulate) = tape.claimGradient(of: sum)
            tape.recordBackward("normalise", [dy, sum, rstd, dsum]) { (tape) throws(Fault) in
                try tape.device.rmsnormBackward(
                    dx: tape[dsum], dw: weight.gradient, dy: tape[dy], x: tape[sum], weight: weight.value, rstd: tape[rstd], accumulate: accumulate)
            }
            if let add {
                tape.setGradient(of: x, to: dsum)
                tape.setGradient(of: add, to: dsum)
            }
        }
        return (out, sum)
    }

    /// Causal attention on rows of `[q | k | v]`, which are turned by their positions in place first.
    package func attend(_ qkv: Buffer, shape: AttentionShape, rotation: Rotation) -> Buffer {
        let (wide, narrow) = (shape.queryHeads * shape.headDim, shape.kvHeads * shape.headDim)
        let stride = wide + 2 * narrow
        let out = value(columns: wide), lse = value(columns: shape.queryHeads)
        func parts(_ tensor: Tensor) -> (q: Tensor, k: Tensor, v: Tensor) {
            (
                tensor.view(rows: tensor.rows, columns: wide, stride: stride), tensor.view(from: wide, rows: tensor.rows, columns: narrow, stride: stride),
                tensor.view(from: wide + narrow, rows: tensor.rows, columns: narrow, stride: stride)
            )
        }
        record("attend", [qkv, out, lse]) { (tape) throws(Fault) in
            try tape.device.rotate(tape[qkv], by: rotation, shape: shape, positions: tape.inputs.positions)
            let (q, k, v) = parts(tape[qkv])
            try tape.device.attention(
                tape[out], lse: tape[lse], q: q, k: k, v: v, cumulativeLengths: tape.inputs.cumulativeLengths, sequences: tape.inputs.sequences, shape: shape)
        }
        rule { tape in
            let dout = tape.gradient(of: out)
            let (dqkv, accumulate) = tape.claimGradient(of: qkv)
            precondition(!accumulate, "the rows of q, k and v are used by attention alone")
            let delta = tape.value(columns: shape.queryHeads)
            tape.recordBackward("attend", [dout, dqkv, qkv, out, lse, delta]) { (tape) throws(Fault) in
                let (q, k, v) = parts(tape[qkv]), (dq, dk, dv) = parts(tape[dqkv])
                try tape.device.attentionBackward(
                    dq: dq, dk: dk, dv: dv, delta: tape[delta], dout: tape[dout], q: q, k: k, v: v, out: tape[out], lse: tape[lse],
                    cumulativeLengths: tape.inputs.cumulativeLengths, sequences: tape.inputs.sequences, shape: shape)
                try tape.device.rotate(tape[dqkv], by: rotation, shape: shape, positions: tape.inputs.positions, inverse: true)
            }
        }
        return out
    }

    /// `W₂(silu(g)·u)` with g and u side by side in `gu`: the activation is computed again going back instead of being kept.
    package func gatedLinear(_ gu: Buffer, _ weight: Weight) -> Buffer {
        let (outputs, width) = (weight.value.rows, weight.value.columns)
        let out = value(columns: outputs), hidden = value(columns: width)
        let packed = workspace(Device.packedCount(k: width, n: outputs))
        record("gated linear", [gu, hidden, packed, out]) { (tape) throws(Fault) in
            try tape.device.swiglu(tape[hidden], tape[gu])
            try tape.device.pack(tape[packed], from: weight.value, as: .weight, precision: tape.precision)
            try tape.device.multiply(tape[out], tape[hidden], packed: tape[packed], precision: tape.precision)
        }
        rule { tape in
            let dy = tape.gradient(of: out)
            let (dgu, accumulate) = tape.claimGradient(of: gu)
            precondition(!accumulate, "gate and up are used by one operation")
            let dhidden = tape.value(columns: width), again = tape.value(columns: width)
            let packed = tape.workspace(Device.packedCount(k: outputs, n: width))
            tape.recordBackward("gated linear input", [dy, packed, dhidden, again, dgu, gu]) { (tape) throws(Fault) in
                try tape.device.pack(tape[packed], from: weight.value, as: .plain, precision: tape.precision)
                try tape.device.multiply(tape[dhidden], tape[dy], packed: tape[packed], precision: tape.precision)
                try tape.device.swigluBackward(dgu: tape[dgu], again: tape[again], dy: tape[dhidden], gu: tape[gu])
            }
            tape.recordWeightGradients("gated linear weight", [(weight, dy, 0)], x: again, precision: tape.precision)
        }
        return out
    }

    /// The output projection and cross-entropy against `inputs.targets`.
    /// - Returns: `[rows, 1]`, the log-probability of each target; 0 where the target is negative.
    package func crossEntropy(_ x: Buffer, _ weight: Weight, mode: Mode) -> Buffer {
        let (vocabulary, width) = (weight.value.rows, weight.value.columns)
        let logp = value(columns: 1)
        let packed = workspace(Device.packedCount(k: width, n: vocabulary))
        let scratch = workspace(device.crossEntropyWorkspace(width: width, vocabulary: vocabulary))
        func evaluate(_ tape: Tape) throws(Fault) {
            try tape.device.linearCrossEntropy(
                logp: tape[logp], dx: nil, dw: nil, x: tape[x], packed: tape[packed], packedPlain: nil, targets: tape.inputs.targets, vocabulary: vocabulary,
                weights: nil, workspace: tape[scratch], precision: tape.precision)
        }
        guard mode == .train else {
            record("cross-entropy", [x, logp, packed, scratch]) { (tape) throws(Fault) in
                try tape.device.pack(tape[packed], from: weight.value, as: .weight, precision: tape.precision)
                try evaluate(tape)
            }
            return logp
        }
        // The loss is the end of the tape: its gradient is made with it, going forward.
        let (dx, accumulate) = claimGradient(of: x)
        precondition(!accumulate, "the loss is recorded last")
        let plain = workspace(Device.packedCount(k: vocabulary, n: width))
        record("cross-entropy", [x, dx, logp, packed, plain, scratch]) { (tape) throws(Fault) in
            try tape.device.pack(tape[packed], from: weight.value, as: .weight, precision: tape.precision)
            try tape.device.pack(tape[plain], from: weight.value, as: .plain, precision: tape.precision)
            let weights = try tape.weigh(logp, evaluate)
            try tape.device.linearCrossEntropy(
                logp: tape[logp], dx: tape[dx], dw: weight.gradient, x: tape[x], packed: tape[packed], packedPlain: tape[plain], targets: tape.inputs.targets,
                vocabulary: vocabulary, weights: weights, workspace: tape[scratch], precision: tape.precision)
        }
        return logp
    }

    /// What each row's log-probability weighs in the objective, which may depend on all of them.
    func weigh(_ logp: Buffer, _ evaluate: (Tape) throws(Fault) -> Void) throws(Fault) -> Tensor {
        let weights = inputs.weights.prefix(inputs.rows)
        switch inputs.objective {
        case .likelihood(let weight): weights.fill(weight)
        case .derivative(let of):
            try evaluate(self)
            let derivative = try of(self[logp].values())
            precondition(derivative.count == inputs.rows, "an objective has a derivative by every row")
            weights.write(derivative.map { -$0 })
        }
        return weights
    }
}
