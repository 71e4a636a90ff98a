import ForgeCore
import ForgeTensor
import Testing

struct MatrixTests {
    func product(
        _ device: Device, a: [Float], b: [Float], m: Int, k: Int, n: Int, source: PackSource, transposed: Bool, start: [Float]? = nil, precision: Precision = .f32
    ) throws -> [Float] {
        let packed = try device.odd([Float](repeating: .nan, count: Device.packedCount(k: k, n: n)), rows: 1, columns: Device.packedCount(k: k, n: n), odd: 1)
        let matrix = try source == .weight ? device.odd(b, rows: n, columns: k) : device.odd(b, rows: k, columns: n)
        try device.pack(packed, from: matrix, as: source, precision: precision)
        let left = try transposed ? device.odd(a, rows: k, columns: m, odd: 5) : device.odd(a, rows: m, columns: k, odd: 5)
        let out = try device.odd(start ?? [Float](repeating: .nan, count: m * n), rows: m, columns: n, odd: 7)
        try device.multiply(out, left, packed: packed, transposed: transposed, accumulate: start != nil, precision: precision)
        return out.values()
    }

    /// Every entry is one chain of k fused multiply-adds. Its error against the exact sum is at most k u Σ|a||b| (Higham 2002,
    /// eq. 3.5, to first order), and the reference, summed in double, rounds once: bound (k + 2) u Σ|a||b|.
    @Test(arguments: tested, [1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 16, 25, 97])
    func `a product agrees with the reference at every small count and odd alignment`(backend: Backend, m: Int) throws {
        let device = try Device(backend, threads: 2), slow = try Device(reference, threads: 1)
        for k in [0, 1, 2, 15, 16, 17, 33, 255, 257, 600] {
            for n in [1, 2, 15, 16, 17, 31, 32, 33, 65, 131] {
                var noise = Noise(UInt64(m * 7919 + k * 104_729 + n))
                let (a, b, start) = (noise.floats(m * k), noise.floats(k * n), noise.floats(m * n))
                let transposed = (k + n).isMultiple(of: 2), source: PackSource = k.isMultiple(of: 3) ? .plain : .weight
                let begin = n.isMultiple(of: 2) ? start : nil
                let mine = try product(device, a: a, b: b, m: m, k: k, n: n, source: source, transposed: transposed, start: begin)
                let theirs = try product(slow, a: a, b: b, m: m, k: k, n: n, source: source, transposed: transposed, start: begin)
                // Entries lie in (-1, 1): Σ|a||b| ≤ k, plus the start.
                #expect(excess(mine, theirs) { _ in Double(k + 2) * u * Double(k + 1) } <= 0, "m \(m) k \(k) n \(n)")
            }
        }
    }

    @Test(arguments: tested)
    func `a row has the same bits alone, among sixteen, and among a hundred`(backend: Backend) throws {
        let device = try Device(backend, threads: 2)
        let (k, n) = (515, 203)
        var noise = Noise(1)
        let (a, b) = (noise.floats(100 * k), noise.floats(k * n))
        let whole = bits(try product(device, a: a, b: b, m: 100, k: k, n: n, source: .weight, transposed: false))
        for m in 1...16 {
            let part = try product(device, a: Array(a[..<(m * k)]), b: b, m: m, k: k, n: n, source: .weight, transposed: false)
            #expect(bits(part) == Array(whole[..<(m * n)]), "\(m) rows")
        }
    }

    /// Results of 4 MiB and more that lie well are written past the caches; both cuts of k, and columns that fill no panel, keep to them.
    @Test(arguments: fast, [96, 1000])
    func `a large result has the bits of its rows`(backend: Backend, k: Int) throws {
        let device = try Device(backend, threads: 2), (m, n) = (1100, 1008)
        var noise = Noise(UInt64(k))
        let a = try device.tensor(noise.floats(m * k), rows: m, columns: k), b = try device.tensor(noise.floats(n * k), rows: n, columns: k)
        let packed = try device.tensor(rows: 1, columns: Device.packedCount(k: k, n: n))
        for precision in [Precision.f32, .bf16] {
            try device.pack(packed, from: b, as: .weight, precision: precision)
            let whole = try device.tensor(rows: m, columns: n), part = try device.tensor(rows: 50, columns: n)
            try device.multiply(whole, a, packed: packed, precision: precision)
            for row in stride(from: 0, to: m, by: 50) {
                try device.multiply(part, a.view(from: row * k, rows: 50, columns: k), packed: packed, precision: precision)
                #expect(bits(part.values()) == bits(whole.view(from: row * n, rows: 50, columns: n).values()), "\(precision), row \(row)")
            }
        }
    }

