package import ForgeCore

/// One step's slices as the forward pass reads them: every new position is a row, whatever sequence it belongs to.
package struct StepBatch: Sendable {
    /// `[rows]`: the token at each row.
    package private(set) var tokens: [TokenID] = []
    /// `[rows]`: its place in its own sequence.
    package private(set) var positions: [Int32] = []
    /// `[rows]`: which row of `tables` names its blocks.
    package private(set) var sequenceRows: [Int32] = []
    /// `[sequences, tableStride]`: blocks in order of position; unused entries are -1. The stride grows by 256 positions at a time, so that a device is told the same
    /// words for many steps and can keep what it made of them.
    package private(set) var tables: [BlockPool.BlockID] = []
    package private(set) var tableStride = 0
    /// Rows whose logits are wanted, rising.
    package private(set) var drawRows: [Int32] = []
    package let blockSize: Int

    /// - Parameter known: the known tokens of a sequence, at least up to the slice's end.
    package init(_ slices: [Scheduler.Slice], blockSize: Int, known: (SequenceID) -> [TokenID]) {
        self.blockSize = blockSize
        tableStride = Self.tableStride(blocks: slices.map(\.blocks.count).max() ?? 0, blockSize: blockSize)
        for (row, slice) in slices.enumerated() {
            tokens += known(slice.sequence)[slice.tokens]
            positions += slice.tokens.map { Int32($0) }
            sequenceRows += Array(repeating: Int32(row), count: slice.tokens.count)
            tables += slice.blocks
            tables += Array(repeating: -1, count: tableStride - slice.blocks.count)
            if slice.draws { drawRows.append(Int32(tokens.count - 1)) }
        }
    }

    package var rows: Int { tokens.count }

    /// The stride of tables whose longest row names so many blocks.
    package static func tableStride(blocks: Int, blockSize: Int) -> Int {
        let step = max(1, 256 / blockSize)
        return (blocks + step - 1) / step * step
    }
}

/// Computes a step: writes keys and values of every row into the cache, and gives the logits of the rows that draw.
///
/// Calls come one at a time, from the engine's own thread.
package protocol StepModel: AnyObject {
    var vocabulary: Int { get }
    /// Positions one sequence can have.
    var contextMax: Int { get }
    var blockSize: Int { get }
    var blocks: Int { get }
    /// - Returns: `[batch.drawRows.count, vocabulary]`.
    /// - Throws: `.environment` if the device refused. The cache is then in no defined state.
    func logits(_ batch: StepBatch) throws(Fault) -> [Float]
}
