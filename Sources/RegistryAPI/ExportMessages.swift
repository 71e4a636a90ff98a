package import ForgeCore
package import ForgeGate
import ForgeHTTP

/// Asks for a model's files in the clear.
package struct ExportRequest: Codable, Sendable, Hashable {
    /// Why, in the person's words: voters read it.
    package var reason: String?
    package init(reason: String? = nil) { self.reason = reason }
}

/// The first line of an export: what its bytes are, one file after another.
package struct ExportHeader: Codable, Sendable, Hashable {
    package var name: String
    package var version: Int64
    package var digest: Digest
    package var files: [ModelView.File]

    package init(name: String, version: Int64, digest: Digest, files: [ModelView.File]) {
        self.name = name
        self.version = version
        self.digest = digest
        self.files = files
    }
}

/// Its last line: the record that the model left.
package struct ExportEnd: Codable, Sendable, Hashable {
    package var record: AuditIndex
    package init(record: AuditIndex) { self.record = record }
}

/// Takes an export apart as it comes.
package struct ExportReader: Sendable {
    package enum Part: Sendable {
        case header(ExportHeader)
        /// Bytes of the file with that number.
        case piece(Int, [UInt8])
        case end(ExportEnd)
    }

    private static let lineMax = 1 << 16
    private var line: [UInt8] = []
    private var files: [Int64]?
    private var file = 0
    private var left: Int64 = 0
    private var ended = false

    package init() {}

    package mutating func feed(_ bytes: [UInt8]) throws(Fault) -> [Part] {
        var parts: [Part] = [], rest = bytes[...]
        while !rest.isEmpty {
            guard !ended else { throw RegistryClient.nonsense("bytes follow the end of the export") }
            passWhole()
            if left > 0 {
                let piece = rest.prefix(Int(min(left, Int64(rest.count))))
                parts.append(.piece(file, piece.count == bytes.count ? bytes : Array(piece)))
                left -= Int64(piece.count)
                rest = rest.dropFirst(piece.count)
                continue
            }
            let end = rest.firstIndex(of: 0x0a)
            line += rest[..<(end ?? rest.endIndex)]
            guard line.count <= ExportReader.lineMax else { throw RegistryClient.nonsense("a line of the export is too long") }
            guard let end else { break }
            rest = rest[(end + 1)...]
            if files == nil {
                let header: ExportHeader = try Wire.decode(from: line, "the export")
                guard (1...16).contains(header.files.count), header.files.allSatisfy({ $0.bytes > 0 }) else { throw RegistryClient.nonsense("the export has no plausible files") }
                files = header.files.map(\.bytes)
                left = header.files[0].bytes
                parts.append(.header(header))
            } else {
                parts.append(.end(try Wire.decode(from: line, "the end of the export")))
                ended = true
            }
            line = []
        }
        return parts
    }

    /// On to the next file where one is whole.
    private mutating func passWhole() {
        guard left == 0, let files, file + 1 < files.count else { return }
        file += 1
        left = files[file]
    }

    /// - Throws: when the stream ended before its last line.
    package func finish() throws(Fault) {
        guard ended else { throw RegistryClient.nonsense("the export ended early") }
    }
}
