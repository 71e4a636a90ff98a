import ForgeCore
import ForgeCrypto
import ForgeData
import ForgeModel
import ForgeOS
import ForgeTensor

/// The numbers beside the tensors in a checkpoint (docs/formats/checkpoint-state.md).
struct CheckpointHeader: Hashable {
    var step: Int
    var targets: Int
    var cursor: BatchCursor.State
    var recipe: Digest
    var kernels: String
    var parameters: Int

    var json: JSON {
        [
            "cursor": [
                "epoch": .int(Int64(cursor.epoch)), "length": .int(Int64(cursor.length)), "seed": .int(Int64(cursor.seed)), "shard": .string(cursor.shard.description),
                "taken": .int(Int64(cursor.taken)),
            ],
            "forge": .string(ForgeVersion.current), "kernels": .string(kernels), "parameters": .int(Int64(parameters)), "recipe": .string(recipe.description),
            "step": .int(Int64(step)), "targets": .int(Int64(targets)),
        ]
    }

    init(step: Int, targets: Int, cursor: BatchCursor.State, recipe: Digest, kernels: String, parameters: Int) {
        (self.step, self.targets, self.cursor, self.recipe, self.kernels, self.parameters) = (step, targets, cursor, recipe, kernels, parameters)
    }

    init?(_ json: JSON) {
        func count(_ value: JSON?) -> Int? { value?.int.flatMap { $0 >= 0 ? Int($0) : nil } }
        guard let step = count(json["step"]), let targets = count(json["targets"]), let parameters = count(json["parameters"]), let kernels = json["kernels"]?.string,
            let recipe = json["recipe"]?.string.flatMap({ Digest(parsing: $0) }), let cursor = json["cursor"], let epoch = count(cursor["epoch"]),
            let length = count(cursor["length"]), let seed = count(cursor["seed"]), let taken = count(cursor["taken"]),
            let shard = cursor["shard"]?.string.flatMap({ Digest(parsing: $0) })
        else { return nil }
        self.init(
            step: step, targets: targets, cursor: .init(seed: UInt64(seed), epoch: UInt64(epoch), taken: taken, length: length, shard: shard), recipe: recipe,
            kernels: kernels, parameters: parameters)
    }
}

/// The generations of a run's training state in one folder.
struct CheckpointFolder: ~Copyable {
    private static let magic = Array("FORGETRN".utf8)
    private static let end = Array("FORGEEND".utf8)
    private static let pieceFloats = 1 << 20

    let path: String
    private let key: SecretBytes
    private let project: ID
    private let store: ID

    init(_ path: String, key: borrowing SecretBytes, project: ID, store: ID) throws(Fault) {
        self.path = path
        self.key = key.copy()
        self.project = project
        self.store = store
        try Durable.makeDirectory(path)
        for name in try Path.list(path) where Durable.isTemporary(name) { try Path.removeTree(Path.join(path, name)) }
    }

    private static func name(_ step: Int) -> String {
        let digits = String(step)
        return "checkpoint-" + String(repeating: "0", count: max(0, 10 - digits.count)) + digits + ".sealed"
    }

    /// Steps of the generations there, oldest first.
    func generations() throws(Fault) -> [Int] {
        try Path.list(path).compactMap { name in
            guard name.hasPrefix("checkpoint-"), name.hasSuffix(".sealed") else { return nil }
            return Int(name.dropFirst("checkpoint-".count).dropLast(".sealed".count))
        }.sorted()
    }

