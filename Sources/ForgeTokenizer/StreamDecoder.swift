/// Turns tokens into text as they come. What it has returned is final, and never ends inside a code point.
///
/// Bytes that cannot be part of well-formed UTF-8 become U+FFFD, one for each maximal ill-formed piece, exactly as decoding all at once would.
package struct StreamDecoder: Sendable {
    private let tokenizer: Tokenizer
    private var held: [UInt8] = []

    package init(_ tokenizer: Tokenizer) { self.tokenizer = tokenizer }

    /// Bytes received that do not make a whole code point yet: at most three.
    package var heldCount: Int { held.count }

    /// The text that became certain with this token; often empty inside a character of several tokens. Control tokens add nothing.
    package mutating func push(_ token: Token) -> String {
        held += tokenizer.bytes(of: token)
        let certain = held.count - UTF8Form.unfinishedCount(held)
        guard certain > 0 else { return "" }
        let text = String(decoding: held[..<certain], as: UTF8.self)
        held.removeFirst(certain)
        return text
    }

    /// The rest, when no token follows: U+FFFD if the last character stayed incomplete.
    package mutating func finish() -> String {
        defer { held = [] }
        return String(decoding: held, as: UTF8.self)
    }
}
