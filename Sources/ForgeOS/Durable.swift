import CForgeOS
package import ForgeCore
import Glibc

/// File idioms that survive a power cut: what returned without a fault is there afterwards, whole or not at all.
///
/// Order everywhere: write a temporary file beside the target, fsync it, put it in place in one step, fsync the directory
/// (Pillai et al. 2014, "All File Systems Are Not Created Equal").
package enum Durable {
    /// Puts `bytes` at `path` in one step, whether or not something was there.
    package static func replace(_ path: String, with bytes: [UInt8], mode: UInt32 = 0o600) throws(Fault) {
        let temporary = try stage(path, bytes, mode)
        do throws(Fault) {
            try checked("put in place", path) { unsafe rename(temporary, path) }
        } catch {
            _ = unsafe unlink(temporary)
            throw error
        }
        try syncDirectory(Path.parent(path))
    }

    /// Puts `bytes` at `path`, which must not exist.
    /// - Throws: code `os.eexist` when it does.
    package static func create(_ path: String, with bytes: [UInt8], mode: UInt32 = 0o600) throws(Fault) {
        let temporary = try stage(path, bytes, mode)
        do throws(Fault) {
            try checked("create", path) { unsafe fos_rename_exclusive(temporary, path) }
        } catch {
            _ = unsafe unlink(temporary)
            throw error
        }
        try syncDirectory(Path.parent(path))
    }

    /// Moves within one file system, replacing what is there; both directories are made durable.
    package static func move(_ from: String, to path: String) throws(Fault) {
        try checked("move", from) { unsafe rename(from, path) }
        try syncDirectory(Path.parent(path))
        if Path.parent(from) != Path.parent(path) { try syncDirectory(Path.parent(from)) }
    }

    package static func remove(_ path: String) throws(Fault) {
        try checked("remove", path) { unsafe unlink(path) }
        try syncDirectory(Path.parent(path))
    }

    /// Makes the directory and every missing one above it.
    package static func makeDirectory(_ path: String, mode: UInt32 = 0o700) throws(Fault) {
        if unsafe mkdir(path, mode) == 0 {
            try syncDirectory(Path.parent(path))
            return
        }
        let code = errno
        switch code {
        case EEXIST:
            guard try Path.information(path)?.kind == .directory else { throw OSError.fault("make the directory", path, errno: ENOTDIR) }
        case ENOENT where Path.parent(path) != path:
            try makeDirectory(Path.parent(path), mode: mode)
            try makeDirectory(path, mode: mode)
        default: throw OSError.fault("make the directory", path, errno: code)
        }
    }

    /// New, renamed and removed names in the directory reach the disk.
    package static func syncDirectory(_ path: String) throws(Fault) {
        let fd = try checked("open", path) { unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        defer { close(fd) }
        guard fsync(fd) == 0 else { throw OSError.fault("make durable", path, errno: errno) }
    }

    /// The mark of a temporary file: `.<name>.<random>.tmp`. What a crash left behind carries it and may be removed at start-up.
    package static func isTemporary(_ name: String) -> Bool { name.hasPrefix(".") && name.hasSuffix(".tmp") }

    private static func stage(_ path: String, _ bytes: [UInt8], _ mode: UInt32) throws(Fault) -> String {
        let temporary = Path.join(Path.parent(path), ".\(Path.name(path)).\(String(describing: ID()).prefix(12)).tmp")
        let file = try File(temporary, .create, mode: mode)
        do throws(Fault) {
            try file.write(bytes)
            try file.sync()
            try file.close()
        } catch {
            _ = unsafe unlink(temporary)
            throw error
        }
        return temporary
    }
}

/// A file that only grows. After one failed write or sync it refuses everything: what is on disk is then unknown, and only a
/// reader that opens it anew can say (`fsync` errors are final).
package struct AppendFile: ~Copyable, Sendable {
    private let file: File
    package private(set) var size: Int64
    private var broken: Fault?

    package init(_ path: String, mode: UInt32 = 0o600) throws(Fault) {
        let existed = try Path.information(path) != nil
        let file = try File(path, .append, mode: mode)
        let size = try file.size()
        if !existed { try Durable.syncDirectory(Path.parent(path)) }
        self.file = file
        self.size = size
    }

    /// The bytes are durable when this returns.
    package mutating func append(_ bytes: [UInt8]) throws(Fault) {
        if let broken { throw broken }
        do throws(Fault) {
            try file.write(bytes)
            try file.syncData()
            size += Int64(bytes.count)
        } catch {
            broken = error
            throw error
        }
    }
}