    /// - Returns: once the generation is durable; older ones but the last are gone then.
    func write(_ header: CheckpointHeader, _ tensors: [Tensor]) throws(Fault) {
        let file = Path.join(path, CheckpointFolder.name(header.step))
        var writer = try SealedWriter(file, header: SealedHeader(blob: ID(), project: project, store: store), key: key)
        let json = header.json.canonical
        try writer.append(CheckpointFolder.magic + CheckpointFolder.number(1) + CheckpointFolder.number(json.count) + json)
        for tensor in tensors {
            for start in stride(from: 0, to: tensor.count, by: CheckpointFolder.pieceFloats) {
                try writer.append(tensor.view(from: start, rows: 1, columns: min(CheckpointFolder.pieceFloats, tensor.count - start)).bytes())
            }
        }
        try writer.append(CheckpointFolder.end)
        _ = try writer.commit()
        for old in try generations().filter({ $0 <= header.step }).dropLast(2) { try Durable.remove(Path.join(path, CheckpointFolder.name(old))) }
    }

    /// Reads the newest generation that is whole into `tensors`.
    /// - Parameter accept: throws if a whole generation belongs to another run.
    /// - Returns: nil if there is none; and the generations that were set aside because they were not whole.
    func readNewest(_ tensors: [Tensor], accept: (CheckpointHeader) throws(Fault) -> Void) throws(Fault) -> (header: CheckpointHeader?, damaged: [String]) {
        var damaged: [String] = []
        for step in try generations().reversed() {
            let file = Path.join(path, CheckpointFolder.name(step))
            let opened: (SealedReader, CheckpointHeader, Int64)
            do throws(Fault) { opened = try open(file, step) } catch {
                guard error.code != "checkpoint.unreadable" || error.retryable == false else { throw error }
                let aside = Path.join(path, String(CheckpointFolder.name(step).dropLast(".sealed".count)) + ".damaged")
                try Durable.move(file, to: aside)
                damaged.append("\(Path.name(aside)): \(error.message)")
                continue
            }
            try accept(opened.1)
            do throws(Fault) {
                try fill(tensors, from: opened.0, at: opened.2)
                return (opened.1, damaged)
            } catch {
                let aside = Path.join(path, String(CheckpointFolder.name(step).dropLast(".sealed".count)) + ".damaged")
                try Durable.move(file, to: aside)
                damaged.append("\(Path.name(aside)): \(error.message)")
            }
        }
        return (nil, damaged)
    }

    private func open(_ file: String, _ step: Int) throws(Fault) -> (SealedReader, CheckpointHeader, Int64) {
        func damaged(_ why: String) -> Fault {
            Fault(.environment, "checkpoint.damaged", "a checkpoint is damaged", why: why, remedy: "the one before it is taken", detail: file)
        }
        let reader = try SealedReader(file, key: key)
        let start = try reader.read(16, at: 0)
        guard start.count == 16, start.starts(with: CheckpointFolder.magic) else { throw damaged("it does not start as a checkpoint does") }
        func number(_ at: Int) -> Int { (0..<4).reduce(0) { $0 | Int(start[at + $1]) << (8 * $1) } }
        guard number(8) == 1 else { throw damaged("its version is \(number(8))") }
        let length = number(12)
        guard length <= 1 << 16, let json = try? JSON.parse(try reader.read(length, at: 16)), let header = CheckpointHeader(json), header.step == step else {
            throw damaged("its header cannot be read")
        }
        let body = Int64(16 + length)
        guard reader.count == body + Int64(header.parameters) * 12 + Int64(CheckpointFolder.end.count),
            try reader.read(CheckpointFolder.end.count, at: reader.count - Int64(CheckpointFolder.end.count)) == CheckpointFolder.end
        else { throw damaged("its size does not fit its header") }
        return (reader, header, body)
    }

    private func fill(_ tensors: [Tensor], from reader: SealedReader, at start: Int64) throws(Fault) {
        var at = start
        for tensor in tensors {
            for from in stride(from: 0, to: tensor.count, by: CheckpointFolder.pieceFloats) {
                let piece = tensor.view(from: from, rows: 1, columns: min(CheckpointFolder.pieceFloats, tensor.count - from))
                piece.write(bytes: try reader.read(piece.count * 4, at: at))
                at += Int64(piece.count * 4)
            }
        }
    }

    private static func number(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
}
