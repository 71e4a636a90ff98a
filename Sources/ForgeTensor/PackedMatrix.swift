import CForgeKernels
package import ForgeCore

/// How a matrix that is only read is kept for products.
package enum WeightFormat: String, Sendable, Hashable, CaseIterable, Codable {
    case f32
    /// Operands rounded to bfloat16, sums in float32: `Precision.bf16`.
    case bf16
    /// Blocks of 32 whole numbers with one half-precision scale; inputs are rounded to 8 bits a block too (docs/formats/quantised-weights.md).
    case q8
    case q4

    package init(_ precision: Precision) { self = precision == .bf16 ? .bf16 : .f32 }

    /// Bytes of a packed `[n, k]` weight.
    package func bytes(k: Int, n: Int) -> Int {
        switch self {
        case .f32: 4 * Device.packedCount(k: k, n: n)
        // A k without a partner has half a pair to itself.
        case .bf16: 2 * Device.packedCount(k: k + k % 2, n: n)
        case .q8: fk_quant_bytes(Int64(k), Int64(n), FK_Q8)
        case .q4: fk_quant_bytes(Int64(k), Int64(n), FK_Q4)
        }
    }

    /// Floats a product of `rows` rows needs beside its operands.
    package func workspaceFloats(rows: Int, k: Int) -> Int { quant == nil ? 0 : (fk_quant_workspace(Int64(rows), Int64(k)) + 3) / 4 }

    var quant: fk_quant? {
        switch self {
        case .f32, .bf16: nil
        case .q8: FK_Q8
        case .q4: FK_Q4
        }
    }
}

/// A weight `[n, k]`, laid out once for many products y = x·Wᵀ.
package struct PackedMatrix {
    package let format: WeightFormat
    /// k: columns of x.
    package let inputs: Int
    /// n: columns of y.
    package let outputs: Int
    fileprivate let storage: Storage
    /// In bytes.
    fileprivate var offset = 0
    fileprivate var pointer: UnsafeMutableRawPointer { unsafe storage.base + offset }

    /// Rows of W from `first` on, which begins a panel: they lie together.
    fileprivate func rows(_ first: Int, _ count: Int) -> PackedMatrix {
        PackedMatrix(format: format, inputs: inputs, outputs: count, storage: storage, offset: offset + format.bytes(k: inputs, n: first))
    }
}

extension Device {
    /// - Parameters:
    ///   - weight: `[n, k]`, or `[k, n]` as `.plain`, which formats in blocks do not have.
    package func packed(_ weight: Tensor, from kind: PackSource = .weight, as format: WeightFormat) throws(Fault) -> PackedMatrix {
        precondition(kind == .weight || format.quant == nil, "blocks lie along a weight's rows")
        let (n, k) = kind == .weight ? (weight.rows, weight.columns) : (weight.columns, weight.rows)
        let storage = try Storage(bytes: max(format.bytes(k: k, n: n), 1), on: self)
        let matrix = PackedMatrix(format: format, inputs: k, outputs: n, storage: storage)
        if let quant = format.quant {
            try check(unsafe ops.quant_pack(matrix.pointer, weight.pointer, Int64(k), Int64(n), Int64(weight.layout.stride), quant, stream), "round a matrix")
        } else {
            let layout = fk_layout(rawValue: (kind == .weight ? FK_NK : FK_KN).rawValue | (format == .bf16 ? UInt32(FK_BF16) : 0))
            let panels = unsafe matrix.pointer.assumingMemoryBound(to: Float.self)
            try check(unsafe ops.gemm_pack(panels, weight.pointer, Int64(k), Int64(n), Int64(weight.layout.stride), layout, stream), "pack a matrix")
        }
        return matrix
    }

    /// `out[m, n] = x[m, k] · Wᵀ`; a row has the same bits whatever the other rows are.
    /// - Parameter workspace: at least `format.workspaceFloats` floats; may be shared by all products of a stream.
    package func multiply(_ out: Tensor, _ x: Tensor, by weight: PackedMatrix, workspace: Tensor) throws(Fault) {
        precondition(x.columns == weight.inputs && out.columns == weight.outputs && out.rows == x.rows, "a product's extents fit together")
        let (m, k, n) = (Int64(x.rows), Int64(weight.inputs), Int64(weight.outputs))
        if let quant = weight.format.quant {
            try check(
                unsafe ops.quant_gemm(
                    out.pointer, x.pointer, weight.pointer, m, k, n, Int64(x.layout.stride), Int64(out.layout.stride), quant, workspace.pointer, workspace.count * 4,
                    stream),
                "multiply by a rounded matrix")
        } else {
            let panels = unsafe weight.pointer.assumingMemoryBound(to: Float.self)
            try check(
                unsafe ops.gemm(
                    out.pointer, x.pointer, panels, m, k, n, Int64(x.layout.stride), 1, Int64(out.layout.stride), weight.format == .bf16 ? Int32(FK_BF16) : 0, stream),
                "multiply matrices")
        }
    }

    /// The `[n, k]` matrix that a packed one stands for, as it was rounded.
    package func unpack(_ out: Tensor, from weight: PackedMatrix) throws(Fault) {
        precondition(out.rows == weight.outputs && out.columns == weight.inputs, "a matrix is unpacked to its own extents")
        let (k, n, stride) = (Int64(weight.inputs), Int64(weight.outputs), Int64(out.layout.stride))
        if let quant = weight.format.quant {
            try check(unsafe ops.quant_unpack(out.pointer, weight.pointer, k, n, stride, quant, stream), "unpack a matrix")
        } else {
            let panels = unsafe weight.pointer.assumingMemoryBound(to: Float.self)
            try check(unsafe ops.gemm_unpack(out.pointer, panels, k, n, stride, weight.format == .bf16 ? Int32(FK_BF16) : 0, stream), "unpack a matrix")
        }
    }

    /// Rows of W that `multiplyBack` unpacks at a time: few enough to stay in a cache, and whole panels.
    private static let rowsUnpacked = 512

    /// Floats of workspace `multiplyBack` needs for a matrix of `inputs` columns.
    package static func backWorkspace(inputs: Int) -> Int { rowsUnpacked * inputs + packedCount(k: rowsUnpacked, n: inputs) }

    /// `dx[m, k] (+)= dy[m, n] · W`: the way back through `multiply(_:_:by:workspace:)`, W as it was rounded, in `precision`. The terms are added in the order of n.
    package func multiplyBack(_ dx: Tensor, _ dy: Tensor, by weight: PackedMatrix, accumulate: Bool, precision: Precision, workspace: Tensor) throws(Fault) {
        precondition(dy.columns == weight.outputs && dx.columns == weight.inputs && dx.rows == dy.rows, "a product's extents fit together")
        precondition(workspace.count >= Device.backWorkspace(inputs: weight.inputs), "a matrix is unpacked into workspace of its size")
        for first in stride(from: 0, to: weight.outputs, by: Device.rowsUnpacked) {
            let count = min(Device.rowsUnpacked, weight.outputs - first)
            let plain = workspace.view(rows: count, columns: weight.inputs)
            let packed = workspace.view(from: plain.count, rows: 1, columns: Device.packedCount(k: count, n: weight.inputs))
            try unpack(plain, from: weight.rows(first, count))
            try pack(packed, from: plain, as: .plain, precision: precision)
            try multiply(
                dx, dy.view(from: first, rows: dy.rows, columns: count, stride: dy.layout.stride), packed: packed, accumulate: accumulate || first > 0, precision: precision)
        }
    }
}
