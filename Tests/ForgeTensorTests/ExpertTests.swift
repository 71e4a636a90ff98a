import ForgeCore
import ForgeTensor
import Testing

struct ExpertTests {
    let slow: Device
    init() throws { slow = try Device(reference, threads: 1) }
    static let counts = [1, 2, 3, 7, 8, 15, 16, 17, 33, 128]

    /// What routing gives for `rows` rows of logits, all in memory of odd alignment.
    struct Routed {
        let weights: Tensor
        let probs: Tensor
        let choice: Indices
        let dispatch: Dispatch

        init(_ device: Device, _ logits: [Float], bias: [Float]? = nil, rows: Int, _ routing: Routing) throws {
            let pairs = rows * routing.choices
            weights = try device.odd([Float](repeating: .nan, count: pairs), rows: rows, columns: routing.choices)
            probs = try device.odd(logits, rows: rows, columns: routing.experts)
            choice = try Indices(capacity: pairs, on: device)
            dispatch = Dispatch(
                starts: try Indices(capacity: routing.experts + 1, on: device), place: try Indices(capacity: pairs, on: device), pair: try Indices(capacity: pairs, on: device))
            try device.route(
                weights: weights, choice: choice, probs: probs, logits: probs, bias: bias.map { try device.odd($0, rows: 1, columns: routing.experts, odd: 1) }, routing)
            try device.sort(dispatch, choice: choice, rows: rows, routing)
        }
    }

    /// e^x within 2 ulp, experts/16 + 4 additions and a division: a score is off by at most (E/16 + 10) u of itself, a weight by three such. The gradient's terms
    /// are at most 1/Σp (1 + |mean|) scale, where Σp is at least the k best of E scores, and they cancel: its bound is taken against their size.
    @Test(arguments: tested, counts)
    func `routing agrees with the reference, forward and backward`(backend: Backend, experts: Int) throws {
        let device = try Device(backend, threads: 2)
        for choices in [1, 2, 3, 8, experts] where choices <= experts {
            for (number, rows) in [0, 1, 2, 31, 32, 33, 70].enumerated() {
                for score in [Routing.Score.softmax, .sigmoid] {
                    let routing = Routing(experts: experts, choices: choices, score: score, renormalised: number % 3 != 2, scale: 1.5)
                    var noise = Noise(UInt64(experts * 1000 + choices * 10 + number))
                    let logits = noise.floats(rows * experts).map { $0 * 4 }, bias = noise.floats(experts), dweights = noise.floats(rows * choices)
                    let balance = noise.floats(experts)
                    func all(_ device: Device) throws -> (Routed, [Float]) {
                        let routed = try Routed(device, logits, bias: number % 2 == 1 ? bias : nil, rows: rows, routing)
                        let dlogits = try device.zeros(rows, experts)
                        try device.routeBackward(
                            dlogits: dlogits, dweights: device.odd(dweights, rows: rows, columns: choices), choice: routed.choice, probs: routed.probs,
                            balance: number % 2 == 0 ? device.odd(balance, rows: 1, columns: experts) : nil, routing)
                        return (routed, dlogits.values())
                    }
                    let (mine, theirs) = (try all(device), try all(slow))
                    #expect(mine.0.choice.values(rows * choices) == theirs.0.choice.values(rows * choices))
                    let step = Double(experts) / 16 + 10, probs = theirs.0.probs.values(), weights = theirs.0.weights.values()
                    #expect(excess(mine.0.probs.values(), probs) { step * u * Double(probs[$0]) } <= 0)
                    #expect(excess(mine.0.weights.values(), weights) { 3 * step * u * Double(weights[$0]) } <= 0)
                    // A sigmoid of logits in (-4, 4) is at least 0.018.
                    let inverse = score == .softmax ? Double(experts) / Double(choices) : 56 / Double(choices)
                    let size = 1 + 1.5 * (routing.renormalised ? 2 * inverse : 1)
                    #expect(excess(mine.1, theirs.1) { _ in 4 * step * u * size } <= 0)
                }
            }
        }
    }

