import ForgeCore
import ForgeTensor
import Testing

private let formats: [WeightFormat] = [.q8, .q4]

struct QuantisedTests {
    private func product(_ device: Device, _ x: [Float], _ w: [Float], m: Int, k: Int, n: Int, _ format: WeightFormat) throws -> [Float] {
        let weight = try device.packed(device.odd(w, rows: n, columns: k, odd: 5), as: format)
        let out = try device.odd([Float](repeating: .nan, count: m * n), rows: m, columns: n, odd: 7)
        let workspace = try device.tensor(rows: 1, columns: format.workspaceFloats(rows: m, k: k))
        try device.multiply(out, device.odd(x, rows: m, columns: k), by: weight, workspace: workspace)
        return out.values()
    }

    private func unpacked(_ device: Device, _ w: [Float], k: Int, n: Int, _ format: WeightFormat) throws -> [Float] {
        let out = try device.zeros(n, k)
        try device.unpack(out, from: try device.packed(device.odd(w, rows: n, columns: k), as: format))
        return out.values()
    }

    @Test(arguments: tested, formats)
    func `products have the bits of the scalar form at every small count and odd alignment`(backend: Backend, format: WeightFormat) throws {
        let device = try Device(backend, threads: 2), slow = try Device(reference, threads: 1)
        for m in [1, 2, 3, 4, 5, 6, 7, 12, 13, 97] {
            for k in [0, 1, 15, 31, 32, 33, 64, 95, 513, 1030] {
                for n in [1, 15, 16, 17, 32, 33, 129, 200] {
                    var noise = Noise(UInt64(m * 7919 + k * 104_729 + n))
                    let (x, w) = (noise.floats(m * k), noise.floats(n * k))
                    #expect(bits(try product(device, x, w, m: m, k: k, n: n, format)) == bits(try product(slow, x, w, m: m, k: k, n: n, format)), "m \(m) k \(k) n \(n)")
                }
            }
        }
    }

    @Test(arguments: formats) func `a row has the same bits alone, among others, on any number of threads`(format: WeightFormat) throws {
        let (k, n) = (515, 203)
        var noise = Noise(11)
        let (x, w) = (noise.floats(100 * k), noise.floats(n * k))
        let whole = bits(try product(try Device(threads: 1), x, w, m: 100, k: k, n: n, format))
        for (m, threads) in [(1, 1), (1, 2), (2, 3), (5, 2), (16, 2), (100, 3)] {
            #expect(bits(try product(try Device(threads: threads), Array(x[..<(m * k)]), w, m: m, k: k, n: n, format)) == Array(whole[..<(m * n)]), "\(m) rows")
        }
    }

