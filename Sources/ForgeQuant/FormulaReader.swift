/// Why bytes are not a formula, and where they stop being one.
package struct FormulaError: Error, Hashable, Sendable, CustomStringConvertible {
    package let reason: String
    /// Bytes from the start.
    package let offset: Int
    package var description: String { "\(reason) at byte \(offset)" }
}

extension Formula {
    /// Reads exactly one formula. Bounds come before work: what is too long or nests too deep does not parse, whatever it says.
    package init(parsing bytes: [UInt8]) throws(FormulaError) {
        var reader = FormulaReader(bytes)
        self = try reader.whole()
    }

    package init(parsing text: String) throws(FormulaError) { try self.init(parsing: Array(text.utf8)) }
}

private struct FormulaReader {
    private let bytes: [UInt8]
    private var at = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func whole() throws(FormulaError) -> Formula {
        guard bytes.count <= Formula.Bounds.textBytes else { throw FormulaError(reason: "longer than \(Formula.Bounds.textBytes) bytes", offset: Formula.Bounds.textBytes) }
        let formula = try formula(depth: 1)
        skipSpaces()
        guard at == bytes.count else { throw fail("something follows the formula") }
        return formula
    }

    private mutating func formula(depth: Int) throws(FormulaError) -> Formula {
        guard depth <= Formula.Bounds.depth else { throw fail("nested deeper than \(Formula.Bounds.depth)") }
        skipSpaces()
        let start = at
        if let byte = peek, FormulaReader.isDigit(byte) { return .number(try number()) }
        let name = word()
        if let field = Formula.Field(rawValue: name) { return .field(field) }
        let below = depth + 1
        if let pair = Formula.Pair(rawValue: name) {
            try expect("(")
            let a = try formula(depth: below)
            try expect(",")
            let b = try formula(depth: below)
            try expect(")")
            return .pair(pair, a, b)
        }
        if let window = Formula.Window(rawValue: name) {
            try expect("(")
            let a = try formula(depth: below)
            try expect(",")
            let days = try days()
            try expect(")")
            return .window(window, a, days: days)
        }
        if name == Formula.magnitudeName {
            try expect("(")
            let a = try formula(depth: below)
            try expect(")")
            return .magnitude(a)
        }
        if name == Formula.choiceName {
            try expect("(")
            let condition = try formula(depth: below)
            try expect(",")
            let then = try formula(depth: below)
            try expect(",")
            let otherwise = try formula(depth: below)
            try expect(")")
            return .choice(condition, then: then, otherwise: otherwise)
        }
        throw FormulaError(reason: name.isEmpty ? "a formula should stand here" : "`\(name)` is no field and no operation", offset: start)
    }

    // MARK: numbers

    /// `whole [ "." 1*4 digit ]` in units.
    private mutating func number() throws(FormulaError) -> Int64 {
        let start = at
        let whole = try integer(atMost: Formula.Bounds.number, "a number")
        var units = whole * Formula.Bounds.unit
        if peek == UInt8(ascii: ".") {
            at += 1
            var scale = Formula.Bounds.unit
            var digits = 0
            while let byte = peek, FormulaReader.isDigit(byte) {
                guard digits < Formula.Bounds.decimals else { throw fail("more than \(Formula.Bounds.decimals) digits after the point") }
                digits += 1
                scale /= 10
                units += Int64(byte - UInt8(ascii: "0")) * scale
                at += 1
            }
            guard digits > 0 else { throw fail("a digit should follow the point") }
        }
        guard units <= Formula.Bounds.number * Formula.Bounds.unit else { throw FormulaError(reason: "a number is larger than \(Formula.Bounds.number)", offset: start) }
        return units
    }

    private mutating func days() throws(FormulaError) -> Int {
        skipSpaces()
        let start = at
        guard let byte = peek, FormulaReader.isDigit(byte) else { throw fail("a number of days should stand here") }
        let days = try integer(atMost: Int64(Formula.Bounds.windowDays), "a number of days")
        guard days > 0 else { throw FormulaError(reason: "a number of days is at least 1", offset: start) }
        return Int(days)
    }

    /// Digits without a leading zero. The bound is checked at every digit, so that no run of them overflows.
    private mutating func integer(atMost bound: Int64, _ what: String) throws(FormulaError) -> Int64 {
        let start = at
        var value: Int64 = 0
        while let byte = peek, FormulaReader.isDigit(byte) {
            guard at == start || value > 0 else { throw FormulaError(reason: "\(what) starts with a zero", offset: start) }
            value = value * 10 + Int64(byte - UInt8(ascii: "0"))
            guard value <= bound else { throw FormulaError(reason: "\(what) is larger than \(bound)", offset: start) }
            at += 1
        }
        return value
    }

    // MARK: bytes

    private var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private mutating func skipSpaces() { while peek == UInt8(ascii: " ") { at += 1 } }

    private mutating func word() -> String {
        let start = at
        while let byte = peek, (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) { at += 1 }
        return String(decoding: bytes[start..<at], as: UTF8.self)
    }

    private mutating func expect(_ symbol: Unicode.Scalar) throws(FormulaError) {
        skipSpaces()
        guard peek == UInt8(ascii: symbol) else { throw fail(peek == nil ? "the text ends where `\(symbol)` should stand" : "`\(symbol)` should stand here") }
        at += 1
    }

    private func fail(_ reason: String) -> FormulaError { FormulaError(reason: reason, offset: at) }
}
