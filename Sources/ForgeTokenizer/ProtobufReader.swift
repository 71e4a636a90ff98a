/// Fields of one message in protobuf's wire format, in the order they stand. Bounded by the bytes given; groups are refused.
struct ProtobufReader {
    struct Field {
        let number: Int
        let value: Value
    }

    enum Value {
        case varint(UInt64)
        case fixed64(UInt64)
        case fixed32(UInt32)
        case bytes(ArraySlice<UInt8>)
    }

    /// Why bytes are no message, and where.
    struct Malformed: Error {
        let reason: String
        let offset: Int
    }

    private let bytes: ArraySlice<UInt8>
    private var at: Int

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        at = bytes.startIndex
    }

    /// - Returns: nil at the end.
    mutating func next() throws(Malformed) -> Field? {
        guard at < bytes.endIndex else { return nil }
        let key = try varint()
        guard (1...0x1fff_ffff).contains(key >> 3) else { throw fail("a field's number is out of range") }
        let number = Int(key >> 3)
        switch key & 7 {
        case 0: return Field(number: number, value: .varint(try varint()))
        case 1: return Field(number: number, value: .fixed64(try fixed(8)))
        case 2:
            let count = try varint()
            guard count <= UInt64(bytes.endIndex - at) else { throw fail("a field is longer than its message") }
            defer { at += Int(count) }
            return Field(number: number, value: .bytes(bytes[at..<(at + Int(count))]))
        case 5: return Field(number: number, value: .fixed32(UInt32(truncatingIfNeeded: try fixed(4))))
        default: throw fail("a field of an unknown kind")
        }
    }

    private func fail(_ reason: String) -> Malformed { Malformed(reason: reason, offset: at - bytes.startIndex) }

    private mutating func varint() throws(Malformed) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard at < bytes.endIndex else { throw fail("a number is cut off") }
            let byte = bytes[at]
            guard shift < 63 || byte <= 1 else { throw fail("a number beyond 64 bits") }
            value |= UInt64(byte & 0x7f) << shift
            at += 1
            if byte < 0x80 { return value }
        }
        throw fail("a number beyond 64 bits")
    }

    private mutating func fixed(_ count: Int) throws(Malformed) -> UInt64 {
        guard bytes.endIndex - at >= count else { throw fail("a number is cut off") }
        defer { at += count }
        return (0..<count).reduce(0) { $0 | UInt64(bytes[at + $1]) << (8 * UInt64($1)) }
    }
}

/// Writes one message in protobuf's wire format.
struct ProtobufWriter {
    private(set) var bytes: [UInt8] = []

    mutating func put(_ number: Int, _ value: UInt64) {
        varint(UInt64(number) << 3)
        varint(value)
    }

    mutating func put(_ number: Int, _ value: Bool) { put(number, UInt64(value ? 1 : 0)) }

    mutating func put(_ number: Int, _ value: some Collection<UInt8>) {
        varint(UInt64(number) << 3 | 2)
        varint(UInt64(value.count))
        bytes += value
    }

    mutating func put(_ number: Int, _ value: Float) {
        varint(UInt64(number) << 3 | 5)
        for shift in stride(from: 0, to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> UInt32(shift))) }
    }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }
}
