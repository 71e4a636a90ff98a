/// Finds what names or reaches a person, by form and, where there is one, by checksum. Offline, in one pass; it counts, and redacts where asked.
///
/// It finds forms, not persons: names and addresses in prose are not found. Reports say so.
package enum PersonalData {
    package enum Kind: String, Sendable, Hashable, CaseIterable, Codable, Comparable {
        case email, phone
        /// International bank account number, ISO 13616, modulo 97.
        case iban
        /// Payment card, ISO/IEC 7812, Luhn.
        case card
        case ipv4
        /// A national number of a person: France (NIR), Spain (DNI, NIE), Italy (codice fiscale), Belgium, all with checksum; United States (SSN), by form.
        case nationalID = "national-id"

        package static func < (a: Kind, b: Kind) -> Bool { a.rawValue < b.rawValue }
    }

    package struct Finding: Sendable, Hashable {
        package let kind: Kind
        /// Bytes of the text.
        package let range: Range<Int>
    }

    /// Findings in order; they do not overlap.
    package static func find(in text: [UInt8]) -> [Finding] {
        var out: [Finding] = []
        var at = 0
        var floor = 0
        while at < text.count {
            let byte = text[at]
            var found: Finding?
            if byte == UInt8(ascii: "@") {
                found = email(text, at, floor)
            } else if isDigit(byte) || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "("), at == 0 || !isWord(text[at - 1]) {
                found = number(text, at)
            } else if (0x41...0x5a).contains(byte), at == 0 || !isWord(text[at - 1]) {
                found = iban(text, at) ?? lettered(text, at)
            }
            if let found, found.range.lowerBound >= floor {
                out.append(found)
                at = found.range.upperBound
                floor = at
            } else {
                at += 1
            }
        }
        return out
    }

    /// Each finding replaced by its kind in brackets, such as `[email]`.
    package static func redact(_ text: [UInt8], _ findings: [Finding]) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(text.count)
        var at = 0
        for finding in findings {
            out += text[at..<finding.range.lowerBound]
            out += "[\(finding.kind.rawValue)]".utf8
            at = finding.range.upperBound
        }
        return out + text[at...]
    }

    // MARK: Forms

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    private static func isWord(_ byte: UInt8) -> Bool { Entities.isAlphanumeric(byte) || byte == UInt8(ascii: "_") || byte >= 0x80 }

    /// An address around the `@` at `at`, in the dot-atom form of RFC 5321, with a domain of at least two labels.
    private static func email(_ text: [UInt8], _ at: Int, _ floor: Int) -> Finding? {
        func isLocal(_ byte: UInt8) -> Bool { Entities.isAlphanumeric(byte) || "._%+-".utf8.contains(byte) }
        var start = at
        while start > floor, at - start < 64, isLocal(text[start - 1]) { start -= 1 }
        while start < at, !Entities.isAlphanumeric(text[start]) { start += 1 }
        guard start < at, text[at - 1] != UInt8(ascii: ".") else { return nil }
        var end = at + 1
        var label = end
        var labels = 0
        var lastEnd = at
        while end < text.count, end - at < 255, Entities.isAlphanumeric(text[end]) || text[end] == UInt8(ascii: "-") || text[end] == UInt8(ascii: ".") {
            if text[end] == UInt8(ascii: ".") {
                guard end > label else { break }
                labels += 1
                lastEnd = end
                label = end + 1
            }
            end += 1
        }
        if end > label {
            labels += 1
            lastEnd = end
        }
        guard labels >= 2, let point = text[at..<lastEnd].lastIndex(of: UInt8(ascii: ".")) else { return nil }
        let top = text[(point + 1)..<lastEnd]
        guard (2...24).contains(top.count), top.allSatisfy({ Entities.isAlphanumeric($0) && !isDigit($0) }) else { return nil }
        return Finding(kind: .email, range: start..<lastEnd)
    }

    /// Digits with single separators between them, from `at` on, at most 24 digits.
    private struct DigitRun {
        var digits: [UInt8] = []
        /// Where each digit stands.
        var places: [Int] = []
        /// The separators between digits in order, `_` for none.
        var shape: [UInt8] = []
        var end: Int

        init(_ text: [UInt8], _ start: Int) {
            var at = start
            end = start
            while at < text.count, digits.count < 24 {
                guard isDigit(text[at]) else {
                    guard " -./()".utf8.contains(text[at]), at + 1 < text.count, !digits.isEmpty else { break }
                    var next = at + 1
                    if text[at] == UInt8(ascii: ")"), text[next] == 0x20, next + 1 < text.count { next += 1 }
                    if text[at] == 0x20, text[next] == UInt8(ascii: "("), next + 1 < text.count { next += 1 }
                    guard isDigit(text[next]) else { break }
                    shape.append(text[at])
                    at = next
                    continue
                }
                if !digits.isEmpty, places[digits.count - 1] == at - 1 { shape.append(UInt8(ascii: "_")) }
                digits.append(text[at] - 0x30)
                places.append(at)
                at += 1
                end = at
            }
        }

        /// The pattern of `9` for digits and separators as written, up to `count` digits.
        func form(_ count: Int) -> String {
            var out: [UInt8] = []
            for i in 0..<min(count, digits.count) {
                if i > 0, shape[i - 1] != UInt8(ascii: "_") { out.append(shape[i - 1]) }
                out.append(UInt8(ascii: "9"))
            }
            return String(decoding: out, as: UTF8.self)
        }
    }

    private static func number(_ text: [UInt8], _ at: Int) -> Finding? {
        if let found = ipv4(text, at) { return found }
        let isPlus = text[at] == UInt8(ascii: "+")
        let isOpen = text[at] == UInt8(ascii: "(")
        let run = DigitRun(text, isPlus || isOpen ? at + 1 : at)
        guard run.digits.count >= 8 else { return nil }
        // A word that goes on is no number, except the letter that ends a Spanish one.
        let follows = run.end < text.count ? text[run.end] : 0x20
        if isPlus {
            guard run.digits[0] != 0, (8...15).contains(run.digits.count), !isWord(follows) else { return nil }
            return Finding(kind: .phone, range: at..<run.end)
        }
        if isOpen {
            guard run.form(10) == "999)999-9999" || run.form(10) == "999)999.9999" || run.form(10) == "999)9999999", run.digits[0] > 1, run.digits.count == 10 else { return nil }
            return Finding(kind: .phone, range: at..<run.end)
        }
        if run.digits.count == 8, run.form(8) == "99999999" || run.form(8) == "99.999.999", let found = dni(text, at, run) { return found }
        guard !isWord(follows) else { return nil }
        let all = run.form(run.digits.count)
        if isCard(run.digits), run.shape.allSatisfy({ $0 == 0x20 || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") }), isCardForm(all) {
            return Finding(kind: .card, range: at..<run.end)
        }
        if run.digits.count == 15, isNIR(run.digits) { return Finding(kind: .nationalID, range: at..<run.end) }
        if run.digits.count == 11, all == "99.99.99-999.99", isBelgian(run.digits) { return Finding(kind: .nationalID, range: at..<run.end) }
        if run.digits.count == 9, all == "999-99-9999", isSSN(run.digits) { return Finding(kind: .nationalID, range: at..<run.end) }
        if run.digits.count == 10 {
            let american = all == "999-999-9999" || all == "999.999.9999"
            let french = run.digits[0] == 0 && run.digits[1] > 0 && ["99 99 99 99 99", "99.99.99.99.99", "99-99-99-99-99"].contains(all)
            if french || (american && run.digits[0] > 1 && run.digits[3] > 1) { return Finding(kind: .phone, range: at..<run.end) }
        }
        return nil
    }

    private static func isCardForm(_ form: String) -> Bool {
        !form.utf8.contains { $0 != UInt8(ascii: "9") } || ["9999 9999 9999 9999", "9999-9999-9999-9999", "9999 999999 99999", "9999-999999-99999"].contains(form)
    }

    private static func isCard(_ digits: [UInt8]) -> Bool {
        guard (13...19).contains(digits.count), [2, 3, 4, 5, 6].contains(digits[0]) else { return false }
        // Luhn: every second digit from the right doubled, digits of the doubles added.
        var sum = 0
        for (i, digit) in digits.reversed().enumerated() {
            let value = Int(digit) * (i.isMultiple(of: 2) ? 1 : 2)
            sum += value > 9 ? value - 9 : value
        }
        return sum.isMultiple(of: 10)
    }

    /// 13 digits and the key 97 − n mod 97; sex 1 or 2, month 1–12 or 20–42 or 50 and more.
    private static func isNIR(_ digits: [UInt8]) -> Bool {
        guard digits[0] == 1 || digits[0] == 2 else { return false }
        let month = digits[3] * 10 + digits[4]
        guard (1...12).contains(month) || (20...42).contains(month) || month >= 50 else { return false }
        let number = digits[..<13].reduce(0) { ($0 * 10 + Int($1)) % 97 }
        return 97 - number == Int(digits[13]) * 10 + Int(digits[14])
    }

    /// Nine digits and 97 − n mod 97; from 2000 on a 2 stands before them.
    private static func isBelgian(_ digits: [UInt8]) -> Bool {
        let key = Int(digits[9]) * 10 + Int(digits[10])
        let old = digits[..<9].reduce(0) { ($0 * 10 + Int($1)) % 97 }
        let new = digits[..<9].reduce(2) { ($0 * 10 + Int($1)) % 97 }
        return 97 - old == key || 97 - new == key
    }

    private static func isSSN(_ digits: [UInt8]) -> Bool {
        let area = Int(digits[0]) * 100 + Int(digits[1]) * 10 + Int(digits[2])
        return area != 0 && area != 666 && area < 900 && digits[3] + digits[4] > 0 && digits[5...].contains { $0 > 0 }
    }

    private static let dniLetters = Array("TRWAGMYFPDXBNJZSQVHLCKE".utf8)

    private static func dni(_ text: [UInt8], _ at: Int, _ run: DigitRun) -> Finding? {
        var end = run.end
        if end < text.count, text[end] == UInt8(ascii: "-") { end += 1 }
        guard end < text.count, end + 1 == text.count || !isWord(text[end + 1]) else { return nil }
        let number = run.digits.reduce(0) { $0 * 10 + Int($1) }
        return text[end] == dniLetters[number % 23] ? Finding(kind: .nationalID, range: at..<(end + 1)) : nil
    }

    private static func ipv4(_ text: [UInt8], _ start: Int) -> Finding? {
        var at = start
        for part in 0..<4 {
            var value = 0, count = 0
            while at < text.count, isDigit(text[at]), count < 4 {
                value = value * 10 + Int(text[at] - 0x30)
                count += 1
                at += 1
            }
            guard (1...3).contains(count), value <= 255, !(count > 1 && text[at - count] == 0x30) else { return nil }
            if part < 3 {
                guard at < text.count, text[at] == UInt8(ascii: ".") else { return nil }
                at += 1
            }
        }
        // A fifth part, or a word, makes it something else: a version, a section number.
        if at < text.count, isWord(text[at]) || (text[at] == UInt8(ascii: ".") && at + 1 < text.count && isDigit(text[at + 1])) { return nil }
        if start >= 2, text[start - 1] == UInt8(ascii: "."), isDigit(text[start - 2]) { return nil }
        return Finding(kind: .ipv4, range: start..<at)
    }

    /// Two letters, two digits, 11 to 30 letters or digits in groups; remainder 1 modulo 97 with the first four moved to the end.
    private static func iban(_ text: [UInt8], _ start: Int) -> Finding? {
        var characters: [UInt8] = []
        var at = start
        var best: Int?
        while at < text.count, characters.count < 34 {
            if text[at] == 0x20, characters.count >= 4, characters.count.isMultiple(of: 4), at + 1 < text.count {
                at += 1
                continue
            }
            guard isDigit(text[at]) || (0x41...0x5a).contains(text[at]) else { break }
            characters.append(text[at])
            at += 1
            if characters.count == 4, !((0x41...0x5a).contains(characters[1]) && isDigit(characters[2]) && isDigit(characters[3])) { return nil }
            if characters.count >= 15, at == text.count || !isWord(text[at]), isIBAN(characters) { best = at }
        }
        return best.map { Finding(kind: .iban, range: start..<$0) }
    }

    private static func isIBAN(_ characters: [UInt8]) -> Bool {
        (characters[4...] + characters[..<4]).reduce(0) { remainder, byte in
            isDigit(byte) ? (remainder * 10 + Int(byte - 0x30)) % 97 : (remainder * 100 + Int(byte - 0x37)) % 97
        } == 1
    }

    /// NIE (X, Y or Z, seven digits, letter) and codice fiscale (16 characters).
    private static func lettered(_ text: [UInt8], _ start: Int) -> Finding? {
        let word = text[start...].prefix(17).prefix { Entities.isAlphanumeric($0) }
        let end = start + word.count
        guard end == text.count || !isWord(text[end]) else { return nil }
        let c = Array(word)
        if c.count == 9, [UInt8(ascii: "X"), UInt8(ascii: "Y"), UInt8(ascii: "Z")].contains(c[0]), c[1..<8].allSatisfy(isDigit) {
            let number = c[1..<8].reduce(Int(c[0] - UInt8(ascii: "X"))) { $0 * 10 + Int($1 - 0x30) }
            return c[8] == dniLetters[number % 23] ? Finding(kind: .nationalID, range: start..<end) : nil
        }
        return c.count == 16 && isCodiceFiscale(c) ? Finding(kind: .nationalID, range: start..<end) : nil
    }

    private static let oddValues: [Int] = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23]

    private static func isCodiceFiscale(_ c: [UInt8]) -> Bool {
        func isLetter(_ byte: UInt8) -> Bool { (0x41...0x5a).contains(byte) }
        guard c[..<6].allSatisfy(isLetter), isLetter(c[8]), isLetter(c[11]), isLetter(c[15]), c.allSatisfy({ isDigit($0) || isLetter($0) }) else { return false }
        var sum = 0
        for (i, byte) in c[..<15].enumerated() {
            let value = isDigit(byte) ? Int(byte - 0x30) : Int(byte - 0x41)
            sum += i.isMultiple(of: 2) ? oddValues[value] : value
        }
        return sum % 26 == Int(c[15] - 0x41)
    }
}
