import ForgeCore

/// How a tokenizer of pieces turns text into what its pieces are spelt with, and back (docs/formats/tokenizer.md §8). The parts of the file are kept to be written again.
struct PieceForm: Sendable, Hashable {
    /// The blank put before a text, so that its first word is spelt like any other.
    enum Prefix: Sendable, Hashable {
        case none
        /// Before every text.
        case always
        /// Before a stretch that does not begin with one.
        case unlessThere
        /// As `unlessThere`, at the start of the text only.
        case firstUnlessThere
    }

    let normalizer: JSON
    let preTokenizer: JSON
    let decoder: JSON
    /// Put by the normaliser, before added tokens are looked for in normalised text.
    private(set) var prepends = false
    private var replacesFirst = false
    /// Put by the pre-tokenizer.
    private(set) var prefix = Prefix.none
    private var replacesThen = false
    /// Every blank begins a word.
    private(set) var splits = false
    /// A decoded text lacks the blank before it.
    private(set) var dropsPrefix = false

    static let blank: [UInt8] = [0xe2, 0x96, 0x81]

    /// What SentencePiece does, said in the members of a `tokenizer.json`.
    /// - Parameter found: pieces that are looked for in the text; the blank is put so that it does not come before each of them.
    init(sentencePiece prefixed: Bool, found: [String]) {
        var steps: [JSON] = [["type": "Replace", "pattern": ["String": " "], "content": "▁"]]
        if prefixed {
            let names = found.map(PieceForm.quoted).joined(separator: "|")
            // A normaliser is also applied to what is looked for, which must not get the blank: hence the exception.
            steps = found.isEmpty
                ? [["type": "Prepend", "prepend": "▁"]] + steps
                : steps + [["type": "Replace", "pattern": ["Regex": .string("\\A(?!(?:\(names))\\z)(?=[\\s\\S])")], "content": "▁"]]
        }
        var last: [JSON] = [["type": "Replace", "pattern": ["String": "▁"], "content": " "], ["type": "ByteFallback"], ["type": "Fuse"]]
        if prefixed { last.append(["type": "Strip", "content": " ", "start": 1, "stop": 0]) }
        normalizer = ["type": "Sequence", "normalizers": .array(steps)]
        preTokenizer = nil
        decoder = ["type": "Sequence", "decoders": .array(last)]
        (prepends, replacesFirst, dropsPrefix) = (prefixed, true, prefixed)
    }

    private static func quoted(_ name: String) -> String {
        name.unicodeScalars.reduce(into: "") { out, scalar in
            if scalar.isASCII, !scalar.properties.isAlphabetic, scalar.properties.numericType == nil { out += "\\" }
            out.unicodeScalars.append(scalar)
        }
    }

    /// - Throws: what cannot be honoured, as a sentence.
    init(normalizer: JSON?, preTokenizer: JSON?, decoder: JSON?) throws(Refusal) {
        (self.normalizer, self.preTokenizer, self.decoder) = (normalizer ?? .null, preTokenizer ?? .null, decoder ?? .null)
        for step in PieceForm.steps(self.normalizer, "normalizers") {
            switch step["type"]?.string {
            case "Prepend":
                guard step["prepend"]?.string == "▁", !prepends else { throw Refusal("its normaliser puts something else than `▁` before a text") }
                prepends = true
            case "Replace":
                guard step["pattern"]?["String"]?.string == " ", step["content"]?.string == "▁" else { throw Refusal("its normaliser replaces something else than a blank by `▁`") }
                replacesFirst = true
            default: throw Refusal("its normaliser is `\(PieceForm.name(step))`")
            }
        }
        for step in PieceForm.steps(self.preTokenizer, "pretokenizers") {
            guard step["type"]?.string == "Metaspace", !replacesThen else { throw Refusal("its pre-tokenizer is `\(PieceForm.name(step))`") }
            guard step["replacement"]?.string == "▁" else { throw Refusal("its pre-tokenizer writes a blank as something else than `▁`") }
            prefix = try PieceForm.prefix(step)
            splits = step["split"]?.bool ?? true
            replacesThen = true
        }
        // What `first` means after a normaliser that moves the start is not said anywhere.
        if prepends, prefix != .none { throw Refusal("both its normaliser and its pre-tokenizer put a blank before a text") }
        for step in PieceForm.steps(self.decoder, "decoders") {
            switch step["type"]?.string {
            case "Replace":
                guard step["pattern"]?["String"]?.string == "▁", step["content"]?.string == " " else { throw Refusal("its decoder replaces something else than `▁` by a blank") }
            case "ByteFallback", "Fuse": break
            case "Strip":
                guard step["content"]?.string == " ", let start = step["start"]?.int, 0...1 ~= start, step["stop"]?.int == 0 else { throw Refusal("its decoder strips something else than one blank") }
                dropsPrefix = start == 1
            case "Metaspace":
                guard step["replacement"]?.string == "▁" else { throw Refusal("its decoder reads a blank from something else than `▁`") }
                dropsPrefix = try PieceForm.prefix(step) != .none
            default: throw Refusal("its decoder is `\(PieceForm.name(step))`")
            }
        }
    }

    struct Refusal: Error {
        let why: String
        init(_ why: String) { self.why = why }
    }

    /// The text, or a stretch of it between added tokens, as the normaliser leaves it.
    func normalize(_ text: [UInt8]) -> [UInt8] {
        guard !text.isEmpty else { return [] }
        return PieceForm.spelt(text, prefixed: prepends, blanks: replacesFirst)
    }

    /// A normalised stretch as its words are made of.
    /// - Parameter isFirst: whether it stands at the very start of the text.
    func finish(_ text: [UInt8], isFirst: Bool) -> [UInt8] {
        guard replacesThen, let lead = text.first else { return text }
        let there = lead == UInt8(ascii: " ") || text.starts(with: PieceForm.blank)
        let prefixed = !there && (prefix == .unlessThere || prefix == .firstUnlessThere && isFirst)
        return PieceForm.spelt(text, prefixed: prefixed, blanks: true)
    }

    private static func spelt(_ text: [UInt8], prefixed: Bool, blanks: Bool) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(text.count + text.count / 3 + 3)
        if prefixed { out += blank }
        for byte in text {
            if blanks, byte == UInt8(ascii: " ") {
                // One by one: appending an array costs more than its three bytes.
                out.append(blank[0])
                out.append(blank[1])
                out.append(blank[2])
            } else {
                out.append(byte)
            }
        }
        return out
    }

    private static func prefix(_ step: JSON) throws(Refusal) -> Prefix {
        let scheme = step["prepend_scheme"]?.string ?? "always", adds = step["add_prefix_space"]?.bool ?? true
        guard adds || scheme == "never" else { throw Refusal("its pre-tokenizer says two things about the blank before a text") }
        switch scheme {
        case "always": return .unlessThere
        case "first": return .firstUnlessThere
        case "never": return .none
        default: throw Refusal("its pre-tokenizer has an unknown `prepend_scheme`")
        }
    }

    private static func steps(_ part: JSON, _ key: String) -> [JSON] {
        if part == .null { return [] }
        return part["type"]?.string == "Sequence" ? part[key]?.array ?? [] : [part]
    }

    private static func name(_ step: JSON) -> String { String((step["type"]?.string ?? "nameless").prefix(40)) }
}
