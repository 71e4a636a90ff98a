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
        var turn = Turn.none
        /// What is added on the way.
        var delta: AdapterDelta?
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
            let name = layout == .native ? NativeNames.name(entry.name) : entry.name, place = try ModelWeights.place(name, entry.shape, in: shards, of: DType.widening)
            left.remove(name)
            // F16 has three bits of fraction more than BF16 and fewer exponents than float32, which alone holds every one of its values.
            tensors.append((entry.name, place.entry.dtype == .f16 ? .f32 : place.entry.dtype, entry.shape))
            let paired = layout == .native ? NativeNames.pairedHeads(entry.name, config) : nil
            pieces[entry.name] = Piece(place: place, turn: paired.map { .toHalves($0) } ?? .none)
        }
        try ModelWeights.settle(left, shards, config, layout)
        self.init(tensors, pieces, metadata: ["format": "pt"])
    }

    /// Adapters in PEFT's file keep their names and types.
    init(adapters shards: TensorShards, _ table: ParameterTable) throws(Fault) {
        var pieces: [String: Piece] = [:]
        let tensors = try table.entries.map { (entry) throws(Fault) in
            let place = try ModelWeights.place(entry.name, entry.shape, in: shards, of: DType.widening)
            pieces[entry.name] = Piece(place: place)
            return (name: entry.name, dtype: place.entry.dtype, shape: entry.shape)
        }
        if let other = shards.places.keys.filter({ pieces[$0] == nil }).min() { throw ModelWeights.fault("tensor `\(other.prefix(200))` is not of these adapters") }
        self.init(tensors, pieces, metadata: ["format": "pt"])
    }

    private init(_ tensors: [(name: String, dtype: DType, shape: Shape)], _ pieces: [String: Piece], metadata: [String: String]) {
        table = TensorTable(laying: tensors, metadata: metadata)
        header = table.headerBytes
        self.pieces = table.entries.map { ($0, pieces[$0.name]!) }
    }

    private static func place(_ name: String, _ shape: Shape, in shards: TensorShards, of types: Set<DType>) throws(Fault) -> TensorShards.Place {
        guard let place = shards.places[name] else { throw fault("tensor `\(name)` is missing") }
        guard place.entry.shape == shape else { throw fault("tensor `\(name)` has the shape \(place.entry.shape), and the configuration says \(shape)") }
        guard types.contains(place.entry.dtype) else {
            throw fault("tensor `\(name)` is of type \(place.entry.dtype.rawValue), which is not read: \(types.map(\.rawValue).sorted().joined(separator: ", ")) are")
        }
        return place
    }

    /// The `consolidated.safetensors` that a model's `model.safetensors` becomes.
    /// - Throws: `.request` naming the tensor that is missing or does not fit.
    package init(native model: String, in folder: CheckpointFolder, _ config: MistralConfig) throws(Fault) {
        let shards = try TensorShards(folder, names: [model], listed: nil)
        var tensors: [(name: String, dtype: DType, shape: Shape)] = [], pieces: [String: Piece] = [:]
        for entry in ParameterTable(config).entries {
            let place = try ModelWeights.place(entry.name, entry.shape, in: shards, of: ModelWeights.types), name = NativeNames.name(entry.name)
            tensors.append((name, place.entry.dtype, entry.shape))
            pieces[name] = Piece(place: place, turn: NativeNames.pairedHeads(entry.name, config).map { .toPairs($0) } ?? .none)
        }
        self.init(tensors, pieces, metadata: [:])
    }

    /// The same file with adapters merged into the matrices they lie beside: W + s·B·A in float32, rounded once to W's type (docs/formats/adapters.md §3).
    /// A and B stay in memory, the rest is made when it is asked for.
    /// - Parameters:
    ///   - adapters: a table of adapters.
    ///   - values: of each of its entries, row-major.
    /// - Throws: `.request` naming a matrix that is not there or has another shape.
    package func merging(_ adapters: ParameterTable, _ values: (ParameterTable.Entry) throws(Fault) -> [Float]) throws(Fault) -> ModelWeights {
        guard let config = adapters.adapters else { preconditionFailure("the table is one of adapters") }
        var changed = Dictionary(uniqueKeysWithValues: pieces.map { ($0.entry.name, $0.piece) })
        for layer in 0..<adapters.config.layers {
            for target in config.targets {
                guard let down = adapters[AdapterConfig.name(layer, target, .adapterDown)], let up = adapters[AdapterConfig.name(layer, target, .adapterUp)] else {
                    preconditionFailure("a matrix with an adapter has A and B")
                }
                let name = target.module(layer) + ".weight", shape: Shape = [up.shape[0], down.shape[1]]
                guard let entry = table[name], entry.shape == shape else { throw ModelWeights.fault("tensor `\(name)`, which has an adapter of \(shape), is missing or has another shape") }
                precondition(changed[name]!.delta == nil, "adapters are merged once")
                changed[name]!.delta = AdapterDelta(down: try values(down), up: try values(up), rank: config.rank, columns: shape[1], scale: config.scale)
            }
        }
        return ModelWeights(table.entries.map { ($0.name, $0.dtype, $0.shape) }, changed, metadata: table.metadata)
    }

    package func merging(_ adapters: AdapterCheckpoint) throws(Fault) -> ModelWeights {
        try merging(adapters.table) { (entry) throws(Fault) in try adapters.values(entry) }
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
            try read(entry, piece, from..<(from + part.count), into: &out, at: part.lowerBound - range.lowerBound)
        }
        return out
    }

    /// Writes the file, which must not be there, for its owner alone; it is durable when this returns, its name in the folder apart.
    package func write(_ path: String) throws(Fault) {
        let file = try File(path, .create), piece = 1 << 20
        for from in stride(from: 0, to: count, by: piece) { try file.write(try bytes(from..<min(from + piece, count)), at: Int64(from)) }
        try file.sync()
    }

    /// One tensor as float32, row-major.
    /// - Precondition: it is one of the table's.
    package func values(_ name: String) throws(Fault) -> [Float] {
        guard let entry = table[name] else { preconditionFailure("no tensor is called `\(name)`") }
        return entry.dtype.floats(try bytes(entry.range))
    }

    /// Bytes of one tensor as they leave.
    private func read(_ entry: TensorTable.Entry, _ piece: Piece, _ range: Range<Int>, into out: inout [UInt8], at place: Int) throws(Fault) {
        let kept = piece.place.entry.dtype
        guard piece.delta != nil || entry.dtype != kept else { return try readTurned(piece, range, into: &out, at: place) }
        let width = entry.dtype.width, elements = range.lowerBound / width..<(range.upperBound + width - 1) / width
        var stored = [UInt8](repeating: 0, count: elements.count * kept.width)
        try readTurned(piece, elements.lowerBound * kept.width..<elements.upperBound * kept.width, into: &stored, at: 0)
        var values = kept.floats(stored)
        piece.delta?.add(to: &values, from: elements.lowerBound)
        let skipped = range.lowerBound - elements.lowerBound * width
        out.replaceSubrange(place..<place + range.count, with: entry.dtype.bytes(values)[skipped..<skipped + range.count])
    }

    /// Bytes of one tensor in the type it is kept in.
    private func readTurned(_ piece: Piece, _ range: Range<Int>, into out: inout [UInt8], at place: Int) throws(Fault) {
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
        Fault(.request, "checkpoint.tensor", "the checkpoint is not accepted", why: why, remedy: "bring the release whole and unchanged, in F32, BF16 or F16")
    }
}
