import ForgeCatalog
package import ForgeCore
import ForgeHTTP
package import ForgeOS
import ForgeVault
package import RegistryAPI

extension Registry {
    var statusRoutes: [Route] {
        [Route(.get, "/v1/status", summary: "How the registry is") { [self] _ in try HTTPResponse.json(try await status()) }]
    }

    package func status() async throws(Fault) -> RegistryStatus {
        let (origin, key, records, latest, witnessed, oldest) = try await ledger.reader.snapshot { database throws(Fault) in
            let witnessed = try database.latestCosignedSize() ?? 0
            let records = try database.leafCount()
            let oldest = try database.first("SELECT t FROM record_index WHERE seq = ?", witnessed)?.int(0)
            return (try database.meta("origin"), try database.meta("log_vkey"), records, try database.latestTreeHead()?.size ?? 0, witnessed, oldest)
        }
        var health = RegistryStatus.Health.well
        var reason = ""
        switch await ledger.health {
        case .well: if origin == nil { health = .uninitialised }
        case .full: (health, reason) = (.full, "no space is left; officers' actions alone are recorded")
        case .broken(let why): (health, reason) = (.broken, why)
        }
        let space = ledger.disk.space
        if reason.isEmpty, let space, space.level > .well {
            reason = Registry.words(space)
            if space.level == .critical, health == .well { health = .full }
        }
        if let damage = ledger.damage { (health, reason) = (.damaged, damage.why) }
        let now = LogTime.now
        return RegistryStatus(
            health: health, reason: reason, isSealed: vault.isSealed, origin: origin, logKey: key, records: records, signed: latest, witnessed: witnessed,
            unwitnessedSeconds: witnessed < records ? max(0, (now - (oldest ?? now)) / 1_000_000) : 0, version: ForgeVersion.current, sqlite: Database.libraryVersion,
            disk: space.map { .init(level: $0.level.rawValue, usedPercent: $0.usedPercent, freeBytes: $0.free.count) })
    }

    /// What a level of the disk means for people.
    static func words(_ space: DiskSpace) -> String {
        let used = "the disk is \(space.usedPercent) % full, \(space.free) are free"
        return switch space.level {
        case .well: used
        case .warning: "\(used): make room soon"
        case .alert: "\(used): no new models or data sets are taken"
        case .critical: "\(used): only officers' actions are allowed"
        }
    }

    /// Says in the daemon's log when the disk gets fuller or emptier, for as long as the daemon lives.
    package func watchDisk(every interval: Duration = .seconds(10), say: @Sendable (DiskSpace.Level, String) -> Void) async {
        var known = DiskSpace.Level.well
        while !Task.isCancelled {
            if let space = ledger.disk.space, space.level != known {
                known = space.level
                say(space.level, Registry.words(space))
            }
            guard (try? await Task.sleep(for: interval)) != nil else { return }
        }
    }
}
