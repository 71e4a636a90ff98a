package import ForgeCore
import Glibc
import Synchronization

/// How full a file system is for an unprivileged process: the share that df(1) shows.
package struct DiskSpace: Hashable, Sendable {
    package enum Level: String, Sendable, Hashable, Codable, Comparable, CaseIterable {
        case well, warning, alert, critical
        package static func < (a: Level, b: Level) -> Bool { allCases.firstIndex(of: a)! < allCases.firstIndex(of: b)! }  // every case is in allCases
    }

    package let used: ByteCount
    package let free: ByteCount

    package init(used: ByteCount, free: ByteCount) {
        self.used = used
        self.free = free
    }

    package init(of path: String) throws(Fault) {
        var info = statvfs()
        try checked("ask for the free space of", path) { unsafe statvfs(path, &info) }
        let block = Int64(info.f_frsize)
        // What root alone may still take counts for neither, as in df.
        self.init(used: ByteCount(Int64(info.f_blocks - info.f_bfree) * block), free: ByteCount(Int64(info.f_bavail) * block))
    }

    /// In per cent, rounded up; 0 for a file system without room of its own.
    package var usedPercent: Int {
        let total = used.count + free.count
        return total == 0 ? 0 : Int((Double(used.count) / Double(total) * 100).rounded(.up))
    }

    /// A share alone would call a large disk full that has room for years, so each level also asks how much is free.
    package var level: Level {
        let percent = usedPercent
        if percent >= 95, free < .gib(4) { return .critical }
        if percent >= 90, free < .gib(16) { return .alert }
        if percent >= 80, free < .gib(64) { return .warning }
        return .well
    }
}

/// Looks at one file system, at most once a second.
package final class DiskWatch: Sendable {
    private let sample: @Sendable () throws(Fault) -> DiskSpace
    private let latest = Mutex<(space: DiskSpace, until: ContinuousClock.Instant)?>(nil)
    private let interval: Duration

    package convenience init(_ path: String) { self.init { () throws(Fault) in try DiskSpace(of: path) } }

    package init(every interval: Duration = .seconds(1), _ sample: @escaping @Sendable () throws(Fault) -> DiskSpace) {
        self.sample = sample
        self.interval = interval
    }

    /// nil when the file system does not tell.
    package var space: DiskSpace? {
        latest.withLock { latest in
            if let latest, .now < latest.until { return latest.space }
            latest = (try? sample()).map { ($0, .now + interval) }
            return latest?.space
        }
    }

    package var level: DiskSpace.Level { space?.level ?? .well }

    /// - Parameter owner: whose file system it is, as in `the registry's file system`.
    /// - Throws: `disk.low`, worth trying again, when the disk is as full as `level` or fuller.
    package func requireRoom(below level: DiskSpace.Level, to action: String, on owner: String) throws(Fault) {
        guard let space, space.level >= level else { return }
        throw Fault(
            .environment, "disk.low", "cannot \(action)", why: "\(space.usedPercent) % of the \(owner)'s file system are used and \(space.free) are free",
            remedy: "free space there, or move the state directory to a larger file system; nothing is deleted by itself", retryable: true)
    }
}
