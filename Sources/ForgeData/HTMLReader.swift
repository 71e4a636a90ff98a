/// HTML to text in one pass over tags, in the manner of the standard's tokenizer, without a tree: what is not closed ends where its block ends.
///
/// Scripts, styles, templates, drawings, frames and navigation give no text. Time and memory are linear in the input.
struct HTMLReader {
    private let bytes: [UInt8]
    private var at = 0
    private var prose = Prose()
    private var isPreformatted = false
    private var isFirstVerbatim = true
    private var verbatim: [UInt8] = []
    private var lists: [ListKind] = []
    private var cells = 0

    private enum ListKind {
        case bullets
        case numbers(Int)
    }

    static func read(_ bytes: [UInt8]) -> [UInt8] {
        var reader = HTMLReader(bytes: bytes)
        return reader.document()
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private mutating func document() -> [UInt8] {
        while at < bytes.count {
            let byte = bytes[at]
            if byte == UInt8(ascii: "<"), markup() { continue }
            if byte == UInt8(ascii: "&"), let (text, end) = Entities.read(bytes, at) {
                emit(text)
                at = end
            } else {
                emit(byte)
                at += 1
            }
        }
        if isPreformatted { endVerbatim() }
        return prose.finish()
    }

    private mutating func emit(_ byte: UInt8) {
        if isPreformatted {
            if byte == 0x0a { verbatimLine() } else if byte != 0x0d { verbatim.append(byte) }
        } else {
            prose.append(byte)
        }
    }

    private mutating func emit(_ text: [UInt8]) {
        // A no-break space is a blank for reading.
        if text == [0xc2, 0xa0] { emit(0x20) } else { for byte in text { emit(byte) } }
    }

    /// Consumes a tag, comment or declaration at `<`. False if none starts here: then `<` is text.
    private mutating func markup() -> Bool {
        guard at + 1 < bytes.count else { return false }
        let next = bytes[at + 1]
        if bytes[at...].starts(with: "<!--".utf8) {
            at = find(Array("-->".utf8), in: bytes, from: min(at + 4, bytes.count)).map { $0 + 3 } ?? bytes.count
            return true
        }
        if next == UInt8(ascii: "!") || next == UInt8(ascii: "?") {
            while at < bytes.count, bytes[at] != UInt8(ascii: ">") { at += 1 }
            at = min(at + 1, bytes.count)
            return true
        }
        let isEnd = next == UInt8(ascii: "/")
        var i = at + (isEnd ? 2 : 1)
        let start = i
        while i < bytes.count, Entities.isAlphanumeric(bytes[i]) || bytes[i] == UInt8(ascii: "-") || bytes[i] == UInt8(ascii: ":") { i += 1 }
        guard i > start, bytes[start] >= 0x41 else { return false }
        let name = i - start <= 16 ? asciiLowercased(String(decoding: bytes[start..<i], as: UTF8.self)) : ""
        at = tagEnd(i)
        if isEnd { close(name) } else { open(name) }
        return true
    }

    /// Past the `>` of a tag, not fooled by one in quotes.
    private func tagEnd(_ start: Int) -> Int {
        var i = start
        while i < bytes.count {
            switch bytes[i] {
            case UInt8(ascii: ">"): return i + 1
            case UInt8(ascii: "\""), UInt8(ascii: "'"):
                // Only the value of an attribute is quoted; a lone quote elsewhere is not.
                guard i > start, bytes[i - 1] == UInt8(ascii: "=") || bytes[i - 1] == 0x20 else { break }
                var end = i + 1
                while end < bytes.count, bytes[end] != bytes[i], end - i < 1 << 16 { end += 1 }
                if end < bytes.count, bytes[end] == bytes[i] { i = end }
            default: break
            }
            i += 1
        }
        return bytes.count
    }

    private static let silent: Set<String> = ["script", "style", "template", "svg", "math", "iframe", "object", "noscript", "nav", "select", "canvas", "audio", "video", "noframes"]
    private static let blocks: Set<String> = [
        "p", "div", "section", "article", "main", "header", "footer", "aside", "blockquote", "address", "figure", "figcaption", "form", "fieldset", "details", "summary", "center", "body", "html", "head",
        "title", "hr", "dl", "dt", "dd", "caption", "thead", "tbody", "tfoot", "legend", "hgroup",
    ]

    private mutating func open(_ name: String) {
        if HTMLReader.silent.contains(name) { return skip(to: name) }
        if let level = HTMLReader.headingLevel(name) {
            endBlock()
            prose.startBlock(String(repeating: "#", count: level) + " ")
            return
        }
        switch name {
        case "br": isPreformatted ? verbatimLine() : prose.breakLine()
        case "title":
            endBlock()
            prose.startBlock("# ")
        case "pre", "listing", "xmp":
            endBlock()
            isPreformatted = true
            isFirstVerbatim = true
            verbatim = []
            // The line break right after the tag is not content.
            if at < bytes.count, bytes[at] == 0x0a { at += 1 }
        case "ul", "menu":
            endList()
            if lists.count < 64 { lists.append(.bullets) }
        case "ol":
            endList()
            if lists.count < 64 { lists.append(.numbers(0)) }
        case "li":
            endLine()
            var mark = "- "
            if case .numbers(let n)? = lists.last {
                lists[lists.count - 1] = .numbers(n + 1)
                mark = "\(n + 1). "
            }
            prose.startBlock(String(repeating: "  ", count: max(lists.count - 1, 0)) + mark, tight: true)
        case "tr":
            endLine()
            cells = 0
            prose.startBlock("", tight: true)
        case "table":
            endBlock()
            cells = 0
        case "td", "th":
            if cells > 0, !isPreformatted { prose.append(" | ") }
            cells += 1
        case _ where HTMLReader.blocks.contains(name): if lists.isEmpty { endBlock() } else { endLine() }
        case "img", "input": prose.space()
        default: break
        }
    }

    private mutating func close(_ name: String) {
        switch name {
        case "pre", "listing", "xmp": if isPreformatted { endVerbatim() }
        case "ul", "ol", "menu":
            _ = lists.popLast()
            endList()
        case "li", "tr": endLine()
        case "table": endBlock()
        case "td", "th": break
        case _ where HTMLReader.blocks.contains(name) || HTMLReader.headingLevel(name) != nil:
            // Inside a cell or an item a paragraph's end is only a break.
            if cells > 0 || !lists.isEmpty { prose.space() } else { endBlock() }
        default: break
        }
        if name == "tr" || name == "table" { cells = 0 }
    }

    private static func headingLevel(_ name: String) -> Int? {
        let utf8 = Array(name.utf8)
        return utf8.count == 2 && utf8[0] == UInt8(ascii: "h") && (0x31...0x36).contains(utf8[1]) ? Int(utf8[1] - 0x30) : nil
    }

    /// Past the end tag of an element without text; to the end if it is never closed.
    private mutating func skip(to name: String) {
        let closing = Array(name.utf8)
        while at < bytes.count {
            guard bytes[at] == UInt8(ascii: "<"), at + 2 + closing.count <= bytes.count, bytes[at + 1] == UInt8(ascii: "/") else {
                at += 1
                continue
            }
            let found = bytes[(at + 2)..<(at + 2 + closing.count)].elementsEqual(closing) { $0 == $1 || $0 | 0x20 == $1 }
            if found, at + 2 + closing.count == bytes.count || !Entities.isAlphanumeric(bytes[at + 2 + closing.count]) {
                at = tagEnd(at + 2)
                return
            }
            at += 1
        }
    }

    private mutating func endBlock() { if isPreformatted { verbatimLine() } else if cells > 0 { prose.space() } else { prose.endParagraph() } }
    /// A list within a list stays close to its item.
    private mutating func endList() { if lists.isEmpty { endBlock() } else { endLine() } }
    private mutating func endLine() { if isPreformatted { verbatimLine() } else { prose.breakLine() } }

    private mutating func verbatimLine() {
        prose.verbatim(verbatim, first: isFirstVerbatim)
        isFirstVerbatim = false
        verbatim = []
    }

    private mutating func endVerbatim() {
        if !verbatim.isEmpty { verbatimLine() }
        isPreformatted = false
        prose.endParagraph()
    }
}
