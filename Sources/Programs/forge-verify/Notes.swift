/// A key that verifies signature lines (docs/formats/checkpoint.md §1).
struct Key: Hashable {
    let name: String
    let type: UInt8
    let publicKey: [UInt8]
    let id: [UInt8]
    let line: String

    init(_ text: String, _ sha: SHA256) throws {
        let line = text.hasSuffix("\n") ? String(text.dropLast()) : text
        let parts = line.split(separator: "+", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[0].isEmpty, let id = Text.unhex(parts[1]), let data = Text.unbase64(parts[2]), data.count == 33, data[0] == 1 || data[0] == 4 else {
            throw Bad("not a verifier key")
        }
        guard sha.hash(Array(parts[0].utf8) + [0x0a] + data).bytes.prefix(4).elementsEqual(id) else { throw Bad("a verifier key whose id is not its hash") }
        (name, type, publicKey, self.id, self.line) = (String(parts[0]), data[0], Array(data.dropFirst()), id, line)
    }

    func verifies(_ signature: [UInt8], of text: [UInt8]) -> Bool {
        if type == 1 { return Ed25519.verifies(signature, of: text, by: publicKey) }
        guard signature.count == 72 else { return false }
        let time = signature.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return time <= UInt64(Int64.max) && Ed25519.verifies(Array(signature.dropFirst(8)), of: Array("cosignature/v1\ntime \(time)\n".utf8) + text, by: publicKey)
    }
}

/// A signed root of the log.
struct Checkpoint {
    let size: UInt64
    let root: Hash
    /// Names of the witnesses that signed it, and when (seconds since 1970).
    let witnesses: [(name: String, time: UInt64)]

    /// Reads a note and verifies every line of a known key.
    init(_ bytes: [UInt8], log: Key, witnesses keys: [Key]) throws {
        guard bytes.count <= 64 << 10, bytes.allSatisfy({ $0 >= 0x20 || $0 == 0x0a }), String(validating: bytes, as: UTF8.self) != nil, bytes.last == 0x0a,
            let gap = bytes.indices.dropFirst().last(where: { bytes[$0] == 0x0a && bytes[$0 - 1] == 0x0a })
        else { throw Bad("not a signed note") }
        let text = Array(bytes[..<gap])
        var isSigned = false
        var cosigned: [(name: String, time: UInt64)] = []
        for line in bytes[(gap + 1)...].split(separator: 0x0a, omittingEmptySubsequences: false).dropLast() {
            let words = line.split(separator: 0x20, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
            guard words.count == 3, words[0].utf8.elementsEqual("\u{2014}".utf8), !words[1].isEmpty, let data = Text.unbase64(words[2]), data.count > 4 else { throw Bad("not a signature line") }
            for key in [log] + keys where key.name.utf8.elementsEqual(words[1].utf8) && data.prefix(4).elementsEqual(key.id) {
                guard key.verifies(Array(data.dropFirst(4)), of: text) else { throw Bad("the signature of \(key.name) does not verify") }
                if key.type == 1 { isSigned = true } else { cosigned.append((key.name, data[4..<12].reduce(0) { $0 << 8 | UInt64($1) })) }
            }
        }
        let lines = text.split(separator: 0x0a, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
        guard lines.count == 4, lines[3].isEmpty, lines[0].utf8.elementsEqual(log.name.utf8), let size = Text.decimal(lines[1]), let root = Text.unbase64(lines[2]), root.count == 32 else {
            throw Bad("not a checkpoint of `\(log.name)`")
        }
        guard isSigned else { throw Bad("not signed by the log") }
        self.size = size
        self.root = Hash(bytes: root)
        witnesses = cosigned
    }
}
