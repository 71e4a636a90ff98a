import ForgeBlocks
package import ForgeCore

/// Elements of tensor files as float32 and back.
extension DType {
    /// Types whose every element is a float32.
    package static let widening: Set<DType> = [.f32, .bf16, .f16]

    private var format: BlockFormat {
        switch self {
        case .f32: .f32
        case .bf16: .bf16
        case .f16: .f16
        default: preconditionFailure("elements of another type are no floats")
        }
    }

    /// - Parameter bytes: whole elements of a type of `widening`.
    /// - Returns: the same values; what is no number keeps its sign and the bits of its fraction.
    package func floats(_ bytes: [UInt8]) -> [Float] {
        precondition(bytes.count.isMultiple(of: width), "elements are whole")
        var out = [Float](repeating: 0, count: bytes.count / width), span = out.mutableSpan
        unsafe format.decode(bytes.span.bytes, into: &span)
        return out
    }

    /// - Precondition: the type is one of `widening`. Values are rounded to nearest, ties to even; what is no number stays none.
    package func bytes(_ floats: [Float]) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: floats.count * width), span = out.mutableSpan
        format.encode(floats.span, into: &span)
        return out
    }
}
