/// Cuts text into words exactly as an expression of docs/formats/tokenizer.md §1 does under a backtracking engine, in one pass, by hand.
struct PreTokenizer: Sendable {
    private let expression: SplitExpression
    private let table = ScalarClass.table

    init(_ expression: SplitExpression = .mistral) { self.expression = expression }

    private static let newline = UInt8(ascii: "\n")
    private static let carriageReturn = UInt8(ascii: "\r")
    private static let slash = UInt8(ascii: "/")
    private static let blank = UInt8(ascii: " ")
    private static let apostrophe = UInt8(ascii: "'")

    /// The end of the word that starts at `start`.
    /// - Precondition: `start < bytes.count`.
    @inline(__always)
    func wordEnd(in bytes: [UInt8], from start: Int) -> Int {
        switch expression {
        case .mistral: mistral(bytes, start)
        case .gpt2: gpt2(bytes, start)
        case .llama3: llama3(bytes, start, digits: 3)
        case .qwen2: llama3(bytes, start, digits: 1)
        }
    }

    private func mistral(_ bytes: [UInt8], _ start: Int) -> Int {
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

    private func gpt2(_ bytes: [UInt8], _ start: Int) -> Int {
        if let end = contraction(bytes, start, anyCase: false) { return end }
        var (cls, _) = read(bytes, start)
        var at = start
        if bytes[start] == PreTokenizer.blank, start + 1 < bytes.count {
            let after = read(bytes, start + 1).cls
            if after != ScalarClass.space { (cls, at) = (after, start + 1) }
        }
        if cls == ScalarClass.space { return spaces(bytes, start, lines: false) }
        if cls == ScalarClass.number { return run(bytes, at) { $0 == ScalarClass.number } }
        return isLetter(cls) ? run(bytes, at, isLetter) : run(bytes, at, isSymbol)
    }

    /// - Parameter digits: how many numbers make a word at most.
    private func llama3(_ bytes: [UInt8], _ start: Int, digits: Int) -> Int {
        if let end = contraction(bytes, start, anyCase: true) { return end }
        let (first, next) = read(bytes, start)
        if isLetter(first) { return run(bytes, next, isLetter) }
        if first == ScalarClass.number {
            var left = digits
            return run(bytes, start) {
                left -= 1
                return left >= 0 && $0 == ScalarClass.number
            }
        }
        let byte = bytes[start]
        if byte != PreTokenizer.newline, byte != PreTokenizer.carriageReturn, next < bytes.count, isLetter(read(bytes, next).cls) { return run(bytes, next, isLetter) }
        if isSymbol(first) { return symbols(bytes, start, slashes: false) }
        if byte == PreTokenizer.blank, next < bytes.count, isSymbol(read(bytes, next).cls) { return symbols(bytes, next, slashes: false) }
        return spaces(bytes, start)
    }

    /// `'s|'t|'re|'ve|'m|'ll|'d`; where case does not matter, U+017F is an s.
    private func contraction(_ bytes: [UInt8], _ start: Int, anyCase: Bool) -> Int? {
        guard bytes[start] == PreTokenizer.apostrophe, start + 1 < bytes.count else { return nil }
        func letter(_ at: Int) -> UInt8 {
            guard at < bytes.count else { return 0 }
            return anyCase && UInt8(ascii: "A")...UInt8(ascii: "Z") ~= bytes[at] ? bytes[at] | 0x20 : bytes[at]
        }
        switch (letter(start + 1), letter(start + 2)) {
        case (UInt8(ascii: "s"), _), (UInt8(ascii: "t"), _), (UInt8(ascii: "m"), _), (UInt8(ascii: "d"), _): return start + 2
        case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")), (UInt8(ascii: "l"), UInt8(ascii: "l")): return start + 3
        case (0xc5, 0xbf) where anyCase: return start + 3
        default: return nil
        }
    }

    /// The end of the scalars from `start` on whose class is `wanted`.
    @inline(__always)
    private func run(_ bytes: [UInt8], _ start: Int, _ wanted: (UInt8) -> Bool) -> Int {
        var at = start
        while at < bytes.count {
            let (cls, next) = read(bytes, at)
            guard wanted(cls) else { break }
            at = next
        }
        return at
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

    /// `[^\s\p{L}\p{N}]+[\r\n/]*`, with or without the slash at the end.
    private func symbols(_ bytes: [UInt8], _ start: Int, slashes: Bool = true) -> Int {
        var at = start
        while at < bytes.count {
            let (cls, next) = read(bytes, at)
            guard isSymbol(cls) else { break }
            at = next
        }
        while at < bytes.count, bytes[at] == PreTokenizer.newline || bytes[at] == PreTokenizer.carriageReturn || slashes && bytes[at] == PreTokenizer.slash { at += 1 }
        return at
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+`, with or without the first.
    private func spaces(_ bytes: [UInt8], _ start: Int, lines: Bool = true) -> Int {
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
        if lines, let newlineEnd { return newlineEnd }
        if at == bytes.count { return at }
        return last > start ? last : at
    }

    @inline(__always)
    private func isLetter(_ cls: UInt8) -> Bool { cls == ScalarClass.upper || cls == ScalarClass.lower || cls == ScalarClass.letter }

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
