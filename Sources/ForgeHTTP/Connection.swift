import ForgeCore
import ForgeOS
import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// One client: its credentials, taken once when it connected, and its requests, one after the other.
final class Connection: Sendable {
    private let server: HTTPServer
    private let peer: PeerCredentials
    private let channel: any Channel
    private let watch: ConnectionWatch
    private let drain = DrainSignal()
    private let state = Mutex(State())

    private struct State {
        var value: HTTP1Channel.Value?
        var work: Task<Void, Never>?
        var gone = false
    }

    private init(_ server: HTTPServer, _ peer: PeerCredentials, _ channel: any Channel, _ watch: ConnectionWatch) {
        self.server = server
        self.peer = peer
        self.channel = channel
        self.watch = watch
    }

    /// Sets up a channel on a connected socket. A peer whose credentials the kernel does not tell is not served.
    static func make(_ arrival: Acceptor.Arrival, for server: HTTPServer) async throws -> Connection {
        let peer = try arrival.peer
        return try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelOption(.maxMessagesPerRead, value: 4)
            .withConnectedSocket(arrival.take()) { channel in
                let watch = ConnectionWatch(headTime: server.limits.headTime, stallTime: server.limits.stallTime)
                let connection = Connection(server, peer, channel, watch)
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(WatchHandler(watch))
                }.flatMap {
                    connection.http().setup(channel: channel, logger: server.logger)
                }.map { value in
                    connection.state.withLock { $0.value = value }
                    return connection
                }
            }
    }

    private func http() -> HTTP1Channel {
        var decoder = HTTP1Channel.Configuration.DecoderConfiguration()
        decoder.maxHeaderFieldSize = server.limits.headerBytes
        decoder.maxHeaderListSize = server.limits.headerBytes
        decoder.maxHeaderFieldCount = server.limits.headerCount
        let idle = TimeAmount(server.limits.idleTime)
        // `self` is held by the channel's setup only for as long as the channel lives.
        return HTTP1Channel(
            responder: { request, writer, _ in try await self.respond(to: request, writer) },
            configuration: .init(idleTimeout: idle, httpDecoderConfiguration: decoder))
    }

    /// Serves until the connection ends. The requests run in a task of their own because a client that hangs up must cancel it
    /// from outside: the kernel reports a full close (EPOLLHUP) at once, while a half-close leaves the client able to read.
    func run() async {
        guard let value = state.withLock({ state in
            defer { state.value = nil }
            return state.value
        }) else { return }
        let http = http()
        let work = Task { await http.handle(value: value, logger: server.logger) }
        let gone = state.withLock { state in
            state.work = work
            return state.gone
        }
        channel.closeFuture.whenComplete { _ in
            self.state.withLock { $0.gone = true }
            work.cancel()
        }
        if gone { work.cancel() }
        await withTaskCancellationHandler {
            await work.value
        } onCancel: {
            self.abort()
        }
        state.withLock { $0.work = nil }
    }

    /// Finishes the request in progress or on its way, then closes.
    func quiesce() {
        drain.raise()
        // On the event loop, where bytes arrive: what was read by now is known, and is a request to answer.
        channel.eventLoop.execute { self.settle() }
    }

    /// Closes a connection that waits for a request, now that none should come. A client that has connected a moment ago is about to
    /// send one, so it gets a little time; one that was answered before knows that an idle connection may end.
    private func settle() {
        switch watch.phase {
        case .fresh:
            channel.eventLoop.scheduleTask(in: TimeAmount(server.limits.drainHeadTime)) { if self.watch.phase == .fresh { self.channel.close(promise: nil) } }
        case .idle: channel.close(promise: nil)
        case .head, .answer: break  // the answer closes; `headTime` and the end of the drain bound it
        }
    }

    /// Gives up the request in progress and closes.
    func abort() {
        let work = state.withLock { state in
            state.gone = true
            return state.work
        }
        work?.cancel()
        channel.close(promise: nil)
    }

    @concurrent private func respond(to request: Request, _ writer: consuming ResponseWriter) async throws {
        watch.headArrived()
        defer {
            watch.requestDone()
            // A drain that began after the last look at it, below, took this connection for a busy one.
            if drain.isRaised { channel.eventLoop.execute { self.settle() } }
        }
        let begun = ContinuousClock.now
        let id = ID()
        var headers = Headers()
        for field in request.headers { headers.add(field.name.rawName, field.value) }
        let target = request.head.path ?? ""
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let head = HTTPServer.RequestHead(
            method: request.head.method.rawValue, path: parts.first.map(String.init) ?? "", query: parts.count > 1 ? String(parts[1]) : nil, headers: headers)
        let source = BodySource(request)
        let announced = headers["content-length"].flatMap(Int.init)
        let wantsContinue = headers["expect"]?.lowercased() == "100-continue"
        let holder = StreamHolder()

        // The body is opened only when a route wants it; a `100 Continue` then tells a waiting client to send.
        if wantsContinue, case .found(let route, _) = server.router.match(Method(rawValue: head.method), head.path), fits(route.body, announced) {
            try await writer.writeInformationalHead(.init(status: .continue))
        }
        let (response, route) = await server.answer(head, id: id, caller: caller(headers), drain: drain) { mode throws(Fault) in
            let limit: ByteCount = switch mode { case .whole(let limit), .streaming(let limit): limit }
            if let announced, announced > limit.count { throw BodyStream.tooLarge(limit.count) }
            let stream = BodyStream(limit: limit, expected: announced) { () async throws(Fault) in try await source.next() }
            holder.stream.withLock { $0 = stream }
            return stream
        }

        // Unread body: a little is skipped, more costs the connection, so nobody makes us read for ever.
        let finished = holder.stream.withLock { $0?.isFinished ?? false } || (announced ?? 0) == 0 && headers["transfer-encoding"] == nil
        let closing = !finished || drain.isRaised || headers["connection"]?.lowercased() == "close"
        try await write(response, id, head.method, closing: closing, writer)
        log(head, route, response, id, begun)
        guard closing else { return }
        // Closing the writing side waits until everything is on its way; closing at once would drop it.
        try await channel.close(mode: .output).get()
        if !finished { try await skip(source) }
        throw Connection.Over()
    }

    private struct Over: Error {}

    private func fits(_ mode: Route.BodyMode, _ announced: Int?) -> Bool {
        let limit: ByteCount = switch mode { case .whole(let limit), .streaming(let limit): limit }
        return (announced ?? 0) <= limit.count
    }

    private func caller(_ headers: Headers) -> Caller {
        var bearer: String?
        // Two of them could be read differently by two readers, so neither counts.
        if headers.all("authorization").count == 1, let value = headers["authorization"], value.count > 7, value.prefix(7).lowercased() == "bearer " {
            bearer = String(value.dropFirst(7))
        }
        return Caller(peer, bearer: bearer, door: server.door)
    }

    @concurrent private func write(_ response: HTTPResponse, _ id: ID, _ method: String, closing: Bool, _ writer: consuming ResponseWriter) async throws {
        var fields = HTTPFields()
        for field in response.headers.fields {
            guard let name = HTTPField.Name(field.name) else { continue }
            fields.append(HTTPField(name: name, value: field.value))
        }
        fields[HTTPField.Name("x-request-id")!] = id.description  // a valid name
        fields[HTTPField.Name("x-content-type-options")!] = "nosniff"
        if fields[.cacheControl] == nil { fields[.cacheControl] = "no-store" }
        if closing { fields[.connection] = "close" }
        let status = HTTPTypes.HTTPResponse.Status(code: response.status)
        switch response.body {
        case .bytes(let bytes):
            if response.status != 204, response.status != 304 { fields[.contentLength] = String(bytes.count) }
            let head = HTTPTypes.HTTPResponse(status: status, headerFields: fields)
            if method == "HEAD" || bytes.isEmpty {
                try await writer.writeResponse(head)
            } else {
                try await writer.write(response: head, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
            }
        case .stream(let body):
            let head = HTTPTypes.HTTPResponse(status: status, headerFields: fields)
            if method == "HEAD" { return try await writer.writeResponse(head) }
            let out = OpenEnd(try await writer.writeHead(head))
            let server = server
            do {
                try await body(BodyWriter(faultText: { server.faultBody($0, id).text }) { bytes in try await out.write(ByteBuffer(bytes: bytes)) })
            } catch {
                // Breaking off without the last chunk is how HTTP/1.1 says "incomplete".
                let fault = HTTPServer.fault(error)
                if !Task.isCancelled {
                    server.logger.warning("a streamed response broke off", metadata: ["request": "\(id)", "why": "\(fault)", "place": "\(fault.place)"])
                }
                throw error
            }
            try await out.finish()
        }
    }

    /// Reads on for a moment, so that a client that is still sending gets to read the refusal instead of a reset.
    private func skip(_ source: BodySource) async throws {
        let timer = channel.eventLoop.scheduleTask(in: .seconds(2)) { self.channel.close(promise: nil) }
        defer { timer.cancel() }
        var left = 8 << 20
        while left > 0, let piece = try await source.next() { left -= piece.count }
    }

    private func log(_ head: HTTPServer.RequestHead, _ route: Route?, _ response: HTTPResponse, _ id: ID, _ begun: ContinuousClock.Instant) {
        let level: Logger.Level = response.status >= 500 ? .warning : .debug
        guard server.logger.logLevel <= level else { return }
        // The pattern, not the path: names of models are no secret, but a path is whatever a stranger typed.
        var metadata: Logger.Metadata = ["request": "\(id)", "uid": "\(peer.uid)", "door": "\(server.door)", "took": "\(ContinuousClock.now - begun)"]
        if let fault = response.fault {
            metadata["code"] = "\(fault.code)"
            // `detail` is for the log alone; a client's own mistakes are named by their code, for their words may be the client's.
            if response.status >= 500 { metadata["why"] = "\(fault)" }
            if response.status >= 500 { metadata["place"] = "\(fault.place)" }
        }
        server.logger.log(level: level, "\(printable(head.method)) \(route?.pattern ?? printable(head.path)) \(response.status)", metadata: metadata)
    }
}

