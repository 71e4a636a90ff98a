package import ForgeArtifact
package import ForgeCore
package import ForgeModel
import ForgeOS

/// One tensor file that a checkpoint or a model becomes: laid out from its tensors, its bytes made from the files when they are asked for.
package struct ModelWeights: Sendable {
    /// How the rows of heads so wide are turned on their way.
    private enum Turn: Sendable { case none, toHalves(Int), toPairs(Int) }

    private struct Piece: Sendable {
        let place: TensorShards.Place
        let turn: Turn
    }

    package let table: TensorTable
    private let header: [UInt8]
    /// In the order of the table's places.
    private let pieces: [(entry: TensorTable.Entry, piece: Piece)]

    /// Types that models are kept in here.
    private static let types: Set<DType> = [.f32, .bf16]

    init(_ shards: TensorShards, _ config: MistralConfig, _ layout: Checkpoint.Layout) throws(Fault) {
        var left = Set(shards.places.keys), pieces: [String: Piece] = [:]
        var tensors: [(name: String, dtype: DType, shape: Shape)] = []
        for entry in ParameterTable(config).entries {
            let name = layout == .native ? NativeNames.name(entry.name) : entry.name
            guard let place = shards.places[name] else { throw ModelWeights.fault("tensor `\(name)` is missing") }
            guard place.entry.shape == entry.shape else { throw ModelWeights.fault("tensor `\(name)` has the shape \(place.entry.shape), and the configuration says \(entry.shape)") }
            guard ModelWeights.types.contains(place.entry.dtype) else {
                throw ModelWeights.fault("tensor `\(name)` is of type \(place.entry.dtype.rawValue), which is not read yet: F32 and BF16 are")
            }
            left.remove(name)
            tensors.append((entry.name, place.entry.dtype, entry.shape))
            let paired = layout == .native ? NativeNames.pairedHeads(entry.name, config) : nil
            pieces[entry.name] = Piece(place: place, turn: paired.map { .toHalves($0) } ?? .none)
        }
        try ModelWeights.settle(left, shards, config, layout)
        self.init(tensors, pieces, metadata: ["format": "pt"])
    }

    private init(_ tensors: [(name: String, dtype: DType, shape: Shape)], _ pieces: [String: Piece], metadata: [String: String]) {
        table = TensorTable(laying: tensors, metadata: metadata)
        header = table.headerBytes
        self.pieces = table.entries.map { ($0, pieces[$0.name]!) }
    }

    /// The `consolidated.safetensors` that a model's `model.safetensors` becomes.
    /// - Throws: `.request` naming the tensor that is missing or does not fit.
    package init(native model: String, in folder: CheckpointFolder, _ config: MistralConfig) throws(Fault) {
        let shards = try TensorShards(folder, names: [model], listed: nil)
        var tensors: [(name: String, dtype: DType, shape: Shape)] = [], pieces: [String: Piece] = [:]
        for entry in ParameterTable(config).entries {
            guard let place = shards.places[entry.name], place.entry.shape == entry.shape else { throw ModelWeights.fault("tensor `\(entry.name)` is missing or has another shape") }
            let name = NativeNames.name(entry.name)
            tensors.append((name, place.entry.dtype, entry.shape))
            pieces[name] = Piece(place: place, turn: NativeNames.pairedHeads(entry.name, config).map { .toPairs($0) } ?? .none)
        }
        self.init(tensors, pieces, metadata: [:])
    }

    package var count: Int { table.fileBytes }

    /// What an older release wrote beside its weights may stay behind; anything else would be lost silently.
    private static func settle(_ left: Set<String>, _ shards: TensorShards, _ config: MistralConfig, _ layout: Checkpoint.Layout) throws(Fault) {
        let (head, embedding) = layout == .native ? ("output.weight", "tok_embeddings.weight") : ("lm_head.weight", "model.embed_tokens.weight")
        for name in left.sorted() {
            if name.hasSuffix("rotary_emb.inv_freq") { continue }  // computed from the configuration
            if name == head, config.tiedEmbeddings, let output = shards.places[head], let input = shards.places[embedding] {
                guard output.entry.shape == input.entry.shape, output.entry.dtype == input.entry.dtype, try ModelWeights.same(output, input) else {
                    throw fault("tensor `\(name)` differs from the embedding, and the configuration says that they are one")
                }
                continue
            }
            throw fault("tensor `\(name)` is not one of this architecture")
        }
    }

    private static func same(_ a: TensorShards.Place, _ b: TensorShards.Place) throws(Fault) -> Bool {
        let count = a.entry.range.count, step = 1 << 20
        guard count == b.entry.range.count else { return false }
        for from in stride(from: 0, to: count, by: step) {
            let part = from..<min(from + step, count)
            guard try a.bytes(part) == b.bytes(part) else { return false }
        }
        return true
    }

    /// Any bytes of the file, made now.
    /// - Precondition: the range lies in the file.
    /// - Throws: `.request` if a file of the checkpoint was cut since it was opened.
    package func bytes(_ range: Range<Int>) throws(Fault) -> [UInt8] {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "a file is read within its bytes")
        var out = [UInt8](repeating: 0, count: range.count)
        if range.lowerBound < header.count {
            let part = range.clamped(to: 0..<header.count)
            out.replaceSubrange(0..<part.count, with: header[part])
        }
        // The first piece that ends behind the start.
        var low = 0, high = pieces.count
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].entry.range.upperBound <= range.lowerBound { low = middle + 1 } else { high = middle }
        }
        for (entry, piece) in pieces[low...] {
            let part = entry.range.clamped(to: range)
            guard !part.isEmpty else { break }
            let from = part.lowerBound - entry.range.lowerBound
            try read(piece, from..<(from + part.count), into: &out, at: part.lowerBound - range.lowerBound)
        }
        return out
    }

    /// Bytes of one tensor as they leave.
    private func read(_ piece: Piece, _ range: Range<Int>, into out: inout [UInt8], at place: Int) throws(Fault) {
        if case .none = piece.turn {
            try piece.place.read(range, into: &out, at: place)
            return
        }
        let width = piece.place.entry.shape[1] * piece.place.entry.dtype.width
        var at = range.lowerBound
        while at < range.upperBound {
            let row = at / width, within = at % width, end = min(width, within + range.upperBound - at)
            let source = switch piece.turn {
            case .none: row
            case .toHalves(let d): NativeNames.row(row, headDim: d)
            case .toPairs(let d): NativeNames.rowHere(row, headDim: d)
            }
            try piece.place.read(source * width + within..<source * width + end, into: &out, at: place + at - range.lowerBound)
            at += end - within
        }
    }

    private static func fault(_ why: String) -> Fault {
        Fault(.request, "checkpoint.tensor", "the checkpoint is not accepted", why: why, remedy: "bring the release whole and unchanged, in BF16 or F32")
    }
}