    @Test(arguments: Backend.present + others)
    func `of equal scores the lower index is chosen, and numbers that are none still choose different experts`(backend: Backend) throws {
        let device = try Device(backend, threads: 2), routing = Routing(experts: 19, choices: 3)
        var logits = [Float](repeating: 0.5, count: 4 * 19)
        logits[19 + 7] = 2
        for expert in 0..<19 { logits[2 * 19 + expert] = .nan }
        logits[3 * 19 + 18] = .infinity
        let choice = try Routed(device, logits, rows: 4, routing).choice.values(12)
        #expect(Array(choice[..<6]) == [0, 1, 2, 7, 0, 1])
        #expect(Set(choice[6..<9]).count == 3 && Set(choice[9...]).count == 3)
        // The bias decides among equals, and only the choice: the weights are of the scores themselves.
        var bias = [Float](repeating: 0, count: 19)
        (bias[4], bias[18]) = (1, 2)
        let biased = try Routed(device, [Float](repeating: 0.25, count: 19), bias: bias, rows: 1, routing)
        #expect(biased.choice.values(3) == [18, 4, 0])
        let weights = biased.weights.values()
        #expect(weights.allSatisfy { abs($0 - 1 / 3) <= 1e-6 })
    }

    @Test(arguments: Backend.present + others)
    func `pairs are sorted by expert and keep their order, experts without a token included`(backend: Backend) throws {
        let device = try Device(backend, threads: 2)
        for (rows, experts, choices) in [(0, 4, 2), (1, 1, 1), (5, 9, 4), (70, 3, 2), (64, 40, 7)] {
            let routing = Routing(experts: experts, choices: choices)
            var noise = Noise(UInt64(rows))
            let routed = try Routed(device, noise.floats(rows * experts), rows: rows, routing), pairs = rows * choices
            let choice = routed.choice.values(pairs), starts = routed.dispatch.starts.values(experts + 1)
            let expected = (0..<pairs).sorted { (choice[$0], $0) < (choice[$1], $1) }.map(Int32.init)
            #expect(routed.dispatch.pair.values(pairs) == expected)
            let place = routed.dispatch.place.values(pairs)
            #expect(expected.indices.allSatisfy { place[Int(expected[$0])] == Int32($0) })
            let counted = (0...experts).map { expert in Int32(choice.count { Int($0) < expert }) }
            #expect(starts == counted)
        }
    }

    /// One multiplication and addition a choice; sums of at most nine numbers below one.
    @Test(arguments: tested, [1, 2, 15, 16, 17, 33, 70])
    func `rows go to their experts and come back`(backend: Backend, width: Int) throws {
        let device = try Device(backend, threads: 2)
        for (rows, choices) in [(0, 1), (1, 1), (3, 2), (33, 4), (65, 8)] {
            let routing = Routing(experts: 9, choices: choices)
            var noise = Noise(UInt64(width * 100 + rows))
            let (logits, x, y, add) = (noise.floats(rows * 9), noise.floats(rows * width), noise.floats(rows * choices * width), noise.floats(rows * width))
            let (gu, dh) = (noise.floats(rows * choices * 2 * width).map { $0 * 8 }, noise.floats(rows * choices * width))
            func all(_ device: Device) throws -> [[Float]] {
                let routed = try Routed(device, logits, rows: rows, routing), pairs = rows * choices
                let gathered = try device.zeros(pairs, width), out = try device.odd(add, rows: rows, columns: width), plain = try device.zeros(rows, width)
                try device.gather(gathered, device.odd(x, rows: rows, columns: width), routed.dispatch, choices: choices)
                let said = try device.odd(y, rows: pairs, columns: width)
                try device.combine(out, add: out, said, weights: routed.weights, routed.dispatch, choices: choices)
                try device.combine(plain, said, routed.dispatch, choices: choices)
                let both = try device.odd(gu, rows: pairs, columns: 2 * width), again = try device.zeros(pairs, width), dweights = try device.zeros(rows, choices)
                try device.expertSwigluBackward(
                    dgu: both, again: again, dweights: dweights, dh: device.odd(dh, rows: pairs, columns: width), gu: both, weights: routed.weights, routed.dispatch)
                return [gathered.values(), out.values(), plain.values(), both.values(), again.values(), dweights.values(), routed.dispatch.pair.values(pairs).map(Float.init)]
            }
            let (mine, theirs) = (try all(device), try all(slow)), k = Double(choices)
            #expect(mine[0] == theirs[0] && mine[6] == theirs[6])
            let tokens = mine[6].map { Int($0) / choices }
            let expected = tokens.flatMap { token in Array(x[(token * width)..<((token + 1) * width)]) }
            #expect(mine[0] == expected)
            #expect(excess(mine[1], theirs[1]) { _ in (k + 40) * u * 2 } <= 0)  // the weights differ as routing's bound says
            #expect(excess(mine[2], theirs[2]) { _ in k * u * k } <= 0)
            // |g|, |u| ≤ 8: silu's slope is below 1.1, and a product of it with u and dh below 9; see swiglu's own test.
            #expect(excess(mine[3], theirs[3]) { _ in 60 * u * 9 } <= 0)
            #expect(excess(mine[4], theirs[4]) { _ in 60 * u * 64 } <= 0)
            #expect(excess(mine[5], theirs[5]) { _ in (Double(width) / 16 + 12) * u * 64 * Double(width) } <= 0)
        }
    }

