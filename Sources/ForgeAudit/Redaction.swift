package import ForgeCore

/// What a fact may look like in the log (docs/formats/audit-leaf.md §5).
package enum FactClass: Hashable, Sendable {
    package enum Kind: Hashable, Sendable { case digest, digests, id, integer, bool, text }

    case clear(Kind)
    /// A keyed hash of it: can be looked up by who knows the value, says nothing to who does not. The default.
    case hmac
    case drop

    package static func of(_ field: String) -> FactClass { table[field] ?? .hmac }

    private static let table: [String: FactClass] = {
        var table: [String: FactClass] = [:]
        func put(_ names: String, _ kind: FactClass) { for name in names.split(separator: " ") { table[String(name)] = kind } }
        put(
            "digest manifest recipe tokenizer dataset model_digest provenance policy vote payload request_commitment answer_commitment root report heldout entities code_digest rows keyslots",
            .clear(.digest))
        put("datasets digests", .clear(.digests))
        put("run receipt approval key app upload blob evaluation request", .clear(.id))
        put(
            """
            bytes files documents accepted refused duplicates findings tokens prompt_tokens completion_tokens step steps epoch size from to count votes threshold \
            microbits_per_byte baseline_microbits_per_byte milliseconds signal exit leaves keys persons expires open
            """, .clear(.integer))
        put("streamed resumed sealed", .clear(.bool))
        put("model name version alias purpose backend code method finish seed fingerprint origin person state suite door format sampling", .clear(.text))
        put("prompt answer text document passphrase secret credential", .drop)
        return table
    }()

    static func isField(_ name: String) -> Bool {
        guard (1...40).contains(name.utf8.count), let first = name.utf8.first, 0x61...0x7a ~= first else { return false }
        return name.utf8.allSatisfy { 0x61...0x7a ~= $0 || 0x30...0x39 ~= $0 || $0 == 0x5f }
    }

    static func isHashed(_ value: JSON) -> Bool {
        guard let text = value.string, text.hasPrefix("hmac:") else { return false }
        return ID(parsing: text.dropFirst(5)) != nil
    }
}

extension FactClass.Kind {
    func admits(_ value: JSON) -> Bool {
        switch self {
        case .digest: value.string.flatMap { Fields.digest($0) } != nil
        case .digests: value.array.map { $0.count <= 64 && $0.allSatisfy { $0.string.flatMap { Fields.digest($0) } != nil } } ?? false
        case .id: value.string.flatMap { ID(parsing: $0) } != nil
        case .integer: value.int.map { $0 >= 0 && $0 < 1 << 53 } ?? false
        case .bool: value.bool != nil
        case .text: value.string.map { Fields.isText($0, bytesMax: 256) } ?? false
        }
    }
}

/// Makes the hashes of what must not be read. While the store is sealed there is no key, and such values are left out.
package struct Redactor: Sendable {
    package let epoch: Int64?
    private let mac: (@Sendable ([UInt8]) -> [UInt8])?

    private init(epoch: Int64?, mac: (@Sendable ([UInt8]) -> [UInt8])?) {
        self.epoch = epoch
        self.mac = mac
    }

    /// No key at hand: what would be hashed is dropped.
    package static let sealed = Redactor(epoch: nil, mac: nil)

    /// - Parameters:
    ///   - epoch: which key; at least 1.
    ///   - mac: HMAC-SHA-256 under that key.
    package static func open(epoch: Int64, mac: @escaping @Sendable ([UInt8]) -> [UInt8]) -> Redactor {
        precondition(epoch >= 1 && epoch < 1 << 53, "redaction epochs count from 1")
        return Redactor(epoch: epoch, mac: mac)
    }

    /// What the log holds instead of `value`; nil while sealed. Officers use it to look a value up.
    package func hash(_ value: JSON, path: String) -> String? {
        guard let mac else { return nil }
        let input = Array("forge.audit.redact.v1".utf8) + [0] + Array(path.utf8) + [0] + value.canonical
        return "hmac:" + Hex.encode(mac(input).prefix(16))
    }

    /// The entry as the leaf shows it.
    /// - Throws: `.request` when a fact has a name or a type the schema does not allow.
    func redact(_ entry: AuditEntry) throws(Fault) -> (entry: AuditEntry, epoch: Int64?, dropped: [String]) {
        var out = entry
        var dropped: [String] = []
        var isHashed = false
        out.data = .init()
        for (name, value) in entry.data.members {
            guard FactClass.isField(name) else { throw .malformed("fact `\(name.prefix(64))` cannot be recorded", "its name is not of the form `a_word_2`") }
            let path = "data." + name
            switch FactClass.of(name) {
            case .clear(let kind):
                guard kind.admits(value) else { throw .malformed("fact `\(name)` cannot be recorded", "its value is not of the type the log keeps for it: \(kind)") }
                out.data[name] = value
            case .hmac:
                guard value.isCanonicalisable else { throw .malformed("fact `\(name)` cannot be recorded", "it holds a fraction or a number beyond 53 bits") }
                if let hash = hash(value, path: path) {
                    out.data[name] = .string(hash)
                    isHashed = true
                } else {
                    dropped.append(path)
                }
            case .drop: dropped.append(path)
            }
        }
        if let why = entry.why {
            out.why = hash(.string(why), path: "why")
            if out.why != nil { isHashed = true } else { dropped.append("why") }
        }
        return (out, isHashed ? epoch : nil, dropped.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
    }
}
