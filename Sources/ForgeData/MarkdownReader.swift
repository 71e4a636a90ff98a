/// Markdown (CommonMark's common part and tables) to text: blocks are recognised line by line, soft breaks are joined, marks of emphasis and links go.
struct MarkdownReader {
    private var prose = Prose()
    private var fence: (mark: UInt8, count: Int)?
    private var isFirstVerbatim = true
    private var isInParagraph = false

    static func read(_ bytes: [UInt8]) -> [UInt8] {
        var reader = MarkdownReader()
        return reader.document(bytes)
    }

    private mutating func document(_ bytes: [UInt8]) -> [UInt8] {
        var lines = bytes.split(separator: 0x0a, omittingEmptySubsequences: false).map { $0.last == 0x0d ? $0.dropLast() : $0 }[...]
        // Front matter: between two lines of three dashes at the very start.
        if let first = lines.first, first.elementsEqual("---".utf8), let end = lines.dropFirst().prefix(200).firstIndex(where: { $0.elementsEqual("---".utf8) }) {
            lines = lines[(end + 1)...]
        }
        var i = lines.startIndex
        var isComment = false
        while i < lines.endIndex {
            var line = lines[i]
            i += 1
            if isComment {
                guard let end = MarkdownReader.find("-->", line) else { continue }
                isComment = false
                line = line[(end + 3)...]
            }
            if fence == nil, let start = MarkdownReader.find("<!--", line) {
                if let end = MarkdownReader.find("-->", line[(start + 4)...]) {
                    line = (Array(line[..<start]) + Array(line[(end + 3)...]))[...]
                } else {
                    line = line[..<start]
                    isComment = true
                }
                // A line that held only a comment is no empty line.
                if !line.contains(where: { $0 != 0x20 }) { continue }
            }
            read(line, next: i < lines.endIndex ? lines[i] : [])
        }
        return prose.finish()
    }

    private mutating func read(_ raw: ArraySlice<UInt8>, next: ArraySlice<UInt8>) {
        let indent = raw.prefix { $0 == 0x20 }.count
        let line = raw.dropFirst(indent)
        if let open = fence {
            if line.count >= open.count, line.prefix(open.count).allSatisfy({ $0 == open.mark }), line.allSatisfy({ $0 == open.mark || $0 == 0x20 }) {
                fence = nil
                prose.endParagraph()
            } else {
                prose.verbatim(raw, first: isFirstVerbatim)
                isFirstVerbatim = false
            }
            return
        }
        if let first = line.first, first == UInt8(ascii: "`") || first == UInt8(ascii: "~") {
            let count = line.prefix { $0 == first }.count
            if count >= 3, !(first == UInt8(ascii: "`") && line.dropFirst(count).contains(first)) {
                fence = (first, count)
                isFirstVerbatim = true
                isInParagraph = false
                return
            }
        }
        guard !line.isEmpty, line.contains(where: { $0 != 0x20 && $0 != 0x09 }) else {
            prose.endParagraph()
            isInParagraph = false
            return
        }
        if !isInParagraph, indent >= 4 || raw.first == 0x09 {
            prose.verbatim(raw.dropFirst(raw.first == 0x09 ? 1 : 4), first: isFirstVerbatim)
            isFirstVerbatim = false
            return
        }
        isFirstVerbatim = true
        block(line, indent: indent, next: next)
    }

    private var isUnderlineNext = false

    private mutating func block(_ line: ArraySlice<UInt8>, indent: Int, next: ArraySlice<UInt8>) {
        if isUnderlineNext {
            isUnderlineNext = false
            return
        }
        let level = line.prefix { $0 == UInt8(ascii: "#") }.count
        if (1...6).contains(level), line.count == level || line[line.startIndex + level] == 0x20 {
            var title = line.dropFirst(level)
            while let last = title.last, last == 0x20 || last == UInt8(ascii: "#") { title.removeLast() }
            heading(level, title)
            return
        }
        let trimmed = next.filter { $0 != 0x20 }
        if !isInParagraph, trimmed.count >= 2 || trimmed.elementsEqual("=".utf8), let mark = trimmed.first, mark == UInt8(ascii: "=") || mark == UInt8(ascii: "-"),
            trimmed.allSatisfy({ $0 == mark }), marker(line) == nil
        {
            heading(mark == UInt8(ascii: "=") ? 1 : 2, line)
            isUnderlineNext = true
            return
        }
        if isRule(line) || isReference(line) {
            prose.endParagraph()
            isInParagraph = false
            return
        }
        if line.first == UInt8(ascii: ">") {
            var rest = line
            while rest.first == UInt8(ascii: ">") || rest.first == 0x20 { rest.removeFirst() }
            if rest.isEmpty {
                prose.endParagraph()
                isInParagraph = false
            } else {
                text(rest)
            }
            return
        }
        if let (mark, rest) = marker(line) {
            prose.startBlock(String(repeating: "  ", count: min(indent / 2, 16)) + mark, tight: true)
            isInParagraph = false
            text(rest)
            return
        }
        if line.first == UInt8(ascii: "|") {
            if line.allSatisfy({ [UInt8(ascii: "|"), UInt8(ascii: "-"), UInt8(ascii: ":"), 0x20].contains($0) }) { return }
            prose.startBlock("", tight: true)
            var row = line.dropFirst()
            while let last = row.last, last == 0x20 || last == UInt8(ascii: "|") { row.removeLast() }
            text(row)
            prose.breakLine()
            isInParagraph = false
            return
        }
        text(line)
        // Two blanks or a backslash at the end break the line.
        if line.suffix(2).elementsEqual("  ".utf8) || line.last == UInt8(ascii: "\\") { prose.breakLine() }
    }

