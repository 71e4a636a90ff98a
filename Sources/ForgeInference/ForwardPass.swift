package import ForgeCore
package import ForgeModel
package import ForgeTensor

/// The decoder without a tape: the training pass's operations in the training pass's order, over a paged cache of keys and values.
///
/// Every operation works row by row with one order of summation, so a row's logits have the same bits alone, among others, in one chunk or in many, and
/// in the format the model was trained in they are the bits the training pass gives. Legend: R rows of the step, D rows that draw, E width, Q and K query and key widths.
package final class ForwardPass: StepModel {
    package let config: MistralConfig
    package let device: Device
    package let blockSize: Int
    package let blocks: Int
    private let weights: PackedWeights
    private let rowsMax: Int
    private let sequencesMax: Int
    private let attention: AttentionPass

    private let ids, positions, sequences, tables, draws: Indices
    private let stream_RE, normed_RE, branch_RE, heads_RH: Tensor
    private let stream_DE, branch_DE, last_DE, logits_DV: Tensor
    private let workspace: Tensor
    private let feedForward: FeedForwardPass

    /// - Parameters:
    ///   - blocks: pages of the cache; every one takes `blockBytes`.
    ///   - limits: how many rows and sequences one step may have.
    /// - Throws: `.environment` without memory: everything is taken here, nothing later.
    package init(_ weights: PackedWeights, on device: Device, blocks: Int, blockSize: Int = 16, limits: Scheduler.Limits = .init()) throws(Fault) {
        precondition(blocks > 0 && blockSize > 0, "a cache has blocks, and blocks have room")
        let config = weights.config
        self.config = config
        self.weights = weights
        self.device = device
        self.blocks = blocks
        self.blockSize = blockSize
        rowsMax = limits.tokensPerStep
        sequencesMax = min(limits.sequencesMax, rowsMax)
        let positionsMax = min(config.contextMax, blocks * blockSize)
        ids = try Indices(capacity: rowsMax, on: device)
        positions = try Indices(capacity: rowsMax, on: device)
        sequences = try Indices(capacity: rowsMax, on: device)
        draws = try Indices(capacity: sequencesMax, on: device)
        tables = try Indices(capacity: sequencesMax * StepBatch.tableStride(blocks: (positionsMax + blockSize - 1) / blockSize, blockSize: blockSize), on: device)
        stream_RE = try device.tensor(rows: rowsMax, columns: config.width)
        normed_RE = try device.tensor(rows: rowsMax, columns: config.width)
        branch_RE = try device.tensor(rows: rowsMax, columns: config.width)
        heads_RH = try device.tensor(rows: rowsMax, columns: config.headsWidth)
        stream_DE = try device.tensor(rows: sequencesMax, columns: config.width)
        branch_DE = try device.tensor(rows: sequencesMax, columns: config.width)
        last_DE = try device.tensor(rows: sequencesMax, columns: config.width)
        logits_DV = try device.tensor(rows: sequencesMax, columns: config.vocabulary)
        workspace = try device.tensor(rows: 1, columns: weights.format.workspaceFloats(rows: rowsMax, k: weights.inputsMax))
        attention = try AttentionPass(config, rows: rowsMax, positions: positionsMax, cache: blocks * blockSize, workspace: workspace, on: device)
        feedForward = try FeedForwardPass(config, rows: rowsMax, workspace: workspace, on: device)
    }

    package var vocabulary: Int { config.vocabulary }
    package var contextMax: Int { config.contextMax }

    /// Bytes of one block over all layers: keys and values, or latents.
    package static func blockBytes(_ config: MistralConfig, blockSize: Int) -> ByteCount {
        ByteCount(4 * config.layers * (config.latent?.width ?? 2 * config.kvWidth) * blockSize)
    }

    package func logits(_ batch: StepBatch) throws(Fault) -> [Float] {
        let rows = batch.rows, draws = batch.drawRows.count
        precondition(rows > 0 && rows <= rowsMax && draws <= sequencesMax && batch.blockSize == blockSize, "a step keeps to the limits it was planned for")
        ids.write(batch.tokens)
        positions.write(batch.positions)
        sequences.write(batch.sequenceRows)
        tables.write(batch.tables)
        self.draws.write(batch.drawRows)
        let paged = PagedRows(tables: tables, tableStride: batch.tableStride, sequences: sequences, positions: positions, blockSize: blockSize)

        let stream = stream_RE.prefix(rows), branch = branch_RE.prefix(rows), normed = normed_RE.prefix(rows)
        try device.embed(stream, weight: weights.embedding, ids: ids)
        for (number, layer) in weights.layers.enumerated() {
            try normalise(normed, stream, adding: number == 0 ? nil : branch, layer.attentionNorm)
            try attention.run(normed, layer.attention, number, paged, into: heads_RH.prefix(rows))
            try device.multiply(branch, heads_RH.prefix(rows), by: layer.output, workspace: workspace)
            try normalise(normed, stream, adding: branch, layer.feedForwardNorm)
            try feedForward.run(normed, layer.feedForward, into: branch)
        }
        guard draws > 0 else { return [] }
        // Only rows that draw need the last norm and the head.
        let last = last_DE.prefix(draws), logits = logits_DV.prefix(draws)
        try device.gather(stream_DE.prefix(draws), from: stream, rows: self.draws)
        try device.gather(branch_DE.prefix(draws), from: branch, rows: self.draws)
        try normalise(last, stream_DE.prefix(draws), adding: branch_DE.prefix(draws), weights.finalNorm)
        try device.multiply(logits, last, by: weights.head, workspace: workspace)
        return logits.values()
    }

    /// `stream += branch`, and the sum normalised.
    private func normalise(_ out: Tensor, _ stream: Tensor, adding branch: Tensor?, _ weight: Tensor) throws(Fault) {
        try device.rmsnorm(out, sum: branch == nil ? nil : stream, x: stream, add: branch, weight: weight, eps: config.normEps)
    }
}

/// The version of everything that decides a bit of an answer beside the kernels: the layout of conversations, this pass and the sampler. It changes whenever the same request may give
/// other tokens, and receipts carry it (docs/formats/receipt-commitment.md).
package enum InferenceVersion {
    package static let current = "inference-2"
}
