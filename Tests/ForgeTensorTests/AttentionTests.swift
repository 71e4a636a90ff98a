import ForgeCore
import ForgeTensor
import Testing

struct AttentionTests {
    struct Case: CustomStringConvertible {
        var lengths: [Int], heads: Int, kvHeads: Int, d: Int, window = 0
        var description: String { "lengths \(lengths), heads \(heads)/\(kvHeads), d \(d), window \(window)" }
        var tokens: Int { lengths.reduce(0, +) }
        var cumulative: [Int32] { lengths.reduce(into: [0]) { $0.append($0.last! + Int32($1)) } }
    }

    static let cases: [Case] = [
        Case(lengths: [1], heads: 1, kvHeads: 1, d: 1), Case(lengths: [2, 3, 1], heads: 2, kvHeads: 1, d: 2), Case(lengths: [17], heads: 3, kvHeads: 3, d: 5),
        Case(lengths: [16, 15, 33], heads: 4, kvHeads: 2, d: 16), Case(lengths: [63, 1, 64, 65], heads: 2, kvHeads: 2, d: 17),
        Case(lengths: [130], heads: 6, kvHeads: 2, d: 32), Case(lengths: [100, 31], heads: 2, kvHeads: 1, d: 33),
        Case(lengths: [129, 5], heads: 2, kvHeads: 1, d: 16, window: 7), Case(lengths: [200], heads: 1, kvHeads: 1, d: 8, window: 65),
        Case(lengths: [70], heads: 1, kvHeads: 1, d: 256), Case(lengths: [40, 90], heads: 4, kvHeads: 4, d: 64, window: 1),
        Case(lengths: [70, 3], heads: 3, kvHeads: 1, d: 320), Case(lengths: [66], heads: 2, kvHeads: 1, d: 576),
    ]

    /// Forward and backward, q, k and v side by side in one row as the decoder has them.
    func all(_ device: Device, _ c: Case, threads: Int = 2) throws -> [[Float]] {
        let stride = (c.heads + 2 * c.kvHeads) * c.d, (wide, narrow) = (c.heads * c.d, c.kvHeads * c.d)
        var noise = Noise(UInt64(c.tokens * 31 + c.d))
        let qkv = try device.odd(noise.floats(c.tokens * stride), rows: c.tokens, columns: stride)
        let dout = try device.odd(noise.floats(c.tokens * wide), rows: c.tokens, columns: wide), out = try device.zeros(c.tokens, wide)
        let lse = try device.zeros(c.tokens, c.heads), delta = try device.zeros(c.tokens, c.heads)
        let gradient = try device.odd([Float](repeating: .nan, count: c.tokens * stride), rows: c.tokens, columns: stride)
        func parts(_ t: Tensor) -> [Tensor] {
            [(0, wide), (wide, narrow), (wide + narrow, narrow)].map { t.view(from: $0.0, rows: c.tokens, columns: $0.1, stride: stride) }
        }
        let shape = AttentionShape(queryHeads: c.heads, kvHeads: c.kvHeads, headDim: c.d, window: c.window)
        let lengths = try Indices(c.cumulative, on: device), x = parts(qkv), dx = parts(gradient)
        try device.attention(out, lse: lse, q: x[0], k: x[1], v: x[2], cumulativeLengths: lengths, sequences: c.lengths.count, shape: shape)
        try device.attentionBackward(
            dq: dx[0], dk: dx[1], dv: dx[2], delta: delta, dout: dout, q: x[0], k: x[1], v: x[2], out: out, lse: lse, cumulativeLengths: lengths,
            sequences: c.lengths.count, shape: shape)
        return [out.values(), lse.values(), gradient.values()]
    }

    /// A score is off by at most (d + 2) u Σ|q||k| scale ≤ (d + 2) u √d =: e, a probability by a relative 2e + 6u, and the sum
    /// of n of them times values below one adds n u: |Δout| ≤ 4e + (n + 16) u. A gradient multiplies that by terms of at most
    /// 2d·scale and sums up to n·group of them; the factor below covers it.
    @Test(arguments: tested, cases)
    func `attention agrees with the reference`(backend: Backend, c: Case) throws {
        // A library of its own may have no heads so wide, and then says so.
        if backend.level == .cuda, c.d > 256 {
            #expect { try all(try Device(backend, threads: 2), c) } throws: { ($0 as? Fault)?.code == "compute.unsupported" }
            return
        }
        let (mine, theirs) = (try all(try Device(backend, threads: 2), c), try all(try Device(reference, threads: 1), c))
        let d = Double(c.d), n = Double(c.lengths.max()!), e = (d + 2) * u * d.squareRoot()
        #expect(excess(mine[0], theirs[0]) { _ in 4 * e + (n + 16) * u } <= 0)
        #expect(excess(mine[1], theirs[1]) { _ in 2 * e + (n + 16) * u + 4 * u * 8 } <= 0)
        let largest = Double(theirs[2].map(abs).max()!)
        #expect(excess(mine[2], theirs[2]) { _ in (4 * e + (n + 16) * u) * (2 * d.squareRoot() + largest) * Double(c.heads / c.kvHeads) } <= 0)
    }

    @Test func `threads and register width leave attention's bits alone`() throws {
        let c = Case(lengths: [150, 20, 64], heads: 4, kvHeads: 2, d: 24)
        var results: Set<[[UInt32]]> = []
        for backend in fast { for threads in 1...3 { results.insert(try all(try Device(backend, threads: threads), c).map(bits)) } }
        #expect(results.count == 1 || fast.isEmpty)
    }

    @Test(arguments: tested)
    func `a packed sequence has the bits it has alone`(backend: Backend) throws {
        let device = try Device(backend, threads: 2)
        let lengths = [37, 90, 3], d = 16
        var noise = Noise(5)
        let rows = noise.floats(130 * 3 * d)
        func outputs(_ from: Int, _ lengths: [Int]) throws -> [Float] {
            let count = lengths.reduce(0, +)
            let qkv = try device.odd(Array(rows[(from * 3 * d)..<((from + count) * 3 * d)]), rows: count, columns: 3 * d)
            let out = try device.zeros(count, d), x = (0..<3).map { qkv.view(from: $0 * d, rows: count, columns: d, stride: 3 * d) }
            try device.attention(
                out, lse: nil, q: x[0], k: x[1], v: x[2], cumulativeLengths: Indices(lengths.reduce(into: [0]) { $0.append($0.last! + Int32($1)) }, on: device),
                sequences: lengths.count, shape: AttentionShape(queryHeads: 1, kvHeads: 1, headDim: d))
            return out.values()
        }
        let packed = try outputs(0, lengths)
        let apart = try outputs(0, [37]) + outputs(37, [90]) + outputs(127, [3])
        #expect(bits(packed) == bits(apart))
    }
}
