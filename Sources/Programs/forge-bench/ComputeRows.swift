import ForgeCore
import ForgeInference
import ForgeModel
import ForgeNN
import ForgeTensor
import Glibc

/// Matrix products of a linear layer at training and serving row counts, as shares of what registers alone reach in the same minute.
func gemmRows(_ bench: Bench) throws {
    let device = try Device()
    let bandwidth = device.measuredBandwidth()
    bench.say("read.memory", "GB/s", value: bandwidth / 1e9, ["threads": .int(Int64(device.threads))])
    for (k, n) in [(2048, 2560), (5632, 2048)] {
        let source = try device.tensor(noise(k * n), rows: n, columns: k)
        for format in WeightFormat.allCases {
            let peak = device.measuredPeak(format)
            let weight = try device.packed(source, as: format)
            for m in [1, 4, 16, 512] {
                let x = try device.tensor(noise(m * k), rows: m, columns: k), out = try device.tensor(rows: m, columns: n)
                let workspace = try device.tensor(rows: 1, columns: format.workspaceFloats(rows: m, k: k))
                try device.multiply(out, x, by: weight, workspace: workspace)
                let times = try repeated(for: 0.4) { try device.multiply(out, x, by: weight, workspace: workspace) }
                let rates = times.map { 2 * Double(m * k * n) / $0 / 1e9 }
                bench.say(
                    "gemm.\(format.rawValue).\(m)x\(k)x\(n)", "GOP/s", samples: rates,
                    ["peak": .double(peak / 1e9), "bytes_per_second": .double(rates.sorted()[rates.count / 2] * 1e9 / Double(2 * m * k * n) * Double(format.bytes(k: k, n: n)))])
            }
        }
    }
}

/// One training step of a decoder of Mistral's shape: `training SCRATCH SHAPE PRECISION`.
func trainingRows(_ bench: Bench) throws {
    // width, layers, query heads, kv heads, feed-forward, vocabulary, sequence, batch: the rows of Benchmarks/torch_training.py.
    let shapes: [String: [Int]] = [
        "1M": [128, 4, 4, 2, 344, 1024, 256, 32], "12M": [320, 8, 5, 5, 864, 4096, 256, 16], "30M": [512, 8, 8, 8, 1376, 8192, 512, 8],
        "110M": [768, 12, 12, 12, 2048, 32000, 512, 4],
    ]
    guard let name = bench.words.first, let shape = shapes[name], let precision = bench.words.dropFirst().first.flatMap(Precision.init) else {
        throw Fault(.request, "bench.usage", "cannot tell what to train", remedy: "forge-bench training SCRATCH \(shapes.keys.sorted().joined(separator: "|")) f32|bf16")
    }
    let device = try Device(), (sequence, sequences) = (shape[6], shape[7]), rows = sequence * sequences
    let config = MistralConfig(
        vocabulary: shape[5], width: shape[0], feedForward: shape[4], layers: shape[1], queryHeads: shape[2], kvHeads: shape[3], contextMax: sequence, tiedEmbeddings: true)
    let table = ParameterTable(config)
    let parameters = try Parameters(table, on: device), gradients = try Parameters(table, on: device)
    let first = try Parameters(table, on: device), second = try Parameters(table, on: device)
    parameters.initialise(seed: 1)
    let decoder = try Decoder(parameters, gradients: gradients, rows: rows, precision: precision, on: device)
    let partials = try device.tensor(rows: 1, columns: Device.sumOfSquaresWorkspace(table.count))
    var random = SeededGenerator(seed: 1)
    let ids = (0...rows).map { _ in Int32(random.next() % UInt64(config.vocabulary)) }
    let batch = TokenBatch(ids: Array(ids.dropLast()), targets: Array(ids.dropFirst()), cumulativeLengths: (0...sequences).map { Int32($0 * sequence) })
    var loss = 0.0, number = 0
    func step() throws {
        number += 1
        decoder.beginStep()
        loss = -(try decoder.forwardBackward(batch, weight: 1 / Float(rows))) / Double(rows)
        try decoder.endStep()
        let norm = try device.sumOfSquares(gradients.flat, partials: partials).squareRoot()
        try device.adamw(
            parameters.flat, m: first.flat, v: second.flat, gradient: gradients.flat,
            step: AdamWStep(rate: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, decay: 0.1, number: number, scale: Float(min(1, 1 / norm))))
    }
    let peak = device.measuredPeak(precision: precision)
    for _ in 0..<2 { try step() }
    let rates = try repeated(for: 10) { try step() }.map { Double(rows) / $0 }
    var usage = rusage()
    unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    bench.say(
        "training.\(name).\(precision.rawValue)", "tokens/s", samples: rates,
        [
            "peak": .double(peak / 1e9), "share_6nd": .double(6 * Double(table.count) * rates.sorted()[rates.count / 2] / peak), "loss": .double(loss),
            "parameters": .int(Int64(table.count)), "peak_bytes": .int(Int64(usage.ru_maxrss) * 1024), "activation_bytes": .int(decoder.activationBytes.count),
        ])
}

