package import ForgeCore
import ForgeCrypto

/// One document, read: what it was, its text, and what the text holds of people.
package struct ReadDocument: Sendable {
    package let path: String
    package let kind: DocumentKind
    /// SHA-256 of the bytes as received, and of the text.
    package let raw: Digest
    package let textDigest: Digest
    package let text: [UInt8]
    package let personal: [PersonalData.Kind: Int]
    let buckets: [UInt64]
}

/// Bytes to text, for one document (docs/formats/dataset.md §1). Pure: documents may be read in parallel.
package struct DocumentReader: Sendable {
    package struct Settings: Sendable, Hashable, Codable {
        /// The largest document, inflated, in bytes.
        package var documentLimit: Int
        /// Whether personal data are replaced by their kind in brackets.
        package var redacts: Bool

        package init(documentLimit: Int = 16 << 20, redacts: Bool = false) {
            self.documentLimit = documentLimit
            self.redacts = redacts
        }
    }

    package let settings: Settings
    package init(_ settings: Settings = .init()) { self.settings = settings }

    package func read(path: String, bytes: [UInt8]) throws(Refusal) -> ReadDocument {
        try DocumentReader.check(path: path)
        var name = path.utf8.split(separator: UInt8(ascii: "/")).last.map { String($0) ?? "" } ?? ""
        var content = bytes
        guard bytes.count <= settings.documentLimit else { throw Refusal(.tooLarge, "it has \(ByteCount(bytes.count)), \(ByteCount(settings.documentLimit)) are allowed") }
        if Gunzip.isGzip(bytes) {
            content = try Gunzip.inflate(bytes, limit: settings.documentLimit)
            guard !Gunzip.isGzip(content) else { throw Refusal(.notYet, "gzip within gzip cannot be read yet") }
            if asciiLowercased(name).hasSuffix(".gz") { name = String(name.dropLast(3)) }
        }
        guard !content.isEmpty else { throw Refusal(.empty, "the file is empty") }
        let kind = try DocumentKind.detect(name: name, bytes: content)
        content = try TextEncoding.check(content)
        var text: [UInt8]
        var samples: [PersonalData.Kind: Int]?
        switch kind {
        case .text: text = PlainTextReader.read(content)
        case .markdown: text = MarkdownReader.read(content)
        case .html: text = HTMLReader.read(content)
        case .man: text = try ManReader.read(content)
        case .samples: (text, samples) = try SampleReader.read(content, redacts: settings.redacts)
        }
        text = TextEncoding.wellFormed(text)
        guard text.contains(where: { $0 > 0x20 }) else { throw Refusal(.empty, "it holds no text") }
        guard text.count <= settings.documentLimit else { throw Refusal(.tooLarge, "its text is longer than \(ByteCount(settings.documentLimit))") }
        if let samples {
            // Samples are alike by nature: only equal files are one.
            let digest = Digest.sha256(text), bucket = digest.bytes[..<8].reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
            return ReadDocument(
                path: path, kind: kind, raw: .sha256(bytes), textDigest: digest, text: text, personal: samples, buckets: Array(repeating: bucket, count: MinHash.bucketCount))
        }
        let found = PersonalData.find(in: text)
        var personal: [PersonalData.Kind: Int] = [:]
        for finding in found { personal[finding.kind, default: 0] += 1 }
        if settings.redacts { text = PersonalData.redact(text, found) }
        return ReadDocument(
            path: path, kind: kind, raw: .sha256(bytes), textDigest: .sha256(text), text: text, personal: personal, buckets: MinHash.buckets(of: text))
    }

    /// - Throws: `.path` with the rule that was broken.
    package static func check(path: String) throws(Refusal) {
        func refuse(_ why: String) -> Refusal { Refusal(.path, why) }
        let bytes = Array(path.utf8)
        guard !bytes.isEmpty, bytes.count <= 1024 else { throw refuse("a path has 1 to 1024 bytes") }
        guard !bytes.contains(where: { $0 < 0x20 || $0 == 0x7f }) else { throw refuse("a path holds no control characters") }
        let parts = bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard parts.allSatisfy({ !$0.isEmpty && !$0.elementsEqual(".".utf8) && !$0.elementsEqual("..".utf8) }) else {
            throw refuse("a path is relative, without empty, `.` or `..` parts")
        }
    }
}
