package import ForgeCore
import Glibc

/// A regular file's bytes as memory, read when they are touched: a file may be far larger than the machine's memory.
///
/// The file must not be cut while it is mapped: a touch beyond its end ends the process. Whoever maps what another may write does so where that harms nobody else.
@safe package final class MappedFile: Sendable {
    // SAFETY: the memory is mapped read-only until deinit, so any thread may read it.
    private nonisolated(unsafe) let base: UnsafeRawPointer?
    package let count: Int

    /// Opens without following a symbolic link in the last place.
    /// - Throws: `.request` for what is no regular file, `.environment` for what the system refuses.
    package init(_ path: String) throws(Fault) {
        let file = try File(path, .read)
        guard let information = try Path.information(path), information.kind == .file else {
            throw Fault(.request, "os.not_a_file", "cannot read `\(path)`", why: "it is not a regular file")
        }
        let count = Int(try file.size())
        var raw: UnsafeMutableRawPointer?
        if count > 0 {
            unsafe raw = mmap(nil, count, PROT_READ, MAP_PRIVATE, file.descriptor, 0)
            guard unsafe raw != MAP_FAILED else { throw OSError.fault("map", path, errno: errno) }
        }
        unsafe base = UnsafeRawPointer(raw)
        self.count = count
    }

    deinit { if let base = unsafe base { unsafe munmap(UnsafeMutableRawPointer(mutating: base), count) } }

    package func withSpan<R, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
        try unsafe body(UnsafeRawBufferPointer(start: base, count: count).bytes)
    }

    /// A copy of some bytes.
    /// - Precondition: the range lies in the file.
    package func bytes(_ range: Range<Int>) -> [UInt8] {
        var out: [UInt8] = []
        append(range, to: &out)
        return out
    }

    /// The same, behind what `out` holds.
    package func append(_ range: Range<Int>, to out: inout [UInt8]) {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "a file is read within its bytes")
        withSpan { span in unsafe span.extracting(range).withUnsafeBytes { unsafe out.append(contentsOf: $0) } }
    }
}
