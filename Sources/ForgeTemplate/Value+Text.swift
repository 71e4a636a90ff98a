// How Python prints values (`str`, `repr`) and how its `json` writes them.

/// Code points under way, with a bound.
struct Printer {
    private(set) var units: [UInt32] = []
    let limit: Int
    var isFull: Bool { units.count > limit }

    init(limit: Int) { self.limit = limit }

    mutating func write(_ string: String) { for scalar in string.unicodeScalars { units.append(scalar.value) } }

    /// - Returns: false for what does not print, or what grew beyond the limit.
    mutating func represent(_ value: Value) -> Bool {
        switch value {
        case .none: write("None")
        case .bool(let value): write(value ? "True" : "False")
        case .int(let value, _): write(String(value))
        case .float(let value, _): write(Printer.float(value))
        case .text(let text): quote(text)
        case .undefined: write("Undefined")
        case .list(let list):
            guard list.kind == .list || list.kind == .tuple else { return false }
            write(list.kind == .tuple ? "(" : "[")
            for (i, item) in list.items.enumerated() {
                if i > 0 { write(", ") }
                guard represent(item), !isFull else { return false }
            }
            write(list.kind == .tuple ? (list.items.count == 1 ? ",)" : ")") : "]")
        case .dict(let dict):
            write("{")
            for (i, key) in dict.keys.enumerated() {
                if i > 0 { write(", ") }
                guard represent(key), !isFull else { return false }
                write(": ")
                guard represent(dict.values[i]) else { return false }
            }
            write("}")
        default: return false
        }
        return !isFull
    }

    private mutating func quote(_ text: Text) {
        let hasSingle = text.codes.contains(0x27), hasDouble = text.codes.contains(0x22)
        let mark: UInt32 = hasSingle && !hasDouble ? 0x22 : 0x27
        units.append(mark)
        for code in text.codes {
            switch code {
            case mark, 0x5c: units += [0x5c, code]
            case 0x0a: write("\\n")
            case 0x0d: write("\\r")
            case 0x09: write("\\t")
            case 0x20...0x7e: units.append(code)
            default:
                if Printer.isPrintable(code) { units.append(code) } else if code < 0x100 { write("\\x" + Printer.hex(code, 2)) } else {
                    write(code < 0x10000 ? "\\u" + Printer.hex(code, 4) : "\\U" + Printer.hex(code, 8))
                }
            }
        }
        units.append(mark)
    }

    private static func hex(_ code: UInt32, _ width: Int) -> String {
        let digits = String(code, radix: 16)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    private static func isPrintable(_ code: UInt32) -> Bool {
        switch Unicode.Scalar(code)?.properties.generalCategory {
        case nil, .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator, .spaceSeparator: false
        default: true
        }
    }

    /// The shortest digits that read back the same, as Python lays them out.
    static func float(_ value: Double) -> String {
        guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
        // Swift finds the same digits and lays them out otherwise.
        let parts = value.magnitude.description.split(separator: "e", omittingEmptySubsequences: false)
        let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        var digits = String(mantissa[0]) + (mantissa.count > 1 ? String(mantissa[1]) : "")
        var exponent = (parts.count > 1 ? Int(parts[1]) ?? 0 : 0) + mantissa[0].count - 1
        while digits.count > 1, digits.first == "0" {
            digits.removeFirst()
            exponent -= 1
        }
        while digits.count > 1, digits.last == "0" { digits.removeLast() }
        let sign = value.sign == .minus ? "-" : ""
        if digits == "0" { return sign + "0.0" }
        if exponent < -4 || exponent >= 16 {
            let rest = digits.dropFirst()
            let power = exponent.magnitude < 10 ? "0\(exponent.magnitude)" : "\(exponent.magnitude)"
            return sign + digits.prefix(1) + (rest.isEmpty ? "" : "." + rest) + "e" + (exponent < 0 ? "-" : "+") + power
        }
        if exponent < 0 { return sign + "0." + String(repeating: "0", count: -exponent - 1) + digits }
        if digits.count <= exponent + 1 { return sign + digits + String(repeating: "0", count: exponent + 1 - digits.count) + ".0" }
        return sign + digits.prefix(exponent + 1) + "." + digits.dropFirst(exponent + 1)
    }
}

/// `json.dumps` of the standard library of Python.
struct JSONStyle {
    var isASCII = false
    /// One level of indentation; nil for one line.
    var indent: String?
    var between = ", "
    var colon = ": "
    var sortsKeys = false
}

extension Printer {
    /// - Returns: false for what JSON has no way to write, or what grew beyond the limit.
    mutating func json(_ value: Value, _ style: JSONStyle, level: Int = 0) -> Bool {
        switch value {
        case .none: write("null")
        case .bool(let value): write(value ? "true" : "false")
        case .int(let value, _): write(String(value))
        case .float(let value, _): write(Printer.json(value))
        case .text(let text): json(text, style)
        case .list(let list):
            guard list.kind == .list || list.kind == .tuple else { return false }
            write("[")
            for (i, item) in list.items.enumerated() {
                line(style, level + 1, isFirst: i == 0)
                guard json(item, style, level: level + 1), !isFull else { return false }
            }
            close("]", style, level, isEmpty: list.items.isEmpty)
        case .dict(let dict):
            var order = Array(0..<dict.count)
            if style.sortsKeys {
                for i in order where i > 0 { guard Value.order(dict.keys[0], dict.keys[i]) != nil else { return false } }
                order.sort { Value.order(dict.keys[$0], dict.keys[$1]) ?? 0 == -1 }
            }
            write("{")
            for (i, place) in order.enumerated() {
                line(style, level + 1, isFirst: i == 0)
                switch dict.keys[place] {
                case .text(let text): json(text, style)
                case .none: write("\"null\"")
                case .bool(let value): write(value ? "\"true\"" : "\"false\"")
                case .int(let value, _): write("\"\(value)\"")
                case .float(let value, _): write("\"\(Printer.json(value))\"")
                default: return false
                }
                write(style.colon)
                guard json(dict.values[place], style, level: level + 1), !isFull else { return false }
            }
            close("}", style, level, isEmpty: dict.count == 0)
        default: return false
        }
        return !isFull
    }

    private static func json(_ value: Double) -> String { value.isFinite ? float(value) : value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity" }

    private mutating func line(_ style: JSONStyle, _ level: Int, isFirst: Bool) {
        if !isFirst { write(style.between) }
        guard let indent = style.indent else { return }
        write("\n")
        for _ in 0..<level where !isFull { write(indent) }
    }

    private mutating func close(_ bracket: String, _ style: JSONStyle, _ level: Int, isEmpty: Bool) {
        if !isEmpty { line(style, level, isFirst: true) }
        write(bracket)
    }

    private mutating func json(_ text: Text, _ style: JSONStyle) {
        units.append(0x22)
        for code in text.codes {
            switch code {
            case 0x22, 0x5c: units += [0x5c, code]
            case 0x0a: write("\\n")
            case 0x0d: write("\\r")
            case 0x09: write("\\t")
            case 0x08: write("\\b")
            case 0x0c: write("\\f")
            case 0..<0x20: write("\\u" + Printer.hex(code, 4))
            case 0x7f... where style.isASCII:
                for unit in Character(Unicode.Scalar(code) ?? "\u{fffd}").utf16 { write("\\u" + Printer.hex(UInt32(unit), 4)) }
            default: units.append(code)
            }
        }
        units.append(0x22)
    }
}
