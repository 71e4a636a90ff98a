package import ForgeCore
import Glibc

/// What an `errno` means to the person who must act on it.
package enum OSError {
    /// - Parameters:
    ///   - operation: the verb as a person would say it, such as `open` or `write`.
    ///   - subject: the path or thing acted on.
    package static func fault(
        _ operation: String, _ subject: String, errno code: Int32, file: StaticString = #fileID, line: UInt = #line
    ) -> Fault {
        let (why, remedy, retryable) = meaning(code)
        return Fault(
            .environment, "os.\(name(code))", "cannot \(operation) `\(subject)`", why: why, remedy: remedy, retryable: retryable,
            detail: "errno \(code)", file: file, line: line)
    }

    /// The symbolic name in lower case, such as `enospc`.
    package static func name(_ code: Int32) -> String { names[code] ?? "errno\(code)" }

    package static func text(_ code: Int32) -> String { meaning(code).why }

    private static let names: [Int32: String] = [
        EPERM: "eperm", ENOENT: "enoent", EINTR: "eintr", EIO: "eio", EBADF: "ebadf", EAGAIN: "eagain", ENOMEM: "enomem", EACCES: "eacces",
        EEXIST: "eexist", ENOTDIR: "enotdir", EISDIR: "eisdir", EINVAL: "einval", ENFILE: "enfile", EMFILE: "emfile", EFBIG: "efbig",
        ENOSPC: "enospc", EROFS: "erofs", EPIPE: "epipe", ENAMETOOLONG: "enametoolong", ENOTEMPTY: "enotempty", ELOOP: "eloop",
        EADDRINUSE: "eaddrinuse", ECONNREFUSED: "econnrefused", ECONNRESET: "econnreset", ETIMEDOUT: "etimedout", EDQUOT: "edquot",
        EMSGSIZE: "emsgsize", ENXIO: "enxio", ENOEXEC: "enoexec", ESRCH: "esrch", ECHILD: "echild", EXDEV: "exdev", ENOTSUP: "enotsup",
    ]

    private static func meaning(_ code: Int32) -> (why: String, remedy: String, retryable: Bool) {
        switch code {
        case ENOENT: ("it does not exist", "", false)
        case EACCES, EPERM: ("permission denied", "check who owns it and under which user this runs", false)
        case EEXIST: ("it exists already", "", false)
        case ENOTDIR: ("a part of the path is not a directory", "", false)
        case EISDIR: ("it is a directory", "", false)
        case ENOTEMPTY: ("the directory is not empty", "", false)
        case ENOSPC: ("no space is left on the file system", "free space there and try again", true)
        case EDQUOT: ("the disk quota is used up", "raise the quota or free space and try again", true)
        case EROFS: ("the file system is read-only", "remount it writable, or choose another place", false)
        case EIO: ("the device reported an input/output error", "look at the kernel log; the disk may be failing", false)
        case EMFILE, ENFILE: ("too many files are open", "raise the limit of open files (LimitNOFILE=)", true)
        case ENOMEM: ("the machine is out of memory", "free memory and try again", true)
        case EFBIG: ("the file would become too large", "", false)
        case ENAMETOOLONG: ("the name is too long", "use a shorter path", false)
        case ELOOP: ("it is a symbolic link, or too many of them follow each other", "give the real path", false)
        case EADDRINUSE: ("something exists at that path already", "", false)
        case ECONNREFUSED: ("nobody is listening there", "start the daemon", true)
        case ECONNRESET, EPIPE: ("the other side closed the connection", "try again", true)
        case ETIMEDOUT: ("it took too long", "try again", true)
        case EAGAIN: ("it is busy", "try again", true)
        case ENXIO: ("there is no such device, or no terminal", "", false)
        case ENOEXEC: ("it is not an executable this machine can run", "", false)
        default: (unsafe String(cString: strerror(code)), "", code == EINTR)
        }
    }
}

/// The value of a call that returns -1 on failure, or the fault.
@discardableResult
func checked<T: SignedInteger>(
    _ operation: String, _ subject: String, file: StaticString = #fileID, line: UInt = #line, _ call: () -> T
) throws(Fault) -> T {
    while true {
        let result = call()
        if result >= 0 { return result }
        let code = errno
        if code == EINTR { continue }
        throw OSError.fault(operation, subject, errno: code, file: file, line: line)
    }
}
