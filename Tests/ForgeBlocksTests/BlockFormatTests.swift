import ForgeArtifact
import ForgeBlocks
import Testing

@Suite struct BlockFormatTests {
    private func decode(_ format: BlockFormat, _ blocks: [UInt8]) -> [Float] {
        var out = [Float](repeating: .nan, count: blocks.count / format.bytes * format.numbers), span = out.mutableSpan
        unsafe format.decode(blocks.span.bytes, into: &span)
        return out
    }

    private func encode(_ format: BlockFormat, _ values: [Float]) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: values.count / format.numbers * format.bytes), span = out.mutableSpan
        format.encode(values.span, into: &span)
        return out
    }

    @Test(arguments: BlockFormat.allCases)
    func `every type stands for the numbers llama.cpp says it does`(format: BlockFormat) throws {
        let bytes = try Golden.file("gguf/types.gguf"), table = try GGUFTable(parsing: bytes, fileBytes: bytes.count, source: "types"), name = "\(format)".lowercased() + ".weight"
        let entry = try #require(table[name]), golden = try Golden("gguf/types.safetensors")
        #expect(entry.type == format)
        let wanted = golden.floats(name)
        #expect(decode(format, Array(bytes[entry.range])).map(\.bitPattern) == wanted.map(\.bitPattern) && !wanted.isEmpty)
    }

    @Test(arguments: BlockFormat.encoded.filter { $0 != .f32 })
    func `numbers become the blocks the gguf package makes of them`(format: BlockFormat) throws {
        let golden = try Golden("blocks/encode.safetensors"), wanted = golden.bytes("\(format)")
        #expect(encode(format, golden.floats("values")) == wanted && !wanted.isEmpty)
    }

    /// One step of a block's scale at most: its rounding to half precision moves codes that are as large as they get.
    @Test(arguments: BlockFormat.encoded)
    func `what was encoded decodes to within half a step`(format: BlockFormat) throws {
        let values = Array(try Golden("blocks/encode.safetensors").floats("values").dropFirst(32)), back = decode(format, encode(format, values))
        for block in 0..<values.count / 32 {
            let range = block * 32..<(block + 1) * 32, extreme = values[range].map(abs).max() ?? 0
            let steps: Float = format == .q4_0 ? 8 : format == .q8_0 ? 127 : 1
            for i in range {
                let step: Float = switch format {
                case .f32: 0
                case .f16: max(abs(values[i]) * 0x1p-11, 0x1p-25)
                case .bf16: abs(values[i]) * 0x1p-8
                // Q4_0 has no +8: the largest of the other sign loses a whole step.
                default: extreme / steps * (format == .q4_0 ? 1.01 : 0.51) + (extreme / steps < 0x1p-14 ? 127 * 0x1p-25 : extreme * 0x1p-11)
                }
                if format == .f16, abs(values[i]) >= 65_520 { continue }
                #expect(abs(values[i] - back[i]) <= step, "\(format) \(i): \(values[i]) became \(back[i])")
            }
        }
    }

    @Test func `a block with what is no number never looks like numbers`() {
        for bad in [Float.nan, .infinity, -.infinity] {
            for format in [BlockFormat.q8_0, .q4_0] {
                var values = [Float](repeating: 1, count: 32)
                values[9] = bad
                #expect(decode(format, encode(format, values)).contains { !$0.isFinite }, "\(format) \(bad)")
            }
        }
        #expect(decode(.bf16, encode(.bf16, [.nan]))[0].isNaN && decode(.f16, encode(.f16, [.nan]))[0].isNaN)
        #expect(decode(.f16, encode(.f16, [.infinity, 1e9, 65_519, -65_520])) == [.infinity, .infinity, 65_504, -.infinity])
    }

    @Test func `every half is the number Swift says it is, and comes back`() {
        let halves = (0...UInt16.max).flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
        let decoded = decode(.f16, halves)
        #expect(bits(decoded) == bits((0...UInt16.max).map { Float(Float16(bitPattern: $0)) }))
        let back = encode(.f16, decoded)
        for half in 0...Int(UInt16.max) where !decoded[half].isNaN { #expect(back[2 * half] == halves[2 * half] && back[2 * half + 1] == halves[2 * half + 1], "\(half)") }
        // Halfway between neighbours, and one place of a float32 to either side.
        for half in stride(from: UInt16(0), to: 0x7bff, by: 7) {
            let middle = (Float(Float16(bitPattern: half)) + Float(Float16(bitPattern: half + 1))) / 2
            for value in [middle, middle.nextUp, middle.nextDown, -middle] {
                let wanted = Float16(value).bitPattern
                #expect(encode(.f16, [value]) == [UInt8(truncatingIfNeeded: wanted), UInt8(wanted >> 8)], "\(value)")
            }
        }
    }

    /// Any bytes are numbers, whole runs give what their blocks give alone, and nothing is written beyond the places.
    @Test(arguments: BlockFormat.allCases)
    func `random blocks decode, alone as together`(format: BlockFormat) {
        var generator = SplitMix(state: UInt64(format.rawValue) + 1)
        for blocks in 0..<40 {
            let bytes = (0..<blocks * format.bytes).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
            let together = decode(format, bytes)
            let alone = (0..<blocks).flatMap { decode(format, Array(bytes[$0 * format.bytes..<($0 + 1) * format.bytes])) }
            #expect(bits(together) == bits(alone))
        }
    }
}

struct SplitMix {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
