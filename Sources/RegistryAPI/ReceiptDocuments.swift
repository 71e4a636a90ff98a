import ForgeAudit
package import ForgeCore
import ForgeCrypto

/// Compares documents at hand with the data set a model was trained on (docs/formats/receipt.md §5).
package struct ReceiptDocuments: Sendable {
    package struct Document: Hashable, Sendable {
        package let path: String
        /// Digest of the bytes as they were received.
        package let raw: Digest
        /// `train`, `heldout` or `duplicate`.
        package let split: String
    }

    package enum Finding: Hashable, Sendable {
        case missing(String)
        case changed(String)
    }

    /// Every document of the data set, proven to be in it.
    package let documents: [Document]

    /// - Parameter manifest: docs/formats/dataset.md §5, byte for byte.
    /// - Throws: `.request` when its root is not the digest: one changed, missing or added line is enough.
    package init(manifest: [UInt8], of digest: Digest) throws(Fault) {
        func wrong(_ why: String) -> Fault { ReceiptVerifier.fault("documents", why) }
        guard manifest.last == 0x0a else { throw wrong("the manifest does not end with a line") }
        var lines = manifest.dropLast().split(separator: 0x0a, omittingEmptySubsequences: false)[...]
        guard lines.popFirst() != nil else { throw wrong("the manifest is empty") }
        var edge = TreeEdge()
        var documents: [Document] = []
        for line in lines {
            _ = edge.append(Merkle.leafHash(line))
            guard let json = try? JSON.parse(line), let path = json["path"]?.string, let raw = json["raw"]?.string.flatMap({ Digest(parsing: $0) }), let split = json["split"]?.string else {
                throw wrong("a line of the manifest does not read")
            }
            documents.append(Document(path: path, raw: raw, split: split))
        }
        guard edge.root == digest else { throw wrong("the manifest's lines have the root \(edge.root), the data set is \(digest)") }
        self.documents = documents
    }

    /// - Parameter read: a document's bytes by its path, or nil when it is not at hand.
    /// - Returns: what differs, in the manifest's order; empty when every document is there and unchanged.
    package func compare(_ read: (String) throws(Fault) -> [UInt8]?) throws(Fault) -> [Finding] {
        var findings: [Finding] = []
        for document in documents {
            guard let bytes = try read(document.path) else {
                findings.append(.missing(document.path))
                continue
            }
            if Digest.sha256(bytes) != document.raw { findings.append(.changed(document.path)) }
        }
        return findings
    }
}
