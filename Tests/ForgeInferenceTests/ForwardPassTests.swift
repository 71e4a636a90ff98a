import ForgeCore
import ForgeInference
import ForgeModel
import ForgeNN
import ForgeTensor
import Testing

/// Small, and awkward on purpose: head sizes that fill no register, grouped heads, a window.
private let configs: [MistralConfig] = [
    MistralConfig(vocabulary: 97, width: 32, feedForward: 48, layers: 2, queryHeads: 4, kvHeads: 2, headDim: 8, contextMax: 128),
    MistralConfig(vocabulary: 300, width: 40, feedForward: 72, layers: 3, queryHeads: 3, kvHeads: 1, headDim: 20, contextMax: 160, window: 37, tiedEmbeddings: true),
    MistralConfig(
        vocabulary: 97, width: 32, feedForward: 48, layers: 2, queryHeads: 4, kvHeads: 2, headDim: 8, contextMax: 128, ropeTheta: 1000, yarn: Yarn(factor: 4, originalContext: 32),
        queryScale: QueryScale(beta: 0.1, originalContext: 32)),
    MistralConfig(vocabulary: 97, width: 32, feedForward: 24, layers: 2, queryHeads: 4, kvHeads: 2, headDim: 8, contextMax: 128, experts: .init(count: 5, choices: 2)),
    MistralConfig(vocabulary: 97, width: 32, feedForward: 48, layers: 3, queryHeads: 4, kvHeads: 1, headDim: 8, contextMax: 128, window: 19, windowed: [true, false, true]),
    MistralConfig(
        vocabulary: 97, width: 32, feedForward: 20, layers: 2, queryHeads: 3, kvHeads: 3, contextMax: 128, ropeTheta: 1000,
        yarn: Yarn(factor: 4, originalContext: 32, attentionFactor: 1), queryScale: QueryScale(beta: 0.1, originalContext: 32),
        experts: .init(count: 5, choices: 2, shared: 1, scale: 1.3), latent: LatentAttention(queryRank: 12, rank: 18, plainDim: 6, turnedDim: 8, valueDim: 10)),
    MistralConfig(
        vocabulary: 97, width: 32, feedForward: 12, layers: 2, queryHeads: 9, kvHeads: 9, contextMax: 128, ropeTheta: 1000, yarn: Yarn(factor: 4, originalContext: 32),
        queryScale: QueryScale(beta: 0.1, originalContext: 32), experts: .init(count: 4, choices: 1, shared: 3),
        latent: LatentAttention(queryRank: nil, rank: 260, plainDim: 8, turnedDim: 4, valueDim: 16, raisesScores: true)),
]

/// A decoder with random weights, able to serve and to be asked by the training pass.
struct TinyModel {
    let device: Device
    let parameters: Parameters

    init(_ config: MistralConfig, _ backend: Backend = .best, threads: Int = 2, seed: UInt64 = 7) throws {
        device = try Device(backend, threads: threads)
        parameters = try Parameters(ParameterTable(config), on: device)
        parameters.initialise(seed: seed, embeddingDeviation: 0.6)
    }

    func pass(
        _ format: WeightFormat = .f32, blocks: Int = 64, blockSize: Int = 16, limits: Scheduler.Limits = .init(tokensPerStep: 64)
    ) throws -> ForwardPass {
        try ForwardPass(PackedWeights(parameters, as: format, on: device), on: device, blocks: blocks, blockSize: blockSize, limits: limits)
    }
}

/// Logits after each of `draws` lengths of one sequence, fed in chunks of `chunk` positions.
private func logits(_ pass: ForwardPass, _ tokens: [TokenID], chunk: Int) throws -> [[Float]] {
    var pool = BlockPool(blocks: pass.blocks, blockSize: pass.blockSize)
    var table: [BlockPool.BlockID] = []
    _ = pool.extend(&table, toTokens: tokens.count)
    var out: [[Float]] = []
    for start in stride(from: 0, to: tokens.count, by: chunk) {
        let end = min(start + chunk, tokens.count)
        let slice = Scheduler.Slice(sequence: SequenceID(0), tokens: start..<end, blocks: table, draws: true)
        out.append(try pass.logits(StepBatch([slice], blockSize: pass.blockSize) { _ in tokens }))
    }
    return out
}

private func tokens(_ count: Int, _ config: MistralConfig, seed: UInt64) -> [TokenID] {
    var random = SplitMix(state: seed)
    return (0..<count).map { _ in TokenID(random.next() % UInt64(config.vocabulary)) }
}

@Suite struct ForwardPassTests {
    @Test(arguments: Backend.present, configs.indices)
    func `logits agree with the plain twin`(backend: Backend, index: Int) throws {
        let config = configs[index]
        let model = try TinyModel(config, backend)
        let prompt = tokens(60, config, seed: 1)
        let plain = PlainForward(config: config) { model.parameters.tensor($0).values() }.logits(prompt)
        let ours = try logits(model.pass(), prompt, chunk: 60)[0]
        // Each of about 20 float32 operations in a row of a layer may add a relative error of some 2^-24 times the root of its length; logits here have magnitude 1.
        let worst = zip(ours, plain).map { abs(Double($0) - $1) }.max()!
        #expect(worst < 2e-4, "\(worst)")
    }

