package import ForgeCore

/// Everything needed to prove one record offline, in one text file (C2SP tlog-proof; docs/formats/audit-tree.md §5).
package struct LogProof: Hashable, Sendable, CustomStringConvertible {
    /// The leaf itself, when the file carries it.
    package let leaf: [UInt8]?
    package let index: UInt64
    package let hashes: [Digest]
    package let checkpoint: SignedNote

    package init(leaf: [UInt8]?, index: UInt64, hashes: [Digest], checkpoint: SignedNote) {
        self.leaf = leaf
        self.index = index
        self.hashes = hashes
        self.checkpoint = checkpoint
    }

    package static let header = "c2sp.org/tlog-proof@v1"
    package static let bytesMax = SignedNote.bytesMax + 32 << 10

    package var description: String {
        var text = LogProof.header + "\n"
        if let leaf { text += "extra \(Base64.encode(leaf))\n" }
        text += "index \(index)\n"
        for hash in hashes { text += Base64.encode(hash.bytes) + "\n" }
        return text + "\n" + checkpoint.description
    }

    package init(parsing bytes: some Collection<UInt8>) throws(Fault) {
        let bytes = Array(bytes)
        guard bytes.count <= LogProof.bytesMax else { throw .malformed("not a proof of a record", "it is too long") }
        guard let gap = bytes.indices.dropFirst().first(where: { bytes[$0] == 0x0a && bytes[$0 - 1] == 0x0a }) else {
            throw .malformed("not a proof of a record", "no empty line parts the proof from the checkpoint")
        }
        var lines = bytes[..<(gap - 1)].split(separator: 0x0a, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }[...]
        guard lines.popFirst() == LogProof.header else { throw .malformed("not a proof of a record", "its first line is not `\(LogProof.header)`") }
        var leaf: [UInt8]?
        if let line = lines.first, line.hasPrefix("extra ") {
            guard let bytes = Base64.decode(line.dropFirst(6)) else { throw .malformed("not a proof of a record", "its extra data is not base64") }
            leaf = bytes
            lines.removeFirst()
        }
        guard let line = lines.popFirst(), line.hasPrefix("index "), let index = TreeHead.decimal(String(line.dropFirst(6))) else {
            throw .malformed("not a proof of a record", "a line `index` and a number should stand here")
        }
        guard lines.count <= 63 else { throw .malformed("not a proof of a record", "a proof has at most 63 hashes") }
        var hashes: [Digest] = []
        for line in lines {
            guard let hash = Base64.decode(line).flatMap({ Digest($0) }) else { throw .malformed("not a proof of a record", "a line of the proof is not base64 of 32 bytes") }
            hashes.append(hash)
        }
        self.init(leaf: leaf, index: index, hashes: hashes, checkpoint: try SignedNote(parsing: bytes[(gap + 1)...]))
    }

    /// Proves that `leaf` (or the leaf the file carries) stands at `index` in the log that `key` signs.
    /// - Parameter witnesses: keys whose cosignatures count.
    /// - Returns: the proven leaf, the head, and who cosigned it when.
    package func verify(leaf given: [UInt8]? = nil, log key: NoteKey, witnesses: [NoteKey] = []) throws(Fault) -> (leaf: [UInt8], head: TreeHead, cosigned: [(key: NoteKey, time: Int64?)]) {
        guard let leaf = given ?? leaf else { throw .unproven("the proof does not say what it proves", "it carries no leaf and none was given") }
        let head = try SignedTreeHead(checkpoint, log: key).head
        guard InclusionProof(index: index, size: head.size, hashes: hashes).verifies(Merkle.leafHash(leaf), under: head.root) else {
            throw .unproven("record \(index) is not in the log as given", "its hash does not lead to the signed root of size \(head.size)")
        }
        return (leaf, head, try checkpoint.verify(witnesses))
    }
}
