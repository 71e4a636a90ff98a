import CForgeOS
package import ForgeCore
import Glibc

/// An open file that closes itself. The descriptor belongs to this value alone and is close-on-exec.
package struct File: ~Copyable, Sendable {
    /// -1 once it is closed or given away.
    package private(set) var descriptor: Int32
    /// For messages.
    package let path: String

    package enum Access: Sendable {
        case read
        /// Reading and writing; must exist.
        case update
        /// Reading and writing; made when missing, cut to nothing when present.
        case replace
        /// Must not exist.
        case create
        /// Writes go to the end; made when missing.
        case append

        var flags: Int32 {
            switch self {
            case .read: O_RDONLY
            case .update: O_RDWR
            case .replace: O_RDWR | O_CREAT | O_TRUNC
            case .create: O_RDWR | O_CREAT | O_EXCL
            case .append: O_RDWR | O_CREAT | O_APPEND
            }
        }
    }

    /// Opens without following a symbolic link in the last place.
    /// - Parameter mode: for a file that is made; the process's umask is applied.
    package init(_ path: String, _ access: Access, mode: UInt32 = 0o600) throws(Fault) {
        descriptor = try checked("open", path) { unsafe open(path, access.flags | O_CLOEXEC | O_NOFOLLOW, mode) }
        self.path = path
    }

    /// Opens for reading and writing, making an empty file when nothing is there.
    package init(_ path: String, updateOrCreate mode: UInt32) throws(Fault) {
        descriptor = try checked("open", path) { unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode) }
        self.path = path
    }

    /// Takes over a descriptor.
    package init(adopting descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit { if descriptor >= 0 { _ = Glibc.close(descriptor) } }

    /// Closes and reports what the kernel says: on network file systems a write error may first show here.
    package consuming func close() throws(Fault) {
        let fd = descriptor
        descriptor = -1
        if Glibc.close(fd) != 0, errno != EINTR { throw OSError.fault("close", path, errno: errno) }
    }

    /// Gives the descriptor away.
    package consuming func release() -> Int32 {
        let fd = descriptor
        descriptor = -1
        return fd
    }

    package func size() throws(Fault) -> Int64 {
        var info = stat()
        try checked("look at", path) { unsafe fstat(descriptor, &info) }
        return Int64(info.st_size)
    }

    /// Up to `count` bytes from the current place; empty at the end.
    package func read(_ count: Int) throws(Fault) -> [UInt8] {
        var got = 0
        var failure: Int32 = 0
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while true {
                got = unsafe Glibc.read(descriptor, buffer.baseAddress, count)
                if got < 0, errno == EINTR { continue }
                break
            }
            if got < 0 { failure = errno }
            filled = max(0, got)
        }
        if got < 0 { throw OSError.fault("read", path, errno: failure) }
        return bytes
    }

    /// Up to `count` bytes from `offset`; fewer only at the end.
    package func read(_ count: Int, at offset: Int64) throws(Fault) -> [UInt8] {
        var failure: Int32 = 0
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            filled = 0
            while filled < count {
                let n = unsafe pread(descriptor, buffer.baseAddress! + filled, count - filled, off_t(offset + Int64(filled)))
                if n < 0 {
                    if errno == EINTR { continue }
                    failure = errno
                    break
                }
                if n == 0 { break }
                filled += n
            }
        }
        if failure != 0 { throw OSError.fault("read", path, errno: failure) }
        return bytes
    }

    /// Exactly `count` bytes from `offset`, or a fault that says the file is too short.
    package func readExactly(_ count: Int, at offset: Int64) throws(Fault) -> [UInt8] {
        let bytes = try read(count, at: offset)
        guard bytes.count == count else {
            throw Fault(
                .environment, "os.short_file", "cannot read `\(path)`", why: "it ends at byte \(offset + Int64(bytes.count)), \(count) bytes were expected at \(offset)",
                remedy: "restore the file from a backup")
        }
        return bytes
    }

    /// Everything from the start, at most `limit` bytes.
    package func readAll(limit: ByteCount) throws(Fault) -> [UInt8] {
        let size = try size()
        guard size <= limit.count else { throw File.tooLarge(path, limit) }
        // Files under /proc say zero; so the end is found by reading.
        var bytes: [UInt8] = []
        while true {
            let piece = try read(min(Int(limit.count) + 1 - bytes.count, max(Int(size) - bytes.count, 0) + 65_536), at: Int64(bytes.count))
            if piece.isEmpty { return bytes }
            bytes += piece
            guard bytes.count <= limit.count else { throw File.tooLarge(path, limit) }
        }
    }

    private static func tooLarge(_ path: String, _ limit: ByteCount) -> Fault {
        Fault(.request, "os.too_large", "cannot read `\(path)`", why: "it is larger than \(limit)")
    }

    /// Writes all of `bytes` at the current place.
    package func write(_ bytes: some Collection<UInt8>) throws(Fault) { try write(Array(bytes)) }

    package func write(_ bytes: [UInt8]) throws(Fault) {
        try unsafe write(bytes, "write") { pointer, count, _ in unsafe Glibc.write(descriptor, pointer, count) }
    }

    package func write(_ bytes: [UInt8], at offset: Int64) throws(Fault) {
        try unsafe write(bytes, "write") { pointer, count, done in unsafe pwrite(descriptor, pointer, count, off_t(offset + Int64(done))) }
    }

    private func write(
        _ bytes: [UInt8], _ operation: String, _ call: (_ pointer: UnsafeRawPointer, _ count: Int, _ done: Int) -> Int
    ) throws(Fault) {
        var failure: Int32 = 0
        unsafe bytes.withUnsafeBytes { buffer in
            var done = 0
            while done < buffer.count {
                let n = unsafe call(buffer.baseAddress! + done, buffer.count - done, done)
                if n < 0 {
                    if errno == EINTR { continue }
                    failure = errno
                    return
                }
                done += n
            }
        }
        if failure != 0 { throw OSError.fault(operation, path, errno: failure) }
    }

    package func truncate(to size: Int64) throws(Fault) { try checked("cut", path) { ftruncate(descriptor, off_t(size)) } }

    /// Has the kernel begin to write a range to the disk, so that a `sync` later finds little left. A hint: what fails, that `sync` reports.
    package func startWriting(_ count: Int, at offset: Int64) { _ = fos_start_writing(descriptor, offset, Int64(count)) }

    /// Data and what is needed to read it back reach the disk. An error is final: the kernel may have dropped the pages
    /// (Rebello et al. 2020, "Can Applications Recover from fsync Failures?"), so never call it again and hope.
    package func syncData() throws(Fault) {
        guard fdatasync(descriptor) == 0 else { throw OSError.fault("make durable", path, errno: errno) }
    }

    package func sync() throws(Fault) {
        guard fsync(descriptor) == 0 else { throw OSError.fault("make durable", path, errno: errno) }
    }
}
