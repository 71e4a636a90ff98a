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

    /// Bytes a product of `rows` rows needs beside its operands.
    package func workspaceBytes(rows: Int, k: Int) -> Int { quant == nil ? 0 : fk_quant_workspace(Int64(rows), Int64(k)) }

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
    fileprivate var pointer: UnsafeMutableRawPointer { unsafe storage.base }
}

extension Device {
    /// - Parameter weight: `[n, k]`.
    package func packed(_ weight: Tensor, as format: WeightFormat) throws(Fault) -> PackedMatrix {
        let (n, k) = (weight.rows, weight.columns)
        let storage = try Storage(bytes: max(format.bytes(k: k, n: n), 1), on: self)
        let matrix = PackedMatrix(format: format, inputs: k, outputs: n, storage: storage)
        if let quant = format.quant {
            try check(unsafe ops.quant_pack(matrix.pointer, weight.pointer, Int64(k), Int64(n), Int64(weight.layout.stride), quant, stream), "round a matrix")
        } else {
            let layout = fk_layout(rawValue: FK_NK.rawValue | (format == .bf16 ? UInt32(FK_BF16) : 0))
            let panels = unsafe matrix.pointer.assumingMemoryBound(to: Float.self)
            try check(unsafe ops.gemm_pack(panels, weight.pointer, Int64(k), Int64(n), Int64(weight.layout.stride), layout, stream), "pack a matrix")
        }
        return matrix
    }

    /// `out[m, n] = x[m, k] · Wᵀ`; a row has the same bits whatever the other rows are.
    /// - Parameter workspace: at least `format.workspaceBytes` bytes; may be shared by all products of a stream.
    package func multiply(_ out: Tensor, _ x: Tensor, by weight: PackedMatrix, workspace: Storage) throws(Fault) {
        precondition(x.columns == weight.inputs && out.columns == weight.outputs && out.rows == x.rows, "a product's extents fit together")
        let (m, k, n) = (Int64(x.rows), Int64(weight.inputs), Int64(weight.outputs))
        if let quant = weight.format.quant {
            try check(
                unsafe ops.quant_gemm(
                    out.pointer, x.pointer, weight.pointer, m, k, n, Int64(x.layout.stride), Int64(out.layout.stride), quant, workspace.base, workspace.bytes, stream),
                "multiply by a rounded matrix")
        } else {
            let panels = unsafe weight.pointer.assumingMemoryBound(to: Float.self)
            try check(
                unsafe ops.gemm(
                    out.pointer, x.pointer, panels, m, k, n, Int64(x.layout.stride), 1, Int64(out.layout.stride), weight.format == .bf16 ? Int32(FK_BF16) : 0, stream),
                "multiply matrices")
        }
    }

    /// The `[n, k]` matrix that a rounded one stands for.
    package func unpack(_ out: Tensor, from weight: PackedMatrix) throws(Fault) {
        guard let quant = weight.format.quant else { preconditionFailure("only rounded matrices are unpacked") }
        precondition(out.rows == weight.outputs && out.columns == weight.inputs, "a matrix is unpacked to its own extents")
        try check(
            unsafe ops.quant_unpack(out.pointer, weight.pointer, Int64(weight.inputs), Int64(weight.outputs), Int64(out.layout.stride), quant, stream), "unpack a matrix")
    }
}
