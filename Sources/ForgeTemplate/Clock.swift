import ForgeCore

/// The parts of a time in UTC that a template may write.
struct Clock {
    private let year: Int, month: Int, day: Int, hour: Int, minute: Int, second: Int

    init(_ time: Timestamp) {
        let parts = time.description.prefix(19).split { "-T:".contains($0) }.map { Int($0) ?? 0 }
        (year, month, day, hour, minute, second) = (parts[0], parts[1], parts[2], parts[3], parts[4], parts[5])
    }

    private static let months = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]
    private static let weekdays = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
    private static let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]

    private var dayOfYear: Int {
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        return Clock.before[month - 1] + day + (isLeap && month > 2 ? 1 : 0)
    }

    private var weekday: String {
        let years = year - 1
        return Clock.weekdays[(years * 365 + years / 4 - years / 100 + years / 400 + dayOfYear) % 7]
    }

    /// - Returns: nil for what §2 of the format does not list.
    func text(_ letter: Character, isShort: Bool) -> String? {
        func padded(_ number: Int, _ width: Int, with pad: String = "0") -> String {
            let digits = String(number)
            return isShort ? digits : String(repeating: pad, count: max(0, width - digits.count)) + digits
        }
        switch letter {
        case "Y": return padded(year, 4)
        case "y": return padded(year % 100, 2)
        case "m": return padded(month, 2)
        case "d": return padded(day, 2)
        case "e": return padded(day, 2, with: " ")
        case "H": return padded(hour, 2)
        case "I": return padded((hour + 11) % 12 + 1, 2)
        case "M": return padded(minute, 2)
        case "S": return padded(second, 2)
        case "j": return padded(dayOfYear, 3)
        default: break
        }
        guard !isShort else { return nil }
        switch letter {
        case "p": return hour < 12 ? "AM" : "PM"
        case "A": return weekday
        case "a": return String(weekday.prefix(3))
        case "B": return Clock.months[month - 1]
        case "b": return String(Clock.months[month - 1].prefix(3))
        case "%": return "%"
        default: return nil
        }
    }
}

extension Renderer {
    /// `strftime` of the C library in its own locale, in UTC.
    func strftime(_ format: Text) throws(Fault) -> Text {
        try afford(characters: format.count.multipliedReportingOverflow(by: 9).partialValue)
        var out = format[0..<0], at = 0
        let clock = Clock(now)
        while at < format.count {
            guard format.code(at: at) == 0x25 else {
                out.append(format[at..<at + 1])
                at += 1
                continue
            }
            let isShort = at + 1 < format.count && format.code(at: at + 1) == 0x2d
            at += isShort ? 2 : 1
            guard at < format.count, let piece = clock.text(Character(Unicode.Scalar(format.code(at: at)) ?? " "), isShort: isShort) else {
                throw stop("`strftime_now` is asked for a part of a date that is not part of the language here", "template.unsupported", remedy: "see docs/formats/chat-template.md, section 2")
            }
            out.append(Text(piece))
            at += 1
        }
        return out
    }
}