    @Test(arguments: Backend.present, configs.indices.flatMap { index in Precision.allCases.map { (index, $0) } })
    func `serving gives the training pass's logits bit for bit`(backend: Backend, what: (index: Int, precision: Precision)) throws {
        let config = configs[what.index], format = WeightFormat(what.precision)
        let model = try TinyModel(config, backend)
        let prompt = tokens(100, config, seed: 2)
        let decoder = try Decoder(model.parameters, rows: 100, precision: what.precision, on: model.device)
        let trained = try decoder.logits(TokenBatch(ids: prompt, targets: prompt.map { _ in -1 }, cumulativeLengths: [0, 100]))
        // The training pass sees all positions at once; serving gets them in chunks of 64, 36 and, again, one by one.
        let pass = try model.pass(format)
        let one = try logits(pass, prompt, chunk: 1)
        for (position, row) in one.enumerated() {
            let wanted = Array(trained[position * config.vocabulary..<(position + 1) * config.vocabulary])
            #expect(row == wanted, "position \(position)")
        }
        let chunked = try logits(model.pass(format), prompt, chunk: 64)
        #expect(chunked == [one[63], one[99]])
    }

    @Test(arguments: configs.indices, WeightFormat.allCases)
    func `chunks, block size and threads change no bit`(index: Int, format: WeightFormat) throws {
        let config = configs[index]
        let prompt = tokens(90, config, seed: 3)
        let wanted = try logits(TinyModel(config).pass(format), prompt, chunk: 30)
        for (blockSize, threads) in [(1, 1), (5, 2), (64, 1), (128, 2)] {
            let pass = try TinyModel(config, threads: threads).pass(format, blocks: 128, blockSize: blockSize)
            #expect(try logits(pass, prompt, chunk: 30) == wanted)
        }
        let one = try logits(TinyModel(config).pass(format), prompt, chunk: 1)
        #expect([one[29], one[59], one[89]] == wanted)
    }

    /// Small random matrices are the hardest case for rounding; what counts here is that 8 bits stay close and 4 bits are no noise.
    @Test(arguments: [(WeightFormat.bf16, 0.02), (.q8, 0.03), (.q4, 0.35)])
    func `rounded weights give logits near the exact ones`(format: WeightFormat, most: Double) throws {
        let config = configs[0]
        let prompt = tokens(60, config, seed: 5)
        let exact = try logits(TinyModel(config).pass(), prompt, chunk: 60)[0], ours = try logits(TinyModel(config).pass(format), prompt, chunk: 60)[0]
        let distance = zip(exact, ours).reduce(0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }.squareRoot()
        let size = exact.reduce(0) { $0 + Double($1 * $1) }.squareRoot()
        #expect(distance / size < most, "\(distance / size)")
    }
}

/// What one request drew, with the bits of its log-probabilities.
private struct Drawn: Hashable {
    var tokens: [TokenID] = []
    var bits: [UInt64] = []
}

private func collect(_ stream: AsyncStream<TokenEvent>) async -> Drawn {
    var drawn = Drawn()
    for await case .token(let token) in stream {
        drawn.tokens.append(token.token)
        drawn.bits += ([token.logprob!] + token.top).map(\.logprob.bitPattern)
    }
    return drawn
}

@Suite struct InvarianceTests {
    private func request(_ number: Int, _ config: MistralConfig) -> Generation {
        let lengths = [1, 3, 16, 17, 40, 5, 2, 33, 64, 7, 12, 29, 50, 4, 9, 21, 35]
        return Generation(
            prompt: tokens(lengths[number % lengths.count], config, seed: UInt64(number) + 100), tokensMax: 24,
            sampling: Sampling(temperature: number % 3 == 0 ? 0 : 0.9, topK: number % 2 == 0 ? 20 : 0, topP: 0.95, seed: UInt64(number)), logprobs: 3)
    }

    private func engine(_ config: MistralConfig, blocks: Int = 256, blockSize: Int = 16, limits: Scheduler.Limits) throws -> Engine {
        Engine(try TinyModel(config).pass(blocks: blocks, blockSize: blockSize, limits: limits), limits: limits) { _ in [] }
    }

    @Test(arguments: configs.indices)
    func `a request gives the same bits alone, among sixteen others, after preemption and with another block size`(index: Int) async throws {
        let config = configs[index]
        let wide = Scheduler.Limits(tokensPerStep: 64, sequencesMax: 32)
        // Alone, each in an engine that has nothing else to do.
        let quiet = try engine(config, limits: wide)
        var alone: [Drawn] = []
        for number in 0..<17 { alone.append(await collect(try await quiet.submit(request(number, config)))) }
        #expect(alone.allSatisfy { !$0.tokens.isEmpty })

        for (blocks, blockSize, limits, preempts) in [
            (256, 16, wide, false), (40, 4, Scheduler.Limits(tokensPerStep: 48, sequencesMax: 17), true), (300, 3, Scheduler.Limits(tokensPerStep: 7, sequencesMax: 5), false),
        ] {
            let busy = try engine(config, blocks: blocks, blockSize: blockSize, limits: limits)
            var streams: [AsyncStream<TokenEvent>] = []
            for number in 0..<17 { streams.append(try await busy.submit(request(number, config))) }
            for (number, stream) in streams.enumerated() { #expect(await collect(stream) == alone[number], "request \(number), blocks of \(blockSize)") }
            #expect(busy.counters.now.sequencesInStepMax > 1)
            if preempts { #expect(busy.counters.now.preemptions > 0) }
        }
    }
}
