import AdminAPI
import ForgeAudit
import ForgeConfig
import ForgeAuthority
package import ForgeCore
package import ForgeDaemon
import ForgeGate
import ForgeHTTP
import ForgeOS
import Logging
import RegistryAPI
import ServeAPI
import Synchronization

/// What `forge-serve` consists of.
///
/// ```yaml
/// serve:
///   model: policies@production   # nothing said: whatever is promoted
///   cache_mebibytes: 512
///   weights: q8                  # f32, bf16, q8 or q4; nothing said: as the model was trained
/// ```
package enum ServePlan {
    package static func make(_ context: DaemonContext) async throws(Fault) -> DaemonPlan {
        var section = try context.settings()
        let configured = try section.optionalString("model")
        let drain = Duration.seconds(try section.optionalInt("drain_seconds", in: 0...600) ?? 15)
        var settings = EngineSettings(
            threads: try section.optionalInt("threads", in: 1...512), cache: .mib(Int64(try section.optionalInt("cache_mebibytes", in: 1...4_194_304) ?? 512)),
            blockSize: try section.optionalInt("block_size", in: 1...1024) ?? 16, tokensPerStep: try section.optionalInt("tokens_per_step", in: 1...65_536) ?? 512,
            sequencesMax: try section.optionalInt("sequences", in: 1...4096) ?? 64, waitingMax: try section.optionalInt("queue", in: 0...100_000) ?? 256)
        settings.weights = try section.optionalChoice("weights")
        try section.finish()

        let admin = AdminClient(context.client(.admin))
        let registry = RegistryClient(context.client(.registry))
        let log = AppendQueue(registry)
        let mirror = EntityMirror(admin, pinPath: Path.join(context.stateDirectory, "admin.key"))
        let identifier = try Identifier(handed: handed(context), services: services(context), mirror: mirror)
        let source = WeightsClient(socket: context.socket("weights"), bearer: context.handoff?.credential, registry: registry)
        let note = Path.join(context.stateDirectory, "wanted")
        let logger = context.logger
        let house = ModelHouse(source: source, settings: settings, wanted: configured ?? ServePlan.noted(note)) { reference in
            do throws(Fault) { try Durable.replace(note, with: Array((reference ?? "").utf8), mode: 0o600) } catch {
                logger.warning("the model to load after a restart could not be noted", metadata: ["why": "\(error.message)"])
            }
        }
        let ports = ServePorts(
            identify: { caller throws(Fault) in try await identifier.identify(caller) }, gate: Gate(DaemonAuthority(mirror, log: log, admin: admin)), log: log, models: source,
            logKey: { () throws(Fault) in try await logKey(registry) })
        let routes = ServeRoutes(ports, house: house)
        return DaemonPlan(
            doors: [
                .init(ServeRoutes.appDoor, mode: context.isPackaged ? 0o660 : 0o600, faultBody: { OpenAIError.body($0, $1) }, routes: routes.app),
                .init(ServeRoutes.operatorDoor, routes: routes.operators),
            ],
            services: [
                ServeLoop("entities") { await mirror.run() },
                ServeLoop("models") { await house.follow() },
            ],
            facts: { await routes.facts },
            status: {
                let state = await house.state
                return state.name.map { "answers with \($0)@\(state.version ?? 0)" } ?? "no model: \(state.reason ?? "none was asked for yet")"
            },
            stopping: { await house.drain(within: drain) })
    }

    private static func noted(_ path: String) -> String? {
        guard let bytes = try? File(path, .read).readAll(limit: .kib(1)), !bytes.isEmpty else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func logKey(_ registry: RegistryClient) async throws(Fault) -> NoteKey {
        guard let text = try await registry.status().logKey else {
            throw Fault(.environment, "registry.uninitialised", "the registry has no log key yet", why: "the appliance was not set up", remedy: "`forge init` sets it up")
        }
        return try NoteKey(parsing: text)
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
}

/// A task that runs until it is stopped.
private final class ServeLoop: Service {
    let name: String
    private let body: @Sendable () async -> Void
    private let (stream, continuation) = AsyncStream.makeStream(of: Never.self)

    init(_ name: String, _ body: @escaping @Sendable () async -> Void) {
        self.name = name
        self.body = body
    }

    func run() async throws {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [body] in await body() }
            group.addTask { [stream] in for await _ in stream {} }
            await group.next()
            group.cancelAll()
        }
    }

    func stop() async { continuation.finish() }
}