/// Decode and prefill of a decoder of the TinyLlama shape (1.1 billion parameters, random): `serving SCRATCH FORMAT`.
func servingRows(_ bench: Bench) throws {
    guard let format = bench.words.first.flatMap(WeightFormat.init) else {
        throw Fault(.request, "bench.usage", "cannot tell how to keep the weights", remedy: "forge-bench serving SCRATCH f32|bf16|q8|q4")
    }
    let config = MistralConfig(vocabulary: 32_000, width: 2048, feedForward: 5632, layers: 22, queryHeads: 32, kvHeads: 4, contextMax: 2048)
    let device = try Device(), limits = Scheduler.Limits(tokensPerStep: 512, sequencesMax: 16)
    let values = noise(1 << 20)
    let weights = try PackedWeights(ParameterTable(config), as: format, on: device) { (entry, tensor) throws(Fault) in
        // The same million numbers again and again: arithmetic does not care, and filling takes no time.
        var at = 0
        while at < tensor.count {
            let part = min(values.count, tensor.count - at)
            tensor.view(from: at, rows: 1, columns: part).write(part == values.count ? values : Array(values[..<part]))
            at += part
        }
    }
    let pass = try ForwardPass(weights, on: device, blocks: 16 * 40, blockSize: 16, limits: limits)
    /// `sequences` sequences of `length` tokens, of which the last `fresh` are new.
    func batch(_ sequences: Int, length: Int, fresh: Int) -> StepBatch {
        let slices = (0..<sequences).map { number in
            Scheduler.Slice(
                sequence: SequenceID(UInt64(number)), tokens: (length - fresh)..<length, blocks: (0..<((length + 15) / 16)).map { BlockPool.BlockID(number * 40 + $0) }, draws: true)
        }
        return StepBatch(slices, blockSize: 16) { _ in (0..<length).map { TokenID($0 * 7 % 32_000) } }
    }
    let streamed = Double(PackedWeights.bytes(config, as: format).count - Int64(4 * config.vocabulary * config.width))
    let bandwidth = device.measuredBandwidth(), peak = device.measuredPeak(format)
    // Weights a token multiplies with: all but the looked-up embedding.
    let multiplied = Double(ParameterTable(config).multiplied)
    for (name, sequences, length, fresh) in [("decode", 1, 64, 1), ("decode", 4, 64, 1), ("decode", 16, 64, 1), ("prefill", 1, 512, 512)] {
        let batch = batch(sequences, length: length, fresh: fresh)
        _ = try pass.logits(batch)
        let rates = try repeated(for: 4) { _ = try pass.logits(batch) }.map { Double(sequences * fresh) / $0 }
        let rate = rates.sorted()[rates.count / 2]
        bench.say(
            "serving.\(format.rawValue).\(name).\(sequences)", "tokens/s", samples: rates,
            [
                "bandwidth_share": .double(rate / Double(sequences * fresh) * streamed / bandwidth), "peak_share": .double(2 * multiplied * rate / peak),
                "bandwidth": .double(bandwidth / 1e9), "peak": .double(peak / 1e9),
            ])
    }
}

/// Seconds of each repetition, for about `seconds` and at least three times.
private func repeated(for seconds: Double, _ body: () throws -> Void) rethrows -> [Double] {
    var times: [Double] = []
    while times.count < 3 || times.reduce(0, +) < seconds { times.append(try Bench.seconds(body)) }
    return times
}

private func noise(_ count: Int) -> [Float] {
    var random = SeededGenerator(seed: 7)
    return (0..<count).map { _ in random.symmetric() * 0.05 }
}
