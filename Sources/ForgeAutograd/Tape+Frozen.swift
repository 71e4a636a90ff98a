import ForgeCore
package import ForgeTensor

/// A low-rank change beside a frozen matrix: W + scale·B·A (LoRA: Hu et al. 2021, arXiv:2106.09685). Only A and B learn.
package struct Adapter {
    /// A: `[rank, in]`.
    package let down: Weight
    /// B: `[out, rank]`.
    package let up: Weight
    package let scale: Float
    /// The first of the frozen matrix's outputs it changes: matrices that lie under one another have adapters of their own.
    package let firstOutput: Int

    package init(down: Weight, up: Weight, scale: Float, firstOutput: Int = 0) {
        precondition(down.value.rows == up.value.columns, "A and B share their rank")
        self.down = down
        self.up = up
        self.scale = scale
        self.firstOutput = firstOutput
    }

    var rank: Int { down.value.rows }
    var outputs: Int { up.value.rows }

    /// The columns of `rows` it changes.
    func part(of rows: Tensor) -> Tensor { rows.view(from: firstOutput, rows: rows.rows, columns: outputs, stride: rows.layout.stride) }
}

// A frozen matrix is laid out once, in any format serving knows, and has no gradient. Going back it is unpacked a few rows at a time, in the cache.

extension Tape {
    /// `y = x·Wᵀ + Σ scale·(x·Aᵀ)·Bᵀ`, each adapter on its own outputs; back in the tape's precision or another.
    package func linear(_ x: Buffer, frozen: PackedMatrix, adapters: [Adapter], precision: Precision? = nil) -> Buffer {
        let out = value(columns: frozen.outputs), scratch = frozenWorkspace(frozen)
        record("frozen linear", [x, scratch, out]) { (tape) throws(Fault) in try tape.device.multiply(tape[out], tape[x], by: frozen, workspace: tape[scratch]) }
        let lowered = adapters.map { adapt($0, of: x, into: out) }
        rule { tape in
            let dy = tape.gradient(of: out)
            let dlowered = zip(adapters, lowered).map { tape.lower($0, lowered: $1, dy: dy) }
            tape.recordWeightGradients("adapters down", zip(adapters, dlowered).map { ($0.down, $1, 0) }, x: x, precision: tape.precision)
            let (dx, accumulate) = tape.claimGradient(of: x)
            tape.back(dy, frozen, zip(adapters, dlowered), into: dx, accumulate: accumulate, precision: precision ?? tape.precision)
        }
        return out
    }

    /// `W₂(silu(g)·u)` with W₂ frozen and adapters beside it: the activation is computed again going back.
    package func gatedLinear(_ gu: Buffer, frozen: PackedMatrix, adapters: [Adapter]) -> Buffer {
        let out = value(columns: frozen.outputs), hidden = value(columns: frozen.inputs), scratch = frozenWorkspace(frozen)
        record("frozen gated linear", [gu, hidden, scratch, out]) { (tape) throws(Fault) in
            try tape.device.swiglu(tape[hidden], tape[gu])
            try tape.device.multiply(tape[out], tape[hidden], by: frozen, workspace: tape[scratch])
        }
        let lowered = adapters.map { adapt($0, of: hidden, into: out) }
        rule { tape in
            let dy = tape.gradient(of: out)
            let (dgu, accumulate) = tape.claimGradient(of: gu)
            precondition(!accumulate, "gate and up are used by one operation")
            let dhidden = tape.value(columns: frozen.inputs), again = tape.value(columns: frozen.inputs)
            let dlowered = zip(adapters, lowered).map { tape.lower($0, lowered: $1, dy: dy) }
            tape.back(dy, frozen, zip(adapters, dlowered), into: dhidden, accumulate: false, precision: tape.precision)
            tape.recordBackward("frozen gated linear", [dgu, again, dhidden, gu]) { (tape) throws(Fault) in
                try tape.device.swigluBackward(dgu: tape[dgu], again: tape[again], dy: tape[dhidden], gu: tape[gu])
            }
            tape.recordWeightGradients("adapters down", zip(adapters, dlowered).map { ($0.down, $1, 0) }, x: again, precision: tape.precision)
        }
        return out
    }

