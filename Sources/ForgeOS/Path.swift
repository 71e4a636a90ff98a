package import ForgeCore
import Glibc

/// Names of files, and what the file system says of them. Plain strings: Linux paths are bytes, ours are UTF-8.
package enum Path {
    package static func join(_ parts: String...) -> String {
        var out = ""
        for part in parts where !part.isEmpty {
            if part.hasPrefix("/") || out.isEmpty { out = part } else { out += out.hasSuffix("/") ? part : "/" + part }
        }
        return out
    }

    package static func parent(_ path: String) -> String {
        let trimmed = trim(path)
        guard let slash = trimmed.lastIndex(of: "/") else { return "." }
        return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
    }

    package static func name(_ path: String) -> String {
        let trimmed = trim(path)
        guard let slash = trimmed.lastIndex(of: "/"), trimmed.count > 1 else { return trimmed }
        return String(trimmed[trimmed.index(after: slash)...])
    }

    private static func trim(_ path: String) -> String {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        return path
    }

    /// From the root, against the working directory; `.` and `..` are left to the kernel.
    package static func absolute(_ path: String) throws(Fault) -> String {
        if path.hasPrefix("/") { return path }
        return join(try workingDirectory(), path)
    }

    package static func workingDirectory() throws(Fault) -> String {
        guard let text = unsafe getcwd(nil, 0) else { throw OSError.fault("find", "the working directory", errno: errno) }
        defer { unsafe free(text) }
        return unsafe String(cString: text)
    }

    package enum Kind: Sendable, Hashable { case file, directory, link, socket, other }

    package struct Information: Sendable {
        package let kind: Kind
        package let size: Int64
        /// Permission bits alone.
        package let mode: UInt32
        package let uid: UInt32
        package let gid: UInt32
        package let modified: Timestamp
        package let inode: UInt64
    }

    /// - Returns: nil when nothing is there. A link is described, not followed.
    package static func information(_ path: String) throws(Fault) -> Information? {
        var info = stat()
        if unsafe lstat(path, &info) != 0 {
            if errno == ENOENT { return nil }
            throw OSError.fault("look at", path, errno: errno)
        }
        let kind: Kind =
            switch info.st_mode & S_IFMT {
            case S_IFREG: .file
            case S_IFDIR: .directory
            case S_IFLNK: .link
            case S_IFSOCK: .socket
            default: .other
            }
        return Information(
            kind: kind, size: Int64(info.st_size), mode: info.st_mode & 0o7777, uid: info.st_uid, gid: info.st_gid,
            modified: Timestamp(nanoseconds: Int64(info.st_mtim.tv_sec) * 1_000_000_000 + Int64(info.st_mtim.tv_nsec)), inode: UInt64(info.st_ino))
    }

    package static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }
    package static func isExecutable(_ path: String) -> Bool { unsafe access(path, X_OK) == 0 }

    /// The names in a directory, sorted by bytes, without `.` and `..`.
    package static func list(_ path: String) throws(Fault) -> [String] {
        guard let directory = unsafe opendir(path) else { throw OSError.fault("list", path, errno: errno) }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = unsafe readdir(directory) else {
                if errno != 0 { throw OSError.fault("list", path, errno: errno) }
                break
            }
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { tuple in
                unsafe tuple.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// Removes a file, or a directory with everything in it; links are removed, not followed. Nothing there is no fault.
    package static func removeTree(_ path: String) throws(Fault) {
        guard let info = try information(path) else { return }
        guard info.kind == .directory else {
            try checked("remove", path) { unsafe unlink(path) }
            return
        }
        for name in try list(path) { try removeTree(join(path, name)) }
        try checked("remove", path) { unsafe rmdir(path) }
    }

    package static func setMode(_ path: String, _ mode: UInt32) throws(Fault) {
        try checked("change the mode of", path) { unsafe chmod(path, mode) }
    }

    package static func setOwner(_ path: String, uid: UInt32, gid: UInt32) throws(Fault) {
        try checked("change the owner of", path) { unsafe lchown(path, uid, gid) }
    }

    /// This program's own file.
    package static func executable() throws(Fault) -> String {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = try checked("find", "the running program") { unsafe readlink("/proc/self/exe", &buffer, buffer.count - 1) }
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Bytes an unprivileged process can still write on the file system that holds `path`.
    package static func freeSpace(_ path: String) throws(Fault) -> ByteCount { try DiskSpace(of: path).free }
}
