/// A count of bytes. Printed in binary units, because disks and memory are budgeted in them.
package struct ByteCount: Hashable, Comparable, Sendable, CustomStringConvertible, ExpressibleByIntegerLiteral, Codable {
    package var count: Int64

    package init(_ count: Int64) { self.count = count }
    package init(_ count: Int) { self.count = Int64(count) }
    package init(integerLiteral value: Int64) { count = value }
    package init(from decoder: any Decoder) throws { count = try decoder.singleValueContainer().decode(Int64.self) }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(count)
    }

    package static func kib(_ n: Int64) -> ByteCount { .init(n << 10) }
    package static func mib(_ n: Int64) -> ByteCount { .init(n << 20) }
    package static func gib(_ n: Int64) -> ByteCount { .init(n << 30) }

    package static func < (a: ByteCount, b: ByteCount) -> Bool { a.count < b.count }
    package static func + (a: ByteCount, b: ByteCount) -> ByteCount { .init(a.count + b.count) }
    package static func - (a: ByteCount, b: ByteCount) -> ByteCount { .init(a.count - b.count) }
    package static func * (a: ByteCount, n: Int64) -> ByteCount { .init(a.count * n) }
    package static func += (a: inout ByteCount, b: ByteCount) { a.count += b.count }

    package var description: String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        var tenths = count.magnitude
        var unit = 0
        guard tenths >= 1024 else { return "\(count) B" }
        tenths *= 10
        while tenths >= 10240, unit < units.count - 1 {
            tenths /= 1024
            unit += 1
        }
        let sign = count < 0 ? "-" : ""
        return "\(sign)\(tenths / 10).\(tenths % 10) \(units[unit])"
    }
}

/// The extents of a tensor, outermost first. A scalar has none.
package struct Shape: Hashable, Sendable, CustomStringConvertible, ExpressibleByArrayLiteral {
    package let extents: [Int]

    package init(_ extents: [Int]) {
        precondition(extents.allSatisfy { $0 >= 0 }, "an extent is never negative")
        self.extents = extents
    }

    package init(arrayLiteral elements: Int...) { self.init(elements) }

    package var rank: Int { extents.count }
    package var count: Int { extents.reduce(1, *) }
    package subscript(_ axis: Int) -> Int { extents[axis] }
    package var description: String { "[" + extents.map(String.init).joined(separator: ", ") + "]" }
}

/// The number formats Forge computes in or stores. Raw values are the names safetensors uses.
package enum DType: String, Sendable, Hashable, CaseIterable, Codable {
    case f32 = "F32"
    case bf16 = "BF16"
    case f16 = "F16"
    /// Floats of eight bits: no model here is kept in them, and releases are (docs/formats/small-floats.md).
    case f8e4m3 = "F8_E4M3"
    case f8e5m2 = "F8_E5M2"
    case i8 = "I8"
    case u8 = "U8"
    case i32 = "I32"
    case i64 = "I64"

    /// Bytes an element takes.
    package var width: Int {
        switch self {
        case .i64: 8
        case .f32, .i32: 4
        case .bf16, .f16: 2
        case .i8, .u8, .f8e4m3, .f8e5m2: 1
        }
    }
}
