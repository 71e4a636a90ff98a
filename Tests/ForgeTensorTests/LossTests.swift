import ForgeCore
import ForgeTensor
import Testing

struct LossTests {
    /// - Parameter weights: of the rows, in turn.
    func all(_ device: Device, n: Int, d: Int, v: Int, weights: [Float], scale: Float = 1) throws -> [[Float]] {
        var noise = Noise(UInt64(n * 31 + d * 7 + v))
        let x = try device.odd(noise.floats(n * d).map { $0 * scale }, rows: n, columns: d), w = try device.odd(noise.floats(v * d), rows: v, columns: d)
        let dw = try device.odd(noise.floats(v * d), rows: v, columns: d), dx = try device.odd([Float](repeating: .nan, count: n * d), rows: n, columns: d)
        let logp = try device.zeros(n, 1), targets = try Indices((0..<n).map { $0 % 5 == 3 ? -1 : Int32($0 * 13 % v) }, on: device)
        let packed = try device.tensor(rows: 1, columns: Device.packedCount(k: d, n: v)), plain = try device.tensor(rows: 1, columns: Device.packedCount(k: v, n: d))
        try device.pack(packed, from: w, as: .weight)
        try device.pack(plain, from: w, as: .plain)
        let each = try device.odd((0..<n).map { weights[$0 % weights.count] }, rows: n, columns: 1)
        let workspace = try device.tensor(rows: 1, columns: device.crossEntropyWorkspace(width: d, vocabulary: v))
        try device.linearCrossEntropy(
            logp: logp, dx: dx, dw: dw, x: x, packed: packed, packedPlain: plain, targets: targets, vocabulary: v, weights: each, workspace: workspace)
        let alone = try device.zeros(n, 1)
        try device.linearCrossEntropy(
            logp: alone, dx: nil, dw: nil, x: x, packed: packed, packedPlain: nil, targets: targets, vocabulary: v, weights: nil, workspace: workspace)
        let logits = try device.zeros(n, v), gathered = try device.zeros(n, 1)
        try device.multiply(logits, x, packed: packed)
        try device.logProbabilities(gathered, logits: logits, targets: targets)
        // The same in parts.
        let parted = try device.zeros(n, 1), dxParted = try device.zeros(n, d)
        try device.crossEntropy(parted, logits: logits, targets: targets, weights: each)
        try device.multiply(dxParted, logits, packed: plain)
        return [logp, dx, dw, alone, gathered, parted, dxParted].map { $0.values() }
    }

    /// A logit is off by at most (d + 2) u d =: e; a log-probability by 2e plus the sum over v and the final subtraction.
    @Test(arguments: tested, [(1, 1, 1), (3, 5, 2), (9, 16, 17), (40, 33, 61), (257, 8, 100), (300, 20, 33)])
    func `the fused loss agrees with the reference, gradients too`(backend: Backend, extents: (Int, Int, Int)) throws {
        let (n, d, v) = extents
        let weights: [Float] = [0.25, -0.125, 0, 0.0625]
        let mine = try all(try Device(backend, threads: 2), n: n, d: d, v: v, weights: weights)
        let theirs = try all(try Device(reference, threads: 1), n: n, d: d, v: v, weights: weights)
        let e = Double(d + 2) * u * Double(d) + 4 * u
        let off = 2 * e + Double(v / 16 + 8) * u
        #expect(excess(mine[0], theirs[0]) { 2 * off + 4 * u * abs(Double(theirs[0][$0])) } <= 0)
        #expect(excess(mine[1], theirs[1]) { _ in 0.25 * 4 * (off + Double(v) * u) } <= 0)
        #expect(excess(mine[2], theirs[2]) { _ in 0.25 * Double(n) * (2 * off + Double(n) * u) + 4 * u } <= 0)
        #expect(mine[3] == mine[0])
        #expect(mine[4] == mine[0] && mine[5] == mine[0])
        #expect(mine[6] == mine[1])
    }

    @Test(arguments: Backend.present + others)
    func `large logits neither overflow nor lose the loss`(backend: Backend) throws {
        let values = try all(try Device(backend, threads: 2), n: 20, d: 8, v: 50, weights: [1], scale: 1e4)
        #expect(values.allSatisfy { $0.allSatisfy(\.isFinite) })
    }

    @Test func `threads leave the loss's bits alone`() throws {
        var results: Set<[[UInt32]]> = []
        for backend in fast { for threads in 1...3 { results.insert(try all(try Device(backend, threads: threads), n: 300, d: 40, v: 70, weights: [0.1]).map(bits)) } }
        #expect(results.count == 1 || fast.isEmpty)
    }

    @Test func `a missing GPU library is an ordinary state with a remedy`() {
        #expect {
            try Backend.cuda(library: "libforge-cuda-that-is-not-there.so")
        } throws: { error in
            guard let fault = error as? Fault else { return false }
            return fault.kind == .environment && fault.code == "compute.no-cuda" && !fault.remedy.isEmpty
        }
    }
}
