/// Turns tokens into text as they come. What it has returned is final, and never ends inside a code point.
///
/// Bytes that cannot be part of well-formed UTF-8 become U+FFFD, one for each maximal ill-formed piece, exactly as decoding all at once would; where tokens are pieces
/// of text, one for each byte, and a run of bytes ends at the next token that is none.
package struct StreamDecoder: Sendable {
    private let tokenizer: Tokenizer
    private var prefix: PrefixRule
    private let hasRunsOfBytes: Bool
    private var held: [UInt8] = []

    /// - Parameter continuing: text stands before these tokens already; see `PrefixRule`.
    package init(_ tokenizer: Tokenizer, continuing: Bool = false) {
        self.tokenizer = tokenizer
        prefix = PrefixRule(tokenizer, continuing: continuing)
        hasRunsOfBytes = tokenizer.hasRunsOfBytes
    }

    /// Bytes received that do not make a whole code point yet: at most three.
    package var heldCount: Int { held.count }

    /// The text that became certain with this token; often empty inside a character of several tokens. Control tokens add nothing.
    package mutating func push(_ token: Token) -> String {
        let before = hasRunsOfBytes && !held.isEmpty && !tokenizer.isByte(token) ? finish() : ""
        held += prefix.bytes(of: token)
        let certain = held.count - UTF8Form.unfinishedCount(held)
        guard certain > 0 else { return before }
        let text = text(held[..<certain])
        held.removeFirst(certain)
        return before + text
    }

    /// The rest, when no token follows: U+FFFD if the last character stayed incomplete.
    package mutating func finish() -> String {
        defer { held = [] }
        return text(held[...])
    }

    private func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: hasRunsOfBytes ? UTF8Form.repaired(Array(bytes))[...] : bytes, as: UTF8.self) }
}
