import ForgeCore
import ForgeHTTP
import ForgeOS
import Glibc
import Testing

private struct Message: Codable, Equatable, Sendable {
    var name: String
    var count: Int
}

private let routes: [Route] = [
    Route(.get, "/") { _ in .text("root") },
    Route(.get, "/healthz") { _ in .text("ok") },
    Route(.get, "/v1/models/{name}/{version}") { r in .text("\(r.parameter("name")) \(r.parameter("version")) \(r.query["q"] ?? "-")") },
    Route(.post, "/v1/echo") { r in .bytes(r.body) },
    Route(.post, "/v1/small", body: .whole(16)) { r in .text("\(r.body.count)") },
    Route(.put, "/v1/count", body: .streaming(.mib(64)), deadline: nil) { r in
        var count = 0
        for try await piece in r.stream { count += piece.count }
        return .text("\(count)")
    },
    Route(.put, "/v1/ignore", body: .streaming(.mib(64)), deadline: nil) { _ in .text("ignored") },
    Route(.post, "/v1/message") { r in
        var message: Message = try r.decode()
        message.count += 1
        return try .json(message)
    },
    Route(.get, "/v1/who") { r in .text("\(r.caller.uid) \(r.caller.gid) \(r.caller.pid) \(r.caller.bearer ?? "-") \(r.caller.door)") },
    Route(.get, "/v1/refused") { _ in throw Fault(.denied, "policy.denied", "no", why: "policy `p`", remedy: "ask", record: 7, detail: "secret") },
    Route(.get, "/v1/broken") { _ in throw Odd() },
    Route(.get, "/v1/slow", deadline: .milliseconds(50)) { _ in
        try await Task.sleep(for: .seconds(30))
        return .done
    },
    Route(.delete, "/v1/gone") { _ in .done },
    Route(.get, "/v1/big") { _ in
        .stream { writer in for _ in 0..<256 { try await writer.write([UInt8](repeating: 120, count: 65_536)) } }
    },
]

private struct Odd: Error {}

@Suite struct ServerTests {
    @Test func `a path finds its route, its parameters and its query, decoded`() async throws {
        try await withServer(routes) { _, path in
            let client = HTTPClient(socket: path)
            #expect(text(try await client.send(.get, "/").body) == "root")
            #expect(text(try await client.send(.get, HTTPClient.path("v1", "models", "a/b c", "3"), query: [("q", "x&y=ü")]).body) == "a/b c 3 x&y=ü")
            for missing in ["/v1", "/v1/models/a", "/v1/models/a/b/c", "//", "/healthz/", "/v1/models/../3", "/v1/models/%zz/3", "/v1/models/%00/3"] {
                let reply = try await client.raw(.get, missing)
                #expect(reply.status == 404, "\(missing)")
                #expect(Fault(status: reply.status, body: reply.body, from: "t").code == "http.not_found")
            }
        }
    }

    @Test func `another method is named with the ones that work, and HEAD stands beside GET`() async throws {
        try await withServer(routes) { _, path in
            let client = HTTPClient(socket: path)
            let reply = try await client.raw(.post, "/healthz")
            #expect(reply.status == 405)
            #expect(reply.headers["allow"] == "GET, HEAD")
            let head = try await client.raw(.head, "/healthz")
            #expect(head.status == 200)
            #expect(head.headers["content-length"] == "2")
            #expect(head.body.isEmpty)
            #expect(try await client.raw(.delete, "/v1/gone").status == 204)
        }
    }

    @Test func `the caller is who the kernel says, with the bearer it sent`() async throws {
        try await withServer(routes) { _, path in
            let me = "\(getuid()) \(getgid()) \(getpid())"
            #expect(text(try await HTTPClient(socket: path).send(.get, "/v1/who").body) == "\(me) - test")
            #expect(text(try await HTTPClient(socket: path, bearer: "forge_ses_x").send(.get, "/v1/who").body) == "\(me) forge_ses_x test")
            // No header names a principal, and two bearers are none.
            let raw = try RawClient(path)
            defer { raw.close() }
            try raw.say("GET /v1/who HTTP/1.1\r\nHost: x\r\nX-Forwarded-User: root\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\nConnection: close\r\n\r\n")
            #expect(try await raw.rest().hasSuffix("\(me) - test"))
        }
    }

