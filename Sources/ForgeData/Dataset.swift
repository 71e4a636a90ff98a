package import ForgeCore
import ForgeCrypto

/// What became of an accepted document, as the data set's digest covers it (docs/formats/dataset.md §4).
package struct DocumentLeaf: Sendable, Hashable {
    package enum Split: String, Sendable, Hashable, CaseIterable, Codable { case train, heldout, duplicate }

    package let path: String
    package let kind: DocumentKind
    package let raw: Digest
    package let text: Digest
    /// Bytes of the text.
    package let bytes: Int
    package let split: Split
    package let group: Digest

    package init(path: String, kind: DocumentKind, raw: Digest, text: Digest, bytes: Int, split: Split, group: Digest) {
        self.path = path
        self.kind = kind
        self.raw = raw
        self.text = text
        self.bytes = bytes
        self.split = split
        self.group = group
    }

    package var json: JSON {
        [
            "path": .string(path), "kind": .string(kind.rawValue), "raw": .string(raw.description), "text": .string(text.description), "bytes": .int(Int64(bytes)),
            "split": .string(split.rawValue), "group": .string(group.description),
        ]
    }

    /// - Returns: nil unless the value has exactly the members of §4.
    package init?(_ json: JSON) {
        guard let object = json.object, object.count == 7, let path = json["path"]?.string, let kind = json["kind"]?.string.flatMap(DocumentKind.init(rawValue:)),
            let raw = json["raw"]?.string.flatMap({ Digest(parsing: $0) }), let text = json["text"]?.string.flatMap({ Digest(parsing: $0) }), let bytes = json["bytes"]?.int, bytes > 0,
            let split = json["split"]?.string.flatMap(Split.init(rawValue:)), let group = json["group"]?.string.flatMap({ Digest(parsing: $0) })
        else { return nil }
        self.init(path: path, kind: kind, raw: raw, text: text, bytes: Int(bytes), split: split, group: group)
    }
}

/// A data set's leaves, sorted, and its digest.
package struct DatasetManifest: Sendable, Hashable {
    package static let format = "forge-dataset/v1"

    package let leaves: [DocumentLeaf]
    package let root: Digest

    /// - Parameter leaves: in any order, paths distinct.
    package init(_ leaves: [DocumentLeaf]) {
        self.leaves = leaves.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
        root = DocumentTree.root(of: self.leaves.map { DocumentTree.leafHash($0.json.canonical) })
    }

    package var hashes: [Digest] { leaves.map { DocumentTree.leafHash($0.json.canonical) } }

    package var lines: [UInt8] {
        let header: JSON = ["count": .int(Int64(leaves.count)), "format": .string(DatasetManifest.format), "root": .string(root.description)]
        var out = header.canonical + [0x0a]
        for leaf in leaves { out += leaf.json.canonical + [0x0a] }
        return out
    }

    /// Reads the lines of §5 and recomputes the root.
    /// - Throws: `.request`, naming the line.
    package init(parsing bytes: [UInt8]) throws(Fault) {
        func refuse(_ why: String) -> Fault { Fault(.request, "dataset.malformed", "the data set's manifest cannot be used", why: why, remedy: "fetch it again from the registry") }
        guard bytes.last == 0x0a else { throw refuse("its last line is cut") }
        let lines = bytes.dropLast().split(separator: 0x0a, omittingEmptySubsequences: false)
        var leaves: [DocumentLeaf] = []
        var claim: JSON?
        for (i, line) in lines.enumerated() {
            let json: JSON
            do { json = try JSON.parse(line, limits: .init(bytes: 1 << 16, depth: 4)) } catch { throw refuse("line \(i + 1) is not JSON: \(error)") }
            if i == 0 {
                guard json["format"]?.string == DatasetManifest.format else { throw refuse("its format is not `\(DatasetManifest.format)`") }
                claim = json
                continue
            }
            guard let leaf = DocumentLeaf(json), Array(line) == json.canonical else { throw refuse("line \(i + 1) is not a leaf") }
            if let last = leaves.last, !last.path.utf8.lexicographicallyPrecedes(leaf.path.utf8) { throw refuse("line \(i + 1) is out of order") }
            leaves.append(leaf)
        }
        self.init(leaves)
        guard let claim, claim["count"]?.int == Int64(leaves.count), claim["root"]?.string == root.description else { throw refuse("its leaves do not give its root") }
    }
}
