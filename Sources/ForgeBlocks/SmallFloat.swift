import CForgeBlocks

/// A float of eight bits, as releases keep weights in it (docs/formats/small-floats.md; Micikevicius et al. 2022, arXiv:2209.05433).
package enum SmallFloat: String, Sendable, Hashable, CaseIterable {
    /// Largest 448; no infinity.
    case e4m3 = "F8_E4M3"
    /// Largest 57344; the upper half of a half-precision number.
    case e5m2 = "F8_E5M2"

    package var largest: Float {
        switch self {
        case .e4m3: 448
        case .e5m2: 57_344
        }
    }

    /// value(code) · scale, rounded once.
    /// - Precondition: `out` has a place for each code.
    package func decode(_ codes: RawSpan, scale: Float = 1, into out: inout MutableSpan<Float>) {
        precondition(codes.byteCount == out.count, "there is a place for each code")
        decode(codes, 0..<out.count, scale: scale, into: &out)
    }

    /// Some places of a run.
    fileprivate func decode(_ codes: RawSpan, _ range: Range<Int>, scale: Float, into out: inout MutableSpan<Float>) {
        precondition(range.upperBound <= codes.byteCount && range.upperBound <= out.count, "places lie in the run")
        guard !range.isEmpty else { return }
        let first = range.lowerBound, count = Int64(range.count)
        unsafe codes.withUnsafeBytes { source in
            unsafe out.withUnsafeMutableBufferPointer { target in
                let from = unsafe source.baseAddress!.assumingMemoryBound(to: UInt8.self) + first, to = unsafe target.baseAddress! + first
                switch self {
                case .e4m3: unsafe fb_decode_e4m3(to, from, count, scale)
                case .e5m2: unsafe fb_decode_e5m2(to, from, count, scale)
                }
            }
        }
    }

    /// The codes nearest to value / scale, ties to even. What is larger than `largest`, infinities too, becomes that; a NaN stays one.
    /// - Precondition: `out` has a place for each value.
    package func encode(_ values: Span<Float>, scale: Float = 1, into out: inout MutableSpan<UInt8>) {
        precondition(values.count == out.count, "there is a place for each code")
        let count = Int64(values.count)
        guard count > 0 else { return }
        unsafe values.withUnsafeBufferPointer { source in
            unsafe out.withUnsafeMutableBufferPointer { target in
                switch self {
                case .e4m3: unsafe fb_encode_e4m3(target.baseAddress!, source.baseAddress!, count, scale)
                case .e5m2: unsafe fb_encode_e5m2(target.baseAddress!, source.baseAddress!, count, scale)
                }
            }
        }
    }
}

/// Scales of tiles that a matrix is cut into, the last of a row or column of tiles possibly short (DeepSeek-AI 2024, arXiv:2412.19437, §3.3).
package struct TileScales: Sendable {
    package let edge: Int
    private let across: Int
    private let scales: [Float]

    /// - Parameter scales: `[⌈rows / edge⌉, ⌈columns / edge⌉]`, row by row.
    /// - Returns: nil if that is not their number.
    package init?(_ scales: [Float], rows: Int, columns: Int, edge: Int = 128) {
        guard rows > 0, columns > 0, edge > 0 else { return nil }
        let down = (rows - 1) / edge + 1, across = (columns - 1) / edge + 1
        guard down.multipliedReportingOverflow(by: across) == (scales.count, false) else { return nil }
        self.edge = edge
        self.across = across
        self.scales = scales
    }

    /// One row of a matrix of small floats, each times the scale of its tile.
    /// - Precondition: the row is one of the matrix, and `out` has a place for each of its codes.
    package func decode(_ codes: RawSpan, row: Int, as format: SmallFloat, into out: inout MutableSpan<Float>) {
        precondition(codes.byteCount == out.count && (out.count + edge - 1) / edge == across, "a row has the matrix's columns")
        for tile in 0..<across {
            format.decode(codes, tile * edge..<min((tile + 1) * edge, out.count), scale: scales[row / edge * across + tile], into: &out)
        }
    }
}

/// Floats of four bits in groups of 16 with one E4M3 scale, as compressed-tensors keeps NVFP4: the scale of the whole tensor divides.
package enum PackedFloat4 {
    package static let group = 16

    /// e2m1 · (scale / global), the quotient and the product each rounded once.
    /// - Parameters:
    ///   - packed: `weight_packed`, two numbers a byte, the even place in the low half.
    ///   - scales: `weight_scale`, an E4M3 code for each group.
    ///   - global: `weight_global_scale`.
    /// - Precondition: `out` is whole groups of 16; there are as many packed numbers and a scale for each group.
    package static func decode(_ packed: RawSpan, scales: RawSpan, global: Float, into out: inout MutableSpan<Float>) {
        let groups = scales.byteCount
        precondition(out.count == groups * group && packed.byteCount == groups * group / 2, "numbers, codes and scales belong together")
        guard groups > 0 else { return }
        unsafe packed.withUnsafeBytes { packed in
            unsafe scales.withUnsafeBytes { scales in
                unsafe out.withUnsafeMutableBufferPointer { target in
                    unsafe fb_decode_e2m1(
                        target.baseAddress!, packed.baseAddress!.assumingMemoryBound(to: UInt8.self), scales.baseAddress!.assumingMemoryBound(to: UInt8.self), global, Int64(groups))
                }
            }
        }
    }

    /// The codes and scales of some numbers under a scale of their whole tensor.
    /// - Parameter global: 448 · 6 / the largest size in the tensor, so that its group's scale is as large as scales get.
    /// - Precondition: `values` are whole groups of 16, with half a byte and a sixteenth of a scale for each.
    package static func encode(_ values: Span<Float>, global: Float, into packed: inout MutableSpan<UInt8>, scales: inout MutableSpan<UInt8>) {
        let groups = scales.count
        precondition(values.count == groups * group && packed.count == groups * group / 2, "numbers, codes and scales belong together")
        guard groups > 0 else { return }
        unsafe values.withUnsafeBufferPointer { source in
            unsafe packed.withUnsafeMutableBufferPointer { packed in
                unsafe scales.withUnsafeMutableBufferPointer { scales in
                    unsafe fb_encode_e2m1(packed.baseAddress!, scales.baseAddress!, source.baseAddress!, global, Int64(groups))
                }
            }
        }
    }
}
