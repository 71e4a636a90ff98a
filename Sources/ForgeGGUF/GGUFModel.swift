package import ForgeArtifact
import ForgeBlocks
package import ForgeCore
package import ForgeModel
import ForgeOS

/// A decoder in a GGUF file: its configuration, and each tensor of our table where it lies (docs/formats/gguf.md).
package struct GGUFModel: Sendable {
    private struct Source {
        let entry: GGUFTable.Entry
        /// From the start of the file to row 0.
        let start: Int
        let rowBytes: Int
        /// Width of a head whose rows lie in pairs.
        let paired: Int?
    }

    package let path: String
    package let head: GGUFTable
    package let config: MistralConfig
    package let table: ParameterTable
    private let file: SourceFile
    private let sources: [String: Source]

    /// - Throws: `.request` naming what the file lacks, has too much of, or has otherwise than it says; `.environment` for what the system refuses.
    package init(_ path: String) throws(Fault) {
        let file = try SourceFile(path), name = Path.name(path)
        let head = try GGUFModel.head(file, name)
        let config = try MistralConfig(gguf: head, source: name)
        func fault(_ why: String) -> Fault { Fault(.request, "gguf.tensor", "cannot use the model `\(name)`", why: why, remedy: "bring the file whole and as it was converted") }
        // A layer has nine tensors at least: no table is made that the file cannot fill.
        guard head.entries.count / 9 >= config.layers else { throw fault("it has \(head.entries.count) tensors, too few for \(config.layers) layers") }
        let table = ParameterTable(config)
        var left = Set(head.entries.map(\.name)), sources: [String: Source] = [:]
        for entry in table.entries {
            let place = GGUFNames.place(entry.name)
            guard let (found, expert) = head[place.tensor].map({ ($0, place.expert) }) ?? place.alone.flatMap({ head[$0] }).map({ ($0, nil) }) else {
                throw fault("tensor `\(place.tensor)` is missing")
            }
            let stacked = expert != nil ? [config.experts?.count ?? 0] : [], wanted = Shape(stacked + entry.shape.extents)
            guard found.shape == wanted else { throw fault("tensor `\(found.name)` has the shape \(found.shape), and its pairs say \(wanted)") }
            left.remove(found.name)
            let rows = entry.shape.rank == 2 ? entry.shape[0] : 1, rowBytes = entry.count / rows / found.type.numbers * found.type.bytes
            sources[entry.name] = Source(
                entry: found, start: found.range.lowerBound + (expert ?? 0) * rows * rowBytes, rowBytes: rowBytes, paired: GGUFNames.pairedHeads(entry.name, config))
        }
        if let surplus = left.min() { throw fault("tensor `\(surplus)` is not one of this architecture") }
        self.path = path
        self.head = head
        self.config = config
        self.table = table
        self.file = file
        self.sources = sources
    }

    /// The head is read from copies of the file's start, each longer than the one before: how far it goes is known only from reading it.
    private static func head(_ file: SourceFile, _ name: String) throws(Fault) -> GGUFTable {
        var length = min(file.count, 16 << 20)
        let most = min(file.count, GGUFTable.headLimit)
        while length < most {
            if let table = try? GGUFTable(parsing: try file.bytes(0..<length), fileBytes: file.count, source: name) { return table }
            length = min(length * 4, most)
        }
        return try GGUFTable(parsing: try file.bytes(0..<length), fileBytes: file.count, source: name)
    }

    /// How the file keeps a parameter, such as `Q4_K`.
    package func format(of entry: ParameterTable.Entry) -> String { "\(source(entry).entry.type)" }

    /// What a parameter becomes: BF16 stays, and blocks are rounded to it, nearest and ties to even (float32 would say nothing more in twice the size); F32 and F16 are float32 exactly.
    package func dtype(of entry: ParameterTable.Entry) -> DType {
        let type = source(entry).entry.type
        return type == .bf16 || type.numbers > 1 ? .bf16 : .f32
    }

    private func source(_ entry: ParameterTable.Entry) -> Source {
        guard let source = sources[entry.name] else { preconditionFailure("no parameter is called `\(entry.name)`") }
        return source
    }

    /// The numbers of some rows, in our order.
    /// - Precondition: the rows are the entry's (a norm is one row), and `out` has a place for each number.
    /// - Throws: `.request` if the file was cut since it was opened.
    package func read(_ entry: ParameterTable.Entry, rows: Range<Int>, into out: inout MutableSpan<Float>) throws(Fault) {
        let source = source(entry), height = entry.shape.rank == 2 ? entry.shape[0] : 1, columns = entry.count / height
        precondition(rows.lowerBound >= 0 && rows.upperBound <= height && out.count == rows.count * columns, "rows are the parameter's, and there is a place for each number")
        func decode(_ first: Int, _ count: Int, into out: inout MutableSpan<Float>) throws(Fault) {
            let start = source.start + first * source.rowBytes, bytes = try file.bytes(start..<start + count * source.rowBytes)
            unsafe source.entry.type.decode(bytes.span.bytes, into: &out)
        }
        guard let d = source.paired else { return try decode(rows.lowerBound, rows.count, into: &out) }
        var row = [Float](repeating: 0, count: columns)
        for (place, wanted) in rows.enumerated() {
            var span = row.mutableSpan
            try decode(GGUFNames.row(wanted, headDim: d), 1, into: &span)
            for column in 0..<columns { out[place * columns + column] = row[column] }
        }
    }

    /// The bytes of some rows as they leave, little endian.
    package func bytes(_ entry: ParameterTable.Entry, rows: Range<Int>) throws(Fault) -> [UInt8] {
        let height = entry.shape.rank == 2 ? entry.shape[0] : 1, type = dtype(of: entry), format: BlockFormat = type == .bf16 ? .bf16 : .f32
        var numbers = [Float](repeating: 0, count: rows.count * (entry.count / height)), span = numbers.mutableSpan
        try read(entry, rows: rows, into: &span)
        var out = [UInt8](repeating: 0, count: numbers.count * type.width), target = out.mutableSpan
        format.encode(numbers.span, into: &target)
        return out
    }
}
