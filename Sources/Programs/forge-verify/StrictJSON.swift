/// JSON that is canonical (RFC 8785 over integers): the parser refuses every other way to write the same value, so that what it
/// accepts has exactly one spelling.
enum Value: Hashable {
    case bool(Bool)
    case int(Int64)
    case string(String)
    case array([Value])
    case object([Member])

    struct Member: Hashable {
        let name: String
        let value: Value
    }

    var string: String? { if case .string(let value) = self { value } else { nil } }
    var int: Int64? { if case .int(let value) = self { value } else { nil } }
    var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    var array: [Value]? { if case .array(let value) = self { value } else { nil } }
    var members: [Member]? { if case .object(let value) = self { value } else { nil } }

    /// The one spelling.
    var canonical: [UInt8] {
        switch self {
        case .bool(let value): return Array(value ? "true".utf8 : "false".utf8)
        case .int(let value): return Array(String(value).utf8)
        case .string(let value): return Value.quoted(value)
        case .array(let items): return [UInt8(ascii: "[")] + Array(items.map(\.canonical).joined(separator: [UInt8(ascii: ",")])) + [UInt8(ascii: "]")]
        case .object(let members):
            let pairs = members.map { Value.quoted($0.name) + [UInt8(ascii: ":")] + $0.value.canonical }
            return [UInt8(ascii: "{")] + Array(pairs.joined(separator: [UInt8(ascii: ",")])) + [UInt8(ascii: "}")]
        }
    }

    private static func quoted(_ text: String) -> [UInt8] {
        let short: [UInt8: Character] = [0x08: "b", 0x09: "t", 0x0a: "n", 0x0c: "f", 0x0d: "r", 0x22: "\"", 0x5c: "\\"]
        var bytes = [UInt8(ascii: "\"")]
        for byte in text.utf8 {
            if let letter = short[byte] {
                bytes += [UInt8(ascii: "\\")] + Array(letter.utf8)
            } else if byte < 0x20 {
                bytes += Array("\\u00".utf8) + Array(Text.hex([byte]).utf8)
            } else {
                bytes.append(byte)
            }
        }
        return bytes + [UInt8(ascii: "\"")]
    }

    subscript(name: String) -> Value? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }
}

struct StrictJSON {
    private let bytes: [UInt8]
    private var at = 0

    /// - Throws: `Bad` with the offset.
    static func parse(_ bytes: [UInt8]) throws -> Value {
        var parser = StrictJSON(bytes: bytes)
        let value = try parser.value(depth: 0)
        guard parser.at == bytes.count else { throw parser.bad("something follows the value") }
        return value
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private func bad(_ why: String) -> Bad { Bad("not canonical JSON: \(why) at byte \(at)") }

    private mutating func take(_ byte: UInt8) throws {
        guard at < bytes.count, bytes[at] == byte else { throw bad("`\(Character(Unicode.Scalar(byte)))` should stand") }
        at += 1
    }

    private mutating func value(depth: Int) throws -> Value {
        guard depth < 16, at < bytes.count else { throw bad("a value should stand") }
        switch bytes[at] {
        case UInt8(ascii: "{"): return try object(depth)
        case UInt8(ascii: "["): return try array(depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"):
            for byte in "true".utf8 { try take(byte) }
            return .bool(true)
        case UInt8(ascii: "f"):
            for byte in "false".utf8 { try take(byte) }
            return .bool(false)
        case UInt8(ascii: "-"), 0x30...0x39: return .int(try integer())
        default: throw bad("no value starts so")
        }
    }

    private mutating func object(_ depth: Int) throws -> Value {
        try take(UInt8(ascii: "{"))
        var members: [Value.Member] = []
        if at < bytes.count, bytes[at] == UInt8(ascii: "}") {
            at += 1
            return .object(members)
        }
        var previous: String?
        while true {
            guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { throw bad("a name should stand") }
            let name = try string()
            // Member names of every format here are ASCII, for which the orders of bytes and of UTF-16 units are one.
            guard name.utf8.allSatisfy({ $0 < 0x80 }) else { throw bad("a name is not ASCII") }
            if let previous, !previous.utf8.lexicographicallyPrecedes(name.utf8) { throw bad("names are not sorted, or one stands twice") }
            previous = name
            try take(UInt8(ascii: ":"))
            members.append(.init(name: name, value: try value(depth: depth + 1)))
            guard at < bytes.count else { throw bad("the object is not closed") }
            if bytes[at] == UInt8(ascii: "}") {
                at += 1
                return .object(members)
            }
            try take(UInt8(ascii: ","))
        }
    }

    private mutating func array(_ depth: Int) throws -> Value {
        try take(UInt8(ascii: "["))
        var items: [Value] = []
        if at < bytes.count, bytes[at] == UInt8(ascii: "]") {
            at += 1
            return .array(items)
        }
        while true {
            items.append(try value(depth: depth + 1))
            guard at < bytes.count else { throw bad("the list is not closed") }
            if bytes[at] == UInt8(ascii: "]") {
                at += 1
                return .array(items)
            }
            try take(UInt8(ascii: ","))
        }
    }

    private mutating func integer() throws -> Int64 {
        let start = at
        if bytes[at] == UInt8(ascii: "-") { at += 1 }
        let first = at
        while at < bytes.count, 0x30...0x39 ~= bytes[at] { at += 1 }
        guard at > first, bytes[first] != 0x30 || at == first + 1, start == first || bytes[first] != 0x30 else { throw bad("a number is not in its shortest form") }
        guard let value = Int64(String(decoding: bytes[start..<at], as: UTF8.self)), value.magnitude < 1 << 53 else { throw bad("a number is beyond 53 bits") }
        return value
    }

    private mutating func string() throws -> String {
        at += 1
        let start = at
        while at < bytes.count, bytes[at] >= 0x20, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\") { at += 1 }
        if at < bytes.count, bytes[at] == UInt8(ascii: "\"") {
            defer { at += 1 }
            return try text(bytes[start..<at])
        }
        var out = Array(bytes[start..<at])
        while true {
            guard at < bytes.count, bytes[at] >= 0x20 else { throw bad("a text is not closed") }
            let byte = bytes[at]
            at += 1
            if byte == UInt8(ascii: "\"") { return try text(out[...]) }
            guard byte == UInt8(ascii: "\\") else {
                out.append(byte)
                continue
            }
            guard at < bytes.count else { throw bad("an escape is cut") }
            let escape = bytes[at]
            at += 1
            switch escape {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): out.append(escape)
            case UInt8(ascii: "b"): out.append(0x08)
            case UInt8(ascii: "f"): out.append(0x0c)
            case UInt8(ascii: "n"): out.append(0x0a)
            case UInt8(ascii: "r"): out.append(0x0d)
            case UInt8(ascii: "t"): out.append(0x09)
            case UInt8(ascii: "u"):
                guard at + 4 <= bytes.count, let pair = Text.unhex(String(decoding: bytes[at..<at + 4], as: UTF8.self)), pair[0] == 0, pair[1] < 0x20,
                    ![0x08, 0x09, 0x0a, 0x0c, 0x0d].contains(pair[1])
                else { throw bad("an escape is not the shortest") }
                out.append(pair[1])
                at += 4
            default: throw bad("an escape is not the shortest")
            }
        }
    }

    private func text(_ bytes: ArraySlice<UInt8>) throws -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw bad("a text is not UTF-8") }
        return text
    }
}
