/// The kinds of document that are read.
package enum DocumentKind: String, Sendable, Hashable, CaseIterable, Codable {
    case text, markdown, html
    /// A manual page in roff, with man or mdoc macros.
    case man
    /// Examples of what a model should do, one a line.
    case samples
}

/// Why a document was not taken in. Its words are for people; `reason` is for counting.
package struct Refusal: Error, Sendable, Hashable, Codable {
    package enum Reason: String, Sendable, Hashable, CaseIterable, Codable {
        /// A kind that is known but not read yet.
        case notYet = "not-yet"
        case encoding
        case binary
        case empty
        case tooLarge = "too-large"
        case malformed
        /// A manual page that only names another.
        case link
        case path
        /// The sender found it and did not send it.
        case notSent = "not-sent"
    }

    package let reason: Reason
    package let why: String

    package init(_ reason: Reason, _ why: String) {
        self.reason = reason
        self.why = why
    }
}

extension DocumentKind {
    /// What a file is, by its first bytes, then its name (docs/formats/dataset.md §1).
    /// - Parameter name: the last part of the path, without `.gz`.
    static func detect(name: String, bytes: [UInt8]) throws(Refusal) -> DocumentKind {
        if let known = magic(bytes) { throw Refusal(.notYet, "\(known) cannot be read yet") }
        let lower = asciiLowercased(name)
        let parts = lower.split(separator: ".", omittingEmptySubsequences: false)
        let suffix = parts.count > 1 ? String(parts.last ?? "") : ""
        if let known = notYet[suffix] { throw Refusal(.notYet, "\(known) cannot be read yet") }
        if ["jsonl", "ndjson"].contains(suffix) { return .samples }
        if startsAsHTML(bytes) || ["html", "htm", "xhtml"].contains(suffix) { return .html }
        let line = firstLine(bytes)
        if isManRequest(line) { return .man }
        if isManSuffix(suffix), line.first == UInt8(ascii: ".") || line.first == UInt8(ascii: "'") { return .man }
        if ["md", "markdown"].contains(suffix) { return .markdown }
        return .text
    }

    private static func isManSuffix(_ suffix: String) -> Bool {
        if ["man", "roff", "mdoc"].contains(suffix) { return true }
        guard let first = suffix.utf8.first, (0x31...0x39).contains(first), suffix.utf8.count <= 8 else { return false }
        return suffix.utf8.dropFirst().allSatisfy { (0x61...0x7a).contains($0) }
    }

    private static func isManRequest(_ line: ArraySlice<UInt8>) -> Bool {
        [".\\\"", "'\\\"", ".TH ", ".Dd ", ".so "].contains { line.starts(with: $0.utf8) }
    }

    /// The first line that is not blank, at most 256 bytes of it.
    private static func firstLine(_ bytes: [UInt8]) -> ArraySlice<UInt8> {
        let start = bytes.starts(with: [0xef, 0xbb, 0xbf]) ? 3 : 0
        guard let from = bytes[start...].prefix(4096).firstIndex(where: { $0 > 0x20 }) else { return [] }
        return bytes[from...].prefix(256).prefix { $0 != 0x0a }
    }

    private static func startsAsHTML(_ bytes: [UInt8]) -> Bool {
        let head = bytes.prefix(1024).map { (0x41...0x5a).contains($0) ? $0 | 0x20 : $0 }
        return find(Array("<!doctype html".utf8), in: head) != nil || find(Array("<html".utf8), in: head) != nil
    }

    private static let magics: [(at: Int, bytes: [UInt8], name: String)] = [
        (0, Array("%PDF-".utf8), "PDF"), (0, [0x50, 0x4b, 0x03, 0x04], "a ZIP container (DOCX, XLSX, PPTX, ODT, EPUB, ZIP)"), (0, [0x50, 0x4b, 0x05, 0x06], "a ZIP archive"),
        (0, [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1], "an old Office document"), (0, Array("{\\rtf".utf8), "RTF"), (0, Array("%!PS".utf8), "PostScript"),
        (0, [0x89, 0x50, 0x4e, 0x47], "a PNG image"), (0, [0xff, 0xd8, 0xff], "a JPEG image"), (0, Array("GIF8".utf8), "a GIF image"), (0, [0x49, 0x49, 0x2a, 0x00], "a TIFF image"),
        (0, [0x4d, 0x4d, 0x00, 0x2a], "a TIFF image"), (8, Array("WEBP".utf8), "a WebP image"), (8, Array("WAVE".utf8), "a sound file"), (0, Array("OggS".utf8), "a sound file"),
        (0, Array("fLaC".utf8), "a sound file"), (0, Array("ID3".utf8), "a sound file"), (4, Array("ftyp".utf8), "a film or sound file"), (0, [0x7f, 0x45, 0x4c, 0x46], "a program"),
        (0, Array("BZh".utf8), "a bzip2 file"), (0, [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], "an xz file"), (0, [0x28, 0xb5, 0x2f, 0xfd], "a zstd file"),
        (0, [0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], "a 7z archive"), (257, Array("ustar".utf8), "a tar archive"), (0, Array("SQLite format 3\0".utf8), "an SQLite database"),
        (0, Array("GGUF".utf8), "a GGUF model"), (0, Array("!<arch>\n".utf8), "an archive"), (0, [0xca, 0xfe, 0xba, 0xbe], "a program"),
    ]

    private static func magic(_ bytes: [UInt8]) -> String? {
        magics.first { bytes.count >= $0.at + $0.bytes.count && bytes[$0.at...].starts(with: $0.bytes) }?.name
    }

    private static let notYet: [String: String] = {
        let families: [(String, String)] = [
            ("pdf", "PDF"), ("docx doc dotx odt ott", "a word processor's document"), ("xlsx xls ods", "a spreadsheet"), ("pptx ppt odp", "a presentation"), ("epub", "EPUB"),
            ("rtf", "RTF"), ("ps eps", "PostScript"), ("eml mbox msg", "e-mail"), ("csv tsv", "a table in text"), ("json geojson ipynb", "JSON"), ("xml xsd xsl rng nxml tei", "XML"),
            ("rst", "reStructuredText"), ("adoc asciidoc", "AsciiDoc"), ("org", "Org"), ("tex sty cls", "TeX"), ("texi texinfo info", "Texinfo"), ("ics vcf", "a calendar or address book"),
            ("png jpg jpeg gif tif tiff bmp webp svg ico", "an image"), ("wav mp3 ogg flac m4a", "sound"), ("mp4 mkv mov webm avi", "film"), ("zip tar tgz bz2 xz zst 7z rar", "an archive"),
            ("pkl pickle pt pth bin npz npy h5", "program data"), ("safetensors gguf", "a model"), ("css js mjs", "a web page's program"), ("exe dll so o a class jar pyc wasm", "a program"),
        ]
        var table: [String: String] = [:]
        for (suffixes, name) in families { for suffix in suffixes.split(separator: " ") { table[String(suffix)] = name } }
        return table
    }()
}

func asciiLowercased(_ text: String) -> String {
    String(decoding: text.utf8.map { (0x41...0x5a).contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
}

/// Where `needle` first stands in `bytes`, from `start` on.
func find(_ needle: [UInt8], in bytes: [UInt8], from start: Int = 0) -> Int? {
    guard let first = needle.first, bytes.count >= needle.count else { return nil }
    var at = start
    while at <= bytes.count - needle.count {
        if bytes[at] == first {
            var i = 1
            while i < needle.count, bytes[at + i] == needle[i] { i += 1 }
            if i == needle.count { return at }
        }
        at += 1
    }
    return nil
}
