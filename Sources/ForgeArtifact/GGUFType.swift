/// How a GGUF tensor keeps its numbers: blocks of `numbers` in `bytes` (docs/formats/gguf.md).
package enum GGUFType: UInt32, Sendable, Hashable, CaseIterable, CustomStringConvertible {
    case f32 = 0
    case f16 = 1
    case q4_0 = 2
    case q8_0 = 8
    case q4_K = 12
    case q5_K = 13
    case q6_K = 14
    case bf16 = 30

    /// Types that exist and are not read.
    static let others: [UInt32: String] = [
        3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S",
        23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4",
    ]

    package var numbers: Int {
        switch self {
        case .f32, .f16, .bf16: 1
        case .q4_0, .q8_0: 32
        case .q4_K, .q5_K, .q6_K: 256
        }
    }

    package var bytes: Int {
        switch self {
        case .f32: 4
        case .f16, .bf16: 2
        case .q4_0: 18
        case .q8_0: 34
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
        case .q8_0: "Q8_0"
        case .q4_K: "Q4_K"
        case .q5_K: "Q5_K"
        case .q6_K: "Q6_K"
        case .bf16: "BF16"
        }
    }

    /// The numbers that whole blocks stand for, each product rounded to float32 in the order ggml rounds them.
    /// - Precondition: `blocks` are whole.
    package func unpack(_ blocks: [UInt8]) -> [Float] {
        precondition(blocks.count.isMultiple(of: bytes), "blocks are whole")
        var out: [Float] = []
        out.reserveCapacity(blocks.count / bytes * numbers)
        for start in stride(from: 0, to: blocks.count, by: bytes) { append(blocks[start..<(start + bytes)], to: &out) }
        return out
    }

    private func append(_ block: ArraySlice<UInt8>, to out: inout [Float]) {
        let b = block.startIndex
        func half(_ at: Int) -> Float { Float(Float16(bitPattern: UInt16(block[b + at]) | UInt16(block[b + at + 1]) << 8)) }
        func low(_ at: Int) -> Float { Float(block[b + at] & 15) }
        func high(_ at: Int) -> Float { Float(block[b + at] >> 4) }
        switch self {
        case .f32: out.append(Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(block[b + $1]) << (8 * $1) }))
        case .f16: out.append(half(0))
        case .bf16: out.append(Float(bitPattern: UInt32(block[b]) << 16 | UInt32(block[b + 1]) << 24))
        case .q8_0:
            let d = half(0)
            for j in 0..<32 { out.append(d * Float(Int8(bitPattern: block[b + 2 + j]))) }
        case .q4_0:
            let d = half(0)
            for j in 0..<16 { out.append((low(2 + j) - 8) * d) }
            for j in 0..<16 { out.append((high(2 + j) - 8) * d) }
        case .q4_K, .q5_K:
            let d = half(0), m = half(2), fifth = self == .q5_K ? 16 : nil, codes = self == .q5_K ? 48 : 16
            func scales(_ group: Int) -> (scale: Float, offset: Float) {
                func q(_ i: Int) -> UInt8 { block[b + 4 + i] }
                if group < 4 { return (d * Float(q(group) & 63), m * Float(q(group + 4) & 63)) }
                return (d * Float(q(group + 4) & 15 | (q(group - 4) >> 6) << 4), m * Float(q(group + 4) >> 4 | (q(group) >> 6) << 4))
            }
            for group in 0..<8 {
                let (scale, offset) = scales(group), at = codes + group / 2 * 32
                for j in 0..<32 {
                    let above: Float = fifth.map { block[b + $0 + j] >> group & 1 == 1 ? 16 : 0 } ?? 0
                    out.append(scale * ((group.isMultiple(of: 2) ? low(at + j) : high(at + j)) + above) - offset)
                }
            }
        case .q6_K:
            let d = half(208)
            for h in 0..<2 {
                for i in 0..<4 {
                    for j in 0..<32 {
                        let at = 64 * h + 32 * (i % 2) + j, top = block[b + 128 + 32 * h + j] >> (2 * i) & 3
                        let code = Int(i < 2 ? block[b + at] & 15 : block[b + at] >> 4) | Int(top) << 4
                        let scale = Float(Int8(bitPattern: block[b + 192 + 8 * h + 2 * i + j / 16]))
                        out.append(d * scale * Float(code - 32))
                    }
                }
            }
        }
    }
}
