/// Cuts text into words exactly as the expression of docs/formats/tokenizer.md §1 does under a backtracking engine, in one pass, by hand.
struct PreTokenizer {
    private let table = ScalarClass.table

    private static let newline = UInt8(ascii: "\n")
    private static let carriageReturn = UInt8(ascii: "\r")
    private static let slash = UInt8(ascii: "/")
    private static let blank = UInt8(ascii: " ")

    /// The end of the word that starts at `start`.
    /// - Precondition: `start < bytes.count`.
    func wordEnd(in bytes: [UInt8], from start: Int) -> Int {
        let (first, next) = read(bytes, start)
        switch first {
        case ScalarClass.upper, ScalarClass.lower, ScalarClass.letter:
            // A letter always starts a word without a prefix.
            return cased(bytes, start) ?? upperRun(bytes, start)
        case ScalarClass.number:
            return next
        case ScalarClass.mark:
            // A mark may be the one-scalar prefix of a word, or be part of it; the expression tries the prefix first.
            return cased(bytes, next) ?? cased(bytes, start) ?? next
        default:
            break
        }
        let byte = bytes[start]
        if byte != PreTokenizer.newline, byte != PreTokenizer.carriageReturn {
            if let end = cased(bytes, next) { return end }
            let end = upperRun(bytes, next)
            if end > next { return end }
        }
        if first == ScalarClass.other { return symbols(bytes, start) }
        if byte == PreTokenizer.blank, next < bytes.count, isSymbol(read(bytes, next).cls) { return symbols(bytes, next) }
        return spaces(bytes, start)
    }

    /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`: the greedy first run gives back until the second has one scalar.
    private func cased(_ bytes: [UInt8], _ start: Int) -> Int? {
        var at = start
        var givenBack: Int?
        while at < bytes.count {
            let (cls, next) = read(bytes, at)
            if cls == ScalarClass.lower { return lowerRun(bytes, next) }
            guard cls == ScalarClass.upper || cls == ScalarClass.letter || cls == ScalarClass.mark else { break }
            at = next
            if cls != ScalarClass.upper { givenBack = next }
        }
        return givenBack
    }

    private func upperRun(_ bytes: [UInt8], _ start: Int) -> Int {
        var at = start
        while at < bytes.count {
            let (cls, next) = read(bytes, at)
            guard cls == ScalarClass.upper || cls == ScalarClass.letter || cls == ScalarClass.mark else { break }
            at = next
        }
        return at
    }

    private func lowerRun(_ bytes: [UInt8], _ start: Int) -> Int {
        var at = start
        while at < bytes.count {
            let (cls, next) = read(bytes, at)
            guard cls == ScalarClass.lower || cls == ScalarClass.letter || cls == ScalarClass.mark else { break }
            at = next
        }
        return at
    }

    /// `[^\s\p{L}\p{N}]+[\r\n/]*`
    private func symbols(_ bytes: [UInt8], _ start: Int) -> Int {
        var at = start
        while at < bytes.count {
            let (cls, next) = read(bytes, at)
            guard isSymbol(cls) else { break }
            at = next
        }
        while at < bytes.count, bytes[at] == PreTokenizer.newline || bytes[at] == PreTokenizer.carriageReturn || bytes[at] == PreTokenizer.slash { at += 1 }
        return at
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+`
    private func spaces(_ bytes: [UInt8], _ start: Int) -> Int {
        var at = start
        var last = start
        var newlineEnd: Int?
        while at < bytes.count {
            let (cls, next) = read(bytes, at)
            guard cls == ScalarClass.space else { break }
            if bytes[at] == PreTokenizer.newline || bytes[at] == PreTokenizer.carriageReturn { newlineEnd = next }
            last = at
            at = next
        }
        if let newlineEnd { return newlineEnd }
        if at == bytes.count { return at }
        return last > start ? last : at
    }

    @inline(__always)
    private func isSymbol(_ cls: UInt8) -> Bool { cls == ScalarClass.other || cls == ScalarClass.mark }

    /// The class of the scalar at `at`, and where the next one starts. An ill-formed byte is a scalar of its own, of no class.
    @inline(__always)
    private func read(_ bytes: [UInt8], _ at: Int) -> (cls: UInt8, next: Int) {
        let lead = bytes[at]
        if lead < 0x80 { return (table[Int(lead)], at + 1) }
        return readWide(bytes, at, lead)
    }

    private func readWide(_ bytes: [UInt8], _ at: Int, _ lead: UInt8) -> (cls: UInt8, next: Int) {
        let count = UTF8Form.sequenceCount(bytes, at)
        switch count {
        case 2: return (table[Int(lead & 0x1f) << 6 | Int(bytes[at + 1] & 0x3f)], at + 2)
        case 3: return (table[Int(lead & 0x0f) << 12 | Int(bytes[at + 1] & 0x3f) << 6 | Int(bytes[at + 2] & 0x3f)], at + 3)
        case 4:
            let high = Int(lead & 0x07) << 18 | Int(bytes[at + 1] & 0x3f) << 12
            return (table[high | Int(bytes[at + 2] & 0x3f) << 6 | Int(bytes[at + 3] & 0x3f)], at + 4)
        default: return (ScalarClass.other, at + 1)
        }
    }
}

/// Well-formedness of UTF-8, Unicode 16 table 3-7.
enum UTF8Form {
    /// Bytes in the well-formed sequence that starts at `at`; 0 if none does.
    static func sequenceCount(_ bytes: [UInt8], _ at: Int) -> Int {
        let wanted = length(ofLead: bytes[at])
        guard wanted > 0, at + wanted <= bytes.count, isPrefix(bytes, at, wanted) else { return 0 }
        return wanted
    }

    /// How many bytes at the end of `bytes` could still become one scalar: they begin a well-formed sequence that is not yet complete.
    static func unfinishedCount(_ bytes: [UInt8]) -> Int {
        for held in 1...3 where held <= bytes.count {
            let at = bytes.count - held
            let wanted = length(ofLead: bytes[at])
            if wanted > held, isPrefix(bytes, at, held) { return held }
        }
        return 0
    }

    private static func length(ofLead lead: UInt8) -> Int {
        switch lead {
        case 0..<0x80: 1
        case 0xc2...0xdf: 2
        case 0xe0...0xef: 3
        case 0xf0...0xf4: 4
        default: 0
        }
    }

    private static func isPrefix(_ bytes: [UInt8], _ at: Int, _ count: Int) -> Bool {
        for i in 1..<max(count, 1) {
            let byte = bytes[at + i]
            guard byte & 0xc0 == 0x80 else { return false }
            guard i == 1 else { continue }
            switch bytes[at] {
            case 0xe0 where byte < 0xa0, 0xed where byte > 0x9f, 0xf0 where byte < 0x90, 0xf4 where byte > 0x8f: return false
            default: break
            }
        }
        return true
    }
}
