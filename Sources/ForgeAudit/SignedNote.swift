package import ForgeCore

/// One line of a note: who signed, and the bytes after the key id.
package struct NoteSignature: Hashable, Sendable {
    package let name: String
    package let id: UInt32
    package let signature: [UInt8]

    package init(name: String, id: UInt32, signature: [UInt8]) {
        self.name = name
        self.id = id
        self.signature = signature
    }

    /// Reads `— name base64`, without the newline.
    package init(parsing line: some StringProtocol) throws(Fault) {
        let words = line.utf8.split(separator: 0x20, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
        guard words.count == 3, Array(words[0].utf8) == NoteSignature.dash, NoteKey.isName(words[1]) else {
            throw .malformed("not a signature line", "it is written `— name base64`")
        }
        guard let bytes = Base64.decode(words[2]), bytes.count > 4 else { throw .malformed("not a signature line", "its third word is not base64 of a key id and a signature") }
        self.init(name: words[1], id: bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }, signature: Array(bytes.dropFirst(4)))
    }

    static let dash = Array("\u{2014}".utf8)

    /// The line without its newline.
    package var line: String { "\u{2014} \(name) \(Base64.encode(id.bigEndianBytes + signature))" }

    func isBy(_ key: NoteKey) -> Bool { id == key.id && Array(name.utf8) == Array(key.name.utf8) }
}

/// Text with signatures under it (C2SP signed-note; docs/formats/checkpoint.md §1).
package struct SignedNote: Hashable, Sendable, CustomStringConvertible {
    package static let bytesMax = 64 << 10
    package static let signaturesMax = 64

    /// Ends in a newline.
    package let text: String
    package private(set) var signatures: [NoteSignature]

    /// - Precondition: the text ends in a newline and holds no other control character.
    package init(text: String, signatures: [NoteSignature] = []) {
        precondition(text.utf8.last == 0x0a, "the text of a note ends in a newline")
        self.text = text
        self.signatures = signatures
    }

    package init(parsing bytes: some Collection<UInt8>) throws(Fault) {
        let bytes = Array(bytes)
        guard bytes.count <= SignedNote.bytesMax else { throw .malformed("not a signed note", "it is longer than 64 KiB") }
        guard bytes.allSatisfy({ $0 >= 0x20 || $0 == 0x0a }), String(validating: bytes, as: UTF8.self) != nil else {
            throw .malformed("not a signed note", "it is not plain UTF-8 text")
        }
        guard bytes.last == 0x0a else { throw .malformed("not a signed note", "it does not end in a newline") }
        guard let gap = (1..<bytes.count).last(where: { bytes[$0] == 0x0a && bytes[$0 - 1] == 0x0a }) else {
            throw .malformed("not a signed note", "no empty line parts the text from the signatures")
        }
        let lines = bytes[(gap + 1)...].split(separator: 0x0a, omittingEmptySubsequences: false).dropLast()
        guard !lines.isEmpty, lines.count <= SignedNote.signaturesMax else { throw .malformed("not a signed note", "it has no signature, or more than 64") }
        var signatures: [NoteSignature] = []
        for line in lines { signatures.append(try NoteSignature(parsing: String(decoding: line, as: UTF8.self))) }
        text = String(decoding: bytes[..<gap], as: UTF8.self)
        self.signatures = signatures
    }

    package var description: String { text + "\n" + signatures.map { $0.line + "\n" }.joined() }
    package var bytes: [UInt8] { Array(description.utf8) }

    /// Adds a signature line, once.
    package mutating func add(_ signature: NoteSignature) {
        if !signatures.contains(signature) { signatures.append(signature) }
    }

    /// The note with a signature of the log's own kind.
    package func signed(by signer: NoteSigner) -> SignedNote {
        precondition(signer.key.kind == .ed25519, "a cosignature signs a checkpoint, with a time")
        var note = self
        note.add(NoteSignature(name: signer.key.name, id: signer.key.id, signature: signer.signature(of: Array(text.utf8))))
        return note
    }

    /// Which of `keys` signed this note. Lines of other keys are ignored.
    /// - Throws: when a line claims one of the keys and does not verify.
    package func verify(_ keys: [NoteKey]) throws(Fault) -> [(key: NoteKey, time: Int64?)] {
        var verified: [(key: NoteKey, time: Int64?)] = []
        for signature in signatures {
            for key in keys where signature.isBy(key) {
                var time: Int64?
                let isTrue: Bool
                switch key.kind {
                case .ed25519: isTrue = key.verifies(signature.signature, of: Array(text.utf8))
                case .cosignature:
                    time = signature.cosignatureTime
                    isTrue = time.map { key.verifies(Array(signature.signature.dropFirst(8)), of: Cosignature.message(text: text, time: $0)) } ?? false
                }
                guard isTrue else { throw .unproven("the signature of `\(key.name)` does not verify", "the note or the signature was changed") }
                if !verified.contains(where: { $0.key == key }) { verified.append((key, time)) }
            }
        }
        return verified
    }
}
