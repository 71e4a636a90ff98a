/// What an adapter adds to the matrix it lies beside: s·B·A, made for any run of elements.
package struct AdapterDelta: Sendable {
    /// A, `[rank, columns]`.
    let down: [Float]
    /// B, `[out, rank]`.
    let up: [Float]
    let rank: Int
    let columns: Int
    let scale: Float

    package init(down: [Float], up: [Float], rank: Int, columns: Int, scale: Float) {
        precondition(down.count == rank * columns && up.count.isMultiple(of: rank), "A has `rank` rows and B as many columns")
        self.down = down
        self.up = up
        self.rank = rank
        self.columns = columns
        self.scale = scale
    }

    /// Adds to `values`, the matrix's elements from `first` on, row-major. B·A is summed upwards over the rank; each element depends on nothing but its own row and column.
    package func add(to values: inout [Float], from first: Int) {
        var at = 0
        var sum = [Float](repeating: 0, count: min(columns, values.count))
        while at < values.count {
            let row = (first + at) / columns, column = (first + at) % columns, count = min(columns - column, values.count - at)
            for c in 0..<count { sum[c] = 0 }
            for k in 0..<rank {
                let b = up[row * rank + k], from = k * columns + column
                for c in 0..<count { sum[c] += b * down[from + c] }
            }
            for c in 0..<count { values[at + c] += scale * sum[c] }
            at += count
        }
    }
}
