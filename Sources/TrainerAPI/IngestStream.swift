package import ForgeCore

/// One frame of an ingest stream.
package enum IngestFrame: Sendable, Hashable {
    case document(path: String, bytes: [UInt8])
    /// A file the sender found and did not send.
    case skipped(path: String, reason: String)
}

package enum IngestStream {
    package static let contentType = "application/vnd.forge.ingest"
    static let magic = Array("FORGEING".utf8) + [0, 0, 0, 1]
    package static let pathLimit = 1024
    package static let reasonLimit = 512
    /// The largest document a stream may carry.
    package static let documentLimit = 64 << 20
}

/// Makes the pieces of a stream. The digest at its end is the caller's to compute over all pieces: hashing lives in ForgeCrypto.
package struct IngestEncoder: Sendable {
    private var frames: UInt64 = 0

    package init() {}

    package var start: [UInt8] { IngestStream.magic }

    /// - Returns: nil when the path or the document exceeds its bound; send it as skipped, with a shorter path, instead.
    package mutating func document(_ path: String, _ bytes: [UInt8]) -> [UInt8]? {
        let name = Array(path.utf8)
        guard (1...IngestStream.pathLimit).contains(name.count), bytes.count <= IngestStream.documentLimit else { return nil }
        frames += 1
        return [1] + IngestEncoder.number(UInt64(name.count), 2) + IngestEncoder.number(UInt64(bytes.count), 8) + name + bytes
    }

    package mutating func skipped(_ path: String, _ reason: String) -> [UInt8] {
        let name = IngestEncoder.cut(path.isEmpty ? "?" : path, IngestStream.pathLimit), why = IngestEncoder.cut(reason, IngestStream.reasonLimit)
        frames += 1
        return [2] + IngestEncoder.number(UInt64(name.count), 2) + IngestEncoder.number(UInt64(why.count), 2) + name + why
    }

    /// The end frame up to its digest, which covers everything before it.
    package var end: [UInt8] { [0] + IngestEncoder.number(frames, 8) }

    private static func number(_ value: UInt64, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - 1 - $0))) } }

    /// At most `limit` bytes, never inside a character.
    private static func cut(_ text: String, _ limit: Int) -> [UInt8] {
        var out: [UInt8] = []
        for scalar in text.unicodeScalars {
            let bytes = Array(String(scalar).utf8)
            guard out.count + bytes.count <= limit else { break }
            out += bytes
        }
        return out
    }
}

/// Reads a stream from pieces of any size. Whoever feeds it hashes what `covered` names and compares at the end.
package struct IngestDecoder: Sendable {
    private var buffer: [UInt8] = []
    private var at = 0
    private var hasStarted = false
    private var frames: UInt64 = 0
    /// The digest the end frame carries, once it was read.
    package private(set) var claimedDigest: Digest?
    /// Bytes of the stream that the digest covers.
    package private(set) var coveredCount: Int64 = 0

    package init() {}

    package var isAtEnd: Bool { claimedDigest != nil }

    /// - Returns: the frames that became whole.
    /// - Throws: `.request` at the first byte that breaks a rule.
    package mutating func feed(_ piece: [UInt8]) throws(Fault) -> [IngestFrame] {
        buffer += piece
        var out: [IngestFrame] = []
        while let frame = try next() { out.append(frame) }
        if at > 1 << 20 || at == buffer.count {
            buffer.removeFirst(at)
            at = 0
        }
        return out
    }

    /// - Throws: `.request` if the stream stopped before its end.
    package func finish() throws(Fault) {
        guard isAtEnd, at == buffer.count else { throw IngestDecoder.broken("it stops before its end") }
    }

    private mutating func next() throws(Fault) -> IngestFrame? {
        if !hasStarted {
            guard buffer.prefix(IngestStream.magic.count).elementsEqual(IngestStream.magic.prefix(buffer.count)) else { throw IngestDecoder.broken("it does not start as an ingest stream does") }
            guard let _ = take(IngestStream.magic.count) else { return nil }
            hasStarted = true
        }
        guard at < buffer.count else { return nil }
        guard !isAtEnd else { throw IngestDecoder.broken("something follows its end") }
        switch buffer[at] {
        case 0:
            guard let frame = peek(9 + Digest.count) else { return nil }
            guard IngestDecoder.number(frame[1..<9]) == frames else { throw IngestDecoder.broken("it counts \(IngestDecoder.number(frame[1..<9])) frames and has \(frames)") }
            claimedDigest = Digest(frame[9...])
            coveredCount += 9
            at += frame.count
            return nil
        case 1:
            guard let head = peek(11) else { return nil }
            let nameCount = Int(IngestDecoder.number(head[1..<3])), count = IngestDecoder.number(head[3..<11])
            guard (1...IngestStream.pathLimit).contains(nameCount) else { throw IngestDecoder.broken("a path has \(nameCount) bytes") }
            guard count <= UInt64(IngestStream.documentLimit) else { throw IngestDecoder.broken("a document has more than \(ByteCount(IngestStream.documentLimit))") }
            guard let frame = take(11 + nameCount + Int(count)) else { return nil }
            frames += 1
            return .document(path: try IngestDecoder.text(frame[11..<(11 + nameCount)]), bytes: Array(frame[(11 + nameCount)...]))
        case 2:
            guard let head = peek(5) else { return nil }
            let nameCount = Int(IngestDecoder.number(head[1..<3])), count = Int(IngestDecoder.number(head[3..<5]))
            guard (1...IngestStream.pathLimit).contains(nameCount), count <= IngestStream.reasonLimit else { throw IngestDecoder.broken("a skipped file's path or reason is too long") }
            guard let frame = take(5 + nameCount + count) else { return nil }
            frames += 1
            return .skipped(path: try IngestDecoder.text(frame[5..<(5 + nameCount)]), reason: try IngestDecoder.text(frame[(5 + nameCount)...]))
        default: throw IngestDecoder.broken("a frame of no known kind")
        }
    }

    /// The next bytes, zero-based; nil while they are not all here.
    private func peek(_ count: Int) -> [UInt8]? { buffer.count - at >= count ? Array(buffer[at..<(at + count)]) : nil }

    private mutating func take(_ count: Int) -> [UInt8]? {
        guard let bytes = peek(count) else { return nil }
        at += count
        coveredCount += Int64(count)
        return bytes
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

    private static func text(_ bytes: some Collection<UInt8>) throws(Fault) -> String {
        guard let text = String(validating: Array(bytes), as: UTF8.self) else { throw broken("a path or reason is not UTF-8") }
        return text
    }

    static func broken(_ why: String) -> Fault {
        Fault(.request, "ingest.stream", "the documents did not arrive whole", why: why, remedy: "send them again; nothing was kept")
    }
}
