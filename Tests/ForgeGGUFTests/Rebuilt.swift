import ForgeArtifact
import ForgeBlocks
import ForgeCore

/// A file of the same kind as another, with something in it otherwise: written by hand, so that a test may write what no writer of ours would.
struct Rebuilt {
    var pairs: [(key: String, value: GGUFTable.Value)]
    var tensors: [(name: String, type: BlockFormat, extents: [Int], data: [UInt8])]

    init(_ bytes: [UInt8]) throws {
        let table = try GGUFTable(parsing: bytes, fileBytes: bytes.count, source: "whole")
        pairs = table.pairs
        tensors = table.entries.map { ($0.name, $0.type, $0.shape.extents, Array(bytes[$0.range])) }
    }

    /// Nil takes the pair away.
    mutating func set(_ key: String, _ value: GGUFTable.Value?) {
        pairs.removeAll { $0.key == key }
        if let value { pairs.append((key, value)) }
    }

    var bytes: [UInt8] {
        var out = Array("GGUF".utf8)
        func number(_ value: some FixedWidthInteger) { for i in 0..<value.bitWidth / 8 { out.append(UInt8(truncatingIfNeeded: value >> (8 * i))) } }
        func text(_ text: String) {
            number(UInt64(text.utf8.count))
            out += Array(text.utf8)
        }
        func kind(_ value: GGUFTable.Value) -> UInt32 {
            switch value {
            case .unsigned: 4
            case .signed: 5
            case .number: 6
            case .truth: 7
            case .text: 8
            case .list: 9
            }
        }
        func put(_ value: GGUFTable.Value) {
            switch value {
            case .unsigned(let value): number(UInt32(value))
            case .signed(let value): number(Int32(value))
            case .number(let value): number(Float(value).bitPattern)
            case .truth(let value): number(UInt8(value ? 1 : 0))
            case .text(let value): text(value)
            case .list(let values):
                number(values.first.map(kind) ?? 8)
                number(UInt64(values.count))
                for value in values { put(value) }
            }
        }
        number(UInt32(3))
        number(UInt64(tensors.count))
        number(UInt64(pairs.count))
        for (key, value) in pairs {
            text(key)
            number(kind(value))
            put(value)
        }
        var data: [UInt8] = []
        func pad(_ bytes: inout [UInt8]) { bytes += [UInt8](repeating: 0, count: (32 - bytes.count % 32) % 32) }
        for tensor in tensors {
            text(tensor.name)
            number(UInt32(tensor.extents.count))
            for extent in tensor.extents.reversed() { number(UInt64(extent)) }
            number(tensor.type.rawValue)
            number(UInt64(data.count))
            data += tensor.data
            pad(&data)
        }
        pad(&out)
        return out + data
    }
}
