/// A SHA-256 digest. Written `sha256:` and 64 lower-case hexadecimal digits wherever people or programs read it.
package struct Digest: Hashable, Sendable, Comparable, CustomStringConvertible, Codable {
    package static let count = 32
    package let bytes: [UInt8]

    /// - Returns: nil unless there are exactly 32 bytes.
    package init?(_ bytes: some Sequence<UInt8>) {
        let bytes = Array(bytes)
        guard bytes.count == Digest.count else { return nil }
        self.bytes = bytes
    }

    /// Reads `sha256:<64 hex>` or the bare 64 digits.
    package init?(parsing text: some StringProtocol) {
        let hex = text.hasPrefix("sha256:") ? text.dropFirst(7)[...] : text[...]
        guard let bytes = Hex.decode(hex), bytes.count == Digest.count else { return nil }
        self.bytes = bytes
    }

    package var hex: String { Hex.encode(bytes) }
    package var description: String { "sha256:" + hex }
    /// Enough to tell two digests apart on a screen; never used to decide anything.
    package var short: String { String(hex.prefix(12)) }

    package static func < (a: Digest, b: Digest) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }

    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let digest = Digest(parsing: text) else {
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "not a sha256 digest"))
        }
        self = digest
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
