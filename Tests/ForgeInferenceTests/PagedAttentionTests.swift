import ForgeInference
import ForgeTensor
import Testing

/// One sequence's keys and values, put into blocks in a shuffled order, and the queries of every position.
private struct Case {
    let device: Device
    let shape: AttentionShape
    let tokens: Int
    let q: [Float], k: [Float], v: [Float]

    init(_ backend: Backend, tokens: Int, queryHeads: Int, kvHeads: Int, headDim: Int, window: Int = 0, threads: Int = 2, seed: UInt64) throws {
        device = try Device(backend, threads: threads)
        shape = AttentionShape(queryHeads: queryHeads, kvHeads: kvHeads, headDim: headDim, window: window)
        self.tokens = tokens
        var random = SplitMix(state: seed)
        func values(_ count: Int) -> [Float] { (0..<count).map { _ in (Float(random.next() >> 40) / Float(1 << 24) - 0.5) * 4 } }
        q = values(tokens * queryHeads * headDim)
        k = values(tokens * kvHeads * headDim)
        v = values(tokens * kvHeads * headDim)
    }

    private func tensor(_ values: [Float], _ columns: Int) throws -> Tensor { try device.tensor(values, rows: values.count / columns, columns: columns) }

    /// What the training kernel gives, all positions at once.
    func packed() throws -> [Float] {
        let (wide, narrow) = (shape.queryHeads * shape.headDim, shape.kvHeads * shape.headDim)
        let out = try device.tensor(rows: tokens, columns: wide)
        try device.attention(
            out, lse: nil, q: tensor(q, wide), k: tensor(k, narrow), v: tensor(v, narrow), cumulativeLengths: Indices([0, Int32(tokens)], on: device), sequences: 1,
            shape: shape)
        return out.values()
    }

    /// The rows of `positions` over a pool; other sequences' blocks hold nonsense that must not show, and blocks that no row's window reaches are gone.
    func paged(_ positions: [Int], blockSize: Int, seed: UInt64 = 1) throws -> [Float] {
        let (wide, narrow) = (shape.queryHeads * shape.headDim, shape.kvHeads * shape.headDim)
        let blocks = (tokens + blockSize - 1) / blockSize
        var random = SplitMix(state: seed)
        var table = (0..<Int32(blocks + 3)).shuffled(using: &random)
        let keys = try device.tensor(rows: (blocks + 3) * blockSize, columns: narrow), values = try device.tensor(rows: (blocks + 3) * blockSize, columns: narrow)
        keys.fill(.nan)
        values.fill(.nan)
        func places(_ positions: [Int]) throws -> PagedRows {
            PagedRows(
                tables: try Indices(table, on: device), tableStride: table.count, sequences: try Indices(positions.map { _ in 0 }, on: device),
                positions: try Indices(positions.map { Int32($0) }, on: device), blockSize: blockSize)
        }
        try device.store(keys: tensor(k, narrow), values: tensor(v, narrow), in: keys, values, at: places(Array(0..<tokens)), shape: shape)
        let rows = try device.tensor(rows: positions.count, columns: wide)
        try device.gather(rows, from: tensor(q, wide), rows: Indices(positions.map { Int32($0) }, on: device))
        let out = try device.tensor(rows: positions.count, columns: wide)
        let firstSeen = shape.window == 0 ? 0 : positions.map { max(0, $0 - shape.window + 1) }.min() ?? 0
        for gone in 0..<(firstSeen / blockSize) { table[gone] = -1 }
        try device.pagedAttention(out, q: rows, keys: keys, values: values, at: places(positions), shape: shape)
        return out.values()
    }
}

