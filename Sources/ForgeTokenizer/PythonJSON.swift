import ForgeCore

/// JSON read and written again the way Python's `json` module does with `ensure_ascii=False`: the bytes that Mistral's models were trained on
/// (docs/formats/tokenizer.md §5.3).
///
/// Differs from `JSON` where that is stricter: a key written twice keeps its first place and takes its last value, integers have any size, `NaN` and `Infinity` are
/// numbers, half a surrogate pair becomes U+FFFD.
struct PythonJSON {
    enum Reading: Equatable {
        case json([UInt8])
        /// Not JSON: a text like any other.
        case text
        /// JSON beyond a bound, and which.
        case refused(String)
    }

    static let depthMax = 256
    /// Python's own bound.
    static let digitsMax = 4300

    static func rewrite(_ text: some Sequence<UInt8>) -> Reading {
        var reader = PythonJSON(bytes: Array(text))
        do throws(Stop) {
            try reader.document()
            return .json(reader.out)
        } catch {
            switch error {
            case .notJSON: return .text
            case .refused(let why): return .refused(why)
            }
        }
    }

    static func isJSON(_ text: some Sequence<UInt8>) -> Bool { if case .json = rewrite(text) { true } else { false } }

    /// A text as a JSON string.
    static func quoted(_ text: String) -> [UInt8] {
        var out: [UInt8] = [UInt8(ascii: "\"")]
        for byte in text.utf8 { write(byte, to: &out) }
        out.append(UInt8(ascii: "\""))
        return out
    }

    /// The members of a JSON object, each with where its value stands in `bytes`; nil if `bytes` are not one.
    static func members(of bytes: [UInt8]) -> [String: Range<Int>]? {
        var reader = PythonJSON(bytes: bytes)
        reader.keepsOutline = true
        do throws(Stop) { try reader.document() } catch { return nil }
        return reader.outline
    }

    private enum Stop: Error { case notJSON, refused(String) }

    private let bytes: [UInt8]
    private var at = 0
    private var out: [UInt8] = []
    private var keepsOutline = false
    private var outline: [String: Range<Int>]?

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private mutating func document() throws(Stop) {
        skipSpace()
        try value(depth: 0)
        skipSpace()
        guard at == bytes.count else { throw .notJSON }
    }