    /// Group by group the bits of the plain product, which has its own tests against the reference; the reference's groups are its products by construction.
    @Test(arguments: Backend.present + others, [Precision.f32, .bf16])
    func `products of all experts have the bits of one product an expert`(backend: Backend, precision: Precision) throws {
        let device = try Device(backend, threads: 2)
        for (number, sizes) in [[0], [1], [0, 3, 0], [5, 0, 1, 2, 4], [13, 31, 97], [1, 1, 1, 1, 1, 1, 1, 40], [4, 300, 0, 7]].enumerated() {
            for (k, n) in [(1, 1), (2, 33), (16, 16), (17, 70), (65, 5), (513, 64)] {
                let groups = sizes.count, rows = sizes.reduce(0, +), starts = sizes.reduce(into: [Int32(0)]) { $0.append($0.last! + Int32($1)) }
                var noise = Noise(UInt64(number * 100 + k + n))
                let spacing = k * n + 11
                let (x, dy, weights, before) = (noise.floats(rows * k), noise.floats(rows * n), noise.floats(groups * spacing), noise.floats(groups * spacing))
                let input = try device.odd(x, rows: rows, columns: k), above = try device.odd(dy, rows: rows, columns: n, odd: 5)
                let group = TensorGroup(try device.odd(weights, rows: 1, columns: groups * spacing, odd: 1).view(rows: n, columns: k), count: groups, spacing: spacing)
                let gradient = TensorGroup(try device.odd(before, rows: 1, columns: groups * spacing).view(rows: n, columns: k), count: groups, spacing: spacing)
                let index = try Indices(starts, on: device)
                func packed(_ kind: PackSource) throws -> Tensor {
                    let count = groups * (kind == .weight ? Device.packedCount(k: k, n: n) : Device.packedCount(k: n, n: k))
                    let packed = try device.odd([Float](repeating: .nan, count: count), rows: 1, columns: count, odd: 1)
                    try device.pack(packed, from: group, as: kind, precision: precision)
                    return packed
                }
                let out = try device.odd([Float](repeating: .nan, count: rows * n), rows: rows, columns: n), dx = try device.odd([Float](repeating: .nan, count: rows * k), rows: rows, columns: k)
                try device.multiply(out, input, packed: packed(.weight), starts: index, groups: groups, precision: precision)
                try device.multiply(dx, above, packed: packed(.plain), starts: index, groups: groups, precision: precision)
                try device.accumulate(gradient, dy: above, x: input, starts: index, workspace: device.zeros(1, Device.packedCount(k: rows, n: k)), precision: precision)

                for g in 0..<groups {
                    let (first, m) = (Int(starts[g]), sizes[g])
                    let own = input.view(from: first * k, rows: m, columns: k), ownAbove = above.view(from: first * n, rows: m, columns: n)
                    let one = try device.zeros(m, n), back = try device.zeros(m, k), weight = group[g]
                    let nk = try device.zeros(1, Device.packedCount(k: k, n: n)), kn = try device.zeros(1, Device.packedCount(k: n, n: k))
                    try device.pack(nk, from: weight, as: .weight, precision: precision)
                    try device.multiply(one, own, packed: nk, precision: precision)
                    try device.pack(kn, from: weight, as: .plain, precision: precision)
                    try device.multiply(back, ownAbove, packed: kn, precision: precision)
                    let dw = try device.odd(Array(before[(g * spacing)..<(g * spacing + n * k)]), rows: n, columns: k)
                    let rowsPacked = try device.zeros(1, Device.packedCount(k: m, n: k))
                    try device.pack(rowsPacked, from: own, as: .plain, precision: precision)
                    try device.multiply(dw, ownAbove, packed: rowsPacked, transposed: true, accumulate: true, precision: precision)
                    #expect(bits(out.view(from: first * n, rows: m, columns: n).values()) == bits(one.values()), "group \(g) of \(sizes), k \(k) n \(n)")
                    #expect(bits(dx.view(from: first * k, rows: m, columns: k).values()) == bits(back.values()), "group \(g) of \(sizes), k \(k) n \(n)")
                    #expect(bits(gradient[g].values()) == bits(dw.values()), "group \(g) of \(sizes), k \(k) n \(n)")
                }
            }
        }
    }

