package import ForgeCore

/// The root of the log at one size, as a checkpoint states it (C2SP tlog-checkpoint; docs/formats/checkpoint.md §2).
package struct TreeHead: Hashable, Sendable {
    package let origin: String
    package let size: UInt64
    package let root: Digest

    package init(origin: String, size: UInt64, root: Digest) {
        self.origin = origin
        self.size = size
        self.root = root
    }

    package var text: String { "\(origin)\n\(size)\n\(Base64.encode(root.bytes))\n" }

    /// Reads the text of a note. Extension lines are refused: nobody can audit them.
    package init(parsing text: String) throws(Fault) {
        let lines = text.utf8.split(separator: 0x0a, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
        guard lines.count == 4, lines[3].isEmpty else { throw .malformed("not a checkpoint", "it has three lines: origin, size and root") }
        guard TreeHead.isOrigin(lines[0]) else { throw .malformed("not a checkpoint", "its origin is not `organisation/appliance/audit`") }
        guard let size = TreeHead.decimal(lines[1]) else { throw .malformed("not a checkpoint", "its size is not a decimal number") }
        guard let bytes = Base64.decode(lines[2]), let root = Digest(bytes) else { throw .malformed("not a checkpoint", "its root is not base64 of 32 bytes") }
        guard size > 0 || root == Merkle.emptyRoot else { throw .malformed("not a checkpoint", "an empty log has the empty root") }
        self.init(origin: lines[0], size: size, root: root)
    }

    package func signed(by signer: NoteSigner) -> SignedNote { SignedNote(text: text).signed(by: signer) }

    /// `organisation/appliance/audit`.
    package static func isOrigin(_ text: String) -> Bool {
        let parts = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        return parts.count == 3 && parts[2].elementsEqual("audit".utf8)
            && parts.allSatisfy { part in
                (1...63).contains(part.count) && part.allSatisfy { 0x61...0x7a ~= $0 || 0x30...0x39 ~= $0 || $0 == 0x2e || $0 == 0x2d }
            }
    }

    /// A decimal number below 2^63 without sign or leading zero.
    package static func decimal(_ text: String) -> UInt64? {
        let digits = Array(text.utf8)
        guard (1...19).contains(digits.count), digits.allSatisfy({ 0x30...0x39 ~= $0 }), digits.count == 1 || digits[0] != 0x30 else { return nil }
        guard let value = UInt64(text), value <= UInt64(Int64.max) else { return nil }
        return value
    }
}

/// A tree head with the note it was read from; its log signature has been verified.
package struct SignedTreeHead: Hashable, Sendable {
    package let head: TreeHead
    package let note: SignedNote

    /// - Throws: when the note is not a checkpoint of the log that `key` signs for.
    package init(_ note: SignedNote, log key: NoteKey) throws(Fault) {
        let head = try TreeHead(parsing: note.text)
        guard Array(head.origin.utf8) == Array(key.name.utf8) else { throw .unproven("the checkpoint is of another log", "its origin is `\(head.origin)`, the key is for `\(key.name)`") }
        guard try !note.verify([key]).isEmpty else { throw .unproven("the checkpoint is not signed by the log", "no line is by key `\(key.name)`") }
        self.head = head
        self.note = note
    }

    package init(parsing bytes: some Collection<UInt8>, log key: NoteKey) throws(Fault) { try self.init(SignedNote(parsing: bytes), log: key) }
}
