import ForgeCore
import ForgeHTTP
import ForgeOS
import Logging
import Synchronization
import Testing

/// A server on a socket in a scratch directory, drained and removed afterwards.
func withServer<R>(
    _ routes: [Route], limits: HTTPServer.Limits = .init(), logger: Logger = quiet, _ body: (HTTPServer, String) async throws -> R
) async throws -> R {
    let directory = Path.join(Environment["TMPDIR"] ?? "/tmp", "forge-http-\(String(describing: ID()).prefix(12))")
    try Durable.makeDirectory(directory)
    defer { try? Path.removeTree(directory) }
    let path = Path.join(directory, "test.sock")
    let server = HTTPServer(door: "test", routes: routes, limits: limits, logger: logger)
    let listener = try UnixSocket.listen(path)
    let running = Task { try await server.run(listener: listener) }
    let result: Result<R, any Error>
    do { result = .success(try await body(server, path)) } catch { result = .failure(error) }
    await server.drain(within: .milliseconds(100))
    try await running.value
    return try result.get()
}

let quiet: Logger = {
    var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    logger.logLevel = .critical
    return logger
}()

func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

/// A client that says exactly the bytes it is told to, on a thread of its own.
struct RawClient: Sendable {
    let descriptor: Int32

    init(_ path: String) throws {
        descriptor = try UnixSocket.connectBlocking(path)
        try UnixSocket.setBlocking(descriptor, true)
        try UnixSocket.setTimeout(descriptor, .seconds(10))
    }

    func say(_ text: String) throws { try UnixSocket.sendAll(descriptor, Array(text.utf8)) }

    /// Everything until the server closes.
    func rest() async throws -> String { try await onThread { text(try UnixSocket.receiveAll(descriptor, limit: 64 << 20)) } }

    /// At least `count` bytes.
    func some(_ count: Int = 1) async throws -> String {
        try await onThread {
            var out: [UInt8] = []
            while out.count < count {
                let (bytes, _) = try UnixSocket.receiveFDs(descriptor, count: 65_536, max: 0)
                if bytes.isEmpty { break }
                out += bytes
            }
            return text(out)
        }
    }

    /// Until the text holds `end`.
    func until(_ end: String) async throws -> String {
        var out = ""
        while !out.contains(end) {
            let more = try await some()
            if more.isEmpty { break }
            out += more
        }
        return out
    }

    func close() { UnixSocket.close(descriptor) }
}

/// Blocking work off the shared pool.
func onThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
        OSThread.start("test") { continuation.resume(with: Result { try body() }) }
    }
}

/// A condition that must come true within ten seconds; polling is bounded, so a failure is a failure and never a hang.
func eventually(_ condition: @Sendable () -> Bool) async -> Bool {
    for _ in 0..<1000 {
        if condition() { return true }
        try? await Task.sleep(for: .milliseconds(10))
    }
    return false
}

final class Flag: Sendable {
    private let state = Mutex(0)
    func raise() { state.withLock { $0 += 1 } }
    var count: Int { state.withLock { $0 } }
}
