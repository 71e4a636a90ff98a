package import ForgeCore
package import ForgeCrypto
import ForgeOS

/// A data set at rest: its texts and its index, sealed in one directory (docs/formats/dataset.md §6).
package enum DocumentArchive {
    static let documentsName = "documents.blob"
    static let indexName = "index.blob"

    /// Takes texts as they arrive. Dropped before `finish`, it leaves nothing behind but its directory.
    package struct Writer: ~Copyable, Sendable {
        private let directory: String
        private let header: SealedHeader
        private let key: SecretBytes
        private var texts: SealedWriter
        private var offsets: [[UInt8]: Int64] = [:]
        private var count: Int64 = 0

        /// - Parameter header: of the sealed files; each gets a blob id of its own.
        package init(_ directory: String, header: SealedHeader, key: borrowing SecretBytes) throws(Fault) {
            self.directory = directory
            self.header = header
            self.key = key.copy()
            try Durable.makeDirectory(directory)
            texts = try SealedWriter(Path.join(directory, DocumentArchive.documentsName), header: header, key: key)
        }

        /// - Precondition: the path is new.
        package mutating func append(_ document: ReadDocument) throws(Fault) {
            let known = offsets.updateValue(count, forKey: Array(document.path.utf8))
            precondition(known == nil, "a path is archived once")
            try texts.append(document.text)
            count += Int64(document.text.count)
        }

        /// Everything is durable when this returns.
        package consuming func finish(_ manifest: DatasetManifest) throws(Fault) {
            var index = manifest.lines
            for leaf in manifest.leaves {
                guard let offset = offsets[Array(leaf.path.utf8)] else { preconditionFailure("every leaf was archived") }
                index += Array("\(offset)\n".utf8)
            }
            let place = Path.join(directory, DocumentArchive.indexName)
            var writer = try SealedWriter(place, header: SealedHeader(blob: ID(), project: header.project, store: header.store), key: key)
            try writer.append(index)
            _ = try texts.commit()
            _ = try writer.commit()
        }
    }

    /// Reads texts back by leaf.
    package struct Reader: Sendable {
        package let manifest: DatasetManifest
        private let offsets: [Int64]
        private let texts: SealedReader

        /// - Throws: `.environment` when the files do not open with this key or do not fit together.
        package init(_ directory: String, key: borrowing SecretBytes) throws(Fault) {
            let index = try SealedReader(Path.join(directory, DocumentArchive.indexName), key: key).readAll(limit: .gib(2))
            texts = try SealedReader(Path.join(directory, DocumentArchive.documentsName), key: key)
            let lines = index.split(separator: 0x0a, omittingEmptySubsequences: false)
            guard let first = lines.first, let head = try? JSON.parse(first), let count = head["count"]?.int.flatMap({ Int(exactly: $0) }), count > 0, lines.count == 2 * count + 2 else {
                throw Reader.damaged("its index does not count its leaves")
            }
            manifest = try DatasetManifest(parsing: Array(lines[...count].joined(separator: [0x0a])) + [0x0a])
            var offsets: [Int64] = []
            for (leaf, line) in zip(manifest.leaves, lines[(count + 1)...]) {
                guard let offset = Int64(String(decoding: line, as: UTF8.self)), offset >= 0, offset <= texts.count - Int64(leaf.bytes) else { throw Reader.damaged("a leaf's text lies outside") }
                offsets.append(offset)
            }
            self.offsets = offsets
        }

        /// The text of leaf `index`, checked against its digest.
        package func text(_ index: Int) throws(Fault) -> [UInt8] {
            let bytes = try texts.read(manifest.leaves[index].bytes, at: offsets[index])
            guard Digest.sha256(bytes) == manifest.leaves[index].text else { throw Reader.damaged("the text of `\(manifest.leaves[index].path)` is not the one its leaf names") }
            return bytes
        }

        /// Texts of one split, in the order of the leaves.
        package func forEach(_ split: DocumentLeaf.Split, _ body: (DocumentKind, [UInt8]) throws(Fault) -> Void) throws(Fault) {
            for (i, leaf) in manifest.leaves.enumerated() where leaf.split == split { try body(leaf.kind, try text(i)) }
        }

        private static func damaged(_ why: String) -> Fault {
            Fault(.environment, "dataset.damaged", "a stored data set is damaged", why: why, remedy: "add the documents again; `forge-verify` shows what else is hurt")
        }
    }
}
