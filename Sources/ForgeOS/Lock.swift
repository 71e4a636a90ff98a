package import ForgeCore
import Glibc

/// An advisory lock held by an open file, released when the value ends or the process does.
package struct FileLock: ~Copyable, Sendable {
    private let file: File

    /// Takes the lock or says who holds it; never waits.
    package init(_ path: String, holder: String) throws(Fault) {
        let file = try File(path, updateOrCreate: 0o600)
        if flock(file.descriptor, LOCK_EX | LOCK_NB) != 0 {
            let code = errno
            guard code == EWOULDBLOCK else { throw OSError.fault("lock", path, errno: code) }
            let other = String(decoding: try file.read(128, at: 0), as: UTF8.self)
            throw Fault(
                .environment, "os.locked", "cannot start `\(holder)`",
                why: "another instance holds `\(path)`" + (other.isEmpty ? "" : " (\(other.filter { !$0.isNewline }))"),
                remedy: "stop the other instance, or use another directory")
        }
        try file.truncate(to: 0)
        try file.write(Array("\(holder), process \(getpid())\n".utf8), at: 0)
        self.file = file
    }
}
