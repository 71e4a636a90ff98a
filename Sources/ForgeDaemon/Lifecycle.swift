package import ForgeCore
import ForgeHTTP
import ForgeOS
import Glibc
import Logging
import Synchronization

/// Starts the services, opens the doors, says ready, and undoes all of it in reverse when asked or when a part fails.
package struct Lifecycle: Sendable {
    private let context: DaemonContext
    private let plan: DaemonPlan
    private let health: Health
    private let stopTime: Duration

    package init(_ context: DaemonContext, _ plan: DaemonPlan, stopTime: Duration? = nil) {
        self.context = context
        self.plan = plan
        self.health = Health(context.name, facts: plan.facts)
        self.stopTime = stopTime ?? Daemon.stopTime
    }

    private enum End: Sendable {
        case signal(Int32)
        case part(String, Fault?)
    }

    /// - Parameter signals: the first one begins the stop; later ones change nothing, for it has a deadline of its own.
    /// - Throws: the failure of the part that ended the daemon.
    package func run(until signals: AsyncStream<Int32>) async throws(Fault) {
        var servers: [(HTTPServer, Int32)] = []
        for door in plan.doors {
            let listener = try context.listener(door.door, mode: door.mode)
            let routes = health.routes(besides: door.routes) + door.routes
            let server =
                if let faultBody = door.faultBody {
                    HTTPServer(door: door.door, routes: routes, limits: door.limits, logger: context.logger, faultBody: faultBody)
                } else {
                    HTTPServer(door: door.door, routes: routes, limits: door.limits, logger: context.logger)
                }
            servers.append((server, listener))
        }
        let ends = AsyncStream.makeStream(of: End.self)
        let stopping = StopMark()
        let failure = await withTaskGroup(of: Void.self) { group in
            for service in plan.services {
                group.addTask { await part(service.name, ends.continuation, stopping) { try await service.run() } }
            }
            let accepting = Countdown(servers.count) { becomeReady() }
            for (server, listener) in servers {
                group.addTask {
                    await part("door \(server.door)", ends.continuation, stopping) { try await server.run(listener: listener) { accepting.count() } }
                }
            }
            group.addTask { for await number in signals { ends.continuation.yield(.signal(number)) } }
            group.addTask { await watchdog() }

            var iterator = ends.stream.makeAsyncIterator()
            let end = await iterator.next()
            stopping.set()
            let guardian = Task { await lastResort() }
            var failed: Fault?
            switch end {
            case .signal(let number): context.logger.info("stopping", metadata: ["signal": "\(number)"])
            case .part(let name, let fault):
                failed = fault ?? Fault(.environment, "daemon.ended", "`\(name)` ended by itself", why: "it should run as long as the daemon")
                context.logger.error("stopping because a part failed", metadata: ["part": "\(name)", "why": "\(failed.map { "\($0)" } ?? "")"])
            case nil: break
            }
            await stop(servers.map(\.0))
            group.cancelAll()
            await group.waitForAll()
            guardian.cancel()
            return failed
        }
        if let failure { throw failure }
    }

    private func becomeReady() {
        health.becomeReady()
        Task {
            // Only words; readiness itself was true before.
            let status = await plan.status()
            Notify.ready(status)
            context.logger.info("ready", metadata: ["status": "\(status)"])
        }
    }

    private func part(
        _ name: String, _ ends: AsyncStream<End>.Continuation, _ stopping: StopMark, _ body: () async throws -> Void
    ) async {
        var fault: Fault?
        do { try await body() } catch { fault = Daemon.fault(error, while: "running `\(name)`") }
        if !stopping.isSet { ends.yield(.part(name, fault)) }
    }

    /// The doors first, so that no request meets a stopped service; then the services, last started first.
    private func stop(_ servers: [HTTPServer]) async {
        health.becomeStopping()
        Notify.stopping()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await plan.stopping() }
            for server in servers { group.addTask { await server.drain(within: min(Daemon.drainTime, stopTime / 2)) } }
        }
        for service in plan.services.reversed() {
            await service.stop()
            context.logger.debug("stopped a part", metadata: ["part": "\(service.name)"])
        }
    }

    /// A stop that does not come to an end is ended here; the state on disk is whole at every moment, so this loses no more than a power cut.
    private func lastResort() async {
        guard (try? await Task.sleep(for: stopTime)) != nil else { return }
        context.logger.critical("the stop took too long, leaving", metadata: ["limit": "\(stopTime)"])
        _exit(70)
    }

    /// Fed by the work itself: each sign of life follows an answer of the part that works.
    private func watchdog() async {
        guard let interval = Notify.watchdogInterval else { return }
        while !Task.isCancelled {
            if await plan.isAlive() {
                Notify.watchdog()
                Notify.status(await plan.status())
            } else {
                context.logger.error("the working part does not answer; no sign of life is sent")
            }
            guard (try? await Task.sleep(for: interval / 3)) != nil else { return }
        }
    }
}

private final class StopMark: Sendable {
    private let state = Mutex(false)
    func set() { state.withLock { $0 = true } }
    var isSet: Bool { state.withLock { $0 } }
}

/// Runs its action when everybody has been counted.
private final class Countdown: Sendable {
    private let left: Mutex<Int>
    private let action: @Sendable () -> Void

    init(_ count: Int, _ action: @escaping @Sendable () -> Void) {
        left = Mutex(count)
        self.action = action
        if count == 0 { action() }
    }

    func count() {
        let done = left.withLock { left in
            left -= 1
            return left == 0
        }
        if done { action() }
    }
}
