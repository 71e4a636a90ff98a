package import ForgeCore
import Glibc

/// The machine's clocks. Wall time for evidence, boot time for durations that count sleep, monotonic for deadlines.
package enum Clock {
    package static func now() -> Timestamp { Timestamp(nanoseconds: read(CLOCK_REALTIME)) }

    /// Nanoseconds since the machine started, sleep included. Never set, never steps back within one boot.
    package static var boottime: Int64 { read(CLOCK_BOOTTIME) }

    /// Nanoseconds of no particular beginning; for measuring.
    package static var monotonic: Int64 { read(CLOCK_MONOTONIC) }

    private static func read(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        let result = unsafe clock_gettime(clock, &time)
        precondition(result == 0, "the kernel has this clock")
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}

/// Which start of the machine this is; changes with every boot.
package enum BootID {
    /// 32 lower-case hexadecimal digits.
    ///
    /// A unit with `ProcSubset=pid` cannot see the kernel's file, so units pass `FORGE_BOOT_ID=%b`; the file wins where it is visible.
    package static func current() throws(Fault) -> String {
        let file = try? File("/proc/sys/kernel/random/boot_id", .read)
        if let bytes = try? file?.read(64) {
            let digits = String(decoding: bytes, as: UTF8.self).filter { $0 != "-" && $0 != "\n" }
            if digits.count == 32 { return digits }
        }
        if let given = Environment["FORGE_BOOT_ID"], ID(parsing: given) != nil { return given }
        throw Fault(
            .environment, "os.no_boot_id", "cannot tell which boot this is", why: "the kernel's boot id is hidden from this process",
            remedy: "put `Environment=FORGE_BOOT_ID=%b` into the unit")
    }
}

/// Variables this process was started with.
package enum Environment {
    package static subscript(name: String) -> String? {
        guard let value = unsafe getenv(name) else { return nil }
        return unsafe String(cString: value)
    }

    /// Every variable; of a name that stands there twice, the first.
    package static var all: [String: String] {
        var out: [String: String] = [:]
        var entry = unsafe environ
        while let text = unsafe entry.pointee {
            let pair = unsafe String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if pair.count == 2, out[String(pair[0])] == nil { out[String(pair[0])] = String(pair[1]) }
            unsafe entry += 1
        }
        return out
    }
}
