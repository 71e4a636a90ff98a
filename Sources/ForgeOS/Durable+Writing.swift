import CForgeOS
package import ForgeCore
import Glibc

extension Durable {
    /// A new file of any size, written in pieces: it appears at `path` whole, after `check` agreed to it, or not at all.
    /// - Parameters:
    ///   - write: gets the empty file.
    ///   - check: gets the path at which the file lies meanwhile, whole and on the disk. What it throws is thrown, and the file is gone.
    /// - Throws: code `os.eexist` when something is at `path`.
    package static func create(
        _ path: String, mode: UInt32 = 0o600, writing write: (borrowing File) throws(Fault) -> Void, checking check: (String) throws(Fault) -> Void
    ) throws(Fault) {
        guard try Path.information(path) == nil else { throw OSError.fault("create", path, errno: EEXIST) }
        let temporary = Path.join(Path.parent(path), ".\(Path.name(path)).\(String(describing: ID()).prefix(12)).tmp")
        let file = try File(temporary, .create, mode: mode)
        do throws(Fault) {
            try write(file)
            try file.sync()
            try file.close()
            try check(temporary)
            try checked("create", path) { unsafe fos_rename_exclusive(temporary, path) }
        } catch {
            _ = unsafe unlink(temporary)
            throw error
        }
        try syncDirectory(Path.parent(path))
    }
}
