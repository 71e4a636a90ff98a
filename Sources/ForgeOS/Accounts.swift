package import ForgeCore
import Glibc

/// The system's users.
package enum Accounts {
    package struct Account: Sendable, Hashable {
        package let name: String
        package let uid: UInt32
        package let gid: UInt32
        package let home: String
    }

    /// - Returns: nil when there is no such user.
    package static func named(_ name: String) throws(Fault) -> Account? {
        try unsafe look("user \(name)") { entry, buffer, count, result in unsafe getpwnam_r(name, entry, buffer, count, result) }
    }

    package static func uid(_ uid: UInt32) throws(Fault) -> Account? {
        try unsafe look("uid \(uid)") { entry, buffer, count, result in unsafe getpwuid_r(uid, entry, buffer, count, result) }
    }

    private static func look(
        _ subject: String,
        _ call: (UnsafeMutablePointer<passwd>, UnsafeMutablePointer<CChar>, Int, UnsafeMutablePointer<UnsafeMutablePointer<passwd>?>) -> Int32
    ) throws(Fault) -> Account? {
        var size = 4096
        while true {
            var entry = unsafe passwd()
            var found: UnsafeMutablePointer<passwd>?
            var buffer = [CChar](repeating: 0, count: size)
            let code = unsafe call(&entry, &buffer, size, &found)
            if code == ERANGE, size < 1 << 20 {
                size *= 4
                continue
            }
            guard code == 0 || code == ENOENT || code == ESRCH else { throw OSError.fault("look up", subject, errno: code) }
            guard unsafe found != nil else { return nil }
            // The strings point into `buffer`, which lives to the end of this pass.
            return withExtendedLifetime(buffer) {
                unsafe Account(name: String(cString: entry.pw_name), uid: entry.pw_uid, gid: entry.pw_gid, home: String(cString: entry.pw_dir))
            }
        }
    }
}
