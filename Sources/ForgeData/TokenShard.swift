package import ForgeCore
package import ForgeTokenizer

/// Token ids of many documents (docs/formats/token-shard.md).
package struct TokenShard: Sendable, Hashable {
    private static let magic = Array("FORGETOK".utf8)
    private static let headerCount = 64

    /// SHA-256 of the tokenizer.json that made the ids.
    package let tokenizer: Digest
    package private(set) var tokens: [Token] = []
    /// For each document the number of ids up to its end.
    package private(set) var ends: [Int] = []

    package init(tokenizer: Digest) { self.tokenizer = tokenizer }

    package var documentCount: Int { ends.count }
    package func range(of document: Int) -> Range<Int> { (document == 0 ? 0 : ends[document - 1])..<ends[document] }
    package func tokens(of document: Int) -> ArraySlice<Token> { tokens[range(of: document)] }

    package mutating func append(_ document: [Token]) {
        tokens += document
        ends.append(tokens.count)
    }

    /// Encodes a document in place, without an array between.
    package mutating func append(_ text: [UInt8], with encoder: inout Encoder) {
        encoder.encode(text, into: &tokens)
        ends.append(tokens.count)
    }

    package func encoded() -> [UInt8] {
        let width = tokens.allSatisfy { $0 < 65536 } ? 2 : 4
        var out = TokenShard.magic
        out.reserveCapacity(TokenShard.headerCount + ends.count * 8 + tokens.count * width)
        out.append(littleEndian: 1, count: 4)
        out.append(littleEndian: UInt64(width), count: 4)
        out.append(littleEndian: UInt64(ends.count), count: 8)
        out.append(littleEndian: UInt64(tokens.count), count: 8)
        out += tokenizer.bytes
        for end in ends { out.append(littleEndian: UInt64(end), count: 8) }
        for token in tokens {
            out.append(UInt8(truncatingIfNeeded: token))
            out.append(UInt8(truncatingIfNeeded: token >> 8))
            if width == 4 {
                out.append(UInt8(truncatingIfNeeded: token >> 16))
                out.append(UInt8(truncatingIfNeeded: token >> 24))
            }
        }
        return out
    }

    /// - Throws: `.environment`: shards are our own files, so a malformed one was damaged.
    package init(parsing bytes: [UInt8]) throws(Fault) {
        func damaged(_ why: String) -> Fault {
            Fault(.environment, "shard.damaged", "a token shard is damaged", why: why, remedy: "cancel the run and submit it again: shards are made from the data set")
        }
        guard bytes.count >= TokenShard.headerCount, bytes.starts(with: TokenShard.magic) else { throw damaged("it does not start as a shard does") }
        func number(_ at: Int, _ count: Int) -> UInt64 { (0..<count).reduce(0) { $0 | UInt64(bytes[at + $1]) << UInt64($1 * 8) } }
        guard number(8, 4) == 1 else { throw damaged("its format is not 1") }
        let width = Int(number(12, 4))
        guard width == 2 || width == 4 else { throw damaged("its ids are not 2 or 4 bytes wide") }
        let documents = number(16, 8)
        let count = number(24, 8)
        guard documents <= UInt64(bytes.count) / 8, count <= UInt64(bytes.count) / UInt64(width),
            bytes.count == TokenShard.headerCount + Int(documents) * 8 + Int(count) * width
        else { throw damaged("its size does not fit its counts") }
        tokenizer = Digest(bytes[32..<64])!
        ends.reserveCapacity(Int(documents))
        var last: UInt64 = 0
        for i in 0..<Int(documents) {
            let end = number(TokenShard.headerCount + i * 8, 8)
            guard end >= last, end <= count else { throw damaged("document \(i) ends before it starts") }
            ends.append(Int(end))
            last = end
        }
        guard last == count else { throw damaged("ids follow the last document") }
        tokens.reserveCapacity(Int(count))
        var at = TokenShard.headerCount + Int(documents) * 8
        for _ in 0..<Int(count) {
            var token = UInt32(bytes[at]) | UInt32(bytes[at + 1]) << 8
            if width == 4 { token |= UInt32(bytes[at + 2]) << 16 | UInt32(bytes[at + 3]) << 24 }
            guard token < 1 << 31 else { throw damaged("an id is negative") }
            tokens.append(Token(token))
            at += width
        }
    }
}

extension [UInt8] {
    mutating func append(littleEndian value: UInt64, count: Int) {
        for i in 0..<count { append(UInt8(truncatingIfNeeded: value >> UInt64(i * 8))) }
    }
}
