extension JSON {
    /// The canonical bytes: RFC 8785 (JCS) restricted to integers of at most 53 bits. These are the bytes that are hashed and signed.
    ///
    /// - Precondition: no `.double` and no integer beyond ±(2^53 − 1) anywhere. Evidence is written by our own encoders, so
    ///   either is a bug and traps; check a stranger's value with `isCanonicalisable` first.
    package var canonical: [UInt8] {
        var out: [UInt8] = []
        write(to: &out, canonical: true)
        return out
    }

    /// The compact text, members in their own order.
    package var text: String {
        var out: [UInt8] = []
        write(to: &out, canonical: false)
        return String(decoding: out, as: UTF8.self)
    }

    package var isCanonicalisable: Bool {
        switch self {
        case .double: false
        case .int(let value): value.magnitude < 1 << 53
        case .array(let items): items.allSatisfy(\.isCanonicalisable)
        case .object(let object): object.members.allSatisfy { $0.value.isCanonicalisable }
        default: true
        }
    }

    private func write(to out: inout [UInt8], canonical: Bool) {
        switch self {
        case .null: out += "null".utf8
        case .bool(let value): out += (value ? "true" : "false").utf8
        case .int(let value):
            precondition(!canonical || value.magnitude < 1 << 53, "evidence holds integers of at most 53 bits")
            out += String(value).utf8
        case .double(let value):
            precondition(!canonical, "evidence holds no floating-point numbers")
            out += value.description.utf8
        case .string(let value): JSON.write(value, to: &out)
        case .array(let items):
            out.append(UInt8(ascii: "["))
            for (i, item) in items.enumerated() {
                if i > 0 { out.append(UInt8(ascii: ",")) }
                item.write(to: &out, canonical: canonical)
            }
            out.append(UInt8(ascii: "]"))
        case .object(let object):
            // JCS sorts by UTF-16 code units, which differs from UTF-8 order above the basic plane.
            let keys = canonical ? object.keys.sorted { $0.utf16.lexicographicallyPrecedes($1.utf16) } : object.keys
            out.append(UInt8(ascii: "{"))
            for (i, key) in keys.enumerated() {
                if i > 0 { out.append(UInt8(ascii: ",")) }
                JSON.write(key, to: &out)
                out.append(UInt8(ascii: ":"))
                object[key]!.write(to: &out, canonical: canonical)
            }
            out.append(UInt8(ascii: "}"))
        }
    }

    private static let hexDigits = Array("0123456789abcdef".utf8)

    private static func write(_ text: String, to out: inout [UInt8]) {
        out.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): out += "\\\"".utf8
            case UInt8(ascii: "\\"): out += "\\\\".utf8
            case 0x08: out += "\\b".utf8
            case 0x0c: out += "\\f".utf8
            case 0x0a: out += "\\n".utf8
            case 0x0d: out += "\\r".utf8
            case 0x09: out += "\\t".utf8
            case 0..<0x20: out += [0x5c, 0x75, 0x30, 0x30, hexDigits[Int(byte >> 4)], hexDigits[Int(byte & 15)]]
            default: out.append(byte)
            }
        }
        out.append(UInt8(ascii: "\""))
    }
}