    private mutating func heading(_ level: Int, _ title: ArraySlice<UInt8>) {
        prose.endParagraph()
        prose.startBlock(String(repeating: "#", count: level) + " ")
        isInParagraph = false
        text(title)
        prose.endParagraph()
        isInParagraph = false
    }

    private mutating func text(_ line: ArraySlice<UInt8>) {
        prose.space()
        inline(Array(line))
        prose.space()
        isInParagraph = true
    }

    /// Inline marks, in one pass.
    private mutating func inline(_ line: [UInt8]) {
        var i = 0
        while i < line.count {
            let byte = line[i]
            switch byte {
            case UInt8(ascii: "\\") where i + 1 < line.count && MarkdownReader.isPunctuation(line[i + 1]):
                prose.append(line[i + 1])
                i += 2
            case UInt8(ascii: "`"):
                let count = line[i...].prefix { $0 == byte }.count
                let mark = [UInt8](repeating: byte, count: count)
                if count <= 8, let end = ForgeData.find(mark, in: line, from: i + count) {
                    prose.append(line[(i + count)..<end])
                    i = end + count
                } else {
                    i += count
                }
            case UInt8(ascii: "!") where i + 1 < line.count && line[i + 1] == UInt8(ascii: "["): i += 1
            case UInt8(ascii: "["): i += 1
            case UInt8(ascii: "]"):
                i += 1
                if i < line.count, line[i] == UInt8(ascii: "(") { i = MarkdownReader.closing(line, i, UInt8(ascii: "("), UInt8(ascii: ")")) }
                else if i < line.count, line[i] == UInt8(ascii: "[") { i = MarkdownReader.closing(line, i, UInt8(ascii: "["), UInt8(ascii: "]")) }
            case UInt8(ascii: "*"): i += 1
            case UInt8(ascii: "_") where i == 0 || i + 1 == line.count || !Entities.isAlphanumeric(line[i - 1]) || !Entities.isAlphanumeric(line[i + 1]): i += 1
            case UInt8(ascii: "~") where i + 1 < line.count && line[i + 1] == byte: i += 2
            case UInt8(ascii: "<"):
                let end = line[i...].prefix(512).firstIndex(of: UInt8(ascii: ">"))
                if let end, i + 1 < line.count, line[i + 1] == UInt8(ascii: "/") || Entities.isAlphanumeric(line[i + 1]) || line[i + 1] == UInt8(ascii: "!") {
                    let inside = line[(i + 1)..<end]
                    if inside.contains(UInt8(ascii: ":")) && !inside.contains(0x20) || inside.contains(UInt8(ascii: "@")) { prose.append(inside) }
                    i = end + 1
                } else {
                    prose.append(byte)
                    i += 1
                }
            case UInt8(ascii: "&"):
                if let (text, end) = Entities.read(line, i) {
                    prose.append(text)
                    i = end
                } else {
                    prose.append(byte)
                    i += 1
                }
            default:
                prose.append(byte)
                i += 1
            }
        }
    }

    /// Past the bracket that closes the one at `start`; just past `start`'s own if none does.
    private static func closing(_ line: [UInt8], _ start: Int, _ open: UInt8, _ close: UInt8) -> Int {
        var depth = 0
        for i in start..<min(line.count, start + 4096) {
            if line[i] == open { depth += 1 }
            if line[i] == close {
                depth -= 1
                if depth == 0 { return i + 1 }
            }
        }
        return start
    }

    /// A list item's mark as we write it, and what follows.
    private func marker(_ line: ArraySlice<UInt8>) -> (String, ArraySlice<UInt8>)? {
        guard let first = line.first else { return nil }
        if [UInt8(ascii: "-"), UInt8(ascii: "*"), UInt8(ascii: "+")].contains(first), line.count > 1, line[line.startIndex + 1] == 0x20 {
            return ("- ", line.dropFirst(2))
        }
        let digits = line.prefix { (0x30...0x39).contains($0) }
        let after = line.dropFirst(digits.count)
        guard (1...9).contains(digits.count), let point = after.first, point == UInt8(ascii: ".") || point == UInt8(ascii: ")"), after.dropFirst().first == 0x20 else { return nil }
        return (String(decoding: digits, as: UTF8.self) + ". ", after.dropFirst(2))
    }

    private func isRule(_ line: ArraySlice<UInt8>) -> Bool {
        guard let mark = line.first, [UInt8(ascii: "-"), UInt8(ascii: "*"), UInt8(ascii: "_")].contains(mark) else { return false }
        return line.allSatisfy { $0 == mark || $0 == 0x20 } && line.filter { $0 == mark }.count >= 3
    }

    /// `[name]: target`
    private func isReference(_ line: ArraySlice<UInt8>) -> Bool {
        guard line.first == UInt8(ascii: "["), let end = line.firstIndex(of: UInt8(ascii: "]")), end + 1 < line.endIndex else { return false }
        return line[end + 1] == UInt8(ascii: ":") && !isInParagraph
    }

    private static func isPunctuation(_ byte: UInt8) -> Bool {
        (0x21...0x2f).contains(byte) || (0x3a...0x40).contains(byte) || (0x5b...0x60).contains(byte) || (0x7b...0x7e).contains(byte)
    }

    private static func find(_ text: String, _ line: ArraySlice<UInt8>) -> Int? {
        let needle = Array(text.utf8)
        guard line.count >= needle.count else { return nil }
        return (line.startIndex...(line.endIndex - needle.count)).first { line[$0] == needle[0] && line[$0...].starts(with: needle) }
    }
}