    /// One expert layer by hand: what it gives a row, alone and among others.
    func layer(_ device: Device, rows: Range<Int>, precision: Precision) throws -> (out: [UInt32], everything: [UInt32]) {
        let (all, width, feedForward, routing) = (90, 37, 50, Routing(experts: 6, choices: 2, score: .sigmoid, scale: 2.5))
        var noise = Noise(77)
        let (x, logits, w1, w2) = (noise.floats(all * width), noise.floats(all * 6), noise.floats(6 * 2 * feedForward * width), noise.floats(6 * width * feedForward))
        let pairs = rows.count * 2
        let input = try device.odd(Array(x[(rows.lowerBound * width)..<(rows.upperBound * width)]), rows: rows.count, columns: width)
        let routed = try Routed(device, Array(logits[(rows.lowerBound * 6)..<(rows.upperBound * 6)]), rows: rows.count, routing)
        let gathered = try device.zeros(pairs, width), gu = try device.zeros(pairs, 2 * feedForward), hidden = try device.zeros(pairs, feedForward)
        let said = try device.zeros(pairs, width), out = try device.zeros(rows.count, width), dweights = try device.zeros(rows.count, 2), dlogits = try device.zeros(rows.count, 6)
        let first = try device.zeros(1, 6 * Device.packedCount(k: width, n: 2 * feedForward)), second = try device.zeros(1, 6 * Device.packedCount(k: feedForward, n: width))
        let gateUp = try device.odd(w1, rows: 6 * 2 * feedForward, columns: width), down = try device.odd(w2, rows: 6 * width, columns: feedForward)
        try device.gather(gathered, input, routed.dispatch, choices: 2)
        try device.pack(first, from: TensorGroup(gateUp.prefix(2 * feedForward), count: 6, spacing: 2 * feedForward * width), as: .weight, precision: precision)
        try device.multiply(gu, gathered, packed: first, starts: routed.dispatch.starts, groups: 6, precision: precision)
        try device.swiglu(hidden, gu)
        try device.pack(second, from: TensorGroup(down.prefix(width), count: 6, spacing: width * feedForward), as: .weight, precision: precision)
        try device.multiply(said, hidden, packed: second, starts: routed.dispatch.starts, groups: 6, precision: precision)
        try device.combine(out, said, weights: routed.weights, routed.dispatch, choices: 2)
        let again = try device.zeros(pairs, feedForward)
        try device.expertSwigluBackward(dgu: gu, again: again, dweights: dweights, dh: hidden, gu: gu, weights: routed.weights, routed.dispatch)
        try device.routeBackward(dlogits: dlogits, dweights: dweights, choice: routed.choice, probs: routed.probs, routing)
        let sums = try Storage(bytes: 8 * width, on: device)
        try device.columnSums(sums, out)
        let whole = [out, gu, again, dweights, dlogits].flatMap { bits($0.values()) } + sums.doubles(width).map { UInt32(truncatingIfNeeded: $0.bitPattern) }
        return (bits(out.values()), whole)
    }

    @Test(arguments: [Precision.f32, .bf16])
    func `a token's answer has the same bits alone and among others, on any number of threads and either width of registers`(precision: Precision) throws {
        var seen: Set<[UInt32]> = []
        for backend in fast {
            for threads in 1...3 {
                let device = try Device(backend, threads: threads), whole = try layer(device, rows: 0..<90, precision: precision)
                seen.insert(whole.everything)
                for rows in [0..<1, 41..<42, 3..<7, 10..<26, 40..<90] {
                    #expect(try layer(device, rows: rows, precision: precision).out == Array(whole.out[(rows.lowerBound * 37)..<(rows.upperBound * 37)]))
                }
            }
        }
        #expect(seen.count == 1 || fast.isEmpty)
    }

    @Test(arguments: Backend.present + others, [1, 15, 16, 17, 40])
    func `sums of columns are those of doubles in order`(backend: Backend, width: Int) throws {
        let device = try Device(backend, threads: 2)
        for rows in [0, 1, 77] {
            var noise = Noise(UInt64(rows + width))
            let x = noise.floats(rows * width), out = try Storage(bytes: 8 * width, on: device)
            try device.columnSums(out, device.odd(x, rows: rows, columns: width))
            #expect(out.doubles(width) == (0..<width).map { column in (0..<rows).reduce(0.0) { $0 + Double(x[$1 * width + column]) } })
        }
    }
}