    /// Half a step of the block's own grid; in `q4` the side opposite the largest value has one step less, so up to a whole one there. Half precision moves a scale by 2^-11.
    @Test(arguments: formats) func `rounding stays within its grid`(format: WeightFormat) throws {
        let (k, n) = (200, 40)
        var noise = Noise(12)
        // Blocks of very different sizes, one of zeros, one with a single value.
        let w = (0..<(n * k)).map { i in noise.next() * [1, 1e-3, 300, 0][i / 32 % 4] }
        let kept = try unpacked(try Device(), w, k: k, n: n, format)
        #expect(bits(kept) == bits(try unpacked(try Device(reference, threads: 1), w, k: k, n: n, format)))
        for row in 0..<n {
            for start in stride(from: 0, to: k, by: 32) {
                let block = (row * k + start)..<(row * k + min(start + 32, k))
                let most = Double(w[block].map(abs).max()!)
                let step = format == .q8 ? most / 127 : most / 8, reach = (format == .q8 ? 0.5 : 1.0) * step + most * 0x1p-10
                for i in block { #expect(abs(Double(kept[i]) - Double(w[i])) <= reach, "row \(row), place \(i - row * k)") }
            }
        }
    }

    /// Inputs are rounded to a 254th of their block's range: |y - x·Ŵ| ≤ Σ_b e_b/2 Σ|ŵ|, plus the float sums' own error.
    @Test(arguments: formats) func `a product is that of the weights it stands for`(format: WeightFormat) throws {
        let (m, k, n) = (9, 300, 70)
        var noise = Noise(13)
        let (x, w) = (noise.floats(m * k), noise.floats(n * k))
        let device = try Device()
        let y = try product(device, x, w, m: m, k: k, n: n, format), kept = try unpacked(device, w, k: k, n: n, format)
        for i in 0..<m {
            for j in 0..<n {
                var exact = 0.0, bound = 0.0
                for start in stride(from: 0, to: k, by: 32) {
                    let places = start..<min(start + 32, k)
                    let half = Double(places.map { abs(x[i * k + $0]) }.max()!) / 254
                    for p in places {
                        exact += Double(x[i * k + p]) * Double(kept[j * k + p])
                        bound += half * abs(Double(kept[j * k + p]))
                    }
                }
                #expect(abs(Double(y[i * n + j]) - exact) <= bound + 1e-4)
            }
        }
    }

    @Test(arguments: Backend.present + others, WeightFormat.allCases)
    func `a packed matrix unpacks to what it stands for, and goes back as that`(backend: Backend, format: WeightFormat) throws {
        let device = try Device(backend, threads: 2)
        for (m, k, n) in [(1, 1, 1), (3, 33, 31), (5, 31, 70), (13, 64, 513), (2, 17, 1100), (4, 130, 96)] {
            var noise = Noise(UInt64(m + k * 31 + n * 1009))
            let w = try device.odd(noise.floats(n * k), rows: n, columns: k), packed = try device.packed(w, as: format)
            let whole = try device.zeros(n, k), dy = try device.odd(noise.floats(m * n), rows: m, columns: n), start = noise.floats(m * k)
            try device.unpack(whole, from: packed)
            if format == .f32 { #expect(bits(whole.values()) == bits(w.values())) }
            // What was rounded is rounded to itself: bfloat16 by its nature, blocks but for their scales.
            if format == .bf16 {
                #expect(zip(whole.values(), w.values()).allSatisfy { abs($0 - $1) <= abs($1) * 0x1p-8 })
                let again = try device.zeros(n, k)
                try device.unpack(again, from: try device.packed(whole, as: format))
                #expect(bits(again.values()) == bits(whole.values()))
            }
            let plain = try device.tensor(rows: 1, columns: Device.packedCount(k: n + 1, n: k)), workspace = try device.tensor(rows: 1, columns: Device.backWorkspace(inputs: k))
            for (precision, accumulate) in [(Precision.f32, false), (.bf16, true)] {
                let wanted = try device.odd(start, rows: m, columns: k), found = try device.odd(start, rows: m, columns: k)
                try device.pack(plain, from: whole, as: .plain, precision: precision)
                try device.multiply(wanted, dy, packed: plain, accumulate: accumulate, precision: precision)
                try device.multiplyBack(found, dy, by: packed, accumulate: accumulate, precision: precision, workspace: workspace)
                if backend.level == .reference {
                    // The reference rounds its double sums to float after each part.
                    #expect(zip(found.values(), wanted.values()).allSatisfy { abs($0 - $1) <= 1e-5 * (1 + abs($1)) })
                } else {
                    #expect(bits(found.values()) == bits(wanted.values()), "m \(m) k \(k) n \(n)")
                }
            }
        }
    }

    @Test(arguments: Backend.present + others, formats) func `what is not a number stays none, in its own row and column`(backend: Backend, format: WeightFormat) throws {
        let device = try Device(backend, threads: 1), (m, k, n) = (3, 70, 5)
        var noise = Noise(14)
        var (x, w) = (noise.floats(m * k), noise.floats(n * k))
        x[k + 69] = .infinity
        w[2 * k + 40] = .nan
        let y = try product(device, x, w, m: m, k: k, n: n, format)
        for i in 0..<m { for j in 0..<n { #expect(y[i * n + j].isNaN == (i == 1 || j == 2), "row \(i), column \(j)") } }
    }
}
