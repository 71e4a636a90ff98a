/// Why bytes are not the JSON we accept, and where.
package struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
    package let reason: String
    /// Bytes from the start.
    package let offset: Int
    package var description: String { "\(reason) at byte \(offset)" }
}

extension JSON {
    /// Bounds of one document; what exceeds them does not parse.
    package struct Limits: Sendable {
        package var bytes: Int
        package var depth: Int
        package init(bytes: Int = 16 << 20, depth: Int = 64) {
            self.bytes = bytes
            self.depth = depth
        }
    }

    /// Reads exactly one JSON value (RFC 8259) and nothing after it but white space. Stricter than the RFC: keys are
    /// unique, text is valid UTF-8 without lone surrogates, and a number without fraction or exponent must fit 64 bits.
    package static func parse(_ bytes: some Sequence<UInt8>, limits: Limits = .init()) throws(JSONError) -> JSON {
        var parser = JSONParser(bytes: Array(bytes), limits: limits)
        return try parser.document()
    }

    package static func parse(_ text: String, limits: Limits = .init()) throws(JSONError) -> JSON { try parse(text.utf8, limits: limits) }
}

private struct JSONParser {
    let bytes: [UInt8]
    let limits: JSON.Limits
    var at = 0

    init(bytes: [UInt8], limits: JSON.Limits) {
        self.bytes = bytes
        self.limits = limits
    }

    mutating func document() throws(JSONError) -> JSON {
        guard bytes.count <= limits.bytes else { throw fail("longer than \(limits.bytes) bytes") }
        skipSpace()
        let value = try value(depth: 0)
        skipSpace()
        guard at == bytes.count else { throw fail("something follows the value") }
        return value
    }

    func fail(_ reason: String) -> JSONError { JSONError(reason: reason, offset: at) }

    mutating func skipSpace() {
        while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x0a || bytes[at] == 0x0d || bytes[at] == 0x09 { at += 1 }
    }

    mutating func value(depth: Int) throws(JSONError) -> JSON {
        guard depth <= limits.depth else { throw fail("nested deeper than \(limits.depth)") }
        guard at < bytes.count else { throw fail("the text ends where a value should stand") }
        switch bytes[at] {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case UInt8(ascii: "-"), 0x30...0x39: return try number()
        default: throw fail("no value starts with this character")
        }
    }

    mutating func literal(_ word: StaticString, _ value: JSON) throws(JSONError) -> JSON {
        let expected = Array("\(word)".utf8)
        guard bytes[at...].starts(with: expected) else { throw fail("not a value") }
        at += expected.count
        return value
    }

    mutating func object(depth: Int) throws(JSONError) -> JSON {
        at += 1
        var object = JSON.Object()
        skipSpace()
        if at < bytes.count, bytes[at] == UInt8(ascii: "}") {
            at += 1
            return .object(object)
        }
        while true {
            skipSpace()
            guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { throw fail("a key should stand here") }
            let start = at
            let key = try string()
            guard object[key] == nil else { throw JSONError(reason: "key written twice", offset: start) }
            skipSpace()
            guard at < bytes.count, bytes[at] == UInt8(ascii: ":") else { throw fail("a colon should follow the key") }
            at += 1
            skipSpace()
            object[key] = try value(depth: depth + 1)
            skipSpace()
            guard at < bytes.count else { throw fail("the object is not closed") }
            defer { at += 1 }
            if bytes[at] == UInt8(ascii: "}") { return .object(object) }
            guard bytes[at] == UInt8(ascii: ",") else { throw fail("a comma or `}` should stand here") }
        }
    }

    mutating func array(depth: Int) throws(JSONError) -> JSON {
        at += 1
        var array: [JSON] = []
        skipSpace()
        if at < bytes.count, bytes[at] == UInt8(ascii: "]") {
            at += 1
            return .array(array)
        }
        while true {
            skipSpace()
            array.append(try value(depth: depth + 1))
            skipSpace()
            guard at < bytes.count else { throw fail("the array is not closed") }
            defer { at += 1 }
            if bytes[at] == UInt8(ascii: "]") { return .array(array) }
            guard bytes[at] == UInt8(ascii: ",") else { throw fail("a comma or `]` should stand here") }
        }
    }

