/// The bytes of one token after another of a text, without the blank that encoding puts before it (docs/formats/tokenizer.md §7).
///
/// The blank is dropped from the first token that is text, if that token has one: what SentencePiece does with the whole sequence. Control tokens do not count.
package struct PrefixRule: Sendable {
    private let tokenizer: Tokenizer
    private var isPending: Bool

    /// - Parameter continuing: text stands before these tokens already, so their first blank is a blank.
    package init(_ tokenizer: Tokenizer, continuing: Bool = false) {
        self.tokenizer = tokenizer
        isPending = tokenizer.dropsPrefix && !continuing
    }

    package mutating func bytes(of token: Token) -> ArraySlice<UInt8> {
        let bytes = tokenizer.bytes(of: token)
        guard isPending, !bytes.isEmpty else { return bytes }
        isPending = false
        return bytes.first == UInt8(ascii: " ") && !tokenizer.isByte(token) && !tokenizer.isUnknown(token) ? bytes.dropFirst() : bytes
    }
}
