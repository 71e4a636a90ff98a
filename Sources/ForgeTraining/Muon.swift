package import ForgeCore
package import ForgeModel
package import ForgeTensor

/// Muon: momentum whose direction is made orthogonal by five Newton–Schulz steps (Jordan et al. 2024,
/// kellerjordan.github.io/posts/muon), with the update scaled by 0.2·√max(rows, columns) so that AdamW's learning rates fit
/// (Liu et al. 2025, arXiv:2502.16982).
package final class Muon {
    private let device: Device
    private let precision: Precision
    private let x: Tensor
    private let next: Tensor
    private let packed: Tensor
    private let gram: Tensor
    private let square: Tensor

    /// Workspace for the largest matrix of the table.
    package init(_ table: ParameterTable, precision: Precision = .f32, on device: Device) throws(Fault) {
        self.device = device
        self.precision = precision
        let shapes = table.entries.filter { $0.role == .matrix }.map(\.shape)
        let most = shapes.map(\.count).max() ?? 0
        let side = shapes.map { min($0[0], $0[1]) }.max() ?? 0
        let pack = shapes.map { max(Device.packedCount(k: $0[0], n: $0[1]), Device.packedCount(k: $0[1], n: $0[0]), Device.packedCount(k: side, n: side)) }.max() ?? 0
        x = try device.tensor(rows: 1, columns: most)
        next = try device.tensor(rows: 1, columns: most)
        packed = try device.tensor(rows: 1, columns: pack)
        gram = try device.tensor(rows: 1, columns: side * side)
        square = try device.tensor(rows: 1, columns: side * side)
    }

    /// W ← W(1 - rate·decay) - rate·0.2√max(r, c)·orthogonal(β m + (1-β) g), m ← β m + (1-β) g.
    package func update(_ weight: Tensor, momentum m: Tensor, gradient g: Tensor, partials: Tensor, rate: Float, beta: Float, decay: Float, scale: Float) throws(Fault) {
        let (rows, columns) = (weight.rows, weight.columns)
        try device.combine(m, beta, m, (1 - beta) * scale, g)
        var x = self.x.view(rows: rows, columns: columns), next = self.next.view(rows: rows, columns: columns)
        try device.combine(x, beta, m, (1 - beta) * scale, g)
        let norm = try device.sumOfSquares(x, partials: partials).squareRoot()
        try device.combine(x, Float(1 / (norm + 1e-7)), x)
        let side = min(rows, columns)
        let gram = self.gram.view(rows: side, columns: side), square = self.square.view(rows: side, columns: side)
        for _ in 0..<5 {
            // X ← aX + (bA + cA²)X with A = XXᵀ, or its mirror image where X is tall.
            let wide = rows <= columns
            try device.pack(packed, from: x, as: wide ? .weight : .plain, precision: precision)
            try device.multiply(gram, x, packed: packed, transposed: !wide, precision: precision)
            try device.pack(packed, from: gram, as: .plain, precision: precision)
            try device.multiply(square, gram, packed: packed, precision: precision)
            try device.combine(gram, -4.7750, gram, 2.0315, square)
            if wide {
                try device.pack(packed, from: x, as: .plain, precision: precision)
                try device.multiply(next, gram, packed: packed, precision: precision)
            } else {
                try device.pack(packed, from: gram, as: .plain, precision: precision)
                try device.multiply(next, x, packed: packed, precision: precision)
            }
            try device.combine(next, 1, next, 3.4445, x)
            swap(&x, &next)
        }
        let reach = 0.2 * Float(max(rows, columns)).squareRoot()
        try device.combine(weight, 1 - rate * decay, weight, -rate * reach, x)
    }
}