    @Test func `the number of threads and the width of the registers leave the bits alone`() throws {
        let (m, k, n) = (70, 300, 90)
        var noise = Noise(2)
        let (a, b) = (noise.floats(m * k), noise.floats(k * n))
        var results: Set<[UInt32]> = []
        for backend in fast {
            for threads in [1, 2, 3] {
                results.insert(bits(try product(try Device(backend, threads: threads), a: a, b: b, m: m, k: k, n: n, source: .weight, transposed: true)))
            }
        }
        #expect(results.count == 1 || fast.isEmpty)
    }

    @Test(arguments: tested)
    func `cutting k into accumulating calls changes no bit`(backend: Backend) throws {
        let device = try Device(backend, threads: 2)
        let (m, k, n) = (21, 700, 40)
        var noise = Noise(3)
        let (a, b) = (noise.floats(k * m), noise.floats(k * n))
        let zero = [Float](repeating: 0, count: m * n)
        let whole = try product(device, a: a, b: b, m: m, k: k, n: n, source: .plain, transposed: true, start: zero)
        var parts = zero
        for (from, to) in [(0, 1), (1, 300), (300, 556), (556, 700)] {
            parts = try product(
                device, a: Array(a[(from * m)..<(to * m)]), b: Array(b[(from * n)..<(to * n)]), m: m, k: to - from, n: n, source: .plain, transposed: true, start: parts)
        }
        #expect(bits(parts) == bits(whole))
    }

    /// Products of two rounded operands are exact in float32's fused steps, so the bound is that of the float32 product.
    @Test(arguments: tested, [1, 3, 4, 5, 12, 13, 31, 97])
    func `a bfloat16 product agrees with the reference that rounds the same operands`(backend: Backend, m: Int) throws {
        let device = try Device(backend, threads: 2), slow = try Device(reference, threads: 1)
        for k in [0, 1, 2, 3, 31, 32, 33, 64, 511, 513, 1030] {
            for n in [1, 15, 16, 17, 33, 64, 70] {
                var noise = Noise(UInt64(m * 31 + k * 104_729 + n))
                let (a, b, start) = (noise.floats(m * k), noise.floats(k * n), noise.floats(m * n))
                let transposed = (k + n).isMultiple(of: 2), source: PackSource = n.isMultiple(of: 3) ? .plain : .weight
                func run(_ device: Device) throws -> [Float] {
                    try product(device, a: a, b: b, m: m, k: k, n: n, source: source, transposed: transposed, start: n > 16 ? start : nil, precision: .bf16)
                }
                #expect(excess(try run(device), try run(slow)) { _ in Double(k + 2) * u * Double(k + 1) } <= 0, "m \(m) k \(k) n \(n)")
            }
        }
    }

    /// On a CPU with VDPBF16PS this compares the instruction with its emulation; tiny operands reach the subnormal numbers.
    @Test func `bfloat16 has the same bits with and without the instruction, on any number of threads, and at any cut at an even k`() throws {
        let (m, k, n) = (29, 602, 70)
        for scale in [1, Float(1e-19), 1e-20, 1e-38] {
            var noise = Noise(9)
            let a = noise.floats(m * k).map { $0 * scale }, b = noise.floats(k * n).map { $0 * scale }
            var results: Set<[UInt32]> = []
            for backend in fast {
                for threads in [1, 2] {
                    let device = try Device(backend, threads: threads)
                    results.insert(bits(try product(device, a: a, b: b, m: m, k: k, n: n, source: .plain, transposed: true, precision: .bf16)))
                    var parts = [Float](repeating: 0, count: m * n)
                    for (from, to) in [(0, 2), (2, 500), (500, 602)] {
                        parts = try product(
                            device, a: Array(a[(from * m)..<(to * m)]), b: Array(b[(from * n)..<(to * n)]), m: m, k: to - from, n: n, source: .plain, transposed: true,
                            start: parts, precision: .bf16)
                    }
                    results.insert(bits(parts))
                }
            }
            #expect(results.count == 1 || fast.isEmpty, "scale \(scale)")
        }
    }

    @Test(arguments: tested)
    func `a bfloat16 row has the same bits alone and among others`(backend: Backend) throws {
        let device = try Device(backend, threads: 2), (k, n) = (515, 203)
        var noise = Noise(4)
        let (a, b) = (noise.floats(40 * k), noise.floats(k * n))
        let whole = bits(try product(device, a: a, b: b, m: 40, k: k, n: n, source: .weight, transposed: false, precision: .bf16))
        for m in [1, 2, 7, 16] {
            let part = try product(device, a: Array(a[..<(m * k)]), b: b, m: m, k: k, n: n, source: .weight, transposed: false, precision: .bf16)
            #expect(bits(part) == Array(whole[..<(m * n)]))
        }
    }
}
