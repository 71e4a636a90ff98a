import ForgeBlocks
import ForgeCore

/// The head of a GGUF file of version 3 that is about to be written (docs/formats/gguf.md, "Layout").
struct GGUFHead: Sendable {
    enum Value: Sendable {
        case u32(Int)
        case f32(Double)
        case truth(Bool)
        case text(String)
        case texts([String])
        case i32s([Int])
    }

    struct Tensor: Sendable {
        let name: String
        let format: BlockFormat
        /// Outermost first.
        let shape: Shape

        var bytes: Int { shape.count / format.numbers * format.bytes }
    }

    static let alignment = 32
    /// Whole, with the padding before the data.
    let bytes: [UInt8]

    init(_ pairs: [(key: String, value: Value)], _ tensors: [Tensor]) {
        var out = Array("GGUF".utf8)
        func number(_ value: some FixedWidthInteger) { for i in 0..<value.bitWidth / 8 { out.append(UInt8(truncatingIfNeeded: value >> (8 * i))) } }
        func text(_ text: String) {
            number(UInt64(text.utf8.count))
            out += Array(text.utf8)
        }
        number(UInt32(3))
        number(UInt64(tensors.count))
        number(UInt64(pairs.count))
        for (key, value) in pairs {
            text(key)
            switch value {
            case .u32(let value):
                number(UInt32(4))
                number(UInt32(value))
            case .f32(let value):
                number(UInt32(6))
                number(Float(value).bitPattern)
            case .truth(let value):
                number(UInt32(7))
                number(UInt8(value ? 1 : 0))
            case .text(let value):
                number(UInt32(8))
                text(value)
            case .texts(let values):
                number(UInt32(9))
                number(UInt32(8))
                number(UInt64(values.count))
                for value in values { text(value) }
            case .i32s(let values):
                number(UInt32(9))
                number(UInt32(5))
                number(UInt64(values.count))
                for value in values { number(Int32(value)) }
            }
        }
        var offset = 0
        for tensor in tensors {
            text(tensor.name)
            number(UInt32(tensor.shape.rank))
            for extent in tensor.shape.extents.reversed() { number(UInt64(extent)) }
            number(tensor.format.rawValue)
            number(UInt64(offset))
            offset += GGUFHead.padded(tensor.bytes)
        }
        out += [UInt8](repeating: 0, count: GGUFHead.padded(out.count) - out.count)
        bytes = out
    }

    static func padded(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }
}
