import CForgeOS
package import ForgeCore
import Glibc
import Synchronization

/// Signals as events. A handler only writes a byte; the event arrives on ordinary ground.
package enum Signals {
    private static let listeners = Mutex<(started: Bool, all: [(Set<Int32>, AsyncStream<Int32>.Continuation)])>((false, []))

    /// From now on each of these signals is an event in the returned stream and no longer ends the process.
    package static func events(_ signals: Int32...) throws(Fault) -> AsyncStream<Int32> {
        let (stream, continuation) = AsyncStream.makeStream(of: Int32.self, bufferingPolicy: .bufferingNewest(16))
        let first = listeners.withLock { state in
            state.all.append((Set(signals), continuation))
            defer { state.started = true }
            return !state.started
        }
        let reader = try checked("watch for", "signals") { unsafe fos_signals_open(signals, signals.count) }
        if first {
            OSThread.start("signals") {
                var byte: UInt8 = 0
                while true {
                    let got = unsafe read(reader, &byte, 1)
                    if got < 0, errno == EINTR { continue }
                    guard got == 1 else { return }
                    let number = Int32(byte)
                    let targets = listeners.withLock { state in state.all.filter { $0.0.contains(number) }.map(\.1) }
                    for target in targets { target.yield(number) }
                }
            }
        }
        return stream
    }

    /// A peer that hangs up is an error of the write, not the end of the process.
    package static func ignoreBrokenPipes() { _ = fos_ignore_sigpipe() }
}

package enum ThisProcess {
    package static var uid: UInt32 { geteuid() }
    package static var gid: UInt32 { getegid() }
    package static var pid: Int32 { getpid() }

    /// Keys live here: no core file, no tracing by others of the same uid, no new privileges.
    package static func forbidDumps() throws(Fault) { try checked("protect", "this process's memory") { fos_forbid_dumps() } }

    /// Becomes another user for good.
    package static func become(uid: UInt32, gid: UInt32) throws(Fault) {
        try checked("become", "user \(uid)") { fos_drop_user(uid, gid) }
    }

    /// Files made from here on are readable by their owner alone.
    package static func narrowUmask() { _ = umask(0o077) }
}
