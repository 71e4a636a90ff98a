import ForgeCore
import ForgeOS

/// The directory a daemon keeps everything in: its own, closed to others, used by one process at a time.
struct StateDirectory: ~Copyable, Sendable {
    let path: String
    private let lock: FileLock

    init(_ path: String, program: String) throws(Fault) {
        let absolute = try Path.absolute(path)
        try Durable.makeDirectory(absolute, mode: 0o700)
        guard let info = try Path.information(absolute), info.kind == .directory else {
            throw Fault(.environment, "daemon.state", "cannot use the state directory `\(absolute)`", why: "it is not a directory")
        }
        guard info.uid == ThisProcess.uid else {
            throw Fault(
                .environment, "daemon.state", "cannot use the state directory `\(absolute)`", why: "it belongs to uid \(info.uid), and this is uid \(ThisProcess.uid)",
                remedy: "start \(program) as its own user, or give it a directory of its own")
        }
        guard info.mode & 0o077 == 0 else {
            throw Fault(
                .environment, "daemon.state", "cannot use the state directory `\(absolute)`", why: "others may open it (mode \(String(info.mode, radix: 8)))",
                remedy: "`chmod 700 \(absolute)` after making sure that nobody did")
        }
        let lock = try FileLock(Path.join(absolute, "lock"), holder: program)
        self.path = absolute
        self.lock = lock
    }
}
