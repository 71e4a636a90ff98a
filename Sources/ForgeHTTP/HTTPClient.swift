package import ForgeCore
import ForgeOS
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Calls one daemon over its Unix socket. A connection a call: connecting costs microseconds here, and a restarted daemon is
/// never met through a dead connection.
package struct HTTPClient: Sendable {
    package let socket: String
    /// As people know the daemon, for messages.
    package let peer: String
    /// Sent as `Authorization: Bearer`. A secret.
    package var bearer: String?
    package var timeout: Duration

    package init(socket: String, bearer: String? = nil, peer: String? = nil, timeout: Duration = .seconds(30)) {
        self.socket = socket
        self.bearer = bearer
        self.peer = peer ?? HTTPClient.daemon(Path.name(socket))
        self.timeout = timeout
    }

    private static func daemon(_ file: String) -> String {
        switch file {
        case "admin.sock": "forge-admin"
        case "registry.sock": "forge-registry"
        case "trainer.sock": "forged"
        case "serve.sock", "serve-operator.sock": "forge-serve"
        default: file
        }
    }

    package struct Reply: Sendable {
        package let status: Int
        package let headers: Headers
        package let body: [UInt8]
    }

    /// `/v1/models/` and so on from segments, each percent-encoded.
    package static func path(_ segments: String...) -> String { "/" + segments.map(Percent.encode).joined(separator: "/") }

    /// One call with a whole body. Statuses from 400 up are thrown as the fault they carry.
    package func send(
        _ method: Method, _ path: String, query: [(String, String)] = [], headers: Headers = .init(), body: [UInt8] = [],
        limit: ByteCount = .mib(64), timeout: Duration? = nil
    ) async throws(Fault) -> Reply {
        let reply = try await raw(method, path, query: query, headers: headers, body: .bytes(body), limit: limit, timeout: timeout)
        guard reply.status < 400 else { throw Fault(status: reply.status, body: reply.body, from: peer) }
        return reply
    }

    /// JSON in, JSON out.
    package func call<Answer: Decodable>(
        _ method: Method, _ path: String, query: [(String, String)] = [], body: some Encodable, returning: Answer.Type = Answer.self, timeout: Duration? = nil
    ) async throws(Fault) -> Answer {
        let reply = try await send(method, path, query: query, headers: ["content-type": "application/json"], body: Wire.encode(body), timeout: timeout)
        return try decode(reply)
    }

    package func get<Answer: Decodable>(
        _ path: String, query: [(String, String)] = [], returning: Answer.Type = Answer.self, timeout: Duration? = nil
    ) async throws(Fault) -> Answer {
        try decode(await send(.get, path, query: query, timeout: timeout))
    }

    /// A call without a body whose answer is a message.
    package func call<Answer: Decodable>(
        _ method: Method, _ path: String, query: [(String, String)] = [], returning: Answer.Type = Answer.self, timeout: Duration? = nil
    ) async throws(Fault) -> Answer {
        try decode(await send(method, path, query: query, timeout: timeout))
    }

    private func decode<Answer: Decodable>(_ reply: Reply) throws(Fault) -> Answer {
        do throws(Fault) { return try Wire.decode(from: reply.body, "the answer of \(peer)") } catch {
            var fault = error
            fault.kind = .environment  // a peer's nonsense is not the caller's mistake
            throw fault
        }
    }

    /// Sends a body piece by piece, without a total timeout.
    package func upload<Pieces: AsyncSequence & Sendable>(
        _ method: Method, _ path: String, query: [(String, String)] = [], headers: Headers = .init(), pieces: Pieces, limit: ByteCount = .mib(64)
    ) async throws(Fault) -> Reply where Pieces.Element == [UInt8] {
        try await upload(method, path, query: query, headers: headers, limit: limit) { write in for try await piece in pieces { try await write(piece) } }
    }

    /// The same with the pieces as `produce` writes them. What it throws ends the call.
    package func upload(
        _ method: Method, _ path: String, query: [(String, String)] = [], headers: Headers = .init(), limit: ByteCount = .mib(64),
        produce: @escaping @Sendable (_ write: @Sendable ([UInt8]) async throws -> Void) async throws -> Void
    ) async throws(Fault) -> Reply {
        let reply = try await raw(method, path, query: query, headers: headers, body: .pieces(produce), limit: limit, timeout: .seconds(1 << 30))
        guard reply.status < 400 else { throw Fault(status: reply.status, body: reply.body, from: peer) }
        return reply
    }

    /// Reads a response piece by piece while `use` runs; the connection ends with it. `timeout` covers the wait for the head.
    package func stream<Result: Sendable>(
        _ method: Method, _ path: String, query: [(String, String)] = [], headers: Headers = .init(), body: [UInt8] = [], timeout: Duration? = nil,
        use: @Sendable (Int, Headers, BodyStream) async throws -> Result
    ) async throws(Fault) -> Result {
        try await exchange(method, path, query, headers, .bytes(body), headTimeout: timeout ?? self.timeout) { status, headers, stream in
            if status >= 400 { throw Fault(status: status, body: try await stream.collect(), from: peer) }
            return try await use(status, headers, stream)
        }
    }

    /// Server-sent events, each handed to `use` until it returns false or the stream ends.
    package func events(
        _ method: Method, _ path: String, query: [(String, String)] = [], headers: Headers = .init(), body: [UInt8] = [], timeout: Duration? = nil,
        use: @Sendable (SSEEvent) async throws -> Bool
    ) async throws(Fault) {
        try await stream(method, path, query: query, headers: headers, body: body, timeout: timeout) { _, _, stream in
            var parser = SSEParser()
            for try await piece in stream {
                for event in try parser.feed(piece) where try await !use(event) { return }
            }
        }
    }

    /// Any status is an answer here.
    package func raw(
        _ method: Method, _ path: String, query: [(String, String)] = [], headers: Headers = .init(), body: Outgoing = .bytes([]),
        limit: ByteCount = .mib(64), timeout: Duration? = nil
    ) async throws(Fault) -> Reply {
        let patience = timeout ?? self.timeout
        return try await HTTPClient.within(patience, peer) { () async throws(Fault) in
            try await exchange(method, path, query, headers, body, headTimeout: nil) { status, headers, stream in
                var bytes: [UInt8] = []
                for try await piece in stream {
                    bytes += piece
                    guard bytes.count <= limit.count else { throw BodyStream.tooLarge(limit.count) }
                }
                return Reply(status: status, headers: headers, body: bytes)
            }
        }
    }

    package enum Outgoing: Sendable {
        case bytes([UInt8])
        case pieces(@Sendable (_ write: @Sendable ([UInt8]) async throws -> Void) async throws -> Void)
    }

    private typealias Wrapped = NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>

    private func exchange<Result: Sendable>(
        _ method: Method, _ path: String, _ query: [(String, String)], _ headers: Headers, _ body: Outgoing, headTimeout: Duration?,
        use: @Sendable (Int, Headers, BodyStream) async throws -> Result
    ) async throws(Fault) -> Result {
        let request = head(method, path, query, headers, body)
        // A daemon that stops may close a connection it has just taken. Asking again changes nothing where nothing was answered and the
        // method only asks, so that is done once; a call that changes something is the caller's to repeat.
        if method == .get || method == .head {
            let first = FirstByte()
            do throws(Fault) { return try await exchange(request, body, headTimeout, first, use) } catch {
                guard error.code == "peer.lost", !first.hasCome, !Task.isCancelled else { throw error }
            }
        }
        return try await exchange(request, body, headTimeout, FirstByte(), use)
    }

    private func exchange<Result: Sendable>(
        _ request: HTTPRequestHead, _ body: Outgoing, _ headTimeout: Duration?, _ first: FirstByte,
        _ use: @Sendable (Int, Headers, BodyStream) async throws -> Result
    ) async throws(Fault) -> Result {
        let wrapped = try await connect(first), channel = wrapped.channel, sender = Sender()
        do {
            return try await wrapped.executeThenClose { inbound, outbound in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    // Writing runs beside reading: a daemon may refuse before it has read everything.
                    group.addTask {
                        do { try await HTTPClient.write(request, body, outbound) } catch {
                            // Without the rest of the body no answer will come, so the wait for it ends here.
                            sender.failed(error)
                            channel.close(promise: nil)
                        }
                    }
                    let source = ResponseSource(inbound.makeAsyncIterator(), peer)
                    let (status, fields) = try await HTTPClient.head(source, headTimeout, wrapped.channel, peer)
                    let stream = BodyStream(limit: ByteCount(Int64.max)) { () async throws(Fault) in try await source.next() }
                    let result = try await use(status, fields, stream)
                    group.cancelAll()
                    return result
                }
            }
        } catch let fault as Fault {
            throw sender.fault ?? fault
        } catch is CancellationError {
            throw Fault(.environment, "http.cancelled", "the call to \(peer) was given up", retryable: true)
        } catch {
            throw sender.fault ?? lost(error)
        }
    }

    private func lost(_ error: any Error) -> Fault {
        Fault(
            .environment, "peer.lost", "lost the connection to \(peer)", why: "it ended before the answer was complete",
            remedy: "try again; if it happens again, look at the daemon's log", retryable: true, detail: "\(error)")
    }

    private func connect(_ first: FirstByte) async throws(Fault) -> Wrapped {
        let descriptor: Int32
        do throws(Fault) { descriptor = try await UnixSocket.connect(socket) } catch {
            switch error.code {
            case "os.enoent", "os.econnrefused":
                throw Fault(
                    .environment, "peer.not_running", "cannot reach \(peer)", why: "nobody listens on `\(socket)`",
                    remedy: "start it: `systemctl start forge.target`, or `forge up --root DIR` for a directory of your own", retryable: true)
            case "os.eacces", "os.eperm":
                throw Fault(
                    .environment, "peer.forbidden", "cannot reach \(peer)", why: "this user may not open `\(socket)`",
                    remedy: "ask an administrator for the group that owns the socket")
            default: throw error
            }
        }
        do {
            return try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .channelOption(.allowRemoteHalfClosure, value: true)
                .withConnectedSocket(descriptor) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(FirstByteHandler(first))
                        try channel.pipeline.syncOperations.addHTTPClientHandlers()
                        return try Wrapped(wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
                    }
                }
        } catch {
            throw lost(error)
        }
    }

    private func head(_ method: Method, _ path: String, _ query: [(String, String)], _ headers: Headers, _ body: Outgoing) -> HTTPRequestHead {
        var target = path
        if !query.isEmpty { target += "?" + query.map { "\(Percent.encode($0.0))=\(Percent.encode($0.1))" }.joined(separator: "&") }
        var fields = HTTPHeaders([("host", "localhost"), ("connection", "close")])
        for field in headers.fields { fields.add(name: field.name, value: field.value) }
        if let bearer { fields.replaceOrAdd(name: "authorization", value: "Bearer \(bearer)") }
        switch body {
        case .bytes(let bytes):
            if !bytes.isEmpty || method == .post || method == .put { fields.replaceOrAdd(name: "content-length", value: String(bytes.count)) }
        case .pieces: if !fields.contains(name: "content-length") { fields.replaceOrAdd(name: "transfer-encoding", value: "chunked") }
        }
        return HTTPRequestHead(version: .http1_1, method: HTTPMethod(rawValue: method.rawValue), uri: target, headers: fields)
    }

    private static func write(_ head: HTTPRequestHead, _ body: Outgoing, _ outbound: NIOAsyncChannelOutboundWriter<HTTPClientRequestPart>) async throws {
        do {
            try await outbound.write(.head(head))
            switch body {
            case .bytes(let bytes): if !bytes.isEmpty { try await outbound.write(.body(.byteBuffer(ByteBuffer(bytes: bytes)))) }
            case .pieces(let produce): try await produce { piece in try await outbound.write(.body(.byteBuffer(ByteBuffer(bytes: piece)))) }
            }
            try await outbound.write(.end(nil))
        } catch is ChannelError {
            // The other side stopped reading; its answer, or its absence, says why.
        } catch is IOError {
        } catch is NIOAsyncWriterError {
        }
    }

    private static func head(
        _ source: ResponseSource, _ timeout: Duration?, _ channel: any Channel, _ peer: String
    ) async throws -> (Int, Headers) {
        let timer = timeout.map { timeout in channel.eventLoop.scheduleTask(in: TimeAmount(timeout)) { channel.close(promise: nil) } }
        let begun = ContinuousClock.now
        defer { timer?.cancel() }
        while let part = try await source.part() {
            guard case .head(let head) = part else { continue }
            if (100..<200).contains(head.status.code) { continue }
            var fields = Headers()
            for field in head.headers { fields.add(field.name, field.value) }
            return (Int(head.status.code), fields)
        }
        if let timeout, ContinuousClock.now - begun >= timeout { throw late(timeout, peer) }
        throw Fault(
            .environment, "peer.lost", "lost the connection to \(peer)", why: "it ended before an answer came",
            remedy: "try again; if it happens again, look at the daemon's log", retryable: true)
    }

    private static func late(_ duration: Duration, _ peer: String) -> Fault {
        Fault(.environment, "peer.timeout", "no answer from \(peer)", why: "it took longer than \(duration)", remedy: "try again", retryable: true)
    }

    private static func within<T: Sendable>(
        _ duration: Duration, _ peer: String, _ body: @Sendable () async throws(Fault) -> T
    ) async throws(Fault) -> T {
        do {
            return try await withoutActuallyEscaping(body) { body in
                try await withThrowingTaskGroup(of: T.self) { group in
                    group.addTask { try await body() }
                    group.addTask {
                        try await Task.sleep(for: duration)
                        throw late(duration, peer)
                    }
                    defer { group.cancelAll() }
                    guard let first = try await group.next() else { preconditionFailure("two tasks were added") }
                    return first
                }
            }
        } catch let fault as Fault {
            throw fault
        } catch {
            throw Fault(.environment, "http.cancelled", "the call to \(peer) was given up", retryable: true)
        }
    }
}

