import ForgeCore

/// The added tokens of a `tokenizer.json` that are not control tokens: they are looked for in text before it is split into words.
///
/// Control tokens take part in the search, since they hide what overlaps them, and are then left as text (docs/formats/tokenizer.md §8).
struct AddedTokens: Sendable {
    struct Entry: Sendable, Hashable {
        let token: Token
        let content: String
        /// Blanks before and after belong to the token.
        let takesBefore: Bool
        let takesAfter: Bool
        /// Looked for after normalisation, in its own normalised form.
        let normalized: Bool
        let isControl: Bool
    }

    enum Part {
        case token(Token)
        case text(Range<Int>)
    }

    /// All of them, control tokens too, in the order of the file.
    let entries: [Entry]
    private let plain: Pass
    private let normalized: Pass

    struct Pass: Sendable {
        var lexicon = Lexicon()
        var entries: [Entry] = []
    }

    static let none = AddedTokens([]) { $0 }

    init(_ entries: [Entry], normalize: ([UInt8]) -> [UInt8]) {
        self.entries = entries
        var plain = Pass(), normalized = Pass()
        if entries.contains(where: { !$0.isControl }) {
            for entry in entries.filter(\.isControl) + entries.filter({ !$0.isControl }) {
                let content = Array(entry.content.utf8)
                if entry.normalized {
                    let written = normalize(content)
                    guard !written.isEmpty else { continue }
                    normalized.lexicon.add(written)
                    normalized.entries.append(entry)
                } else {
                    plain.lexicon.add(content)
                    plain.entries.append(entry)
                }
            }
        }
        self.plain = plain
        self.normalized = normalized
    }

    var isEmpty: Bool { plain.lexicon.isEmpty && normalized.lexicon.isEmpty }

    /// The text as it came, cut at what is looked for before normalisation.
    func cut(_ text: [UInt8]) -> [Part] { AddedTokens.cut(text, plain) }

    /// A normalised part of the text, cut at the rest.
    func cutNormalized(_ text: [UInt8]) -> [Part] { AddedTokens.cut(text, normalized) }

    private static func cut(_ text: [UInt8], _ pass: Pass) -> [Part] {
        guard !pass.lexicon.isEmpty else { return text.isEmpty ? [] : [.text(0..<text.count)] }
        var parts: [Part] = [], at = 0, taken = 0
        while at < text.count {
            guard let (number, end) = pass.lexicon.match(text, at) else {
                at += 1
                continue
            }
            let entry = pass.entries[number]
            if !entry.isControl {
                var start = at, stop = end
                if entry.takesBefore { start = max(blanksBefore(text, at), taken) }
                if entry.takesAfter { stop = blanksAfter(text, end) }
                if taken < start { parts.append(.text(taken..<start)) }
                parts.append(.token(entry.token))
                taken = stop
            }
            at = end
        }
        if taken < text.count { parts.append(.text(taken..<text.count)) }
        return parts
    }

    private static func blanksAfter(_ text: [UInt8], _ start: Int) -> Int {
        var at = start
        while at < text.count {
            let (scalar, next) = UTF8Form.scalar(text, at)
            guard ScalarClass.table[scalar] == ScalarClass.space else { break }
            at = next
        }
        return at
    }

    private static func blanksBefore(_ text: [UInt8], _ end: Int) -> Int {
        var at = end
        while at > 0 {
            var lead = at - 1
            while lead > 0, text[lead] & 0xc0 == 0x80 { lead -= 1 }
            guard UTF8Form.scalar(text, lead).next == at, ScalarClass.table[UTF8Form.scalar(text, lead).scalar] == ScalarClass.space else { break }
            at = lead
        }
        return at
    }
}
