/// Plain text: lines stay lines; what terminals and printers needed goes.
enum PlainTextReader {
    static func read(_ bytes: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count)
        var emptyLines = 0
        var line: [UInt8] = []
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
        func end(_ line: inout [UInt8], _ out: inout [UInt8], _ emptyLines: inout Int) {
            while let last = line.last, isBlank(last) { line.removeLast() }
            if line.isEmpty {
                emptyLines += 1
            } else {
                if !out.isEmpty {
                    out.append(0x0a)
                    if emptyLines > 0 { out.append(0x0a) }
                }
                out += line
                emptyLines = 0
            }
            line.removeAll(keepingCapacity: true)
        }
        var at = 0
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            switch byte {
            case 0x0d:
                if at < bytes.count, bytes[at] == 0x0a { at += 1 }
                end(&line, &out, &emptyLines)
            case 0x0a, 0x0c: end(&line, &out, &emptyLines)
            case 0x08:
                // `x BS x` is bold and `_ BS x` underlined on a printer: the character before goes, whole.
                while let last = line.popLast(), last & 0xc0 == 0x80 {}
            case 0x1b: at = skipEscape(bytes, at)
            case 0x09: line.append(byte)
            case 0..<0x20, 0x7f: break
            default: line.append(byte)
            }
        }
        end(&line, &out, &emptyLines)
        if !out.isEmpty { out.append(0x0a) }
        return out
    }

    /// Past an ANSI control sequence (ECMA-48 §5.4).
    private static func skipEscape(_ bytes: [UInt8], _ start: Int) -> Int {
        guard start < bytes.count, bytes[start] == UInt8(ascii: "[") else { return min(start + 1, bytes.count) }
        var at = start + 1
        while at < bytes.count, (0x20...0x3f).contains(bytes[at]) { at += 1 }
        return at < bytes.count && (0x40...0x7e).contains(bytes[at]) ? at + 1 : at
    }
}
