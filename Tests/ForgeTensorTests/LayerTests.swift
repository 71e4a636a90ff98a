import ForgeCore
import ForgeTensor
import Testing

struct LayerTests {
    let slow: Device
    init() throws { slow = try Device(reference, threads: 1) }
    static let widths = [1, 2, 3, 15, 16, 17, 31, 33, 64, 65, 200]

    /// Sixteen partial sums of d/16 squares each, a tree of four additions, one division, root and reciprocal: relative error
    /// at most (d/16 + 10) u of the scale; the backward pass cancels, so its bound is taken against the terms' sizes.
    @Test(arguments: tested, widths)
    func `normalising agrees with the reference, forward and backward`(backend: Backend, d: Int) throws {
        let device = try Device(backend, threads: 2)
        for n in [0, 1, 3, 32, 33, 70] {
            var noise = Noise(UInt64(n * 1000 + d))
            let (x, add, w, dy, dx0, dw0) = (noise.floats(n * d), noise.floats(n * d), noise.floats(d), noise.floats(n * d), noise.floats(n * d), noise.floats(d))
            func all(_ device: Device) throws -> [[Float]] {
                let out = try device.zeros(n, d), sum = try device.zeros(n, d), rstd = try device.zeros(n, 1)
                let weight = try device.odd(w, rows: 1, columns: d, odd: 1)
                try device.rmsnorm(out, sum: sum, rstd: rstd, x: device.odd(x, rows: n, columns: d), add: device.odd(add, rows: n, columns: d), weight: weight, eps: 1e-3)
                let dx = try device.odd(dx0, rows: n, columns: d), dw = try device.odd(dw0, rows: 1, columns: d)
                try device.rmsnormBackward(dx: dx, dw: dw, dy: device.odd(dy, rows: n, columns: d), x: sum, weight: weight, rstd: rstd, accumulate: true)
                return [out.values(), sum.values(), rstd.values(), dx.values(), dw.values()]
            }
            let (mine, theirs) = (try all(device), try all(slow))
            let steps = Double(d) / 16 + 10
            #expect(mine[1] == theirs[1])
            #expect(excess(mine[0], theirs[0]) { steps * u * abs(Double(theirs[0][$0])) + 1e-30 } <= 0)
            #expect(excess(mine[2], theirs[2]) { steps * u * Double(theirs[2][$0]) } <= 0)
            // |dy w| ≤ 1 and |x rstd| ≤ √d, so each term is at most rstd (1 + d) and a few roundings of that.
            let scale = theirs[2].map(Double.init)
            #expect(excess(mine[3], theirs[3]) { (steps + 6) * u * (2 + scale[$0 / max(d, 1)] * Double(d + 1)) } <= 0)
            #expect(excess(mine[4], theirs[4]) { _ in Double(n + 4) * u * (Double(n) * Double(d).squareRoot() + 1) } <= 0)
        }
    }

    @Test(arguments: tested, [2, 4, 6, 16, 32, 34, 64, 96])
    func `rotation agrees with the reference in both layouts and its inverse undoes it`(backend: Backend, d: Int) throws {
        let device = try Device(backend, threads: 2)
        let (tokens, heads) = (67, 3)
        var noise = Noise(UInt64(d))
        let x = noise.floats(tokens * (heads * d + 5)), c = noise.floats(50 * d / 2), s = noise.floats(50 * d / 2)
        let positions = (0..<tokens).map { Int32($0 * 7 % 50) }
        for layout in [RopeLayout.half, .interleaved] {
            for inverse in [false, true] {
                func turn(_ device: Device) throws -> [Float] {
                    let all = try device.odd(x, rows: tokens, columns: heads * d + 5)
                    try device.rope(
                        all, heads: heads, headDim: d, positions: Indices(positions, on: device), cosines: device.odd(c, rows: 50, columns: d / 2),
                        sines: device.odd(s, rows: 50, columns: d / 2), layout: layout, inverse: inverse)
                    return all.values()
                }
                // Two products and one difference of numbers below one.
                #expect(excess(try turn(device), try turn(slow)) { _ in 4 * u } <= 0)
            }
        }
    }

    /// e^-g is within 2 ulp; the quotient and products add a few roundings. |g| ≤ 8 here, so values stay below 8·8.
    @Test(arguments: tested, widths)
    func `swiglu agrees with the reference, forward and backward`(backend: Backend, width: Int) throws {
        let device = try Device(backend, threads: 2)
        var noise = Noise(UInt64(width))
        let n = 19
        let gu = noise.floats(n * 2 * width).map { $0 * 8 }, dy = noise.floats(n * width)
        func all(_ device: Device) throws -> [[Float]] {
            let input = try device.odd(gu, rows: n, columns: 2 * width), out = try device.zeros(n, width), again = try device.zeros(n, width)
            try device.swiglu(out, input)
            let forward = out.values()
            try device.swigluBackward(dgu: input, again: again, dy: device.odd(dy, rows: n, columns: width), gu: input)
            return [forward, again.values(), input.values()]
        }
        let (mine, theirs) = (try all(device), try all(slow))
        #expect(mine[0] == mine[1])
        #expect(excess(mine[0], theirs[0]) { 8 * u * abs(Double(theirs[0][$0])) + 1e-12 } <= 0)
        #expect(excess(mine[2], theirs[2]) { _ in 16 * u * 8 } <= 0)
    }

