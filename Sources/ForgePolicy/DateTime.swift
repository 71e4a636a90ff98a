/// The extension type `datetime`: milliseconds since 1970-01-01T00:00:00Z.
///
/// Text is `YYYY-MM-DD`, or with `Thh:mm:ss`, an optional `.SSS`, and `Z` or `±hhmm`.
package struct DateTime: Hashable, Comparable, Sendable {
    package let milliseconds: Int64

    package init(milliseconds: Int64) { self.milliseconds = milliseconds }

    package init?(parsing text: String) {
        var reader = FixedReader(Array(text.utf8))
        guard let year = reader.number(4), reader.skip("-"), let month = reader.number(2), reader.skip("-"), let day = reader.number(2),
            let days = DateTime.days(year: year, month: month, day: day)
        else { return nil }
        var total = days * DateTime.day
        if !reader.atEnd {
            guard reader.skip("T"), let hour = reader.number(2), reader.skip(":"), let minute = reader.number(2), reader.skip(":"),
                let second = reader.number(2), hour < 24, minute < 60, second < 60
            else { return nil }
            total += (hour * 3600 + minute * 60 + second) * 1000
            if reader.skip(".") {
                guard let fraction = reader.number(3) else { return nil }
                total += fraction
            }
            if !reader.skip("Z") {
                let east = reader.skip("+")
                guard east || reader.skip("-"), let hours = reader.number(2), let minutes = reader.number(2), hours < 24, minutes < 60 else { return nil }
                let offset = (hours * 60 + minutes) * 60_000
                total += east ? -offset : offset
            }
            guard reader.atEnd else { return nil }
        }
        milliseconds = total
    }

    static let day: Int64 = 86_400_000

    package static func < (a: DateTime, b: DateTime) -> Bool { a.milliseconds < b.milliseconds }

    /// Midnight of its day; nil beyond 64 bits.
    package var date: DateTime? {
        let rest = timeOfDay.milliseconds
        let (start, overflow) = milliseconds.subtractingReportingOverflow(rest)
        return overflow ? nil : DateTime(milliseconds: start)
    }

    /// Since midnight, never negative.
    package var timeOfDay: TimeSpan {
        let rest = milliseconds % DateTime.day
        return TimeSpan(milliseconds: rest < 0 ? rest + DateTime.day : rest)
    }

    package func offset(_ span: TimeSpan) -> DateTime? {
        let (sum, overflow) = milliseconds.addingReportingOverflow(span.milliseconds)
        return overflow ? nil : DateTime(milliseconds: sum)
    }

    package func since(_ other: DateTime) -> TimeSpan? {
        let (difference, overflow) = milliseconds.subtractingReportingOverflow(other.milliseconds)
        return overflow ? nil : TimeSpan(milliseconds: difference)
    }

    /// Days from the epoch to a date of the proleptic Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level
    /// Date Algorithms", days_from_civil); nil when there is no such date.
    private static func days(year: Int64, month: Int64, day: Int64) -> Int64? {
        guard (1...12).contains(month), day >= 1 else { return nil }
        let leap = year.isMultiple(of: 4) && (!year.isMultiple(of: 100) || year.isMultiple(of: 400))
        let lengths: [Int64] = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard day <= lengths[Int(month) - 1] else { return nil }
        let y = month <= 2 ? year - 1 : year
        let era = (y >= 0 ? y : y - 399) / 400
        let yearOfEra = y - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }
}

/// The extension type `duration`: milliseconds, of either sign. Text is `-?(nd)?(nh)?(nm)?(ns)?(nms)?`, at least one.
package struct TimeSpan: Hashable, Comparable, Sendable {
    package let milliseconds: Int64

    package init(milliseconds: Int64) { self.milliseconds = milliseconds }

    package init?(parsing text: String) {
        var rest = Array(text.utf8)[...]
        let negative = rest.first == UInt8(ascii: "-")
        if negative { rest.removeFirst() }
        guard !rest.isEmpty else { return nil }
        var units: [(suffix: [UInt8], scale: Int64)] = [
            (Array("d".utf8), 86_400_000), (Array("h".utf8), 3_600_000), (Array("m".utf8), 60_000), (Array("s".utf8), 1000), (Array("ms".utf8), 1),
        ]
        var total: Int64 = 0
        while !rest.isEmpty {
            let digits = rest.prefix { 0x30...0x39 ~= $0 }
            rest = rest.dropFirst(digits.count)
            let suffix = rest.prefix { !(0x30...0x39 ~= $0) }
            rest = rest.dropFirst(suffix.count)
            guard let place = units.firstIndex(where: { $0.suffix.elementsEqual(suffix) }), let count = Digits.signed(digits, negative: negative) else { return nil }
            let (scaled, overflow) = count.multipliedReportingOverflow(by: units[place].scale)
            let (sum, overflow2) = total.addingReportingOverflow(scaled)
            guard !overflow, !overflow2 else { return nil }
            total = sum
            units.removeFirst(place + 1)
        }
        milliseconds = total
    }

    package static func < (a: TimeSpan, b: TimeSpan) -> Bool { a.milliseconds < b.milliseconds }
}

/// Reads fields of a fixed width.
private struct FixedReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { rest = bytes[...] }

    var atEnd: Bool { rest.isEmpty }

    mutating func number(_ width: Int) -> Int64? {
        guard rest.count >= width, let value = Digits.signed(rest.prefix(width), negative: false) else { return nil }
        rest = rest.dropFirst(width)
        return value
    }

    mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard let first = rest.first, UInt32(first) == character.value else { return false }
        rest.removeFirst()
        return true
    }
}
