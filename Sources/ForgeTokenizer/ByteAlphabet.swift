/// How tokenizer.json writes a byte as one character (docs/formats/tokenizer.md §4).
enum ByteAlphabet {
    /// Bytes in the order of the code points they are written as; this is also the order of the byte tokens' ids.
    static let order: [UInt8] = {
        let plain = (0...255).filter { 33...126 ~= $0 || 161...172 ~= $0 || 174...255 ~= $0 }
        let rest = (0...255).filter { !plain.contains($0) }
        return (plain + rest).map { UInt8($0) }
    }()

    private static let scalars: [Unicode.Scalar] = {
        var scalars = [Unicode.Scalar](repeating: "\0", count: 256)
        for (i, byte) in order.enumerated() { scalars[Int(byte)] = i < 188 ? Unicode.Scalar(byte) : Unicode.Scalar(UInt8(i - 188)).shifted }
        return scalars
    }()

    private static let bytes: [Unicode.Scalar: UInt8] = Dictionary(uniqueKeysWithValues: (0...255).map { (scalars[$0], UInt8($0)) })

    static func text(_ token: some Sequence<UInt8>) -> String {
        var text = String.UnicodeScalarView()
        for byte in token { text.append(scalars[Int(byte)]) }
        return String(text)
    }

    /// - Returns: nil if a character stands for no byte.
    static func decode(_ text: String) -> [UInt8]? {
        var out: [UInt8] = []
        for scalar in text.unicodeScalars {
            guard let byte = bytes[scalar] else { return nil }
            out.append(byte)
        }
        return out
    }
}

extension Unicode.Scalar {
    /// The scalar 256 places on; always one, since U+0100…U+01FF are all scalars.
    fileprivate var shifted: Unicode.Scalar { Unicode.Scalar(value + 256)! }
}
