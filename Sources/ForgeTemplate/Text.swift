/// A Python string: code points, each of which remembers whether it came from input (docs/formats/chat-template.md §1).
///
/// The mark rides in the code point's own word, so no operation can move a character and forget its origin.
struct Text: Sendable {
    /// A code point in the low 21 bits; `mark` is set where it came from input.
    private(set) var units: [UInt32]
    /// Whether it was made from input, even if no character of input is left in it.
    private(set) var isInput: Bool

    static let mark: UInt32 = 1 << 31
    private static let code: UInt32 = 0x1f_ffff

    init() {
        units = []
        isInput = false
    }

    init(_ string: String, isInput: Bool = false) {
        units = string.unicodeScalars.map { isInput ? $0.value | Text.mark : $0.value }
        self.isInput = isInput
    }

    init(units: [UInt32], isInput: Bool) {
        self.units = isInput ? units.map { $0 | Text.mark } : units
        self.isInput = isInput
    }

    private init(kept units: some Sequence<UInt32>, of text: Text) {
        self.units = Array(units)
        isInput = text.isInput
    }

    /// The same characters with their origins, made from input.
    init(derived text: Text) {
        units = text.units
        isInput = true
    }

    var count: Int { units.count }
    var isEmpty: Bool { units.isEmpty }
    func code(at index: Int) -> UInt32 { units[index] & Text.code }
    var codes: some Sequence<UInt32> { units.lazy.map { $0 & Text.code } }

    var string: String {
        var out = String.UnicodeScalarView()
        for code in codes { out.append(Unicode.Scalar(code) ?? "\u{fffd}") }
        return String(out)
    }

    /// The text for a fault, which anybody may read: `…` stands for what came from input.
    var public_: String {
        var out = String.UnicodeScalarView()
        for unit in units.prefix(400) {
            if unit & Text.mark == 0 { out.append(Unicode.Scalar(unit & Text.code) ?? "\u{fffd}") } else if out.last != "…" { out.append("…") }
        }
        return String(out)
    }

    mutating func append(_ other: Text) {
        units += other.units
        isInput = isInput || other.isInput
    }

    subscript(range: Range<Int>) -> Text { Text(kept: units[range], of: self) }
    /// - Precondition: the places are within the text.
    func picked(_ places: some Sequence<Int>) -> Text { Text(kept: places.lazy.map { self.units[$0] }, of: self) }
    /// The same characters, of input from now on.
    var asInput: Text { Text(units: units, isInput: true) }
}

extension Text: Hashable {
    static func == (a: Text, b: Text) -> Bool { a.count == b.count && a.codes.elementsEqual(b.codes) }
    static func < (a: Text, b: Text) -> Bool { a.codes.lexicographicallyPrecedes(b.codes) }

    func hash(into hasher: inout Hasher) {
        for code in codes { hasher.combine(code) }
        hasher.combine(count)
    }

    func starts(with other: Text) -> Bool { count >= other.count && self[0..<other.count] == other }
    func ends(with other: Text) -> Bool { count >= other.count && self[count - other.count..<count] == other }

    /// Where `needle` stands, from left to right without overlap, in time linear in both: Knuth, Morris & Pratt 1977.
    /// - Precondition: `needle` is not empty.
    func places(of needle: Text, limit: Int) -> [Int] {
        guard count >= needle.count, limit > 0 else { return [] }
        let wanted = Array(needle.codes)
        var fallback = [Int](repeating: 0, count: wanted.count)
        var matched = 0
        for i in 1..<max(1, wanted.count) {
            while matched > 0, wanted[i] != wanted[matched] { matched = fallback[matched - 1] }
            if wanted[i] == wanted[matched] { matched += 1 }
            fallback[i] = matched
        }
        var found: [Int] = []
        matched = 0
        for (i, code) in codes.enumerated() {
            while matched > 0, code != wanted[matched] { matched = fallback[matched - 1] }
            if code == wanted[matched] { matched += 1 }
            if matched == wanted.count {
                found.append(i + 1 - matched)
                if found.count == limit { break }
                matched = 0
            }
        }
        return found
    }

    func contains(_ needle: Text) -> Bool { needle.isEmpty || !places(of: needle, limit: 1).isEmpty }
}

// Python's methods.
extension Text {
    static func isSpace(_ code: UInt32) -> Bool {
        switch code {
        case 0x09...0x0d, 0x1c...0x20, 0x85, 0xa0, 0x1680, 0x2000...0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000: true
        default: false
        }
    }

