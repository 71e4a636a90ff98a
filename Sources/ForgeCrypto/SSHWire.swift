internal import ForgeCore

/// The SSH wire's `string`, `mpint`, `uint32` and `byte` (RFC 4251, section 5).
struct SSHReader {
    private let bytes: [UInt8]
    private var at = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { at == bytes.count }

    mutating func byte() -> UInt8? {
        guard at < bytes.count else { return nil }
        defer { at += 1 }
        return bytes[at]
    }

    mutating func uint32() -> UInt32? {
        guard bytes.count - at >= 4 else { return nil }
        defer { at += 4 }
        return bytes[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) }
    }

    mutating func raw(_ count: Int) -> [UInt8]? {
        guard bytes.count - at >= count else { return nil }
        defer { at += count }
        return Array(bytes[at..<at + count])
    }

    mutating func string() -> [UInt8]? {
        guard let count = uint32() else { return nil }
        return raw(Int(count))
    }

    mutating func text() -> String? {
        guard let bytes = string() else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    /// A positive integer in its one shortest form: two's complement, so a leading zero only before a set top bit.
    mutating func positive() -> [UInt8]? {
        guard let value = string(), let first = value.first, first < 0x80 else { return nil }
        if first == 0 { guard value.count > 1, value[1] >= 0x80 else { return nil } }
        return value
    }
}

enum SSHWire {
    static func uint32(_ value: Int) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
    static func string(_ bytes: [UInt8]) -> [UInt8] { uint32(bytes.count) + bytes }
    static func string(_ text: String) -> [UInt8] { string(Array(text.utf8)) }
}

/// The little DER that public keys and ECDSA signatures need (X.690).
enum DER {
    static func node(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        let count = content.count
        let length: [UInt8] =
            count < 0x80 ? [UInt8(count)] : count < 0x100 ? [0x81, UInt8(count)] : [0x82, UInt8(count >> 8), UInt8(truncatingIfNeeded: count)]
        return [tag] + length + content
    }

    static func sequence(_ parts: [UInt8]...) -> [UInt8] { node(0x30, parts.flatMap(\.self)) }
    /// `value` is already in DER's form for an INTEGER, which is also the wire form of an SSH `mpint`.
    static func integer(_ value: [UInt8]) -> [UInt8] { node(0x02, value) }
    static func bits(_ value: [UInt8]) -> [UInt8] { node(0x03, [0] + value) }
}