    private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { at += 1 }
    }

    private mutating func take(_ word: StaticString) -> Bool {
        let count = word.utf8CodeUnitCount
        guard bytes.count - at >= count else { return false }
        for (i, byte) in "\(word)".utf8.enumerated() where bytes[at + i] != byte { return false }
        at += count
        return true
    }

    private mutating func value(depth: Int) throws(Stop) {
        guard depth <= PythonJSON.depthMax else { throw .refused("JSON nested deeper than \(PythonJSON.depthMax)") }
        switch next {
        case UInt8(ascii: "{"): try object(depth: depth)
        case UInt8(ascii: "["): try array(depth: depth)
        case UInt8(ascii: "\""): try string()
        case UInt8(ascii: "t"): try literal("true")
        case UInt8(ascii: "f"): try literal("false")
        case UInt8(ascii: "n"): try literal("null")
        case UInt8(ascii: "N"): try literal("NaN")
        case UInt8(ascii: "I"): try literal("Infinity")
        default: try number()
        }
    }

    private mutating func literal(_ word: StaticString) throws(Stop) {
        guard take(word) else { throw .notJSON }
        out += "\(word)".utf8
    }

    private mutating func array(depth: Int) throws(Stop) {
        at += 1
        out.append(UInt8(ascii: "["))
        skipSpace()
        if next == UInt8(ascii: "]") {
            at += 1
            out.append(UInt8(ascii: "]"))
            return
        }
        while true {
            skipSpace()
            try value(depth: depth + 1)
            skipSpace()
            let mark = next
            at += 1
            if mark == UInt8(ascii: "]") { break }
            guard mark == UInt8(ascii: ",") else { throw .notJSON }
            out += ", ".utf8
        }
        out.append(UInt8(ascii: "]"))
    }

    private mutating func object(depth: Int) throws(Stop) {
        let start = out.count
        var members: [(key: Range<Int>, value: Range<Int>)] = [], places: [[UInt8]: Int] = [:], repeats = false
        let isTop = keepsOutline && depth == 0
        if isTop { outline = [:] }
        at += 1
        out.append(UInt8(ascii: "{"))
        skipSpace()
        if next == UInt8(ascii: "}") {
            at += 1
            out.append(UInt8(ascii: "}"))
            return
        }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw .notJSON }
            let keyStart = out.count, rawKey = at
            try string()
            let key = keyStart..<out.count
            let rawKeyEnd = at
            skipSpace()
            guard next == UInt8(ascii: ":") else { throw .notJSON }
            at += 1
            out += ": ".utf8
            skipSpace()
            let valueStart = out.count, raw = at
            try value(depth: depth + 1)
            if isTop, case .some(.string(let name)) = try? JSON.parse(bytes[rawKey..<rawKeyEnd]) { outline?[name] = raw..<at }
            let value = valueStart..<out.count
            if let place = places.updateValue(members.count, forKey: Array(out[key])) {
                repeats = true
                members[place].value = value
                places[Array(out[key])] = place
            } else {
                members.append((key, value))
            }
            skipSpace()
            let mark = next
            at += 1
            if mark == UInt8(ascii: "}") { break }
            guard mark == UInt8(ascii: ",") else { throw .notJSON }
            out += ", ".utf8
        }
        if repeats {
            var kept: [UInt8] = [UInt8(ascii: "{")]
            for (i, member) in members.enumerated() {
                if i > 0 { kept += ", ".utf8 }
                kept += out[member.key]
                kept += ": ".utf8
                kept += out[member.value]
            }
            out.replaceSubrange(start..., with: kept)
        }
        out.append(UInt8(ascii: "}"))
    }

    private mutating func string() throws(Stop) {
        at += 1
        out.append(UInt8(ascii: "\""))
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                at += 1
                out.append(byte)
                return
            case UInt8(ascii: "\\"): try escape()
            case 0..<0x20: throw .notJSON
            default:
                out.append(byte)
                at += 1
            }
        }
        throw .notJSON
    }

    private mutating func escape() throws(Stop) {
        guard at + 1 < bytes.count else { throw .notJSON }
        let mark = bytes[at + 1]
        at += 2
        switch mark {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): PythonJSON.write(mark, to: &out)
        case UInt8(ascii: "b"): PythonJSON.write(0x08, to: &out)
        case UInt8(ascii: "f"): PythonJSON.write(0x0c, to: &out)
        case UInt8(ascii: "n"): PythonJSON.write(0x0a, to: &out)
        case UInt8(ascii: "r"): PythonJSON.write(0x0d, to: &out)
        case UInt8(ascii: "t"): PythonJSON.write(0x09, to: &out)
        case UInt8(ascii: "u"):
            var unit = try hexadecimal()
            if 0xd800..<0xdc00 ~= unit, at + 1 < bytes.count, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u") {
                let back = at
                at += 2
                let low = try hexadecimal()
                if 0xdc00..<0xe000 ~= low { unit = 0x10000 + (unit - 0xd800) << 10 + (low - 0xdc00) } else { at = back }
            }
            for byte in String(Unicode.Scalar(unit) ?? "\u{fffd}").utf8 { PythonJSON.write(byte, to: &out) }
        default: throw .notJSON
        }
    }

    private mutating func hexadecimal() throws(Stop) -> UInt32 {
        guard bytes.count - at >= 4 else { throw .notJSON }
        var value: UInt32 = 0
        for byte in bytes[at..<at + 4] {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt32(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt32(byte - UInt8(ascii: "a") + 10)
            case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | UInt32(byte - UInt8(ascii: "A") + 10)
            default: throw .notJSON
            }
        }
        at += 4
        return value
    }

    private static func write(_ byte: UInt8, to out: inout [UInt8]) {
        switch byte {
        case UInt8(ascii: "\""): out += "\\\"".utf8
        case UInt8(ascii: "\\"): out += "\\\\".utf8
        case 0x08: out += "\\b".utf8
        case 0x0c: out += "\\f".utf8
        case 0x0a: out += "\\n".utf8
        case 0x0d: out += "\\r".utf8
        case 0x09: out += "\\t".utf8
        case 0..<0x20:
            let digits = Array("0123456789abcdef".utf8)
            out += [UInt8(ascii: "\\"), UInt8(ascii: "u"), UInt8(ascii: "0"), UInt8(ascii: "0"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        default: out.append(byte)
        }
    }
}

// MARK: Numbers

extension PythonJSON {
    private mutating func number() throws(Stop) {
        let start = at
        if next == UInt8(ascii: "-") {
            at += 1
            if next == UInt8(ascii: "I") {
                guard take("Infinity") else { throw .notJSON }
                out += "-Infinity".utf8
                return
            }
        }
        let whole = try digits()
        if whole.count > 1, bytes[whole.lowerBound] == UInt8(ascii: "0") { throw .notJSON }
        var isInteger = true
        if next == UInt8(ascii: ".") {
            isInteger = false
            at += 1
            _ = try digits()
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            isInteger = false
            at += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { at += 1 }
            _ = try digits()
        }
        guard isInteger else {
            guard let value = Double(String(decoding: bytes[start..<at], as: UTF8.self)) else { throw .refused("a number that cannot be read") }
            out += PythonJSON.text(of: value).utf8
            return
        }
        guard whole.count <= PythonJSON.digitsMax else { throw .refused("an integer of more than \(PythonJSON.digitsMax) digits") }
        out += whole.count == 1 && bytes[whole.lowerBound] == UInt8(ascii: "0") ? [UInt8(ascii: "0")] : Array(bytes[start..<at])
    }

    private mutating func digits() throws(Stop) -> Range<Int> {
        let start = at
        while let byte = next, UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte { at += 1 }
        guard at > start else { throw .notJSON }
        return start..<at
    }

    /// The shortest digits that read back as `value`; with an exponent below 1e-4 and from 1e16 on.
    static func text(of value: Double) -> String {
        guard value.isFinite else { return value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity" }
        let sign = value.sign == .minus ? "-" : ""
        guard value != 0 else { return sign + "0.0" }
        var mantissa: [UInt8] = [], point = 0, exponent = 0
        let parts = value.magnitude.description.split(separator: "e")
        if parts.count == 2 { exponent = Int(parts[1]) ?? 0 }
        for (i, part) in parts[0].split(separator: ".").enumerated() {
            mantissa += part.utf8
            if i == 0 { point = part.utf8.count }
        }
        let zeros = mantissa.prefix { $0 == UInt8(ascii: "0") }.count
        mantissa.removeFirst(zeros)
        while mantissa.last == UInt8(ascii: "0") { mantissa.removeLast() }
        // The value is 0.mantissa · 10^point.
        point += exponent - zeros
        func digits(_ some: some Sequence<UInt8>) -> String { String(decoding: Array(some), as: UTF8.self) }
        if point > 16 || point <= -4 {
            let power = (point - 1).magnitude
            let fraction = mantissa.count > 1 ? "." + digits(mantissa.dropFirst()) : ""
            return sign + digits(mantissa.prefix(1)) + fraction + "e" + (point > 0 ? "+" : "-") + (power < 10 ? "0" : "") + String(power)
        }
        if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + digits(mantissa) }
        if point >= mantissa.count { return sign + digits(mantissa) + String(repeating: "0", count: point - mantissa.count) + ".0" }
        return sign + digits(mantissa.prefix(point)) + "." + digits(mantissa.dropFirst(point))
    }
}