    @Test func `swiglu has its limits where the exponential ends`() throws {
        for backend in Backend.present {
            let device = try Device(backend, threads: 1)
            let out = try device.zeros(1, 5)
            try device.swiglu(out, try device.odd([-1000, -90, 0, 90, 1000, 1, 1, 1, 1, 1], rows: 1, columns: 10))
            let values = out.values()
            #expect(values[0] == 0 && abs(values[1]) < 1e-36 && values[2] == 0 && values[3] == 90 && values[4] == 1000, "\(backend)")
        }
    }

    @Test(arguments: Backend.present + others, widths)
    func `embeddings are looked up and their gradients added in order`(backend: Backend, d: Int) throws {
        let device = try Device(backend, threads: 2)
        var noise = Noise(UInt64(d))
        let ids: [Int32] = [4, 0, 4, 1, 4, 2, 0], w = noise.floats(5 * d), dy = noise.floats(7 * d)
        let out = try device.zeros(7, d), table = try device.odd(w, rows: 5, columns: d), indices = try Indices(ids, on: device)
        try device.embed(out, weight: table, ids: indices)
        #expect(out.values() == ids.flatMap { Array(w[(Int($0) * d)..<((Int($0) + 1) * d)]) })
        try device.embedBackward(dw: table, dy: device.odd(dy, rows: 7, columns: d), ids: indices)
        var expected = w
        for (t, id) in ids.enumerated() { for i in 0..<d { expected[Int(id) * d + i] += dy[t * d + i] } }
        #expect(table.values() == expected)
    }

    @Test(arguments: tested, [(1, 1, 0, 0), (7, 3, 4, 0), (130, 17, 5, 40), (3, 40_000, 1, 1), (70_000, 1, 2, 9)])
    func `columns of one matrix become columns of another and nothing beside them changes`(backend: Backend, size: (rows: Int, columns: Int, left: Int, right: Int)) throws {
        let device = try Device(backend, threads: 2), (wide, other) = (size.left + size.columns + size.right, size.columns + size.left)
        var noise = Noise(4)
        let from = noise.floats(size.rows * other), to = noise.floats(size.rows * wide)
        let x = try device.tensor(from, rows: size.rows, columns: other), out = try device.tensor(to, rows: size.rows, columns: wide)
        try device.copyColumns(
            out.view(from: size.left, rows: size.rows, columns: size.columns, stride: wide), from: x.view(rows: size.rows, columns: size.columns, stride: other))
        var expected = to
        for r in 0..<size.rows { expected.replaceSubrange((r * wide + size.left)..<(r * wide + size.left + size.columns), with: from[(r * other)..<(r * other + size.columns)]) }
        #expect(out.values() == expected)
    }

    /// A step of AdamW against the reference in double; Adam's quotient is at most about 1/√(1-β₂) in the first step, times the rate.
    @Test(arguments: tested, [1, 15, 16, 17, 1000, 65_537])
    func `adamw, scaled sums and squares agree with the reference`(backend: Backend, count: Int) throws {
        let device = try Device(backend, threads: 2)
        var noise = Noise(UInt64(count))
        let (p0, m0, g) = (noise.floats(count), noise.floats(count), noise.floats(count))
        let v0 = noise.floats(count).map { abs($0) + 1e-3 }
        func all(_ device: Device) throws -> ([[Float]], Double) {
            let p = try device.odd(p0, rows: 1, columns: count), m = try device.odd(m0, rows: 1, columns: count), v = try device.odd(v0, rows: 1, columns: count)
            let gradient = try device.odd(g, rows: 1, columns: count), out = try device.zeros(1, count)
            try device.combine(out, 0.3, gradient, -1.7, p)
            try device.adamw(p, m: m, v: v, gradient: gradient, step: AdamWStep(rate: 0.01, beta1: 0.9, beta2: 0.95, eps: 1e-8, decay: 0.1, number: 3, scale: 0.7))
            let workspace = try device.tensor(rows: 1, columns: Device.sumOfSquaresWorkspace(count))
            return ([out.values(), p.values(), m.values(), v.values()], try device.sumOfSquares(gradient, partials: workspace))
        }
        let (mine, theirs) = (try all(device), try all(slow))
        #expect(excess(mine.0[0], theirs.0[0]) { _ in 3 * u * 2 } <= 0)
        #expect(excess(mine.0[1], theirs.0[1]) { _ in 12 * u } <= 0)
        #expect(excess(mine.0[2], theirs.0[2]) { _ in 4 * u } <= 0)
        #expect(excess(mine.0[3], theirs.0[3]) { _ in 4 * u } <= 0)
        #expect(abs(mine.1 - theirs.1) <= 1e-12 * theirs.1)
    }
}
