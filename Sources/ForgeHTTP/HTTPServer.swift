package import ForgeCore
import ForgeOS
package import Logging
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
        /// How long a client that has connected and said nothing yet may still begin its first request once a drain has begun.
        package var drainHeadTime: Duration = .seconds(1)
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
        var acceptor: Acceptor?
        var connections: [ObjectIdentifier: Connection] = [:]
        var isRunning = false
        var draining = false
        /// The grace of the drain is over: who comes out of the queue only now is hung up on.
        var over = false
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
        let (arrivals, arrival) = AsyncThrowingStream.makeStream(of: Acceptor.Arrival.self)
        let acceptor: Acceptor
        do throws(Fault) {
            acceptor = try Acceptor(listener, places: limits.connections) { arrival.yield($0) } ended: { arrival.finish(throwing: $0) }
        } catch {
            throw Fault(.environment, "http.listen", "cannot serve the door `\(door)`", why: "the listening socket cannot be used", detail: error.description)
        }
        let stop = state.withLock { state in
            state.acceptor = acceptor
            state.isRunning = true
            return state.draining
        }
        defer { state.withLock { $0.isRunning = false } }
        if stop { acceptor.stop() }
        ready()
        do {
            try await withTaskCancellationHandler {
                try await withThrowingDiscardingTaskGroup { group in
                    for try await arrival in arrivals {
                        group.addTask {
                            await self.serve(arrival)
                            acceptor.leave()
                        }
                    }
                    // Drained connections end by themselves; `drain` closes those that do not.
                }
            } onCancel: {
                acceptor.stop()
            }
        } catch {
            throw Fault(.environment, "http.accept", "the door `\(door)` stopped accepting", why: "the listening socket failed", retryable: true, detail: "\(error)")
        }
    }

    private func serve(_ arrival: Acceptor.Arrival) async {
        // One that is gone already, or of whom the kernel says nothing, is not served.
        guard let connection = try? await Connection.make(arrival, for: self) else { return }
        let key = ObjectIdentifier(connection)
        let (draining, over) = state.withLock { state in
            state.connections[key] = connection
            return (state.draining, state.over)
        }
        if draining { connection.quiesce() }
        if over { connection.abort() }
        await connection.run()
        _ = state.withLock { $0.connections.removeValue(forKey: key) }
    }

    /// Takes no newcomers, lets those who are here or in the queue finish the request they have begun or are about to begin, and after
    /// `grace` cancels what is left. `run` then returns.
    package func drain(within grace: Duration) async {
        let (acceptor, connections) = state.withLock { state in
            state.draining = true
            return (state.acceptor, Array(state.connections.values))
        }
        acceptor?.stop()
        for connection in connections { connection.quiesce() }
        let end = ContinuousClock.now + grace
        while ContinuousClock.now < end, state.withLock({ $0.isRunning }) {
            // Waiting for clients; twenty looks a second cost nothing at the end of a life.
            guard (try? await Task.sleep(for: .milliseconds(50))) != nil else { break }
        }
        let left = state.withLock { state in
            state.over = true
            return Array(state.connections.values)
        }
        for connection in left { connection.abort() }
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
