package import ForgeCore

/// How queries and keys turn by their positions: cosines and sines of every position and pair.
package struct Rotation {
    /// `[positions, headDim / 2]` each.
    package struct Turns {
        package let cosines: Tensor
        package let sines: Tensor

        package init(cosines: Tensor, sines: Tensor) {
            self.cosines = cosines
            self.sines = sines
        }
    }

    package let keys: Turns
    /// Other turns for queries, where those grow with their position: the growth rides on cosines and sines, so that turning and scaling are one
    /// multiplication, and going back too. Nil where queries and keys turn alike.
    package let queries: Turns?

    package init(keys: Turns, queries: Turns? = nil) {
        self.keys = keys
        self.queries = queries
    }
}

extension Device {
    /// Turns the queries and keys that begin each row of `[q | k | v]` by the positions of their tokens, or with `inverse` takes a gradient back through that.
    package func rotate(_ qkv: Tensor, by rotation: Rotation, shape: AttentionShape, positions: Indices, inverse: Bool = false) throws(Fault) {
        func turn(_ x: Tensor, _ heads: Int, _ turns: Rotation.Turns) throws(Fault) {
            try rope(x, heads: heads, headDim: shape.headDim, positions: positions, cosines: turns.cosines, sines: turns.sines, inverse: inverse)
        }
        guard let queries = rotation.queries else { return try turn(qkv, shape.queryHeads + shape.kvHeads, rotation.keys) }
        let wide = shape.queryHeads * shape.headDim, narrow = shape.kvHeads * shape.headDim, stride = qkv.layout.stride
        try turn(qkv.view(rows: qkv.rows, columns: wide, stride: stride), shape.queryHeads, queries)
        try turn(qkv.view(from: wide, rows: qkv.rows, columns: narrow, stride: stride), shape.kvHeads, rotation.keys)
    }
}
