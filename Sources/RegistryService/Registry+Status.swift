import ForgeCatalog
package import ForgeCore
import ForgeHTTP
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
        if let damage = ledger.damage { (health, reason) = (.damaged, damage.why) }
        let now = LogTime.now
        return RegistryStatus(
            health: health, reason: reason, isSealed: vault.isSealed, origin: origin, logKey: key, records: records, signed: latest, witnessed: witnessed,
            unwitnessedSeconds: witnessed < records ? max(0, (now - (oldest ?? now)) / 1_000_000) : 0, version: ForgeVersion.current, sqlite: Database.libraryVersion)
    }
}
