internal import ForgeCore

/// Text armour (RFC 7468): a label, base64 in lines, the label again. SSH signatures use the same form with lines of 70.
package enum PEM {
    package static func encode(_ bytes: [UInt8], label: String, width: Int = 64) -> String {
        let text = Array(Base64.encode(bytes).utf8)
        var out = "-----BEGIN \(label)-----\n"
        for start in stride(from: 0, to: text.count, by: width) {
            out += String(decoding: text[start..<min(start + width, text.count)], as: UTF8.self) + "\n"
        }
        return out + "-----END \(label)-----\n"
    }

    /// - Returns: nil unless the text is exactly one armoured block with this label; line ends may be CR LF.
    package static func decode(_ text: String, label: String, countMax: Int = 1 << 20) -> [UInt8]? {
        guard text.utf8.count <= countMax else { return nil }
        var lines = text.utf8.split(omittingEmptySubsequences: true) { $0 == 0x0a || $0 == 0x0d }.map { String($0)! }
        guard lines.count >= 3, lines.removeFirst() == "-----BEGIN \(label)-----", lines.removeLast() == "-----END \(label)-----" else { return nil }
        return Base64.decode(lines.joined())
    }
}
