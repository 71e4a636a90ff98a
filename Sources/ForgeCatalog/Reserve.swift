package import ForgeCore
import ForgeOS
import Glibc

/// Room kept back so that a full disk does not silence the log: an officer's export, verification and seal must still be
/// recorded while space is made. Given up a mebibyte at a time, taken back when there is room again.
package struct Reserve: Sendable {
    package let path: String
    package let size: ByteCount
    static let step: Int64 = 1 << 20

    /// - Throws: when there is no room for it: an appliance that cannot keep a reserve does not start quietly.
    package init(_ path: String, size: ByteCount) throws(Fault) {
        self.path = path
        self.size = size
        guard !refill() else { return }
        throw Fault.store("full", "the reserve for a full disk cannot be made", why: "`\(path)` needs \(size)", remedy: "free space on that file system and start again", retryable: true)
    }

    var held: Int64 { (try? Path.information(path))??.size ?? 0 }

    /// Gives up some room.
    /// - Returns: false when there was none left.
    func release() -> Bool {
        guard let file = try? File(path, .update), let size = try? file.size(), size > 0 else { return false }
        return (try? file.truncate(to: max(0, size - Reserve.step))) != nil
    }

    /// Takes the room back, if the file system has it and some more.
    func refill() -> Bool {
        let held = held
        guard held < size.count else { return true }
        guard let file = try? File(path, updateOrCreate: 0o600) else { return false }
        if held > 0 || free < size.count - held {
            // Not into the last free bytes: the next record needs them.
            guard free - (size.count - held) >= Reserve.step else { return false }
        }
        guard posix_fallocate(file.descriptor, off_t(held), off_t(size.count - held)) == 0 else {
            try? file.truncate(to: held)
            return false
        }
        return (try? file.sync()) != nil
    }

    /// Bytes an ordinary user may still write on that file system.
    var free: Int64 {
        var info = statvfs()
        guard unsafe statvfs(Path.parent(path), &info) == 0 else { return 0 }
        return Int64(info.f_bavail) * Int64(info.f_frsize)
    }
}
