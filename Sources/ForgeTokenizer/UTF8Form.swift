/// Well-formedness of UTF-8, Unicode 16 table 3-7.
enum UTF8Form {
    /// Bytes in the well-formed sequence that starts at `at`; 0 if none does.
    static func sequenceCount(_ bytes: [UInt8], _ at: Int) -> Int {
        let wanted = length(ofLead: bytes[at])
        guard wanted > 0, at + wanted <= bytes.count, isPrefix(bytes, at, wanted) else { return 0 }
        return wanted
    }

    /// The scalar at `at` and where the next one starts; an ill-formed byte is a U+FFFD of its own.
    static func scalar(_ bytes: [UInt8], _ at: Int) -> (scalar: Int, next: Int) {
        let lead = bytes[at]
        if lead < 0x80 { return (Int(lead), at + 1) }
        let count = sequenceCount(bytes, at)
        guard count > 0 else { return (0xfffd, at + 1) }
        var scalar = Int(lead) & (0x7f >> count)
        for i in 1..<count { scalar = scalar << 6 | Int(bytes[at + i] & 0x3f) }
        return (scalar, at + count)
    }

    static let replacement: [UInt8] = [0xef, 0xbf, 0xbd]

    /// The bytes with U+FFFD for each that belongs to no well-formed sequence.
    static func repaired(_ bytes: [UInt8]) -> [UInt8] {
        var out: [UInt8] = [], taken = 0, at = 0
        while at < bytes.count {
            let count = bytes[at] < 0x80 ? 1 : sequenceCount(bytes, at)
            if count == 0 {
                out += bytes[taken..<at]
                out += replacement
                taken = at + 1
            }
            at += max(count, 1)
        }
        return taken == 0 ? bytes : out + bytes[taken...]
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
