import ForgeCore
import ForgeInference
import ForgeModel
import ForgeNN
import ForgeTensor
import Glibc

/// The processor, or what FORGE_KERNEL_LIBRARY names: a GPU's kernels (packaging/cuda.sh).
private func chosenDevice() throws -> Device {
    guard let library = unsafe getenv("FORGE_KERNEL_LIBRARY") else { return try Device() }
    return try Device(.cuda(library: unsafe String(cString: library)))
}

/// Matrix products of a linear layer at training and serving row counts, and what limits them: registers, or at few rows the reading of weights from memory.
func gemmRows(_ bench: Bench) throws {
    let device = try chosenDevice()
    let bandwidth = device.measuredBandwidth()
    bench.say("read.memory", "GB/s", value: bandwidth / 1e9, ["threads": .int(Int64(device.threads))])
    for (k, n) in [(2048, 2560), (5632, 2048)] {
        let source = try device.tensor(noise(k * n), rows: n, columns: k)
        for format in WeightFormat.allCases {
            let peak = device.measuredPeak(format), bytes = format.bytes(k: k, n: n)
            // As many matrices as no cache holds, taken in turns: a decoder comes back to one only after all others.
            let weights = try (0..<(1 + (256 << 20) / bytes)).map { _ in try device.packed(source, as: format) }
            for m in [1, 4, 8, 16, 512] {
                let x = try device.tensor(noise(m * k), rows: m, columns: k), out = try device.tensor(rows: m, columns: n)
                let workspace = try device.tensor(rows: 1, columns: format.workspaceFloats(rows: m, k: k))
                var turn = 0
                func multiply() throws {
                    turn += 1
                    try device.multiply(out, x, by: weights[turn % weights.count], workspace: workspace)
                    try device.finish()
                }
                for _ in weights { try multiply() }
                let work = 2 * Double(m * k * n), rates = try repeated(for: 0.4, multiply).map { work / $0 / 1e9 }
                bench.say("gemm.\(format.rawValue).\(m)x\(k)x\(n)", "GOP/s", samples: rates, ["limit": .double(min(peak, bandwidth * work / Double(bytes)) / 1e9), "peak": .double(peak / 1e9)])
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
        // For a GPU.
        "124M": [768, 12, 12, 12, 2048, 50304, 1024, 32], "1.5B": [2048, 28, 16, 16, 5504, 50304, 2048, 4],
    ]
    guard let name = bench.words.first, let shape = shapes[name], let precision = bench.words.dropFirst().first.flatMap(Precision.init) else {
        throw Fault(.request, "bench.usage", "cannot tell what to train", remedy: "forge-bench training SCRATCH \(shapes.keys.sorted().joined(separator: "|")) f32|bf16")
    }
    let device = try chosenDevice(), (sequence, sequences) = (shape[6], shape[7]), rows = sequence * sequences
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
        try device.finish()
    }
    let peak = device.measuredPeak(precision: precision)
    for _ in 0..<2 { try step() }
    let rates = try repeated(for: 10) { try step() }.map { Double(rows) / $0 }
    bench.say(
        "training.\(name).\(precision.rawValue)", "tokens/s", samples: rates,
        [
            "peak": .double(peak / 1e9), "share_6nd": .double(6 * Double(table.count) * rates.sorted()[rates.count / 2] / peak), "loss": .double(loss),
            "parameters": .int(Int64(table.count)), "peak_bytes": peakBytes(), "activation_bytes": .int(decoder.activationBytes.count),
        ])
}

/// Memory this process held at most.
private func peakBytes() -> JSON {
    var usage = rusage()
    unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return .int(Int64(usage.ru_maxrss) * 1024)
}

/// The TinyLlama shape: 1.1 billion parameters.
private let tinyLlama = MistralConfig(vocabulary: 32_000, width: 2048, feedForward: 5632, layers: 22, queryHeads: 32, kvHeads: 4, contextMax: 2048)

/// Its weights in `format`: the same million numbers again and again. Arithmetic does not care, and filling takes no time.
private func randomWeights(_ format: WeightFormat, on device: Device) throws -> PackedWeights {
    let values = noise(1 << 20)
    return try PackedWeights(ParameterTable(tinyLlama), as: format, on: device) { (entry, tensor) throws(Fault) in
        var at = 0
        while at < tensor.count {
            let part = min(values.count, tensor.count - at)
            tensor.view(from: at, rows: 1, columns: part).write(part == values.count ? values : Array(values[..<part]))
            at += part
        }
    }
}

/// One training step of adapters of rank 16 on every matrix of a frozen decoder of 1.1 billion parameters, 512 tokens: `adapters SCRATCH FORMAT PRECISION`.
func adapterRows(_ bench: Bench) throws {
    guard let format = bench.words.first.flatMap(WeightFormat.init), let precision = bench.words.dropFirst().first.flatMap(Precision.init) else {
        throw Fault(.request, "bench.usage", "cannot tell what to train", remedy: "forge-bench adapters SCRATCH f32|bf16|q8|q4 f32|bf16")
    }
    let device = try chosenDevice(), rows = 512, table = ParameterTable(tinyLlama, adapters: AdapterConfig(rank: 16, alpha: 32))
    let adapters = try Parameters(table, on: device), gradients = try Parameters(table, on: device)
    let first = try Parameters(table, on: device), second = try Parameters(table, on: device)
    adapters.initialise(seed: 1)
    let decoder = try Decoder(randomWeights(format, on: device), adapters: adapters, gradients: gradients, rows: rows, precision: precision, on: device)
    let ids = noise(rows + 1).map { Int32(abs($0) * 600_000) % Int32(tinyLlama.vocabulary) }
    let batch = TokenBatch(ids: Array(ids.dropLast()), targets: Array(ids.dropFirst()), cumulativeLengths: [0, Int32(rows)])
    var number = 0
    func step() throws {
        number += 1
        decoder.beginStep()
        _ = try decoder.forwardBackward(batch, weight: 1 / Float(rows))
        try decoder.endStep()
        try device.adamw(
            adapters.flat, m: first.flat, v: second.flat, gradient: gradients.flat,
            step: AdamWStep(rate: 1e-4, beta1: 0.9, beta2: 0.95, eps: 1e-8, decay: 0, number: number, scale: 1))
        try device.finish()
    }
    let peak = device.measuredPeak(precision: precision)
    try step()
    let rates = try repeated(for: 10) { try step() }.map { Double(rows) / $0 }
    bench.say(
        "adapters.\(format.rawValue).\(precision.rawValue)", "tokens/s", samples: rates,
        [
            "peak": .double(peak / 1e9), "share_4nd": .double(4 * Double(ParameterTable(tinyLlama).multiplied) * rates.sorted()[rates.count / 2] / peak),
            "parameters": .int(Int64(table.count)), "peak_bytes": peakBytes(), "activation_bytes": .int(decoder.activationBytes.count),
        ])
}

/// Products of one row with 8-bit weights, by one thread and by all, in turns: `Benchmarks/run` keeps a processor busy meanwhile.
func neighbourRows(_ bench: Bench) throws {
    let (k, n) = (2048, 5632)
    let devices = [try Device(threads: 1), try Device()]
    var rates: [[Double]] = [[], []]
    let products = try devices.map { device in
        let weight = try device.packed(try device.tensor(noise(k * n), rows: n, columns: k), as: .q8), x = try device.tensor(noise(k), rows: 1, columns: k)
        return (weight: weight, x: x, out: try device.tensor(rows: 1, columns: n), workspace: try device.tensor(rows: 1, columns: WeightFormat.q8.workspaceFloats(rows: 1, k: k)))
    }
    for _ in 0..<8 {
        for (index, device) in devices.enumerated() {
            let p = products[index]
            // Many products in a row, as a decoder multiplies: what a thread that was not run costs shows in the sum.
            rates[index] += try repeated(for: 0.25) { for _ in 0..<50 { try device.multiply(p.out, p.x, by: p.weight, workspace: p.workspace) } }.map { 50 / $0 }
        }
    }
    for (device, rates) in zip(devices, rates) { bench.say("neighbour.\(device.threads)", "products/s", samples: rates) }
}

/// Decode and prefill of a decoder of the TinyLlama shape (1.1 billion parameters, random): `serving SCRATCH FORMAT`.
func servingRows(_ bench: Bench) throws {
    guard let format = bench.words.first.flatMap(WeightFormat.init) else {
        throw Fault(.request, "bench.usage", "cannot tell how to keep the weights", remedy: "forge-bench serving SCRATCH f32|bf16|q8|q4")
    }
    let config = tinyLlama
    let device = try chosenDevice(), limits = Scheduler.Limits(tokensPerStep: 512, sequencesMax: 16)
    let pass = try ForwardPass(randomWeights(format, on: device), on: device, blocks: 16 * 40, blockSize: 16, limits: limits)
    /// `sequences` sequences of `length` tokens, of which the last `fresh` are new.
    func batch(_ sequences: Int, length: Int, fresh: Int) -> StepBatch {
        let slices = (0..<sequences).map { number in
            Scheduler.Slice(
                sequence: SequenceID(UInt64(number)), tokens: (length - fresh)..<length, blocks: (0..<((length + 15) / 16)).map { BlockPool.BlockID(number * 40 + $0) }, draws: true)
        }
        return StepBatch(slices, blockSize: 16) { _ in (0..<length).map { TokenID($0 * 7 % 32_000) } }
    }
    let streamed = Double(PackedWeights.bytes(config, as: format).count - Int64(4 * config.vocabulary * config.width))
    let peak = device.measuredPeak(format)
    // Weights a token multiplies with: all but the looked-up embedding.
    let multiplied = Double(ParameterTable(config).multiplied)
    for (name, sequences, length, fresh) in [("decode", 1, 64, 1), ("decode", 4, 64, 1), ("decode", 16, 64, 1), ("prefill", 1, 512, 512)] {
        let batch = batch(sequences, length: length, fresh: fresh)
        _ = try pass.logits(batch)
        // Neighbours take their share of the memory as they please: what it gives is asked in turns with what is held against it.
        var rates: [Double] = [], bandwidths: [Double] = []
        for _ in 0..<8 {
            bandwidths.append(device.measuredBandwidth())
            rates += try repeated(for: 0.5, atLeast: 1) { _ = try pass.logits(batch) }.map { Double(sequences * fresh) / $0 }
        }
        let rate = Bench.quantile(rates.sorted(), 0.5), bandwidth = Bench.quantile(bandwidths.sorted(), 0.5)
        bench.say(
            "serving.\(format.rawValue).\(name).\(sequences)", "tokens/s", samples: rates,
            [
                "bandwidth_share": .double(rate / Double(sequences * fresh) * streamed / bandwidth), "peak_share": .double(2 * multiplied * rate / peak),
                "bandwidth": .double(bandwidth / 1e9), "peak": .double(peak / 1e9),
            ])
    }
}

/// Seconds of each repetition, for about `seconds`.
private func repeated(for seconds: Double, atLeast fewest: Int = 3, _ body: () throws -> Void) rethrows -> [Double] {
    var times: [Double] = []
    while times.count < fewest || times.reduce(0, +) < seconds { times.append(try Bench.seconds(body)) }
    return times
}

private func noise(_ count: Int) -> [Float] {
    var random = SeededGenerator(seed: 7)
    return (0..<count).map { _ in random.symmetric() * 0.05 }
}
