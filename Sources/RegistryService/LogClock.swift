package import ForgeAudit
package import ForgeCore
import ForgeOS

/// What the log is told of time. A value, so that a test can have its own.
package struct LogClock: Sendable {
    package struct Reading: Hashable, Sendable {
        /// Microseconds since 1970.
        package var time: Int64
        /// Microseconds since the machine started.
        package var boottime: Int64
        package var boot: ID
        package var state: LeafStamp.ClockState

        package init(time: Int64, boottime: Int64, boot: ID, state: LeafStamp.ClockState) {
            self.time = time
            self.boottime = boottime
            self.boot = boot
            self.state = state
        }
    }

    package let read: @Sendable () -> Reading

    package init(read: @escaping @Sendable () -> Reading) { self.read = read }

    /// The machine's own.
    /// - Throws: when the kernel does not say which boot this is.
    package static func system() throws(Fault) -> LogClock {
        guard let boot = ID(parsing: try BootID.current()) else {
            throw Fault(.environment, "os.no_boot_id", "cannot tell which boot this is", why: "the kernel's boot id is not 32 digits")
        }
        return LogClock { Reading(time: Clock.now().nanoseconds / 1000, boottime: Clock.boottime / 1000, boot: boot, state: kernelState()) }
    }

    private static func kernelState() -> LeafStamp.ClockState {
        guard let state = Clock.discipline else { return .init(isSynchronised: false, errorMax: 0, source: "none") }
        return .init(isSynchronised: state.isSynchronised, errorMax: state.errorMax, source: "kernel")
    }
}

/// Wall time in the log's unit, for ages that are shown and nothing more.
enum LogTime {
    static var now: Int64 { Clock.now().nanoseconds / 1000 }
}
