package import ForgeCore

/// A POSIX ustar stream of plain files: how an archive travels over one response, so that `curl … | tar x` works too.
package enum TarStream {
    package static let block = 512

    /// The header of one file; its content follows, padded with zeros to 512 bytes.
    /// - Precondition: the path has at most 100 bytes and the file fewer than 8 GiB.
    package static func header(_ path: String, size: Int, modified seconds: Int64) -> [UInt8] {
        precondition(path.utf8.count <= 100 && size < 1 << 33, "paths and sizes of an archive fit ustar")
        var out = [UInt8](repeating: 0, count: block)
        func put(_ text: String, at offset: Int) { for (i, byte) in text.utf8.enumerated() { out[offset + i] = byte } }
        func octal(_ value: Int, _ digits: Int) -> String {
            let text = String(value, radix: 8)
            return String(repeating: "0", count: digits - text.count) + text
        }
        put(path, at: 0)
        put(octal(0o444, 7), at: 100)
        put(octal(0, 7), at: 108)
        put(octal(0, 7), at: 116)
        put(octal(size, 11), at: 124)
        put(octal(Int(max(0, seconds)), 11), at: 136)
        put("        ", at: 148)
        put("0", at: 156)
        put("ustar\u{0}00", at: 257)
        put("root", at: 265)
        put("root", at: 297)
        put(octal(out.reduce(0) { $0 + Int($1) }, 6) + "\u{0} ", at: 148)
        return out
    }

    package static func file(_ path: String, _ bytes: [UInt8], modified seconds: Int64) -> [UInt8] {
        header(path, size: bytes.count, modified: seconds) + bytes + [UInt8](repeating: 0, count: (block - bytes.count % block) % block)
    }

    package static let end = [UInt8](repeating: 0, count: 2 * block)
}

/// Reads such a stream in pieces of any size. Only what an archive may hold comes out: plain files with modest relative paths.
package struct TarReader: Sendable {
    package struct Entry: Hashable, Sendable {
        package let path: String
        package let bytes: [UInt8]
    }

    /// The largest file of an archive: the catalog.
    package static let fileMax = 1 << 30

    private var buffer: [UInt8] = []
    private var zeros = 0
    package private(set) var isAtEnd = false

    package init() {}

    package mutating func feed(_ piece: [UInt8]) throws(Fault) -> [Entry] {
        buffer += piece
        var entries: [Entry] = []
        var at = 0
        while buffer.count - at >= TarStream.block, !isAtEnd {
            let header = buffer[at..<at + TarStream.block]
            if header.allSatisfy({ $0 == 0 }) {
                at += TarStream.block
                zeros += 1
                isAtEnd = zeros == 2
                continue
            }
            let (path, size) = try TarReader.parse(Array(header))
            let padded = (size + TarStream.block - 1) / TarStream.block * TarStream.block
            guard buffer.count - at >= TarStream.block + padded else { break }
            entries.append(Entry(path: path, bytes: Array(buffer[at + TarStream.block..<at + TarStream.block + size])))
            at += TarStream.block + padded
        }
        buffer.removeFirst(at)
        return entries
    }

    /// - Throws: when the stream ended before its end mark.
    package func finish() throws(Fault) {
        guard isAtEnd, buffer.allSatisfy({ $0 == 0 }) else { throw RegistryClient.nonsense("the archive ended early") }
    }

    private static func parse(_ header: [UInt8]) throws(Fault) -> (path: String, size: Int) {
        var sum = 0
        for (i, byte) in header.enumerated() { sum += 148..<156 ~= i ? 0x20 : Int(byte) }
        func field(_ range: Range<Int>) -> String { String(decoding: header[range].prefix { $0 != 0 && $0 != 0x20 }, as: UTF8.self) }
        guard Int(field(148..<156), radix: 8) == sum, field(257..<262) == "ustar", header[156] == UInt8(ascii: "0") else {
            throw RegistryClient.nonsense("the archive holds something other than plain files")
        }
        guard let size = Int(field(124..<136), radix: 8), size >= 0, size <= fileMax else { throw RegistryClient.nonsense("a file of the archive has no plausible size") }
        let path = field(0..<100)
        let parts = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        let isPlain = (1...8).contains(parts.count) && parts.allSatisfy { part in
            (1...64).contains(part.count) && part.first != UInt8(ascii: ".")
                && part.allSatisfy { 0x61...0x7a ~= $0 || 0x41...0x5a ~= $0 || 0x30...0x39 ~= $0 || $0 == 0x2e || $0 == 0x2d || $0 == 0x5f }
        }
        guard isPlain else { throw RegistryClient.nonsense("the archive names a file `\(path.prefix(100))`") }
        return (path, size)
    }
}
