/// Text under construction, in the light markup of docs/formats/dataset.md §1: paragraphs, headings, items, preformatted text.
///
/// Inline text is gathered with `append`; white space collapses to one blank. A block call ends what was gathered before it.
struct Prose {
    private(set) var out: [UInt8] = []
    private var line: [UInt8] = []
    private var pendingSpace = false
    private var prefix: [UInt8] = []
    /// Whether the next block stands after an empty line.
    private var hasGap = false

    private static let newline = UInt8(ascii: "\n")

    var isLineEmpty: Bool { line.isEmpty }
    var count: Int { out.count + line.count }

    mutating func append(_ text: some Sequence<UInt8>) {
        for byte in text { append(byte) }
    }

    mutating func append(_ text: String) { append(text.utf8) }

    @inline(__always)
    mutating func append(_ byte: UInt8) {
        if byte == 0x20 || (0x09...0x0d).contains(byte) {
            pendingSpace = true
            return
        }
        guard byte >= 0x20, byte != 0x7f else { return }
        if pendingSpace, !line.isEmpty { line.append(0x20) }
        pendingSpace = false
        line.append(byte)
    }

    /// Nothing between what was gathered and what follows, even if white space stood there.
    mutating func joinNext() { pendingSpace = false }

    mutating func space() { pendingSpace = true }

    /// Ends the block; the next one stands after an empty line.
    mutating func endParagraph() {
        flush()
        hasGap = true
    }

    /// Ends the line; the next block follows without an empty line, unless a paragraph ended before.
    mutating func breakLine() {
        guard !line.isEmpty else { return }
        flush()
        hasGap = false
    }

    /// What the next block starts with, such as `## ` or `- `.
    mutating func startBlock(_ prefix: String, tight: Bool = false) {
        if !line.isEmpty {
            flush()
            hasGap = false
        }
        if !tight { hasGap = true }
        self.prefix = Array(prefix.utf8)
    }

    /// A line kept as it is, but for white space at its end.
    mutating func verbatim(_ text: some Collection<UInt8>, first: Bool) {
        if first {
            flush()
            if !out.isEmpty { blankLine() }
        }
        var kept = text.filter { $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }
        while let last = kept.last, last == 0x20 || last == 0x09 { kept.removeLast() }
        out += kept
        out.append(Prose.newline)
        hasGap = true
    }

    private mutating func flush() {
        defer {
            line.removeAll(keepingCapacity: true)
            pendingSpace = false
        }
        guard !line.isEmpty else { return }
        if !out.isEmpty, hasGap { blankLine() }
        out += prefix
        out += line
        out.append(Prose.newline)
        prefix = []
        hasGap = true
    }

    private mutating func blankLine() {
        if out.count >= 2, out[out.count - 1] == Prose.newline, out[out.count - 2] == Prose.newline { return }
        out.append(Prose.newline)
    }

    /// The whole text: no empty lines at its ends.
    mutating func finish() -> [UInt8] {
        flush()
        while out.last == Prose.newline { out.removeLast() }
        if let start = out.firstIndex(where: { $0 != Prose.newline }), start > 0 { out.removeFirst(start) }
        if !out.isEmpty { out.append(Prose.newline) }
        return out
    }
}
