import ForgeArtifact
import ForgeCore
import ForgeGGUF
import ForgeModel
import ForgeNN
import ForgeOS
import ForgeTensor
import Glibc

/// A folder of its own, removed with this value.
final class Scratch {
    let path: String

    init() throws {
        var pattern = Array("/tmp/forge-gguf-XXXXXX".utf8CString)
        guard let made = unsafe mkdtemp(&pattern) else { throw Fault(.environment, "test.scratch", "cannot make a scratch folder") }
        path = unsafe String(cString: made)
    }

    deinit { try? Path.removeTree(path) }

    func file(_ name: String) -> String { Path.join(path, name) }
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        try Durable.replace(file(name), with: bytes)
        return file(name)
    }
}

enum Fixture {
    static let folder = "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Fixtures/"
    static func bytes(_ name: String) throws -> [UInt8] { try File(folder + name, .read).readAll(limit: .mib(4)) }
}

/// A decoder of Tests/Fixtures/compute: its parameters, and what transformers' forward pass made of them.
struct Golden {
    let config: MistralConfig
    let floats: [String: [Float]]
    let logits: [Float]
    let ids: [Int32]
    let lengths: [Int32]

    init(_ name: String) throws {
        let bytes = try Fixture.bytes("compute/\(name).safetensors"), table = try TensorTable(parsing: bytes, fileBytes: bytes.count, source: name)
        config = try MistralConfig(json: try JSON.parse(Array((table.metadata["config"] ?? "").utf8)))
        func words(_ range: Range<Int>) -> [UInt32] { stride(from: range.lowerBound, to: range.upperBound, by: 4).map { at in (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << (8 * $1) } } }
        var floats: [String: [Float]] = [:]
        for entry in table.entries where entry.name.hasPrefix("param.") { floats[String(entry.name.dropFirst(6))] = words(entry.range).map(Float.init(bitPattern:)) }
        self.floats = floats
        logits = (table["logits"].map { words($0.range) } ?? []).map(Float.init(bitPattern:))
        ids = (table["ids"].map { words($0.range) } ?? []).map(Int32.init(bitPattern:))
        lengths = (table["lengths"].map { words($0.range) } ?? []).map(Int32.init(bitPattern:))
    }

    var batch: TokenBatch { TokenBatch(ids: ids, targets: ids.map { _ in -1 }, cumulativeLengths: lengths.reduce(into: [0]) { $0.append($0.last! + $1) }) }

    /// Root of the mean square of the difference to transformers' logits, over that of the logits themselves.
    func error(_ table: ParameterTable, _ values: (ParameterTable.Entry) throws -> [Float]) throws -> Double {
        let device = try Device(.best, threads: 1), parameters = try Parameters(table, on: device)
        for entry in table.entries { parameters.tensor(entry).write(try values(entry)) }
        let out = try Decoder(parameters, rows: batch.rows, on: device).logits(batch)
        return relative(out, logits)
    }

    func error(_ model: GGUFModel) throws -> Double { try error(model.table) { try model.floats($0) } }
}

func relative(_ a: [Float], _ b: [Float]) -> Double {
    let above = zip(a, b).reduce(0.0) { $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1)) }, below = b.reduce(0.0) { $0 + Double($1) * Double($1) }
    return a.count == b.count ? (above / below).squareRoot() : .infinity
}

extension GGUFModel {
    func floats(_ entry: ParameterTable.Entry) throws(Fault) -> [Float] {
        var out = [Float](repeating: .nan, count: entry.count), span = out.mutableSpan
        try read(entry, rows: 0..<(entry.shape.rank == 2 ? entry.shape[0] : 1), into: &span)
        return out
    }
}