/// Hummingbird's writer behind an opaque type.
private final class OpenEnd: @unchecked Sendable {
    // SAFETY: the hidden type is Sendable (`RootResponseBodyWriter`), and one task writes.
    private var out: any ResponseBodyWriter
    init(_ out: any ResponseBodyWriter) { self.out = out }

    @concurrent func write(_ buffer: ByteBuffer) async throws { try await out.write(buffer) }
    @concurrent func finish() async throws { try await out.finish(nil) }
}

private final class StreamHolder: Sendable {
    let stream = Mutex<BodyStream?>(nil)
}

/// The pieces of a request's body as bytes.
private final class BodySource: Sendable {
    private struct Iterator: @unchecked Sendable {
        // SAFETY: taken out of the mutex for the length of one `next`, so it is used by one task at a time.
        var inner: RequestBody.AsyncIterator
    }
    private let iterator: Mutex<Iterator?>

    init(_ request: Request) { iterator = Mutex(Iterator(inner: request.body.makeAsyncIterator())) }

    func next() async throws(Fault) -> [UInt8]? {
        let taken = iterator.withLock { state in
            defer { state = nil }
            return state
        }
        guard var current = taken else { preconditionFailure("a body has one reader at a time") }
        defer { iterator.withLock { [current] in $0 = current } }
        do { return try await current.inner.next().map { Array($0.readableBytesView) } } catch is CancellationError {
            throw Fault(.environment, "http.cancelled", "cannot read the body", why: "the request was given up", retryable: true)
        } catch {
            throw Fault(.request, "http.body_broken", "cannot read the body", why: "it broke off or is malformed", retryable: true, detail: "\(error)")
        }
    }
}