/// Why the rest of a body does not come.
private final class Sender: Sendable {
    private let state = Mutex<Fault?>(nil)
    var fault: Fault? { state.withLock { $0 } }
    func failed(_ error: any Error) { state.withLock { $0 = error as? Fault } }
}

/// Whether anything at all came back.
private final class FirstByte: Sendable {
    private let state = Mutex(false)
    var hasCome: Bool { state.withLock { $0 } }
    func come() { state.withLock { $0 = true } }
}

/// Sits at the socket's end of the pipeline, for a head that is cut short never gets past the decoder.
private final class FirstByteHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let first: FirstByte
    init(_ first: FirstByte) { self.first = first }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        first.come()
        context.fireChannelRead(data)
    }
}

/// The pieces of a response's body as bytes. The end must be seen: a connection that breaks off is not an end.
private final class ResponseSource: Sendable {
    private struct Iterator: @unchecked Sendable {
        // SAFETY: taken out of the mutex for the length of one `next`, so it is used by one task at a time.
        var inner: NIOAsyncChannelInboundStream<HTTPClientResponsePart>.AsyncIterator
    }
    private let iterator: Mutex<Iterator?>
    private let peer: String

    init(_ iterator: NIOAsyncChannelInboundStream<HTTPClientResponsePart>.AsyncIterator, _ peer: String) {
        self.iterator = Mutex(Iterator(inner: iterator))
        self.peer = peer
    }

    func part() async throws -> HTTPClientResponsePart? {
        let taken = iterator.withLock { state in
            defer { state = nil }
            return state
        }
        guard var current = taken else { preconditionFailure("a body has one reader at a time") }
        defer { iterator.withLock { [current] in $0 = current } }
        return try await current.inner.next()
    }

    func next() async throws(Fault) -> [UInt8]? {
        do {
            while let part = try await part() {
                switch part {
                case .body(let buffer): return Array(buffer.readableBytesView)
                case .end: return nil
                case .head: continue
                }
            }
        } catch {
            throw lost("\(error)")
        }
        throw lost("end of stream without an end of message")
    }

    private func lost(_ detail: String) -> Fault {
        Fault(
            .environment, "peer.lost", "lost the connection to \(peer)", why: "it ended before the answer was complete",
            remedy: "try again; if it happens again, look at the daemon's log", retryable: true, detail: detail)
    }
}
