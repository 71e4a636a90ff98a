import CForgeBlocks

/// How a run of numbers is kept: blocks of `numbers` in `bytes`. Raw values are GGUF's; what the bits mean is in docs/formats/gguf.md.
package enum BlockFormat: UInt32, Sendable, Hashable, CaseIterable, CustomStringConvertible {
    case f32 = 0
    case f16 = 1
    case q4_0 = 2
    case q4_1 = 3
    case q5_0 = 6
    case q5_1 = 7
    case q8_0 = 8
    case q2_K = 10
    case q3_K = 11
    case q4_K = 12
    case q5_K = 13
    case q6_K = 14
    case iq4_NL = 20
    case iq4_XS = 23
    case bf16 = 30
    case mxfp4 = 39
    case nvfp4 = 40

    /// Numbers a block stands for.
    package var numbers: Int {
        switch self {
        case .f32, .f16, .bf16: 1
        case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .iq4_NL, .mxfp4: 32
        case .nvfp4: 64
        case .q2_K, .q3_K, .q4_K, .q5_K, .q6_K, .iq4_XS: 256
        }
    }

    /// Bytes a block takes.
    package var bytes: Int {
        switch self {
        case .f32: 4
        case .f16, .bf16: 2
        case .mxfp4: 17
        case .q4_0, .iq4_NL: 18
        case .q4_1: 20
        case .q5_0: 22
        case .q5_1: 24
        case .q8_0: 34
        case .nvfp4: 36
        case .q2_K: 84
        case .q3_K: 110
        case .iq4_XS: 136
        case .q4_K: 144
        case .q5_K: 176
        case .q6_K: 210
        }
    }

    package var description: String {
        switch self {
        case .f32: "F32"
        case .f16: "F16"
        case .q4_0: "Q4_0"
        case .q4_1: "Q4_1"
        case .q5_0: "Q5_0"
        case .q5_1: "Q5_1"
        case .q8_0: "Q8_0"
        case .q2_K: "Q2_K"
        case .q3_K: "Q3_K"
        case .q4_K: "Q4_K"
        case .q5_K: "Q5_K"
        case .q6_K: "Q6_K"
        case .iq4_NL: "IQ4_NL"
        case .iq4_XS: "IQ4_XS"
        case .bf16: "BF16"
        case .mxfp4: "MXFP4"
        case .nvfp4: "NVFP4"
        }
    }

    /// The numbers that whole blocks stand for, each product rounded to float32 in the order ggml rounds them.
    /// - Precondition: `blocks` are whole, and `out` has as many places as they stand for.
    package func decode(_ blocks: RawSpan, into out: inout MutableSpan<Float>) {
        let count = blocks.byteCount / bytes
        precondition(blocks.byteCount == count * bytes && out.count == count * numbers, "blocks are whole, and there is a place for each number")
        guard count > 0 else { return }
        unsafe blocks.withUnsafeBytes { source in
            unsafe out.withUnsafeMutableBufferPointer { target in
                let from = unsafe source.baseAddress!.assumingMemoryBound(to: UInt8.self), to = target.baseAddress!
                let count = Int64(count)
                switch self {
                case .f32: unsafe fb_decode_f32(to, from, count)
                case .f16: unsafe fb_decode_f16(to, from, count)
                case .q4_0: unsafe fb_decode_q4_0(to, from, count)
                case .q4_1: unsafe fb_decode_q4_1(to, from, count)
                case .q5_0: unsafe fb_decode_q5_0(to, from, count)
                case .q5_1: unsafe fb_decode_q5_1(to, from, count)
                case .q8_0: unsafe fb_decode_q8_0(to, from, count)
                case .q2_K: unsafe fb_decode_q2_k(to, from, count)
                case .q3_K: unsafe fb_decode_q3_k(to, from, count)
                case .q4_K: unsafe fb_decode_q4_k(to, from, count)
                case .q5_K: unsafe fb_decode_q5_k(to, from, count)
                case .q6_K: unsafe fb_decode_q6_k(to, from, count)
                case .iq4_NL: unsafe fb_decode_iq4_nl(to, from, count)
                case .iq4_XS: unsafe fb_decode_iq4_xs(to, from, count)
                case .bf16: unsafe fb_decode_bf16(to, from, count)
                case .mxfp4: unsafe fb_decode_mxfp4(to, from, count)
                case .nvfp4: unsafe fb_decode_nvfp4(to, from, count)
                }
            }
        }
    }

    /// Formats that numbers can be put into.
    package static let encoded: [BlockFormat] = [.f32, .f16, .bf16, .q8_0, .q4_0]

    /// The blocks that come nearest to some numbers, bit for bit those of the `gguf` package. A block with a number that is not finite gets a scale that is not.
    /// - Precondition: the format is one of `encoded`; the numbers fill whole blocks, and `out` has as many bytes as those.
    package func encode(_ values: Span<Float>, into out: inout MutableSpan<UInt8>) {
        let count = values.count / numbers
        precondition(values.count == count * numbers && out.count == count * bytes, "numbers fill whole blocks, and there is a place for each")
        guard count > 0 else { return }
        unsafe values.withUnsafeBufferPointer { source in
            unsafe out.withUnsafeMutableBufferPointer { target in
                let from = source.baseAddress!, to = target.baseAddress!
                let count = Int64(count)
                switch self {
                case .f32: unsafe UnsafeMutableRawPointer(to).copyMemory(from: from, byteCount: Int(count) * 4)
                case .f16: unsafe fb_encode_f16(to, from, count)
                case .bf16: unsafe fb_encode_bf16(to, from, count)
                case .q8_0: unsafe fb_encode_q8_0(to, from, count)
                case .q4_0: unsafe fb_encode_q4_0(to, from, count)
                default: preconditionFailure("numbers are not put into \(self)")
                }
            }
        }
    }
}
