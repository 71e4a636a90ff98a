import ForgeCore
import ForgeHTTP
import ForgeOS
import Logging

/// A route that does nothing, over the socket the daemons use: callers that keep their connection, and our own client, which makes a
/// new one for each call.
func httpRows(_ bench: Bench) async throws {
    var logger = Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() }
    logger.logLevel = .critical
    let server = HTTPServer(door: "bench", routes: [Route(.get, "/nothing") { _ in .text("ok") }], logger: logger)
    let path = bench.path("bench.sock")
    let listener = try UnixSocket.listen(path)
    let running = Task { try await server.run(listener: listener) }
    let client = HTTPClient(socket: path)
    for callers in [1, 16] {
        let kept = try await together(callers) { try await onThread { try keepAlive(path, calls: 20_000 / callers) } }
        bench.say("http.kept.\(callers)", "µs", samples: kept.samples)
        bench.say("http.kept.rate.\(callers)", "requests/s", value: Double(kept.samples.count) / kept.seconds)
        let fresh = try await together(callers) {
            var samples: [Double] = []
            for _ in 0..<(4_000 / callers) {
                let begun = Clock.monotonic
                _ = try await client.send(.get, "/nothing")
                samples.append(Double(Clock.monotonic - begun) / 1e3)
            }
            return samples
        }
        bench.say("http.client.\(callers)", "µs", samples: fresh.samples)
        bench.say("http.client.rate.\(callers)", "requests/s", value: Double(fresh.samples.count) / fresh.seconds)
    }
    await server.drain(within: .seconds(1))
    try await running.value
}

private func together(_ callers: Int, _ call: @escaping @Sendable () async throws -> [Double]) async throws -> (samples: [Double], seconds: Double) {
    let begun = Clock.monotonic
    let samples = try await withThrowingTaskGroup(of: [Double].self) { group in
        for _ in 0..<callers { group.addTask { try await call() } }
        return try await group.reduce(into: [Double]()) { $0 += $1 }
    }
    return (samples, Double(Clock.monotonic - begun) / 1e9)
}

private func onThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in OSThread.start("caller") { continuation.resume(with: Result { try body() }) } }
}

/// Microseconds of each call over one connection.
private func keepAlive(_ path: String, calls: Int) throws -> [Double] {
    let socket = try UnixSocket.connectBlocking(path)
    defer { UnixSocket.close(socket) }
    try UnixSocket.setBlocking(socket, true)
    let request = Array("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n".utf8)
    var samples: [Double] = []
    for _ in 0..<calls {
        let begun = Clock.monotonic
        try UnixSocket.sendAll(socket, request)
        var answer: [UInt8] = []
        // The answer's head and its two bytes; it comes in one piece or two.
        while !(answer.suffix(6) == [13, 10, 13, 10, 0x6f, 0x6b]) {
            let (bytes, _) = try UnixSocket.receiveFDs(socket, count: 4096, max: 0)
            guard !bytes.isEmpty else { throw Fault(.environment, "bench.http", "the server closed the connection") }
            answer += bytes
        }
        samples.append(Double(Clock.monotonic - begun) / 1e3)
    }
    return samples
}
