import ForgeCore
import ForgeGGUF
import ForgeModel
import ForgeNN
import ForgeTensor
import ForgeTokenizer

/// Small decoders with random weights and a small tokenizer, to be written and read again.
struct Small {
    static let families = ["dense", "tied", "yarn", "ministral3", "mixtral"]

    let config: MistralConfig
    let tokenizer: Tokenizer
    let parameters: Parameters
    let device: Device

    init(_ family: String, seed: UInt64 = 5) throws {
        var trainer = try BPETrainer(vocabularyCount: 300)
        trainer.add(Array("the theory of the other thing, then and there: a bank's own ledger, and another ledger beside it\n".utf8))
        tokenizer = try trainer.train()
        var config = MistralConfig(
            vocabulary: tokenizer.count + 5, width: 64, feedForward: 96, layers: 2, queryHeads: 4, kvHeads: 2, headDim: 32, contextMax: 128, ropeTheta: 1_000_000, bos: 1, eos: 2)
        switch family {
        case "tied": config.tiedEmbeddings = true
        case "yarn": config.yarn = Yarn(factor: 4, originalContext: 32)
        case "ministral3":
            config.yarn = Yarn(factor: 4, originalContext: 32, attentionFactor: 1)
            config.queryScale = QueryScale(beta: 0.1, originalContext: 32)
        case "mixtral": config.experts = .init(count: 4, choices: 2)
        default: break
        }
        self.config = config
        device = try Device(.best, threads: 1)
        parameters = try Parameters(ParameterTable(config), on: device)
        // Attention that looks at places, so that a wrong turn of a head shows.
        parameters.initialise(seed: seed, embeddingDeviation: 1)
        var generator = SeededGenerator(seed: seed)
        for entry in parameters.table.entries where entry.role == .norm { parameters.tensor(entry).write((0..<entry.count).map { _ in 1 + 0.5 * generator.symmetric() }) }
    }

    func rows(_ entry: ParameterTable.Entry, _ rows: Range<Int>, _ out: inout MutableSpan<Float>) {
        let values = parameters.tensor(entry).values(), columns = entry.count / (entry.shape.rank == 2 ? entry.shape[0] : 1)
        for i in 0..<out.count { out[i] = values[rows.lowerBound * columns + i] }
    }

    var batch: TokenBatch { TokenBatch(sequences: (0..<3).map { row in (0..<70).map { Int32((row * 31 + $0 * $0 * 7 + $0) % tokenizer.count) } }) }

    func logits(_ parameters: Parameters) throws(Fault) -> [Float] { try Decoder(parameters, rows: batch.rows, on: device).logits(batch) }

    /// A `GGUFExport.LogitCheck` by the trainer's own forward pass.
    func check(_ reopened: GGUFModel) throws(Fault) -> Double {
        let theirs = try Parameters(reopened.table, on: device)
        for entry in reopened.table.entries { theirs.tensor(entry).write(try reopened.floats(entry)) }
        return relative(try logits(theirs), try logits(parameters))
    }
}
