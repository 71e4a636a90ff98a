import CForgeKernels
package import ForgeCore

/// How a matrix lies in memory before it is packed.
package enum PackSource: Sendable {
    /// `[n, k]`: a weight, for y = x·Wᵀ.
    case weight
    /// `[k, n]`: a weight for dx = dy·W, or the inputs for dW = dyᵀ·x.
    case plain
}

/// What a product's operands are rounded to first; sums are float32 always.
package enum Precision: String, Sendable, CaseIterable, Codable {
    case f32
    /// The arithmetic of VDPBF16PS, emulated with the same bits where the CPU has not got it.
    case bf16

    var flag: UInt32 { self == .bf16 ? UInt32(FK_BF16) : 0 }
}

extension Device {
    /// Floats a packed k×n matrix takes.
    package static func packedCount(k: Int, n: Int) -> Int { (n + 31) / 32 * 32 * k }

    /// Lays B out in panels of 32 columns. `source` is `[n, k]` (`.weight`) or `[k, n]` (`.plain`).
    /// A product takes the precision its packed matrix was packed with.
    package func pack(_ packed: Tensor, from source: Tensor, as kind: PackSource, precision: Precision = .f32) throws(Fault) {
        let (k, n) = kind == .weight ? (source.columns, source.rows) : (source.rows, source.columns)
        precondition(packed.layout.isContiguous && packed.count >= Device.packedCount(k: k, n: n), "a packed matrix needs `packedCount` floats")
        let layout = fk_layout(rawValue: (kind == .weight ? FK_NK : FK_KN).rawValue | precision.flag)
        try check(
            unsafe ops.gemm_pack(packed.pointer, source.pointer, Int64(k), Int64(n), Int64(source.layout.stride), layout, stream), "pack a matrix")
    }

    /// `out[m, n] (+)= a[m, k] · B[k, n]`, terms added in the order of k: a row has the same bits whatever m is.
    /// - Parameter transposed: `a` is `[k, m]` and its columns are the rows.
    package func multiply(
        _ out: Tensor, _ a: Tensor, packed: Tensor, transposed: Bool = false, accumulate: Bool = false, precision: Precision = .f32
    ) throws(Fault) {
        let (m, k) = transposed ? (a.columns, a.rows) : (a.rows, a.columns)
        precondition(out.rows == m && packed.count >= Device.packedCount(k: k, n: out.columns), "a product's extents fit together")
        let (rowStride, columnStride) = transposed ? (1, a.layout.stride) : (a.layout.stride, 1)
        try check(
            unsafe ops.gemm(
                out.pointer, a.pointer, packed.pointer, Int64(m), Int64(k), Int64(out.columns), Int64(rowStride), Int64(columnStride), Int64(out.layout.stride),
                Int32((accumulate ? UInt32(FK_ACCUMULATE) : 0) | precision.flag), stream), "multiply matrices")
    }
}
