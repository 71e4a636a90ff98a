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
        let wide = shape.queryHeads * shape.headDim
        precondition(q.columns == wide && out.columns == wide && out.rows == q.rows, "paged attention: heads side by side")
        var c = pagedShape(shape, rows, count: q.rows, keys: keys, values: values)
        (c.q_stride, c.o_stride) = (Int64(q.layout.stride), Int64(out.layout.stride))
        try check(
            unsafe ops.paged_attn(
                out.pointer, q.pointer, keys.pointer, values.pointer, rows.tables.pointer, rows.sequences.pointer, rows.positions.pointer, &c, stream), "attend")
    }

    /// Copies the rows of `k` and `v` to where the pools keep their positions: before anyone attends, so fresh ones and kept ones are read the same way.
    package func store(keys k: Tensor, values v: Tensor, in keys: Tensor, _ values: Tensor, at rows: PagedRows, shape: AttentionShape) throws(Fault) {
        let narrow = shape.kvHeads * shape.headDim
        precondition(k.columns == narrow && k.layout == v.layout, "store keys and values: heads side by side")
        var c = pagedShape(shape, rows, count: k.rows, keys: keys, values: values)
        c.kv_stride = Int64(k.layout.stride)
        try check(
            unsafe ops.paged_store(
                keys.pointer, values.pointer, k.pointer, v.pointer, rows.tables.pointer, rows.sequences.pointer, rows.positions.pointer, &c, stream), "store keys and values")
    }

    private func pagedShape(_ shape: AttentionShape, _ rows: PagedRows, count: Int, keys: Tensor, values: Tensor) -> fk_paged_shape {
        precondition(keys.columns == shape.kvHeads * shape.headDim && same(keys, values) && keys.rows % rows.blockSize == 0, "paged attention: pools of whole blocks")
        precondition(keys.layout.isContiguous && values.layout.isContiguous, "paged attention: pools without gaps")
        precondition(rows.sequences.capacity >= count && rows.positions.capacity >= count, "paged attention: a sequence and a position a row")
        return fk_paged_shape(
            tokens: Int64(count), q_heads: Int64(shape.queryHeads), kv_heads: Int64(shape.kvHeads), head_dim: Int64(shape.headDim), q_stride: 0, kv_stride: 0, o_stride: 0,
            blocks: Int64(keys.rows / rows.blockSize), block_size: Int64(rows.blockSize), sequences: Int64(rows.tables.capacity / max(1, rows.tableStride)),
            places: Int64(rows.tableStride), window: Int64(shape.window), scale: shape.scale, unused: 0)
    }

    /// Row i of `out` becomes row `rows[i]` of `x`.
    package func gather(_ out: Tensor, from x: Tensor, rows: Indices) throws(Fault) { try embed(out, weight: x, ids: rows) }
}
