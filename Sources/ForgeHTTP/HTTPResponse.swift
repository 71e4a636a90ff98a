package import ForgeCore

/// What a handler answers.
package struct HTTPResponse: Sendable {
    package enum Body: Sendable {
        case bytes([UInt8])
        /// Written piece by piece after the head; the writer suspends while the client does not read. A throw breaks the connection
        /// off, so that the client sees that something is missing.
        case stream(@Sendable (BodyWriter) async throws -> Void)
    }

    package var status: Int
    package var headers: Headers
    package var body: Body
    /// What this refuses, for the server's log.
    var fault: Fault?

    package init(status: Int = 200, headers: Headers = .init(), body: Body = .bytes([])) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    package static func json(_ value: some Encodable, status: Int = 200) throws(Fault) -> HTTPResponse {
        HTTPResponse(status: status, headers: ["content-type": "application/json"], body: .bytes(try Wire.encode(value)))
    }

    package static func json(_ value: JSON, status: Int = 200) -> HTTPResponse {
        HTTPResponse(status: status, headers: ["content-type": "application/json"], body: .bytes(Array(value.text.utf8)))
    }

    package static func bytes(_ bytes: [UInt8], type: String = "application/octet-stream", status: Int = 200) -> HTTPResponse {
        HTTPResponse(status: status, headers: ["content-type": type], body: .bytes(bytes))
    }

    package static func text(_ text: String, type: String = "text/plain; charset=utf-8", status: Int = 200) -> HTTPResponse {
        .bytes(Array(text.utf8), type: type, status: status)
    }

    /// Done, and there is nothing to say.
    package static var done: HTTPResponse { HTTPResponse(status: 204) }

    package static func stream(
        type: String = "application/octet-stream", status: Int = 200, _ write: @escaping @Sendable (BodyWriter) async throws -> Void
    ) -> HTTPResponse {
        HTTPResponse(status: status, headers: ["content-type": type], body: .stream(write))
    }

    package static func stream<Pieces: AsyncSequence & Sendable>(
        type: String = "application/octet-stream", status: Int = 200, _ pieces: Pieces
    ) -> HTTPResponse where Pieces.Element == [UInt8] {
        stream(type: type, status: status) { writer in for try await piece in pieces { try await writer.write(piece) } }
    }

    /// Server-sent events. A `Fault` thrown by `write` becomes a last event with the server's error body, and a whole ending;
    /// the task is cancelled when the client has gone.
    package static func sse(_ write: @escaping @Sendable (SSEWriter) async throws -> Void) -> HTTPResponse {
        var response = stream(type: "text/event-stream") { writer in
            let events = SSEWriter(writer)
            do { try await write(events) } catch let fault as Fault {
                try await events.send(data: writer.faultText(fault))
            }
        }
        response.headers["cache-control"] = "no-cache"
        return response
    }

    package static func sse<Events: AsyncSequence & Sendable>(_ events: Events) -> HTTPResponse where Events.Element == SSEEvent {
        sse { writer in for try await event in events { try await writer.send(event) } }
    }
}

/// The open end of a streamed response.
package final class BodyWriter {
    private let send: ([UInt8]) async throws -> Void
    /// The server's error body for a fault in mid-stream.
    let faultText: (Fault) -> String

    package init(faultText: @escaping (Fault) -> String = { $0.json(request: nil).text }, _ send: @escaping ([UInt8]) async throws -> Void) {
        self.send = send
        self.faultText = faultText
    }

    /// Suspends until the bytes are on their way or the client's slowness allows more.
    /// - Throws: when the client has gone.
    package func write(_ bytes: [UInt8]) async throws {
        try Task.checkCancellation()
        if !bytes.isEmpty { try await send(bytes) }
    }

    package func write(_ text: String) async throws { try await write(Array(text.utf8)) }
}
