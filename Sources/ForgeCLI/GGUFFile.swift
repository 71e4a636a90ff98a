internal import ForgeArtifact
internal import ForgeCheckpoint
internal import ForgeCore
internal import ForgeGGUF
internal import ForgeInference
internal import ForgeModel
internal import ForgeOS
internal import ForgeTensor
internal import ForgeTokenizer

/// A model that has arrived as our files, turned into one file of llama.cpp's, which is kept only if it still answers as the model does.
struct GGUFFile {
    private let checkpoint: Checkpoint
    private let tokenizer: Tokenizer

    /// Both models continue it; what they say behind each of its tokens is compared.
    private static let text = """
        The register is kept in two copies: one stays at the desk, the other goes to the archive at the end of the year. Who signs it confirms date, name and reason of the visit; \
        3 of 12 entries are checked against the list. Die Liste wird danach vernichtet.
        """
    private static let positionsMax = 64

    /// - Parameter directory: holds the model's files.
    init(_ directory: String) throws(Fault) {
        checkpoint = try Checkpoint(try CheckpointFolder(directory), layout: .huggingFace)
        tokenizer = try Tokenizer(parsing: try checkpoint.folder.read(ModelFile.tokenizer.rawValue, limit: ModelFile.tokenizer.limit))
    }

    /// - Throws: `.request` for a model that llama.cpp would compute differently, or whose file gives other answers than the format allows.
    func write(to path: String, as matrices: GGUFExport.Matrices, name: String) throws(Fault) {
        let export = try GGUFExport(checkpoint.config, tokenizer, matrices: matrices, name: name)
        let wanted = try logits(checkpoint.config) { (entry, rows) throws(Fault) in try checkpoint.weights.values(entry, rows: rows) }
        try export.write(
            to: path,
            rows: { (entry, rows, out) throws(Fault) in
                let values = try checkpoint.weights.values(entry, rows: rows)
                for index in values.indices { out[index] = values[index] }
            },
            check: { (reopened) throws(Fault) in
                let given = try logits(reopened.config) { (entry, rows) throws(Fault) in
                    var values = [Float](repeating: 0, count: entry.count / (entry.shape.rank == 2 ? entry.shape[0] : 1) * rows.count), span = values.mutableSpan
                    try reopened.read(entry, rows: rows, into: &span)
                    return values
                }
                let difference = zip(given, wanted).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }, size = wanted.reduce(0.0) { $0 + Double($1) * Double($1) }
                return (difference / max(size, .leastNormalMagnitude)).squareRoot()
            })
    }

    /// The logits behind each of the text's first tokens. One of the two models is in memory at a time, in bfloat16 if its weights are.
    private func logits(_ config: MistralConfig, _ values: (ParameterTable.Entry, Range<Int>) throws(Fault) -> [Float]) throws(Fault) -> [Float] {
        let tokens = Array(([tokenizer.control.begin] + tokenizer.encode(GGUFFile.text)).prefix(min(GGUFFile.positionsMax, config.contextMax)))
        let format: WeightFormat = checkpoint.weights.table.entries.contains { $0.dtype == .bf16 } ? .bf16 : .f32
        let device = try Device()
        let packed = try PackedWeights(ParameterTable(config), as: format, on: device) { (entry, tensor) throws(Fault) in
            let height = entry.shape.rank == 2 ? entry.shape[0] : 1, columns = entry.count / height, step = max(1, (1 << 22) / columns)
            for first in stride(from: 0, to: height, by: step) {
                let rows = first..<min(first + step, height)
                tensor.rows(rows.lowerBound, rows.count).write(try values(entry, rows))
            }
        }
        let blockSize = 16, blocks = (tokens.count + blockSize - 1) / blockSize
        let pass = try ForwardPass(packed, on: device, blocks: blocks, blockSize: blockSize, limits: .init(tokensPerStep: 1, sequencesMax: 1))
        var out: [Float] = []
        for position in tokens.indices {
            let slice = Scheduler.Slice(sequence: SequenceID(0), tokens: position..<position + 1, blocks: (0..<Int32(blocks)).map { $0 }, draws: true)
            out += try pass.logits(StepBatch([slice], blockSize: blockSize) { _ in tokens })
        }
        return out
    }
}
