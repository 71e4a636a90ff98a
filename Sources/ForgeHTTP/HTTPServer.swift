package import ForgeCore
import ForgeOS
import HummingbirdCore
package import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// One door of one daemon: a listening Unix socket and the routes behind it.
///
///     let server = HTTPServer(door: "admin", routes: routes, logger: logger)
///     try await server.run(listener: UnixSocket.listen(path, mode: 0o660))   // until `drain` or cancellation
package final class HTTPServer: Sendable {
    package struct Limits: Sendable {
        /// Connections served at once; more wait in the socket's queue.
        package var connections = 512
        /// From a request's first byte to the end of its head.
        package var headTime: Duration = .seconds(10)
        /// A connection with no request, or with no byte of the body it announced.
        package var idleTime: Duration = .seconds(75)
        /// A client that reads nothing of what is sent to it.
        package var stallTime: Duration = .seconds(60)
        package var uriBytes = 8 << 10
        package var headerBytes = 64 << 10
        package var headerCount = 100
        package init() {}
    }

    package let door: Door
    package let router: Router
    let limits: Limits
    let logger: Logger
    /// How a fault looks to this door's clients; the OpenAI surface has its own.
    let faultBody: @Sendable (Fault, ID) -> JSON
    private let state = Mutex(State())

    private struct State {
        var listener: (any Channel)?
        var connections: [ObjectIdentifier: Connection] = [:]
        var draining = false
    }

    package init(
        door: Door, routes: [Route], limits: Limits = .init(), logger: Logger,
        faultBody: @escaping @Sendable (Fault, ID) -> JSON = { $0.json(request: $1) }
    ) {
        self.door = door
        self.router = Router(routes)
        self.limits = limits
        self.logger = logger
        self.faultBody = faultBody
    }

    package var isDraining: Bool { state.withLock { $0.draining } }

    /// Serves until `drain` has finished or the task is cancelled. Takes over `listener`, a bound and listening stream socket.
    /// - Parameter ready: called once connections are accepted.
    package func run(listener: Int32, ready: @Sendable () -> Void = {}) async throws(Fault) {
        let slots = Slots(limits.connections)
        let accepting: NIOAsyncChannel<Connection, Never>
        do {
            try UnixSocket.setBlocking(listener, false)
            accepting = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .childChannelOption(.allowRemoteHalfClosure, value: true)
                .childChannelOption(.maxMessagesPerRead, value: 4)
                .bind(listener) { channel in Connection.make(channel, for: self) }
        } catch let fault as Fault {
            throw fault
        } catch {
            throw Fault(.environment, "http.listen", "cannot serve the door `\(door)`", why: "the listening socket cannot be used", detail: "\(error)")
        }
        let stop = state.withLock { state in
            state.listener = accepting.channel
            return state.draining
        }
        if stop { accepting.channel.close(promise: nil) }
        ready()
        do {
            try await withThrowingDiscardingTaskGroup { group in
                try await accepting.executeThenClose { inbound in
                    for try await connection in inbound {
                        await slots.take()
                        group.addTask {
                            await self.serve(connection)
                            slots.give()
                        }
                    }
                }
                // Drained connections end by themselves; `drain` closes those that do not.
            }
        } catch is CancellationError {
        } catch {
            throw Fault(.environment, "http.accept", "the door `\(door)` stopped accepting", why: "the listening socket failed", retryable: true, detail: "\(error)")
        }
    }

    private func serve(_ connection: Connection) async {
        let key = ObjectIdentifier(connection)
        let draining = state.withLock { state in
            state.connections[key] = connection
            return state.draining
        }
        if draining { connection.quiesce() }
        await connection.run()
        _ = state.withLock { $0.connections.removeValue(forKey: key) }
    }

    /// Accepts nothing more, lets the requests in progress finish, and after `grace` cancels what is left. `run` then returns.
    package func drain(within grace: Duration) async {
        let (listener, connections) = state.withLock { state in
            state.draining = true
            return (state.listener, Array(state.connections.values))
        }
        listener?.close(promise: nil)
        for connection in connections { connection.quiesce() }
        let end = ContinuousClock.now + grace
        while ContinuousClock.now < end, state.withLock({ !$0.connections.isEmpty }) {
            // Waiting for clients; twenty looks a second cost nothing at the end of a life.
            guard (try? await Task.sleep(for: .milliseconds(50))) != nil else { break }
        }
        for connection in state.withLock({ Array($0.connections.values) }) { connection.abort() }
    }

    /// Runs the handler of whatever matches, and never throws: every failure becomes a response.
    func answer(
        _ head: RequestHead, id: ID, caller: Caller, drain: DrainSignal,
        body: @Sendable (BodyMode) throws(Fault) -> BodyStream
    ) async -> (HTTPResponse, Route?) {
        do throws(Fault) {
            guard head.path.utf8.count <= limits.uriBytes else {
                throw Fault(.request, "http.uri_too_long", "cannot read the request", why: "its address is longer than \(limits.uriBytes) bytes")
            }
            switch router.match(Method(rawValue: head.method), head.path) {
            case .nothing:
                throw Fault(
                    .request, "http.not_found", "there is nothing at `\(printable(head.path))`", why: "the door `\(door)` has no such path")
            case .otherMethod(let methods):
                let fault = Fault(
                    .request, "http.method", "cannot `\(printable(head.method))` `\(printable(head.path))`",
                    why: "it answers to " + methods.map { "`\($0.rawValue)`" }.joined(separator: ", "))
                var response = refusal(fault, id)
                response.headers["allow"] = methods.map(\.rawValue).joined(separator: ", ")
                return (response, nil)
            case .found(let route, let parameters):
                let query = try HTTPServer.query(head.query)
                let stream = try body(route.body)
                do {
                    return (try await run(route, head, id, caller, parameters, query, stream, drain), route)
                } catch {
                    return (refusal(HTTPServer.fault(error), id), route)
                }
            }
        } catch {
            return (refusal(error, id), nil)
        }
    }

    typealias BodyMode = Route.BodyMode

    struct RequestHead: Sendable {
        var method: String
        var path: String
        var query: String?
        var headers: Headers
    }

    private func run(
        _ route: Route, _ head: RequestHead, _ id: ID, _ caller: Caller, _ parameters: [String: String], _ query: [String: String], _ stream: BodyStream,
        _ drain: DrainSignal
    ) async throws -> HTTPResponse {
        @Sendable func handle() async throws -> HTTPResponse {
            var whole: [UInt8] = []
            if case .whole = route.body { whole = try await stream.collect() }
            let request = HTTPRequest(
                id: id, caller: caller, method: Method(rawValue: head.method) ?? .get, path: head.path, pattern: route.pattern, parameters: parameters, query: query,
                headers: head.headers, body: whole, stream: stream)
            return try await route.handler(request)
        }
        if route.yieldsToDrain {
            // A task of its own, so that a drain can end the handler and its refusal can still be written.
            let task = Task { try await handle() }
            drain.onDrain { task.cancel() }
            defer { drain.onDrain(nil) }
            return try await withTaskCancellationHandler { try await task.value } onCancel: { task.cancel() }
        }
        guard let deadline = route.deadline else { return try await handle() }
        return try await withThrowingTaskGroup(of: HTTPResponse.self) { group in
            group.addTask { try await handle() }
            group.addTask {
                try await Task.sleep(for: deadline)
                throw Fault(
                    .environment, "http.deadline", "no answer from `\(route.method.rawValue) \(route.pattern)`", why: "it took longer than \(deadline)",
                    remedy: "try again; if it happens again, look at the daemon's log", retryable: true)
            }
            defer { group.cancelAll() }
            guard let first = try await group.next() else { preconditionFailure("two tasks were added") }
            return first
        }
    }

    func refusal(_ fault: Fault, _ id: ID) -> HTTPResponse {
        var response = HTTPResponse.json(faultBody(fault, id), status: fault.httpStatus)
        response.fault = fault
        if fault.retryable { response.headers["retry-after"] = "1" }
        if fault.kind == .unauthenticated { response.headers["www-authenticate"] = "Bearer" }
        return response
    }

    /// What a handler threw, as a fault. An error that is none of ours shows its text to the log only.
    static func fault(_ error: any Error) -> Fault {
        switch error {
        case let fault as Fault: fault
        case is CancellationError: Fault(.environment, "http.cancelled", "the request was given up", why: "the daemon is stopping, or the client has gone", retryable: true)
        default:
            Fault(
                .environment, "http.internal", "the request failed inside the daemon", why: "the daemon's log says more",
                remedy: "report it with the request's id", detail: "\(type(of: error)): \(error)")
        }
    }

    /// Names and values of a query. A name twice is refused: two readers could choose differently.
    static func query(_ text: String?) throws(Fault) -> [String: String] {
        guard let text, !text.isEmpty else { return [:] }
        var out: [String: String] = [:]
        for pair in text.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = Percent.decode(parts[0], plus: true), let value = parts.count > 1 ? Percent.decode(parts[1], plus: true) : "" else {
                throw Fault(.request, "http.query", "cannot read the query", why: "its percent-encoding is broken")
            }
            guard out.updateValue(value, forKey: name) == nil else {
                throw Fault(.request, "http.query", "cannot read the query", why: "`\(printable(name))` stands there twice")
            }
        }
        return out
    }
}