    /// The frozen output projection and cross-entropy against `inputs.targets`, some rows at a time.
    /// - Returns: `[rows, 1]`, the log-probability of each target; 0 where the target is negative.
    package func crossEntropy(_ x: Buffer, frozen: PackedMatrix, mode: Mode) -> Buffer {
        let chunk = min(capacity, 256), vocabulary = frozen.outputs
        let logp = value(columns: 1), logits = workspace(chunk * vocabulary), scratch = frozenWorkspace(frozen, rows: chunk)
        let dx = mode == .train ? claimGradient(of: x).buffer : nil
        let unpacked = mode == .train ? workspace(Device.backWorkspace(inputs: frozen.inputs)) : nil
        /// Some rows at a time: their first, how many they are, and their logits.
        func chunks(_ tape: Tape, _ body: (Int, Int, Tensor) throws(Fault) -> Void) throws(Fault) {
            for first in stride(from: 0, to: tape.inputs.rows, by: chunk) {
                let rows = min(chunk, tape.inputs.rows - first), some = tape[logits].view(rows: rows, columns: vocabulary)
                try tape.device.multiply(some, tape[x].rows(first, rows), by: frozen, workspace: tape[scratch])
                try body(first, rows, some)
            }
        }
        func evaluate(_ tape: Tape) throws(Fault) {
            try chunks(tape) { (first, rows, logits) throws(Fault) in
                try tape.device.logProbabilities(tape[logp].rows(first, rows), logits: logits, targets: tape.inputs.targets.from(first))
            }
        }
        record("frozen cross-entropy", [x, logp, logits, scratch] + [dx, unpacked].compactMap { $0 }) { (tape) throws(Fault) in
            guard let dx, let unpacked else { return try evaluate(tape) }
            let weights = try tape.weigh(logp, evaluate)
            try chunks(tape) { (first, rows, logits) throws(Fault) in
                try tape.device.crossEntropy(
                    tape[logp].rows(first, rows), logits: logits, targets: tape.inputs.targets.from(first), weights: weights.rows(first, rows))
                try tape.device.multiplyBack(tape[dx].rows(first, rows), logits, by: frozen, accumulate: false, precision: tape.precision, workspace: tape[unpacked])
            }
        }
        return logp
    }

    private func frozenWorkspace(_ frozen: PackedMatrix, rows: Int? = nil) -> Buffer {
        workspace(frozen.format.workspaceFloats(rows: rows ?? capacity, k: frozen.inputs))
    }

    /// Adds an adapter's share to `out`.
    /// - Returns: `scale·x·Aᵀ`.
    private func adapt(_ adapter: Adapter, of x: Buffer, into out: Buffer) -> Buffer {
        let lowered = value(columns: adapter.rank)
        let packedDown = workspace(Device.packedCount(k: adapter.down.value.columns, n: adapter.rank)), packedUp = workspace(Device.packedCount(k: adapter.rank, n: adapter.outputs))
        record("adapter", [x, packedDown, lowered, packedUp, out]) { (tape) throws(Fault) in
            try tape.device.pack(tape[packedDown], from: adapter.down.value, as: .weight, precision: tape.precision)
            try tape.device.multiply(tape[lowered], tape[x], packed: tape[packedDown], precision: tape.precision)
            try tape.device.combine(tape[lowered], adapter.scale, tape[lowered])
            try tape.device.pack(tape[packedUp], from: adapter.up.value, as: .weight, precision: tape.precision)
            try tape.device.multiply(adapter.part(of: tape[out]), tape[lowered], packed: tape[packedUp], accumulate: true, precision: tape.precision)
        }
        return lowered
    }

    /// `dB += dyᵀ·lowered`.
    /// - Returns: `scale·dy·B`, the gradient of `x·Aᵀ`.
    private func lower(_ adapter: Adapter, lowered: Buffer, dy: Buffer) -> Buffer {
        let dlowered = value(columns: adapter.rank), packedUp = workspace(Device.packedCount(k: adapter.outputs, n: adapter.rank))
        recordWeightGradients("adapter up", [(adapter.up, dy, adapter.firstOutput)], x: lowered, precision: precision)
        recordBackward("adapter up input", [dy, packedUp, dlowered]) { (tape) throws(Fault) in
            let dy = adapter.part(of: tape[dy])
            try tape.device.pack(tape[packedUp], from: adapter.up.value, as: .plain, precision: tape.precision)
            try tape.device.multiply(tape[dlowered], dy, packed: tape[packedUp], precision: tape.precision)
            try tape.device.combine(tape[dlowered], adapter.scale, tape[dlowered])
        }
        return dlowered
    }

    /// `dx (+)= dy·W + Σ dlowered·A`.
    private func back(_ dy: Buffer, _ frozen: PackedMatrix, _ adapters: Zip2Sequence<[Adapter], [Buffer]>, into dx: Buffer, accumulate: Bool, precision: Precision) {
        let unpacked = workspace(Device.backWorkspace(inputs: frozen.inputs))
        recordBackward("frozen linear", [dy, unpacked, dx]) { (tape) throws(Fault) in
            try tape.device.multiplyBack(tape[dx], tape[dy], by: frozen, accumulate: accumulate, precision: precision, workspace: tape[unpacked])
        }
        for (adapter, dlowered) in adapters {
            let packed = workspace(Device.packedCount(k: adapter.rank, n: frozen.inputs))
            recordBackward("adapter input", [dlowered, packed, dx]) { (tape) throws(Fault) in
                try tape.device.pack(tape[packed], from: adapter.down.value, as: .plain, precision: tape.precision)
                try tape.device.multiply(tape[dx], tape[dlowered], packed: tape[packed], accumulate: true, precision: tape.precision)
            }
        }
    }
}
