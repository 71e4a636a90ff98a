package import ForgeArtifact
package import ForgeCore
package import ForgeModel
import ForgeOS

/// One tensor file that a checkpoint or a model becomes: laid out from its tensors, its bytes made from the files when they are asked for.
package struct ModelWeights: Sendable {
    private struct Piece: Sendable {
        let dtype: DType
        var source: TensorSource
    }

    /// Mostly one piece a tensor.
    private let made: MadeTensors<Piece>
    package var table: TensorTable { made.table }

    /// A tensor of the file that is made, and the matrices that lie in it one after another.
    private typealias Made = (name: String, shape: Shape, sources: [TensorSource])

    init(_ shards: TensorShards, _ config: MistralConfig, _ layout: Checkpoint.Layout) throws(Fault) {
        var tensors = QuantisedTensors(shards)
        let made = try ParameterTable(config).homes.map { (home, entries) throws(Fault) -> Made in
            let sources = try entries.map { (entry) throws(Fault) in
                guard layout == .native else {
                    return home.name == entry.name
                        ? try tensors.source(entry.name, entry.shape) : try tensors.source(entry.name, entry.shape, in: home.name, home.shape, first: entry.home.first)
                }
                var source = try tensors.source(NativeNames.name(entry.name), entry.shape)
                if let d = NativeNames.pairedHeads(entry.name, config) { source.turn = .toHalves(d) }
                return source
            }
            if let first = sources.first, let other = sources.first(where: { $0.dtype != first.dtype }) {
                throw ModelWeights.fault("the experts of `\(home.name)` are of two types, \(first.dtype.rawValue) and \(other.dtype.rawValue)")
            }
            return (home.name, home.shape, sources)
        }
        try ModelWeights.settle(tensors.left, shards, config, layout)
        self.init(made, metadata: ["format": "pt"])
    }

    /// Adapters in PEFT's file keep their names and types.
    init(adapters shards: TensorShards, _ table: ParameterTable) throws(Fault) {
        let made = try table.entries.map { (entry) throws(Fault) -> Made in
            (entry.name, entry.shape, [try ModelWeights.source(entry.name, entry.shape, in: shards, of: DType.widening)])
        }
        if let other = shards.places.keys.filter({ table[$0] == nil }).min() { throw ModelWeights.fault("tensor `\(other.prefix(200))` is not of these adapters") }
        self.init(made, metadata: ["format": "pt"], dtype: { $0.place.entry.dtype })
    }

    private init(_ made: [Made], metadata: [String: String], dtype: (TensorSource) -> DType = { $0.dtype }) {
        let table = TensorTable(laying: made.map { ($0.name, dtype($0.sources[0]), $0.shape) }, metadata: metadata)
        let sources = Dictionary(uniqueKeysWithValues: made.map { ($0.name, $0.sources) })
        var pieces: [(range: Range<Int>, piece: Piece)] = []
        for entry in table.entries {
            var at = entry.range.lowerBound
            for source in sources[entry.name]! {
                let range = at..<at + source.rows * source.columns * entry.dtype.width
                pieces.append((range, Piece(dtype: entry.dtype, source: source)))
                at = range.upperBound
            }
            precondition(at == entry.range.upperBound, "the matrices of a tensor fill it")
        }
        self.made = MadeTensors(table, pieces)
    }

    private init(_ made: MadeTensors<Piece>) { self.made = made }

    private static func source(_ name: String, _ shape: Shape, in shards: TensorShards, of types: Set<DType>) throws(Fault) -> TensorSource {
        guard let place = shards.places[name] else { throw fault("tensor `\(name)` is missing") }
        guard place.entry.shape == shape else { throw fault("tensor `\(name)` has the shape \(place.entry.shape), and the configuration says \(shape)") }
        guard types.contains(place.entry.dtype) else {
            throw fault("tensor `\(name)` is of type \(place.entry.dtype.rawValue), which is not read: \(types.map(\.rawValue).sorted().joined(separator: ", ")) are")
        }
        let rows = shape.rank > 1 ? shape.count / shape[shape.rank - 1] : 1
        return TensorSource(place: place, rows: rows, columns: shape.count / rows)
    }

    /// The `consolidated.safetensors` that a model's `model.safetensors` becomes.
    /// - Throws: `.request` naming the tensor that is missing or does not fit.
    package init(native model: String, in folder: CheckpointFolder, _ config: MistralConfig) throws(Fault) {
        let shards = try TensorShards(folder, names: [model], listed: nil)
        let made = try ParameterTable(config).entries.map { (entry) throws(Fault) -> Made in
            let place = try ModelWeights.source(entry.home.name, entry.home.shape, in: shards, of: [.f32, .bf16]).place, rows = entry.shape.rank == 2 ? entry.shape[0] : 1
            let columns = entry.count / rows
            var source = TensorSource(place: place, rows: rows, columns: columns, firstRow: entry.home.first / columns)
            if let d = NativeNames.pairedHeads(entry.name, config) { source.turn = .toPairs(d) }
            return (NativeNames.name(entry.name), entry.shape, [source])
        }
        self.init(made, metadata: [:])
    }

    /// The same file with adapters merged into the matrices they lie beside: W + s·B·A in float32, rounded once to W's type (docs/formats/adapters.md §3).
    /// A and B stay in memory, the rest is made when it is asked for.
    /// - Parameters:
    ///   - adapters: a table of adapters.
    ///   - values: of each of its entries, row-major.
    /// - Throws: `.request` naming a matrix that is not there or has another shape.
    package func merging(_ adapters: ParameterTable, _ values: (ParameterTable.Entry) throws(Fault) -> [Float]) throws(Fault) -> ModelWeights {
        guard let config = adapters.adapters else { preconditionFailure("the table is one of adapters") }
        var changed = made.pieces
        for layer in 0..<adapters.config.layers {
            for target in adapters.config.adapterTargets where config.targets.contains(target) {
                guard let down = adapters[AdapterConfig.name(layer, target, .adapterDown)], let up = adapters[AdapterConfig.name(layer, target, .adapterUp)] else {
                    preconditionFailure("a matrix with an adapter has A and B")
                }
                let name = target.module(layer) + ".weight", shape: Shape = [up.shape[0], down.shape[1]]
                guard let entry = table[name], entry.shape == shape else { throw ModelWeights.fault("tensor `\(name)`, which has an adapter of \(shape), is missing or has another shape") }
                guard let at = changed.firstIndex(where: { $0.range == entry.range }) else { preconditionFailure("a matrix beside which adapters lie is a tensor of its own") }
                precondition(changed[at].piece.source.delta == nil, "adapters are merged once")
                changed[at].piece.source.delta = AdapterDelta(down: try values(down), up: try values(up), rank: config.rank, columns: shape[1], scale: config.scale)
            }
        }
        return ModelWeights(MadeTensors(table, changed))
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
        // Most of a file is the middle of one large tensor, and most tensors are copied.
        if let (piece, part) = made.piece(with: range), let kept = try piece.source.kept(part, as: piece.dtype) { return kept }
        return try made.bytes(range) { (piece, part, out, place) throws(Fault) in try piece.source.read(part, as: piece.dtype, into: &out, at: place) }
    }

    /// Writes the file, which must not be there, for its owner alone; it is durable when this returns, its name in the folder apart.
    package func write(_ path: String) throws(Fault) {
        let file = try File(path, .create), piece = 1 << 20
        for from in stride(from: 0, to: count, by: piece) { try file.write(try bytes(from..<min(from + piece, count)), at: Int64(from)) }
        try file.sync()
    }

    /// Some rows of an entry of the model's table, as float32.
    /// - Precondition: the file is a `model.safetensors` of that table.
    package func values(_ entry: ParameterTable.Entry, rows: Range<Int>) throws(Fault) -> [Float] {
        guard let stored = table[entry.home.name] else { preconditionFailure("no tensor is called `\(entry.home.name)`") }
        let columns = entry.count / (entry.shape.rank == 2 ? entry.shape[0] : 1)
        return stored.dtype.floats(try bytes(stored.bytes(of: rows.count * columns, from: entry.home.first + rows.lowerBound * columns)))
    }

    /// One tensor as float32, row-major.
    /// - Precondition: it is one of the table's.
    package func values(_ name: String) throws(Fault) -> [Float] {
        guard let entry = table[name] else { preconditionFailure("no tensor is called `\(name)`") }
        return entry.dtype.floats(try bytes(entry.range))
    }

    static func fault(_ why: String) -> Fault {
        Fault(.request, "checkpoint.tensor", "the checkpoint is not accepted", why: why, remedy: "bring the release whole and unchanged, in F32, BF16, F16, FP8 or NVFP4")
    }
}
