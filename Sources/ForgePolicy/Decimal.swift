/// The extension type `decimal`: a 64-bit integer of ten-thousandths. Text is `-?digits.digits{1,4}`.
package struct Decimal: Hashable, Comparable, Sendable {
    package let tenThousandths: Int64

    package init(tenThousandths: Int64) { self.tenThousandths = tenThousandths }

    /// - Returns: nil for any other spelling and beyond 64 bits.
    package init?(parsing text: String) {
        var digits = text.utf8[...]
        let negative = digits.first == UInt8(ascii: "-")
        if negative { digits.removeFirst() }
        guard let dot = digits.firstIndex(of: UInt8(ascii: ".")) else { return nil }
        let whole = digits[..<dot]
        let fraction = digits[digits.index(after: dot)...]
        guard !whole.isEmpty, (1...4).contains(fraction.count) else { return nil }
        guard let magnitude = Digits.signed(Array(whole) + Array(fraction) + repeatElement(0x30, count: 4 - fraction.count), negative: negative) else { return nil }
        tenThousandths = magnitude
    }

    package static func < (a: Decimal, b: Decimal) -> Bool { a.tenThousandths < b.tenThousandths }
}

/// Decimal digits as integers, exact and bounded.
enum Digits {
    /// The integer that ASCII digits denote with that sign, so that the least Int64 can be written; nil on overflow,
    /// on another character, and for no digit at all.
    static func signed(_ digits: some Sequence<UInt8>, negative: Bool) -> Int64? {
        var value: Int64 = 0
        var any = false
        for digit in digits {
            guard 0x30...0x39 ~= digit else { return nil }
            any = true
            let (scaled, overflow) = value.multipliedReportingOverflow(by: 10)
            let unit = Int64(digit - 0x30)
            let (sum, overflow2) = negative ? scaled.subtractingReportingOverflow(unit) : scaled.addingReportingOverflow(unit)
            guard !overflow, !overflow2 else { return nil }
            value = sum
        }
        return any ? value : nil
    }
}