/// Tells the request in progress on one connection that the server is draining.
final class DrainSignal: Sendable {
    private let state = Mutex<(raised: Bool, action: (@Sendable () -> Void)?)>((false, nil))

    /// Run when the drain begins, or at once when it has begun.
    func onDrain(_ action: (@Sendable () -> Void)?) {
        let raised = state.withLock { state in
            state.action = action
            return state.raised
        }
        if raised { action?() }
    }

    func raise() {
        let action = state.withLock { state in
            state.raised = true
            return state.action
        }
        action?()
    }

    var isRaised: Bool { state.withLock { $0.raised } }
}

/// A stranger's text, fit for a message: short, and without control characters.
func printable(_ text: some StringProtocol) -> String {
    let short = text.unicodeScalars.prefix(120).map { $0.value < 0x20 || $0.value == 0x7f || $0 == "`" ? "\u{fffd}" : $0 }
    var out = ""
    out.unicodeScalars.append(contentsOf: short)
    return out.utf8.count < text.utf8.count && short.count == 120 ? out + "…" : out
}

/// Places for connections; one that is not free is waited for.
final class Slots: Sendable {
    private struct State {
        var free: Int
        var waiting: CheckedContinuation<Void, Never>?
    }
    private let state: Mutex<State>
    init(_ count: Int) { state = Mutex(State(free: count)) }

    /// Called by one task, the one that accepts.
    func take() async {
        await withCheckedContinuation { continuation in
            let now = state.withLock { state in
                if state.free > 0 {
                    state.free -= 1
                    return true
                }
                state.waiting = continuation
                return false
            }
            if now { continuation.resume() }
        }
    }

    func give() {
        let next = state.withLock { state in
            guard let next = state.waiting else {
                state.free += 1
                return nil as CheckedContinuation<Void, Never>?
            }
            state.waiting = nil
            return next
        }
        next?.resume()
    }
}
