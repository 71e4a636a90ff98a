package import ForgeCore

/// Elements of tensor files as float32 and back. Little endian, as safetensors is.
extension DType {
    /// Types whose every element is a float32.
    package static let widening: Set<DType> = [.f32, .bf16, .f16]

    /// - Parameter bytes: whole elements of a type of `widening`.
    /// - Returns: the same values; what is no number keeps its sign and the bits of its fraction.
    package func floats(_ bytes: [UInt8]) -> [Float] {
        precondition(DType.widening.contains(self) && bytes.count.isMultiple(of: width), "elements of another type are no floats")
        var out = [Float](repeating: 0, count: bytes.count / width)
        for i in out.indices {
            let low = UInt32(bytes[width * i]) | UInt32(bytes[width * i + 1]) << 8
            switch self {
            case .f32: out[i] = Float(bitPattern: low | UInt32(bytes[width * i + 2]) << 16 | UInt32(bytes[width * i + 3]) << 24)
            case .bf16: out[i] = Float(bitPattern: low << 16)
            default: out[i] = DType.widened(half: low)
            }
        }
        return out
    }

    /// - Precondition: the type is F32 or BF16. To BF16 values are rounded to nearest, ties to even; what is no number stays none.
    package func bytes(_ floats: [Float]) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: floats.count * width)
        switch self {
        case .f32:
            for (i, value) in floats.enumerated() { for byte in 0..<4 { out[4 * i + byte] = UInt8(truncatingIfNeeded: value.bitPattern >> (8 * UInt32(byte))) } }
        case .bf16:
            for (i, value) in floats.enumerated() {
                let bits = value.bitPattern, rounded = value.isNaN ? bits >> 16 | 0x40 : (bits &+ 0x7fff &+ (bits >> 16 & 1)) >> 16
                out[2 * i] = UInt8(truncatingIfNeeded: rounded)
                out[2 * i + 1] = UInt8(truncatingIfNeeded: rounded >> 8)
            }
        default: preconditionFailure("nothing is written in this type")
        }
        return out
    }

    /// IEEE 754 binary16 in binary32: 5 bits of exponent and 10 of fraction become 8 and 23, and a subnormal one becomes normal.
    private static func widened(half: UInt32) -> Float {
        let sign = (half & 0x8000) << 16, exponent = half >> 10 & 0x1f, fraction = half & 0x3ff
        switch exponent {
        case 0: return Float(bitPattern: sign | (Float(fraction) * 0x1p-24).bitPattern)
        case 31: return Float(bitPattern: sign | 0x7f80_0000 | fraction << 13)
        default: return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
        }
    }
}