    @Test func `no description or dump of a caller shows the bearer`() {
        let caller = Caller(uid: 1, gid: 2, pid: 3, bearer: "forge_ses_secret", door: "admin")
        var dumped = ""
        dump(caller, to: &dumped)
        for shown in ["\(caller)", String(reflecting: caller), dumped] { #expect(!shown.contains("secret"), "\(shown)") }
    }

    @Test func `messages go there and back, and a wrong one is told which field`() async throws {
        try await withServer(routes) { _, path in
            let client = HTTPClient(socket: path)
            let answer: Message = try await client.call(.post, "/v1/message", body: Message(name: "a", count: 1))
            #expect(answer == Message(name: "a", count: 2))
            for (body, why) in [
                (#"{"name":"a"}"#, "`count` is missing"), (#"{"name":"a","count":"x"}"#, "`count` should be a whole number"),
                (#"{"name":"a","count":1,"count":2}"#, "it is not JSON we accept"), ("", "it is empty"), ("[", "it is not JSON we accept"),
            ] {
                let fault = await #expect(throws: Fault.self) { try await client.send(.post, "/v1/message", body: Array(body.utf8)) }
                #expect(fault?.kind == .request)
                #expect(fault?.why.hasPrefix(why) == true, "\(fault?.why ?? "")")
            }
        }
    }

    @Test func `a refusal crosses whole, but what is for the log stays at home`() async throws {
        try await withServer(routes) { _, path in
            let client = HTTPClient(socket: path)
            let reply = try await client.raw(.get, "/v1/refused")
            #expect(reply.status == 403)
            #expect(!text(reply.body).contains("secret"))
            let fault = Fault(status: reply.status, body: reply.body, from: "t")
            #expect((fault.kind, fault.code, fault.what, fault.why, fault.remedy, fault.record) == (.denied, "policy.denied", "no", "policy `p`", "ask", 7))
            let odd = try await client.raw(.get, "/v1/broken")
            #expect(odd.status == 503)
            #expect(!text(odd.body).contains("Odd"))
            #expect(ID(parsing: odd.headers["x-request-id"] ?? "") != nil)
        }
    }

    @Test func `a handler that takes too long is cancelled and answered for`() async throws {
        try await withServer(routes) { _, path in
            let reply = try await HTTPClient(socket: path).raw(.get, "/v1/slow")
            #expect(reply.status == 503)
            #expect(Fault(status: reply.status, body: reply.body, from: "t").code == "http.deadline")
            #expect(reply.headers["retry-after"] == "1")
        }
    }

    @Test func `a body over the limit is refused, announced or not, and the refusal can be read`() async throws {
        try await withServer(routes) { _, path in
            let client = HTTPClient(socket: path)
            #expect(text(try await client.send(.post, "/v1/small", body: [UInt8](repeating: 0, count: 16)).body) == "16")
            #expect(try await client.raw(.post, "/v1/small", body: .bytes([UInt8](repeating: 0, count: 17))).status == 413)
            #expect(try await client.raw(.post, "/v1/small", body: .bytes([UInt8](repeating: 0, count: 4 << 20))).status == 413)
            let chunked = try await client.raw(.post, "/v1/small", body: .pieces { write in for _ in 0..<64 { try await write([UInt8](repeating: 0, count: 65_536)) } })
            #expect(chunked.status == 413)
            // The server is unharmed.
            #expect(text(try await client.send(.get, "/healthz").body) == "ok")
        }
    }

    @Test func `a streamed body arrives whole, one that is ignored does no harm`() async throws {
        try await withServer(routes) { _, path in
            let client = HTTPClient(socket: path)
            let pieces = AsyncStream<[UInt8]> { continuation in
                for _ in 0..<100 { continuation.yield([UInt8](repeating: 1, count: 100_000)) }
                continuation.finish()
            }
            let counted = try await client.upload(.put, "/v1/count", pieces: pieces)
            #expect(text(counted.body) == "10000000")
            let ignored = try await client.raw(.put, "/v1/ignore", body: .bytes([UInt8](repeating: 1, count: 3 << 20)))
            #expect(text(ignored.body) == "ignored")
        }
    }

    @Test func `a body that breaks off is never taken for a whole one`() async throws {
        let whole = Flag(), broken = Flag()
        let route = Route(.put, "/v1/count", body: .streaming(.mib(1)), deadline: nil) { r in
            do { for try await _ in r.stream {} } catch {
                broken.raise()
                throw error
            }
            whole.raise()
            return .done
        }
        try await withServer([route]) { _, path in
            for head in ["Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "Content-Length: 100\r\n\r\nhello"] {
                for half in [false, true] {
                    let raw = try RawClient(path)
                    try raw.say("PUT /v1/count HTTP/1.1\r\nHost: x\r\n" + head)
                    if half { UnixSocket.shutDownWriting(raw.descriptor) }
                    if half { _ = try? await raw.rest() }
                    raw.close()
                }
            }
            #expect(await eventually { broken.count == 4 })
        }
        #expect(whole.count == 0)
        #expect(broken.count == 4)
    }

    @Test func `every byte on its own makes the same request, and many requests in one write make as many answers`() async throws {
        try await withServer(routes) { _, path in
            let request = "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
            let slow = try RawClient(path)
            defer { slow.close() }
            for byte in request.utf8 { try slow.say(String(UnicodeScalar(byte))) }
            #expect(try await slow.until("hello").contains("200 OK"))
            let many = try RawClient(path)
            defer { many.close() }
            try many.say(String(repeating: request, count: 49) + "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            let answers = try await many.rest()
            #expect(answers.components(separatedBy: "HTTP/1.1 200 OK").count == 51)
            #expect(answers.hasSuffix("ok"))
        }
    }

    @Test(arguments: [
        "GARBAGE\r\n\r\n", "\u{16}\u{03}\u{01}\u{02}\u{00}", "GET / HTTP/9.9\r\n\r\n", "GET /\r\nHost x\r\n\r\n", "POST /v1/echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/echo HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "POST /v1/echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "GET / HTTP/1.1\r\n" + String(repeating: "X-A: " + String(repeating: "b", count: 1000) + "\r\n", count: 200) + "\r\n",
        "GET / HTTP/1.1\r\n" + String(repeating: "A: b\r\n", count: 5000) + "\r\n",
        "GET /" + String(repeating: "a", count: 200_000) + " HTTP/1.1\r\n\r\n", "GET /" + String(repeating: "a", count: 9000) + " HTTP/1.1\r\nConnection: close\r\n\r\n",
    ])
    func `nonsense is refused or hung up on, and the server goes on`(nonsense: String) async throws {
        try await withServer(routes) { _, path in
            let raw = try RawClient(path)
            defer { raw.close() }
            try? raw.say(nonsense)
            UnixSocket.shutDownWriting(raw.descriptor)
            let answer = (try? await raw.rest()) ?? ""
            #expect(!answer.contains("200 OK"), "\(answer.prefix(200))")
            #expect(text(try await HTTPClient(socket: path).send(.get, "/healthz").body) == "ok")
        }
    }

    @Test func `a client that shuts its writing side still gets its answer`() async throws {
        let shut = Flag()
        let route = Route(.get, "/later") { _ in
            // Not before the end of the client's side is there to be read.
            #expect(await eventually { shut.count == 1 })
            return .text("later")
        }
        try await withServer([route]) { _, path in
            let raw = try RawClient(path)
            defer { raw.close() }
            try raw.say("GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
            UnixSocket.shutDownWriting(raw.descriptor)
            shut.raise()
            #expect(try await raw.rest().hasSuffix("later"))
        }
    }

    @Test func `a head that drips in is cut off, and so is a connection that says nothing`() async throws {
        var limits = HTTPServer.Limits()
        limits.headTime = .milliseconds(300)
        limits.idleTime = .milliseconds(600)
        try await withServer(routes, limits: limits) { _, path in
            let dripping = try RawClient(path), silent = try RawClient(path)
            defer { dripping.close(); silent.close() }
            try dripping.say("GET /healthz HTTP/1.1\r\nHost: ")
            // It would go on for as long as it is let.
            let drip = Task {
                while true {
                    try? dripping.say("a")
                    try await Task.sleep(for: .milliseconds(40))
                }
            }
            // A reset is as good as an end here.
            #expect(((try? await dripping.rest()) ?? "").isEmpty)
            #expect(((try? await silent.rest()) ?? "").isEmpty)
            drip.cancel()
            #expect(text(try await HTTPClient(socket: path).send(.get, "/healthz").body) == "ok")
        }
    }

    @Test func `a client that does not read is cut off, and its stream is cancelled`() async throws {
        let ended = Flag()
        let route = Route(.get, "/flood") { _ in
            .stream { writer in
                defer { ended.raise() }
                while true { try await writer.write([UInt8](repeating: 0, count: 65_536)) }
            }
        }
        var limits = HTTPServer.Limits()
        limits.stallTime = .milliseconds(300)
        try await withServer([route], limits: limits) { _, path in
            let raw = try RawClient(path)
            defer { raw.close() }
            try raw.say("GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(await eventually { ended.count == 1 })
        }
    }

    @Test func `a waiting client is told to go on, and one that announces too much is not`() async throws {
        try await withServer(routes) { _, path in
            let raw = try RawClient(path)
            defer { raw.close() }
            try raw.say("POST /v1/echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
            #expect(try await raw.until("\r\n\r\n").contains("100 Continue"))
            try raw.say("hello")
            #expect(try await raw.rest().hasSuffix("hello"))
            let greedy = try RawClient(path)
            defer { greedy.close() }
            try greedy.say("POST /v1/small HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 500\r\n\r\n")
            #expect(try await greedy.until("\r\n\r\n").contains("413"))
        }
    }

    @Test func `thousands of requests over a few connections and over many`() async throws {
        var limits = HTTPServer.Limits()
        limits.connections = 16  // fewer than the clients: the rest wait
        try await withServer(routes, limits: limits) { _, path in
            let good = try await withThrowingTaskGroup(of: Int.self) { group in
                for worker in 0..<32 {
                    group.addTask {
                        let client = HTTPClient(socket: path)
                        var good = 0
                        for i in 0..<64 {
                            let body = Array("\(worker) \(i)".utf8)
                            if try await client.send(.post, "/v1/echo", body: body).body == body { good += 1 }
                        }
                        return good
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(good == 2048)
            let raw = try RawClient(path)
            defer { raw.close() }
            let one = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
            let writer = Task { try await onThread { for _ in 0..<40 { try raw.say(String(repeating: one, count: 50)) }; try raw.say("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") } }
            let answers = try await raw.rest()
            try await writer.value
            #expect(answers.components(separatedBy: "200 OK").count == 2002)
        }
    }

    @Test func `routes can be walked, and the same one twice is a bug`() async {
        #expect(Router(routes).routes.map { "\($0.method.rawValue) \($0.pattern)" }.contains("GET /v1/models/{name}/{version}"))
        await #expect(processExitsWith: .failure) { _ = Router([Route(.get, "/a/{x}") { _ in .done }, Route(.get, "/a/{y}") { _ in .done }]) }
    }

    @Test func `a literal wins over a parameter, whatever the order`() {
        let router = Router([Route(.get, "/a/{x}") { _ in .done }, Route(.get, "/a/b") { _ in .done }, Route(.get, "/{x}/c") { _ in .done }])
        func pattern(_ path: String) -> String { if case .found(let route, _) = router.match(.get, path) { route.pattern } else { "-" } }
        #expect(pattern("/a/b") == "/a/b")
        #expect(pattern("/a/z") == "/a/{x}")
        #expect(pattern("/z/c") == "/{x}/c")
        // Where the literal branch has no answer, the parameter branch is tried.
        #expect(pattern("/a/c") == "/a/{x}")
    }
}

extension String {
    fileprivate func components(separatedBy separator: String) -> [Substring] { split(separator: separator, omittingEmptySubsequences: false) }
}
