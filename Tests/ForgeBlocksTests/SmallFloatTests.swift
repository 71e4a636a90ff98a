import ForgeBlocks
import Testing

@Suite struct SmallFloatTests {
    private let golden: Golden

    init() throws { golden = try Golden("blocks/small.safetensors") }

    private func decode(_ format: SmallFloat, _ codes: [UInt8], scale: Float = 1) -> [Float] {
        var out = [Float](repeating: -1, count: codes.count), span = out.mutableSpan
        unsafe format.decode(codes.span.bytes, scale: scale, into: &span)
        return out
    }

    private func encode(_ format: SmallFloat, _ values: [Float], scale: Float = 1) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: values.count), span = out.mutableSpan
        format.encode(values.span, scale: scale, into: &span)
        return out
    }

    @Test(arguments: SmallFloat.allCases)
    func `all 256 codes are what torch says they are`(format: SmallFloat) {
        let decoded = decode(format, Array(0...255))
        #expect(bits(decoded) == bits(golden.floats(format.rawValue + ".decoded")))
        #expect(decoded.filter(\.isFinite).max() == format.largest)
    }

    @Test(arguments: SmallFloat.allCases)
    func `numbers get torch's codes`(format: SmallFloat) {
        let values = golden.floats("values"), codes = encode(format, values), wanted = golden.bytes(format.rawValue + ".codes")
        #expect(wanted.count == values.count)
        for i in values.indices { #expect(codes[i] == wanted[i], "\(values[i])") }
        #expect(decode(format, encode(format, [.nan])) [0].isNaN)
    }

    @Test(arguments: SmallFloat.allCases)
    func `a code comes back, and between two codes the nearest is taken`(format: SmallFloat) {
        let all = decode(format, Array(0...255))
        for code in 0...255 where all[code].isFinite { #expect(encode(format, [all[code]]) == [UInt8(code)]) }
        let top = encode(format, [format.largest])[0]
        for code in 0..<top {
            let middle = (all[Int(code)] + all[Int(code) + 1]) / 2, even = code.isMultiple(of: 2) ? code : code + 1
            #expect(encode(format, [middle, middle.nextDown, middle.nextUp]) == [even, code, code + 1])
        }
    }

    @Test func `a scale multiplies on the way out and divides on the way in`() {
        let scale: Float = 0.0123, codes = [UInt8](0...126)
        #expect(decode(.e4m3, codes, scale: scale) == decode(.e4m3, codes).map { $0 * scale })
        #expect(encode(.e4m3, decode(.e4m3, codes, scale: scale), scale: scale) == codes)
    }

    @Test func `each tile of a matrix has its own scale`() throws {
        let scales = try #require(TileScales(golden.floats("tiles.scales"), rows: 150, columns: 260)), codes = golden.bytes("tiles.codes"), wanted = golden.floats("tiles.decoded")
        for (kept, row) in [0, 127, 128, 149].enumerated() {
            let range = kept * 260..<(kept + 1) * 260
            var out = [Float](repeating: 0, count: 260), span = out.mutableSpan
            unsafe scales.decode(Array(codes[range]).span.bytes, row: row, as: .e4m3, into: &span)
            #expect(bits(out) == bits(Array(wanted[range])))
        }
        #expect(TileScales([1, 1, 1, 1, 1], rows: 150, columns: 260) == nil && TileScales([1], rows: 128, columns: 128) != nil && TileScales([], rows: 0, columns: 1) == nil)
        #expect(TileScales([1], rows: .max, columns: .max, edge: 1) == nil)
    }

    @Test func `four bits with two scales are what torch makes of them`() {
        var out = [Float](repeating: 0, count: 6 * 48), span = out.mutableSpan
        unsafe PackedFloat4.decode(golden.bytes("nvfp4.packed").span.bytes, scales: golden.bytes("nvfp4.scales").span.bytes, global: golden.floats("nvfp4.global")[0], into: &span)
        #expect(bits(out) == bits(golden.floats("nvfp4.decoded")))
        // The scale of the whole tensor divides: a reader that multiplies by it is off by its square.
        var other = out, wrong = other.mutableSpan
        unsafe PackedFloat4.decode(golden.bytes("nvfp4.packed").span.bytes, scales: golden.bytes("nvfp4.scales").span.bytes, global: 1 / golden.floats("nvfp4.global")[0], into: &wrong)
        #expect(other != out)
    }

    @Test func `numbers become the four bits nearest to them, even codes on a middle`() {
        let values = golden.floats("fp4.values"), global = golden.floats("fp4.global")[0]
        var packed = [UInt8](repeating: 0xff, count: values.count / 2), scales = [UInt8](repeating: 0xff, count: values.count / 16)
        var codes = packed.mutableSpan, groups = scales.mutableSpan
        PackedFloat4.encode(values.span, global: global, into: &codes, scales: &groups)
        #expect(packed == golden.bytes("fp4.packed") && scales == golden.bytes("fp4.scales") && !packed.isEmpty)
        // What is no number is none afterwards.
        var bad = [Float](repeating: 1, count: 16), out = bad
        bad[4] = .nan
        var one = [UInt8](repeating: 0, count: 8), scale: [UInt8] = [0], oneSpan = one.mutableSpan, scaleSpan = scale.mutableSpan
        PackedFloat4.encode(bad.span, global: 1, into: &oneSpan, scales: &scaleSpan)
        var span = out.mutableSpan
        unsafe PackedFloat4.decode(one.span.bytes, scales: scale.span.bytes, global: 1, into: &span)
        #expect(out.filter(\.isNaN).count == 16)
    }
}
