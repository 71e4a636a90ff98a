import ForgeArtifact
package import ForgeCore
import ForgeOS

/// One tensor file cut into shards as Hugging Face's libraries name and list them (docs/formats/checkpoints.md §7).
package enum Sharding {
    /// Data a shard has at most, header apart; a larger tensor has a shard of its own.
    package static let bound = ByteCount(5_000_000_000)

    private static let whole = "model.safetensors"

    /// Puts shards and their index in place of `model.safetensors`, if its tensors have more than `bound`.
    ///
    /// From the last to the first, and what has left is cut from the file: at no time more than one shard is there twice. A fault leaves the folder between the two, so it must be one that nobody uses yet.
    /// - Returns: how many shards; 1 if the file stays.
    /// - Throws: `.request` if they were more than a reader takes.
    package static func cut(_ directory: String, bound: ByteCount = Sharding.bound) throws(Fault) -> Int {
        let path = Path.join(directory, whole), source = try SourceFile(path)
        let header = try TensorTable.headerBytes(first: try source.bytes(0..<min(8, source.count)), fileBytes: source.count, source: whole)
        let table = try TensorTable(parsing: try source.bytes(0..<header), fileBytes: source.count, source: whole), shards = plan(table, bound)
        guard shards.count > 1 else { return 1 }
        guard shards.count <= TensorShards.shardsMax else {
            throw Fault(.request, "checkpoint.shards", "cannot cut the weights into shards", why: "there would be \(shards.count); at most \(TensorShards.shardsMax) are read", remedy: "let them be larger")
        }
        let file = try File(path, .update)
        var listed: [String: String] = [:]
        for (index, tensors) in shards.enumerated().reversed() {
            let name = "model-\(digits(index + 1))-of-\(digits(shards.count)).safetensors"
            try write(tensors, of: source, table.metadata, to: Path.join(directory, name))
            for tensor in tensors { listed[tensor.name] = name }
            try file.truncate(to: Int64(tensors[0].range.lowerBound))
        }
        try Durable.create(Path.join(directory, "model.safetensors.index.json"), with: index(listed, total: source.count - header))
        try Durable.remove(path)
        return shards.count
    }

    /// Neighbours in the file share a shard while they fit.
    private static func plan(_ table: TensorTable, _ bound: ByteCount) -> [[TensorTable.Entry]] {
        var shards: [[TensorTable.Entry]] = [], held = 0
        for entry in table.entries.sorted(by: { $0.range.lowerBound < $1.range.lowerBound }) {
            if shards.isEmpty || held > 0 && held + entry.range.count > bound.count {
                shards.append([])
                held = 0
            }
            shards[shards.count - 1].append(entry)
            held += entry.range.count
        }
        return shards
    }

    private static func write(_ tensors: [TensorTable.Entry], of source: SourceFile, _ metadata: [String: String], to path: String) throws(Fault) {
        let table = TensorTable(laying: tensors.map { ($0.name, $0.dtype, $0.shape) }, metadata: metadata), file = try File(path, .create), piece = 1 << 20
        try file.write(table.headerBytes, at: 0)
        for tensor in tensors {
            let place = table[tensor.name]!.range.lowerBound
            for from in stride(from: 0, to: tensor.range.count, by: piece) {
                let start = tensor.range.lowerBound + from
                try file.write(try source.bytes(start..<min(start + piece, tensor.range.upperBound)), at: Int64(place + from))
            }
        }
        try file.sync()
    }

    private static func index(_ listed: [String: String], total: Int) -> [UInt8] {
        var map = JSON.Object()
        for name in listed.keys.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) { map[name] = .string(listed[name]!) }
        return Array(JSON.object(["metadata": ["total_size": .int(Int64(total))], "weight_map": .object(map)]).text.utf8)
    }

    private static func digits(_ number: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, 5 - text.count)) + text
    }
}