    /// - Parameter characters: what is taken off; nil for white space.
    func stripped(left: Bool = true, right: Bool = true, of characters: Text? = nil) -> Text {
        let set = characters.map { Set($0.codes) }
        func goes(_ code: UInt32) -> Bool { set?.contains(code) ?? Text.isSpace(code) }
        var start = 0, end = count
        while left, start < end, goes(code(at: start)) { start += 1 }
        while right, end > start, goes(code(at: end - 1)) { end -= 1 }
        return self[start..<end]
    }

    /// - Parameter limit: how many times at most.
    func replacing(_ old: Text, with new: Text, limit: Int) -> Text {
        var out = Text()
        out.isInput = isInput || new.isInput
        if old.isEmpty {
            for i in 0...count {
                if i < limit { out.append(new) }
                if i < count { out.units.append(units[i]) }
            }
            return out
        }
        var from = 0
        for place in places(of: old, limit: limit) {
            out.units += units[from..<place]
            out.append(new)
            from = place + old.count
        }
        out.units += units[from...]
        return out
    }

    /// How long `replacing` would make it, or nil beyond what an integer holds.
    func countReplacing(_ old: Text, with new: Text, limit: Int) -> Int? {
        let times = old.isEmpty ? min(limit, count + 1) : places(of: old, limit: limit).count
        let (grown, overflow) = times.multipliedReportingOverflow(by: new.count - old.count)
        return overflow ? nil : count + grown
    }

    /// - Parameter separator: nil for runs of white space.
    func split(at separator: Text?, limit: Int) -> [Text] {
        guard let separator else { return words(limit: limit) }
        var out: [Text] = [], from = 0
        for place in places(of: separator, limit: limit) {
            out.append(self[from..<place])
            from = place + separator.count
        }
        out.append(self[from..<count])
        return out
    }

    private func words(limit: Int) -> [Text] {
        var out: [Text] = [], at = 0
        while true {
            while at < count, Text.isSpace(code(at: at)) { at += 1 }
            guard at < count else { return out }
            let start = at
            guard out.count < limit else { return out + [self[start..<count]] }
            while at < count, !Text.isSpace(code(at: at)) { at += 1 }
            out.append(self[start..<at])
        }
    }

    /// Lines without their ends, as `str.splitlines` cuts them.
    var lines: [Text] {
        var out: [Text] = [], start = 0, at = 0
        while at < count {
            switch code(at: at) {
            case 0x0a...0x0d, 0x1c...0x1e, 0x85, 0x2028, 0x2029:
                out.append(self[start..<at])
                if code(at: at) == 0x0d, at + 1 < count, code(at: at + 1) == 0x0a { at += 1 }
                start = at + 1
            default: break
            }
            at += 1
        }
        if start < count { out.append(self[start..<count]) }
        return out
    }

    var uppercased: Text { mapped { $0.properties.uppercaseMapping } }

    var lowercased: Text {
        var out = Text()
        out.isInput = isInput
        for (i, unit) in units.enumerated() {
            let mapping = code(at: i) == 0x3a3 && isFinalSigma(i) ? "ς" : Text.scalar(unit).properties.lowercaseMapping
            for scalar in mapping.unicodeScalars { out.units.append(scalar.value | unit & Text.mark) }
        }
        return out
    }

    private static func scalar(_ unit: UInt32) -> Unicode.Scalar { Unicode.Scalar(unit & code) ?? "\u{fffd}" }

    private func mapped(_ mapping: (Unicode.Scalar) -> String) -> Text {
        var out = Text()
        out.isInput = isInput
        for unit in units {
            for scalar in mapping(Text.scalar(unit)).unicodeScalars { out.units.append(scalar.value | unit & Text.mark) }
        }
        return out
    }

    /// Unicode's condition Final_Sigma (SpecialCasing): a cased letter before, none after. Looks at a few characters only, so that a row of marks costs no square.
    private func isFinalSigma(_ index: Int) -> Bool {
        func isCased(_ places: some Sequence<Int>) -> Bool {
            for place in places.prefix(64) where !Text.scalar(units[place]).properties.isCaseIgnorable { return Text.scalar(units[place]).properties.isCased }
            return false
        }
        return isCased((0..<index).reversed()) && !isCased(index + 1..<count)
    }
}