    mutating func string() throws(JSONError) -> String {
        let start = at
        at += 1
        var out: [UInt8] = []
        while at < bytes.count {
            let c = bytes[at]
            switch c {
            case UInt8(ascii: "\""):
                at += 1
                guard let text = String(validating: out, as: UTF8.self) else { throw JSONError(reason: "not UTF-8", offset: start) }
                return text
            case UInt8(ascii: "\\"):
                try escape(into: &out)
            case 0..<0x20:
                throw fail("a control character must be escaped")
            default:
                out.append(c)
                at += 1
            }
        }
        throw JSONError(reason: "the string is not closed", offset: start)
    }

    mutating func escape(into out: inout [UInt8]) throws(JSONError) {
        at += 1
        guard at < bytes.count else { throw fail("the string is not closed") }
        let c = bytes[at]
        at += 1
        switch c {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(c)
        case UInt8(ascii: "b"): out.append(0x08)
        case UInt8(ascii: "f"): out.append(0x0c)
        case UInt8(ascii: "n"): out.append(0x0a)
        case UInt8(ascii: "r"): out.append(0x0d)
        case UInt8(ascii: "t"): out.append(0x09)
        case UInt8(ascii: "u"):
            var unit = UInt32(try hex4())
            if 0xdc00...0xdfff ~= unit { throw fail("a lone low surrogate") }
            if 0xd800...0xdbff ~= unit {
                guard at + 1 < bytes.count, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u") else { throw fail("a lone high surrogate") }
                at += 2
                let low = UInt32(try hex4())
                guard 0xdc00...0xdfff ~= low else { throw fail("a lone high surrogate") }
                unit = 0x10000 + (unit - 0xd800) << 10 + (low - 0xdc00)
            }
            guard let scalar = Unicode.Scalar(unit) else { throw fail("not a character") }
            out.append(contentsOf: UTF8.encode(scalar)!)
        default: throw fail("an unknown escape")
        }
    }

    mutating func hex4() throws(JSONError) -> UInt16 {
        guard at + 4 <= bytes.count else { throw fail("four hexadecimal digits should stand here") }
        var value: UInt16 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(bytes[at])).hexDigitValue, bytes[at] < 0x80 else { throw fail("not a hexadecimal digit") }
            value = value << 4 | UInt16(digit)
            at += 1
        }
        return value
    }

    mutating func number() throws(JSONError) -> JSON {
        let start = at
        var isInteger = true
        if bytes[at] == UInt8(ascii: "-") { at += 1 }
        let first = at
        let digits = try skipDigits()
        if digits > 1, bytes[first] == UInt8(ascii: "0") { throw JSONError(reason: "a number has no leading zero", offset: first) }
        if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
            isInteger = false
            at += 1
            _ = try skipDigits()
        }
        if at < bytes.count, bytes[at] == UInt8(ascii: "e") || bytes[at] == UInt8(ascii: "E") {
            isInteger = false
            at += 1
            if at < bytes.count, bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") { at += 1 }
            _ = try skipDigits()
        }
        guard at - start <= 1024 else { throw JSONError(reason: "a number of more than 1024 characters", offset: start) }
        let text = String(decoding: bytes[start..<at], as: UTF8.self)
        if isInteger {
            guard let value = Int64(text) else { throw JSONError(reason: "an integer beyond 64 bits", offset: start) }
            return .int(value)
        }
        guard let value = Double(text), value.isFinite else { throw JSONError(reason: "a number beyond double precision", offset: start) }
        return .double(value)
    }

    mutating func skipDigits() throws(JSONError) -> Int {
        let start = at
        while at < bytes.count, 0x30...0x39 ~= bytes[at] { at += 1 }
        guard at > start else { throw fail("a digit should stand here") }
        return at - start
    }
}