@Suite struct PagedAttentionTests {
    @Test(arguments: Backend.present, [(1, 1, 1, 16), (7, 2, 1, 8), (64, 4, 2, 64), (65, 3, 3, 17), (130, 8, 2, 32), (200, 6, 2, 128), (90, 5, 1, 256), (33, 1, 1, 2), (70, 9, 1, 320), (66, 3, 1, 576)])
    func `the paged kernel gives the training kernel's bits, row by row`(backend: Backend, size: (Int, Int, Int, Int)) throws {
        let (tokens, queryHeads, kvHeads, headDim) = size
        for window in [0, 5, 70] {
            let one = try Case(backend, tokens: tokens, queryHeads: queryHeads, kvHeads: kvHeads, headDim: headDim, window: window, seed: UInt64(tokens))
            let packed = try one.packed()
            let finite = packed.allSatisfy { $0.isFinite }
            #expect(finite)
            #expect(try one.paged(Array(0..<tokens), blockSize: 16) == packed)
        }
    }

    @Test(arguments: Backend.present)
    func `bits depend on neither block size, company nor threads`(backend: Backend) throws {
        let whole = try Case(backend, tokens: 150, queryHeads: 4, kvHeads: 2, headDim: 24, seed: 3)
        let all = try whole.paged(Array(0..<150), blockSize: 16)
        let wide = 4 * 24
        for blockSize in [1, 5, 64, 256] {
            #expect(try whole.paged([149], blockSize: blockSize, seed: UInt64(blockSize)) == Array(all[149 * wide..<150 * wide]))
        }
        let lone = try Case(backend, tokens: 150, queryHeads: 4, kvHeads: 2, headDim: 24, threads: 1, seed: 3)
        #expect(try lone.paged(Array(0..<150), blockSize: 7) == all)
        let some = try lone.paged([80, 3, 149], blockSize: 7)
        for (i, position) in [80, 3, 149].enumerated() {
            let alone = Array(some[i * wide..<(i + 1) * wide]), beside = Array(all[position * wide..<(position + 1) * wide])
            #expect(alone == beside)
        }
    }

    /// Rows that follow one another may be taken together; where such a run begins, ends or is broken must not show.
    @Test(arguments: Backend.present, [0, 20, 70])
    func `rows of a run have the bits they have alone`(backend: Backend, window: Int) throws {
        let one = try Case(backend, tokens: 200, queryHeads: 9, kvHeads: 1, headDim: 36, window: window, seed: 5)
        let packed = try one.packed(), wide = 9 * 36
        for positions in [Array(131..<200), [7] + Array(150..<166) + [3] + Array(90..<137) + [90, 91], Array(77..<92), Array(77..<93), Array((60..<100).reversed()), Array(64..<96) + Array(0..<32)] {
            let rows = try one.paged(positions, blockSize: 16)
            for (i, position) in positions.enumerated() {
                let same = rows[i * wide..<(i + 1) * wide].elementsEqual(packed[position * wide..<(position + 1) * wide])
                #expect(same, "position \(position), row \(i) of \(positions.count)")
            }
        }
    }

    @Test func `vector levels agree with the reference within rounding`() throws {
        // Dot products of 64 terms of magnitude up to 4 carry an absolute error under 64 · 4 · 2^-24 ≈ 2e-5 before the softmax; outputs are averages of values up to 2.
        let reference = try Case(.cpu(.reference)!, tokens: 140, queryHeads: 4, kvHeads: 2, headDim: 64, seed: 9).paged(Array(0..<140), blockSize: 16)
        for backend in Backend.present where backend.level != .reference {
            let out = try Case(backend, tokens: 140, queryHeads: 4, kvHeads: 2, headDim: 64, seed: 9).paged(Array(0..<140), blockSize: 16)
            #expect(zip(out, reference).allSatisfy { abs($0 - $1) < 1e-4 })
        }
    }

    @Test func `both vector levels give the same bits`() throws {
        let levels = Backend.present.filter { $0.family == "x86-v1" }
        let outs = try levels.map { try Case($0, tokens: 100, queryHeads: 4, kvHeads: 1, headDim: 40, seed: 4).paged(Array(0..<100), blockSize: 9) }
        #expect(outs.allSatisfy { $0 == outs[0] })
    }
}
