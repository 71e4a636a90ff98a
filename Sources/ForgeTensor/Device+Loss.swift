import CForgeKernels
package import ForgeCore

extension Device {
    /// Floats of workspace `linearCrossEntropy` wants: for 256 rows of logits at a time, which stay in a CPU's caches; for 4,096 on a GPU, which many rows keep busy.
    package func crossEntropyWorkspace(width: Int, vocabulary: Int) -> Int {
        let rows = unsafe ops.device == 0 ? Int64(FK_CE_ROWS) : 16 * Int64(FK_CE_ROWS)
        return (fk_linear_ce_workspace(rows, Int64(width), Int64(vocabulary)) + 3) / 4
    }

    /// The output projection and cross-entropy, chunk by chunk, so that logits are never stored whole.
    /// - Parameters:
    ///   - logp: `[n, 1]`, the log-probability of each target; 0 where the target is negative (masked).
    ///   - dx: `[n, d]`, replaced; `dw`: `[vocabulary, d]`, added to. Nil for the forward pass alone.
    ///   - weights: `[n, 1]`, minus the loss's derivative by each log-probability: 1 / (targets of the whole optimiser step) where the loss is their mean. Only for gradients.
    ///   - packed, packedPlain: the weight packed `.weight` and `.plain`; the second is read only for gradients.
    package func linearCrossEntropy(
        logp: Tensor, dx: Tensor?, dw: Tensor?, x: Tensor, packed: Tensor, packedPlain: Tensor?, targets: Indices, vocabulary: Int, weights: Tensor?,
        workspace: Tensor, precision: Precision = .f32
    ) throws(Fault) {
        precondition((dx == nil) == (dw == nil) && (dx == nil || packedPlain != nil && weights != nil), "cross-entropy: gradients come together")
        precondition(weights.map { $0.count >= x.rows && $0.layout.isContiguous } ?? true, "cross-entropy: a weight a row")
        precondition(logp.count >= x.rows && targets.capacity >= x.rows && x.layout.isContiguous && (dx.map { same($0, x) } ?? true), "cross-entropy: a target a row")
        precondition(packed.count >= Device.packedCount(k: x.columns, n: vocabulary), "cross-entropy: the weight is packed")
        precondition((packedPlain.map { $0.count >= Device.packedCount(k: vocabulary, n: x.columns) } ?? true), "cross-entropy: the weight is packed")
        precondition((dw.map { $0.count == vocabulary * x.columns } ?? true), "cross-entropy: a gradient for each weight")
        try check(
            unsafe ops.linear_ce(
                logp.pointer, dx?.pointer, dw?.pointer, x.pointer, packed.pointer, packedPlain?.pointer, targets.pointer, Int64(x.rows), Int64(x.columns),
                Int64(vocabulary), weights?.pointer, Int32(precision.flag), workspace.pointer, workspace.count * 4, stream), "compute the loss")
    }

    /// `logp` as below, and `logits` become `weight · (softmax - onehot)` row by row, zero in masked rows: the gradient of `-Σ weight · logp`.
    package func crossEntropy(_ logp: Tensor, logits: Tensor, targets: Indices, weights: Tensor) throws(Fault) {
        precondition(logp.count >= logits.rows && targets.capacity >= logits.rows && logits.layout.isContiguous, "cross-entropy: a target a row")
        precondition(weights.count >= logits.rows && weights.layout.isContiguous, "cross-entropy: a weight a row")
        try check(
            unsafe ops.cross_entropy(logp.pointer, logits.pointer, targets.pointer, Int64(logits.rows), Int64(logits.columns), weights.pointer, stream), "compute the loss")
    }

    /// `logp[n] = logits[n, target] - logsumexp(logits[n])`, 0 where the target is negative.
    package func logProbabilities(_ logp: Tensor, logits: Tensor, targets: Indices) throws(Fault) {
        precondition(logp.count >= logits.rows && targets.capacity >= logits.rows && logits.layout.isContiguous, "log-probabilities: a target a row")
        try check(
            unsafe ops.logprob(logp.pointer, logits.pointer, targets.pointer, Int64(logits.rows), Int64(logits.columns), stream), "gather log-probabilities")
    }
}
