package import ForgeCore
import Glibc

/// A regular file of the length it had when it was opened, read piece by piece: it may be far larger than the machine's memory.
///
/// Bytes are copied out by the kernel. Through a mapping they would be cheaper by that copy, and whoever cuts the file meanwhile would end this process with SIGBUS; so it ends in a fault.
package final class SourceFile: Sendable {
    package let count: Int
    private let file: File

    /// Opens without following a symbolic link in the last place.
    /// - Throws: `.request` for what is no regular file, `.environment` for what the system refuses.
    package init(_ path: String) throws(Fault) {
        let file = try File(path, .read)
        var info = stat()
        try checked("look at", path) { unsafe fstat(file.descriptor, &info) }
        guard info.st_mode & S_IFMT == S_IFREG else { throw Fault(.request, "os.not_a_file", "cannot read `\(path)`", why: "it is not a regular file") }
        count = Int(info.st_size)
        self.file = file
    }

    /// A copy of some bytes.
    /// - Precondition: the range lies in the file.
    package func bytes(_ range: Range<Int>) throws(Fault) -> [UInt8] {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "a file is read within its bytes")
        let out = try file.read(range.count, at: Int64(range.lowerBound))
        guard out.count == range.count else { throw cut(range) }
        return out
    }

    /// The same over what `out` holds from `place` on.
    /// - Precondition: the range lies in the file, and `out` has room for it.
    /// - Throws: `.request`, code `os.cut`, if the file has become shorter than it was.
    package func read(_ range: Range<Int>, into out: inout [UInt8], at place: Int) throws(Fault) {
        precondition(range.lowerBound >= 0 && range.upperBound <= count && place >= 0 && place + range.count <= out.count, "a file is read within its bytes")
        var done = 0, failure: Int32 = 0
        unsafe out.withUnsafeMutableBytes { buffer in
            while done < range.count {
                let n = unsafe pread(file.descriptor, buffer.baseAddress! + place + done, range.count - done, off_t(range.lowerBound + done))
                if n < 0, errno == EINTR { continue }
                if n < 0 { failure = errno }
                if n <= 0 { break }
                done += n
            }
        }
        if failure != 0 { throw OSError.fault("read", file.path, errno: failure) }
        guard done == range.count else { throw cut(range) }
    }

    private func cut(_ range: Range<Int>) -> Fault {
        Fault(
            .request, "os.cut", "cannot read `\(file.path)`", why: "it had \(count) bytes and now ends before \(range.upperBound)",
            remedy: "somebody wrote to it meanwhile: try again when nobody does")
    }
}
