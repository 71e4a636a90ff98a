package import ForgeCore
internal import ForgeOS
import Synchronization

/// Reads a sealed file at any offset. Every byte it returns was authenticated.
///
/// One reader serves one read at a time; for parallel reads open several.
package final class SealedReader: Sendable {
    private struct State: ~Copyable {
        let file: File
        let key: SecretBytes
        var segment: Int
        var opener: Cobblestone.Opener
    }

    package let header: SealedHeader
    /// Bytes of plaintext.
    package let count: Int64
    private let fileCount: Int64
    private let path: String
    private let state: Mutex<State>

    /// - Parameter expecting: the header the caller's own records give; nil accepts what the file says (its key still has to fit).
    /// - Throws: `.environment` when the file is not whole, is another one, or does not open with this key.
    package init(_ path: String, key: borrowing SecretBytes, expecting: SealedHeader? = nil) throws(Fault) {
        let file = try File(path, .read)
        let header = try SealedHeader(parsing: file.read(SealedHeader.count, at: 0))
        if let expecting, expecting != header {
            throw Fault(
                .environment, "seal.identity", "the sealed file `\(Path.name(path))` is not the one that belongs here", why: "it carries blob id \(header.blob)",
                remedy: CobblestoneFault.remedy, detail: path)
        }
        let fileCount = try file.size()
        guard let count = header.plaintextCount(file: fileCount) else {
            throw Fault(
                .environment, "seal.truncated", "the sealed file `\(Path.name(path))` is not whole", why: "no sealed file has \(fileCount) bytes", remedy: CobblestoneFault.remedy,
                detail: path)
        }
        self.header = header
        self.count = count
        self.fileCount = fileCount
        self.path = path
        // The size is a claim until the last chunk of the last segment opens: that is the chunk only a true end has.
        let last = Int(count >> Int64(header.segmentLog2))
        let opener = try SealedReader.opener(file, header, last, fileCount, key, path)
        let range = opener.range(ofChunk: opener.chunks - 1)
        let end = try file.readExactly(range.count, at: header.offset(ofSegment: last) + Int64(range.lowerBound))
        do throws(Fault) { _ = try opener.open(end[...], from: opener.chunks - 1) } catch { throw SealedReader.place(error, last, path) }
        state = Mutex(State(file: file, key: key.copy(), segment: last, opener: opener))
    }

    /// - Parameter offset: in the plaintext. Reading past the end gives fewer bytes, as with a file.
    package func read(_ count: Int, at offset: Int64) throws(Fault) -> [UInt8] {
        precondition(count >= 0 && offset >= 0, "a range of plaintext is never negative")
        guard offset < self.count else { return [] }
        let end = min(self.count, offset + Int64(count))
        return try state.withLock { state throws(Fault) in
            var out: [UInt8] = []
            var at = offset
            while at < end {
                let segment = Int(at >> Int64(header.segmentLog2))
                let start = Int64(segment) << Int64(header.segmentLog2)
                if segment != state.segment {
                    state.opener = try SealedReader.opener(state.file, header, segment, fileCount, state.key, path)
                    state.segment = segment
                }
                // At most 1 MiB of ciphertext at a time.
                let first = Int(at - start) / Cobblestone.chunkCount
                var last = min(Int(min(end, start + Int64(header.segmentCount)) - start - 1) / Cobblestone.chunkCount, first + 63)
                // A full segment ends in an empty chunk; whoever reads up to it checks it too.
                if (last + 1) * Cobblestone.chunkCount == state.opener.count { last += 1 }
                let range = state.opener.range(ofChunk: first).lowerBound..<state.opener.range(ofChunk: last).upperBound
                let sealed = try state.file.readExactly(range.count, at: header.offset(ofSegment: segment) + Int64(range.lowerBound))
                let plain: [UInt8]
                do throws(Fault) { plain = try state.opener.open(sealed[...], from: first) } catch { throw SealedReader.place(error, segment, path) }
                let base = start + Int64(first * Cobblestone.chunkCount)
                let taken = plain[Int(at - base)..<Int(min(end - base, Int64(plain.count)))]
                // Whoever reads in steps of whole chunks gets what was opened, and no copy.
                if at == offset, at + Int64(taken.count) == end, taken.count == plain.count { return plain }
                if at == offset { out.reserveCapacity(Int(end - offset)) }
                out += taken
                at += Int64(taken.count)
            }
            return out
        }
    }

    package func readAll(limit: ByteCount) throws(Fault) -> [UInt8] {
        guard count <= limit.count else { throw Fault(.request, "seal.too_large", "the sealed file is too large", why: "it holds \(ByteCount(count)), \(limit) are allowed") }
        return try read(Int(count), at: 0)
    }

    private static func opener(
        _ file: borrowing File, _ header: SealedHeader, _ segment: Int, _ fileCount: Int64, _ key: borrowing SecretBytes, _ path: String
    ) throws(Fault) -> Cobblestone.Opener {
        let offset = header.offset(ofSegment: segment)
        let prefix = try file.readExactly(Cobblestone.prefixCount, at: offset)
        let sealedCount = Int(min(Int64(header.strideCount), fileCount - offset))
        do throws(Fault) {
            return try Cobblestone.Opener(prefix: prefix, sealedCount: sealedCount, key: key, context: header.context(ofSegment: segment))
        } catch { throw place(error, segment, path) }
    }

    private static func place(_ fault: Fault, _ segment: Int, _ path: String) -> Fault {
        var fault = fault
        fault.what = "the sealed file `\(Path.name(path))` does not open"
        fault.why = "segment \(segment): \(fault.why)"
        fault.detail = path
        return fault
    }
}
