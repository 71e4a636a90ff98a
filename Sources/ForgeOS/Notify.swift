import CSystemd
import Glibc

/// What the service manager is told (sd_notify(3)). Without a manager every call does nothing.
package enum Notify {
    package static var isManaged: Bool { Environment["NOTIFY_SOCKET"] != nil }

    package static func ready(_ status: String) { send("READY=1\nSTATUS=\(oneLine(status))") }
    package static func status(_ status: String) { send("STATUS=\(oneLine(status))") }
    package static func stopping() { send("STOPPING=1\nSTATUS=stopping") }
    package static func watchdog() { send("WATCHDOG=1") }
    /// Asks for more time to start or stop.
    package static func extendTimeout(_ duration: Duration) { send("EXTEND_TIMEOUT_USEC=\(duration.components.seconds * 1_000_000)") }

    /// How often the manager expects a sign of life; nil when it expects none.
    package static var watchdogInterval: Duration? {
        var microseconds: UInt64 = 0
        guard unsafe sd_watchdog_enabled(0, &microseconds) > 0, microseconds > 0 else { return nil }
        return .microseconds(Int64(clamping: microseconds))
    }

    private static func send(_ message: String) { _ = unsafe sd_notify(0, message) }
    private static func oneLine(_ text: String) -> String { text.split(whereSeparator: \.isNewline).joined(separator: " ") }
}

/// Sockets that the service manager opened for this process (sd_listen_fds(3)).
package enum ListenFDs {
    package struct Socket: Sendable, Hashable {
        /// `FileDescriptorName=` of the socket unit.
        package let name: String
        package let descriptor: Int32
    }

    /// Read once; the variables are removed then, so that no child takes them for its own.
    package static let adopted: [Socket] = {
        var names: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
        let count = unsafe sd_listen_fds_with_names(1, &names)
        guard count > 0 else { return [] }
        return (0..<Int(count)).map { i in
            let name = unsafe names.flatMap { unsafe $0[i] }.map { unsafe String(cString: $0) } ?? ""
            return Socket(name: name, descriptor: 3 + Int32(i))
        }
    }()

    package static func named(_ name: String) -> Int32? { adopted.first { $0.name == name }?.descriptor }
}
