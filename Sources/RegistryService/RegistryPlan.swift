import AdminAPI
import ForgeAudit
import ForgeAuthority
import ForgeCatalog
import ForgeConfig
package import ForgeCore
package import ForgeDaemon
import ForgeGate
import ForgeHTTP
import ForgeOS
import ForgeVault
import Logging
import RegistryAPI

/// What `forge-registry` consists of.
package enum RegistryPlan {
    /// Opens the state directory and puts the service together. The store is sealed; the log takes records from the first moment.
    package static func make(_ context: DaemonContext) async throws(Fault) -> DaemonPlan {
        var settings = try context.settings()
        let reserve = try settings.optionalInt("reserve_mebibytes", in: 4...4096) ?? 64
        try settings.finish()
        let logger = context.logger
        let fuse = Fuse()
        let ledger = try await Ledger.open(context.stateDirectory, clock: try LogClock.system(), reserve: .mib(Int64(reserve))) { fault in
            logger.critical("the log cannot be written; stopping", metadata: ["why": "\(fault.message)", "detail": "\(fault.detail)"])
            fuse.blow(fault)
        }
        let records = try await ledger.size
        logger.info("catalog open", metadata: ["sqlite": "\(Database.libraryVersion)", "records": "\(records)"])
        if let damage = ledger.damage { logger.critical("the log does not verify; nothing will be recorded", metadata: ["why": "\(damage.why)"]) }

        // The id of a store that is not founded yet is drawn here and kept by its first transaction.
        let known = try await ledger.reader.read { database throws(Fault) in try database.meta("store").flatMap { ID(parsing: $0) } }
        let vault = Vault(store: known ?? ID())
        let admin = AdminClient(context.client(.admin))
        let mirror = EntityMirror(admin, pinPath: Path.join(context.stateDirectory, "admin.key"))
        let identifier = try Identifier(handed: handed(context), services: services(context), mirror: mirror)
        let registry = Registry(
            ledger: ledger, vault: vault, authority: DaemonAuthority(mirror, log: LedgerPort(ledger), admin: admin), directory: context.stateDirectory,
            approvals: ApprovalDesk(admin)
        ) { caller throws(Fault) in
            do throws(Fault) { return try await identifier.identify(caller).subject } catch {
                // Without a credential nobody is claimed; that is not the same as a credential that cannot be judged just now.
                guard caller.bearer == nil else { throw error }
                return .nobody(uid: caller.uid)
            }
        }
        let weights = WeightsService(door: WeightsDoor(registry), listener: try context.listener("weights", mode: context.isPackaged ? 0o660 : 0o600))
        return DaemonPlan(
            doors: [.init("registry", routes: registry.routes)],
            services: [
                RunningService("log", stop: { await RegistryPlan.sayGoodbye(ledger) }) { try await fuse.watch { await registry.run() } },
                RunningService("entities") { await mirror.run() },
                RunningService("disk") {
                    await registry.watchDisk { level, words in
                        let line: Logger.Level = level >= .alert ? .error : level == .warning ? .warning : .notice
                        logger.log(level: line, "\(words)")
                    }
                },
                weights,
            ],
            facts: {
                guard let status = try? await registry.status() else { return ["health": "broken"] }
                return ["health": .string(status.health.rawValue), "sealed": .bool(status.isSealed), "records": .int(Int64(status.records)), "disk": .string(status.disk?.level ?? "unknown")]
            },
            isAlive: { if case .broken = await ledger.health { false } else { true } },
            status: {
                guard let status = try? await registry.status() else { return "cannot read its catalog" }
                // A log that was cut has fewer records than its witness saw.
                let tail = status.records > status.witnessed ? status.records - status.witnessed : 0
                let trouble = status.reason.isEmpty ? "" : "; \(status.reason)"
                return "\(status.health.rawValue), \(status.isSealed ? "sealed" : "open"), \(status.records) records, \(tail) of them unwitnessed\(trouble)"
            })
    }

    /// The daemons of `forge up`, by what each was handed.
    private static func handed(_ context: DaemonContext) -> [Digest: DaemonName] {
        Dictionary((context.handoff?.peers ?? []).map { ($0.sha256, $0.name) }) { first, _ in first }
    }

    /// The daemons of the installed system, by the accounts the package made.
    private static func services(_ context: DaemonContext) throws(Fault) -> [UInt32: DaemonName] {
        guard context.handoff == nil else { return [:] }
        var services: [UInt32: DaemonName] = [:]
        for (account, name) in [("forge-train", DaemonName.trainer), ("forge-registry", .registry), ("forge-serve", .serve), ("forge-admin", .admin)] {
            if let uid = try Accounts.named(account)?.uid { services[uid] = name }
        }
        return services
    }

    private static func sayGoodbye(_ ledger: Ledger) async {
        guard (try? await ledger.isInitialised) == true, ledger.damage == nil else { return }
        let who = AuditEntry.Subject.service(.registry, method: .peercred, uid: ThisProcess.uid)
        _ = try? await ledger.append([AuditEntry(.daemonStop, .event, request: ID(), who: who)])
        // What is open is signed; keys go with the process.
        try? await ledger.close()
    }
}

/// Ends the daemon when the log can no longer be written: a restart reads what is really on disk, and verifies it.
private final class Fuse: Sendable {
    private let (stream, continuation) = AsyncStream.makeStream(of: Fault.self, bufferingPolicy: .bufferingOldest(1))

    func blow(_ fault: Fault) { continuation.yield(fault) }

    /// Runs `body` until it ends, or throws when the fuse blows.
    func watch(_ body: @escaping @Sendable () async -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await body() }
            group.addTask { [stream] in for await fault in stream { throw fault } }
            defer { group.cancelAll() }
            try await group.next()
        }
    }
}

/// A task that runs until it is stopped.
private final class RunningService: Service {
    let name: String
    private let body: @Sendable () async throws -> Void
    private let atStop: @Sendable () async -> Void
    private let (stream, continuation) = AsyncStream.makeStream(of: Never.self)

    init(_ name: String, stop atStop: @escaping @Sendable () async -> Void = {}, _ body: @escaping @Sendable () async throws -> Void) {
        self.name = name
        self.body = body
        self.atStop = atStop
    }

    func run() async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask { [body] in
                try await body()
                return false
            }
            group.addTask { [stream] in
                for await _ in stream {}
                return true
            }
            defer { group.cancelAll() }
            _ = try await group.next()
        }
    }

    func stop() async {
        await atStop()
        continuation.finish()
    }
}

private final class WeightsService: Service {
    let name = "weights"
    private let door: WeightsDoor
    private let listener: Int32
    private let (stream, continuation) = AsyncStream.makeStream(of: Never.self)

    init(door: WeightsDoor, listener: Int32) {
        self.door = door
        self.listener = listener
    }

    func run() async throws {
        await withTaskGroup { group in
            group.addTask { [door, listener] in await door.run(listener: listener) }
            group.addTask { [stream] in for await _ in stream {} }
            _ = await group.next()
            group.cancelAll()
        }
    }

    func stop() async { continuation.finish() }
}
