import CForgeKernels
package import ForgeCore

/// Where new tokens find the keys and values of their sequences (see `paged_attn` in the kernel table).
package struct PagedRows {
    /// `[sequences, tableStride]`: block numbers in order of position.
    package let tables: Indices
    package let tableStride: Int
    /// `[rows]`: which row of `tables` a row belongs to.
    package let sequences: Indices
    /// `[rows]`
    package let positions: Indices
    package let blockSize: Int

    package init(tables: Indices, tableStride: Int, sequences: Indices, positions: Indices, blockSize: Int) {
        self.tables = tables
        self.tableStride = tableStride
        self.sequences = sequences
        self.positions = positions
        self.blockSize = blockSize
    }
}

extension Device {
    /// Each row of `q` attends to the positions up to its own of its sequence. `keys` and `values` are pools, `[blocks · blockSize, kvHeads · headDim]`.
    /// A row's bits depend on neither the other rows nor the block size, and equal those of `attention`.
    package func pagedAttention(_ out: Tensor, q: Tensor, keys: Tensor, values: Tensor, at rows: PagedRows, shape: AttentionShape) throws(Fault) {
        let (wide, narrow) = (shape.queryHeads * shape.headDim, shape.kvHeads * shape.headDim)
        precondition(q.columns == wide && out.columns == wide && out.rows == q.rows, "paged attention: heads side by side")
        precondition(keys.columns == narrow && same(keys, values) && keys.rows % rows.blockSize == 0, "paged attention: pools of whole blocks")
        precondition(rows.sequences.capacity >= q.rows && rows.positions.capacity >= q.rows, "paged attention: a sequence and a position a row")
        var c = fk_paged_shape(
            tokens: Int64(q.rows), q_heads: Int64(shape.queryHeads), kv_heads: Int64(shape.kvHeads), head_dim: Int64(shape.headDim),
            q_stride: Int64(q.layout.stride), o_stride: Int64(out.layout.stride), block_size: Int64(rows.blockSize), table_stride: Int64(rows.tableStride),
            window: Int64(shape.window), scale: shape.scale)
        try check(
            unsafe ops.paged_attn(
                out.pointer, q.pointer, keys.pointer, values.pointer, rows.tables.pointer, rows.sequences.pointer, rows.positions.pointer, &c, stream), "attend")
    }

    /// Row i of `x` becomes row `slots[i]` of `pool`.
    package func scatter(_ x: Tensor, into pool: Tensor, slots: [Int32]) throws(Fault) {
        precondition(x.columns == pool.columns && slots.count == x.rows && pool.layout.isContiguous, "scatter: a slot a row")
        for (row, slot) in slots.enumerated() {
            precondition(slot >= 0 && Int(slot) < pool.rows, "scatter: slots lie in the pool")
            try check(unsafe ops.copy(pool.pointer + Int(slot) * pool.columns, x.pointer + row * x.layout.stride, x.columns * 4, stream), "store keys and values")
        }
    }

    /// Row i of `out` becomes row `rows[i]` of `x`.
    package func gather(_ out: Tensor, from x: Tensor, rows: [Int32]) throws(Fault) {
        precondition(out.columns == x.columns && out.rows == rows.count && out.layout.isContiguous, "gather: a row a row")
        for (i, row) in rows.enumerated() {
            precondition(row >= 0 && Int(row) < x.rows, "gather: rows lie in the source")
            try check(unsafe ops.copy(out.pointer + i * out.columns, x.pointer + Int(row) * x.layout.stride, x.columns * 4, stream), "pick rows")
        }
    }
}
