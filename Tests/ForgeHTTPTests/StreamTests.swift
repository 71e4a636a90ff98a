import ForgeCore
import ForgeHTTP
import ForgeOS
import Synchronization
import Testing

@Suite struct StreamTests {
    @Test func `events arrive one by one, while the handler is still at work`() async throws {
        let (steps, step) = AsyncStream.makeStream(of: Int.self)
        let route = Route(.get, "/events") { _ in
            .sse { writer in
                for await number in steps { try await writer.send(SSEEvent(data: "\(number)\nof many", event: "tick", id: "\(number)")) }
                try await writer.send(data: "[DONE]")
            }
        }
        try await withServer([route]) { _, path in
            let seen = Mutex<[SSEEvent]>([])
            step.yield(1)
            try await HTTPClient(socket: path).events(.get, "/events") { event in
                let count = seen.withLock { events in
                    events.append(event)
                    return events.count
                }
                // The next event is only made once this one was seen, so nothing waits in a buffer.
                if count < 3 { step.yield(count + 1) } else { step.finish() }
                return true
            }
            let events = seen.withLock { $0 }
            #expect(events.map(\.data) == ["1\nof many", "2\nof many", "3\nof many", "[DONE]"])
            #expect(events.first?.event == "tick")
            #expect(events.first?.id == "1")
        }
    }

    @Test func `a handler is cancelled when its client hangs up, before and in the middle of the answer`() async throws {
        let begun = Flag(), cancelled = Flag(), ended = Flag()
        let routes = [
            Route(.get, "/unary", deadline: nil) { _ in
                begun.raise()
                do { try await Task.sleep(for: .seconds(60)) } catch {
                    cancelled.raise()
                    throw error
                }
                return .done
            },
            Route(.get, "/events") { _ in
                .sse { writer in
                    try await writer.send(data: "first")
                    // No write: only the kernel's word can end this.
                    do { try await Task.sleep(for: .seconds(60)) } catch {
                        ended.raise()
                        throw error
                    }
                }
            },
        ]
        try await withServer(routes) { _, path in
            let unary = try RawClient(path)
            try unary.say("GET /unary HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(await eventually { begun.count == 1 })
            unary.close()
            #expect(await eventually { cancelled.count == 1 })
            let events = try RawClient(path)
            try events.say("GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            _ = try await events.until("first")
            events.close()
            #expect(await eventually { ended.count == 1 })
        }
    }

    @Test func `a client that leaves the event loop early hangs up`() async throws {
        let ended = Flag()
        let route = Route(.get, "/events") { _ in
            .sse { writer in
                defer { ended.raise() }
                while true {
                    try await writer.send(data: "again")
                    try await Task.sleep(for: .milliseconds(5))
                }
            }
        }
        try await withServer([route]) { _, path in
            let seen = Flag()
            try await HTTPClient(socket: path).events(.get, "/events") { _ in
                seen.raise()
                return seen.count < 3
            }
            #expect(seen.count == 3)
            #expect(await eventually { ended.count == 1 })
        }
    }

    @Test func `a fault in mid-stream is an event and a whole ending, any other error a broken one`() async throws {
        let routes = [
            Route(.get, "/fault") { _ in
                .sse { writer in
                    try await writer.send(data: "first")
                    throw Fault(.environment, "registry.sealed", "the store is sealed")
                }
            },
            Route(.get, "/broken") { _ in
                .stream { writer in
                    try await writer.write("some")
                    throw Fault(.environment, "os.eio", "the disk failed")
                }
            },
        ]
        try await withServer(routes) { _, path in
            let seen = Mutex<[String]>([])
            try await HTTPClient(socket: path).events(.get, "/fault") { event in
                seen.withLock { $0.append(event.data) }
                return true
            }
            let events = seen.withLock { $0 }
            #expect(events.count == 2)
            #expect(events.last?.contains("registry.sealed") == true)
            let fault = await #expect(throws: Fault.self) { try await HTTPClient(socket: path).send(.get, "/broken") }
            #expect(fault?.code == "peer.lost")
        }
    }

    @Test func `a large stream arrives whole`() async throws {
        let route = Route(.get, "/big") { _ in
            .stream { writer in for i in 0..<256 { try await writer.write([UInt8](repeating: UInt8(i), count: 65_536)) } }
        }
        try await withServer([route]) { _, path in
            let body = try await HTTPClient(socket: path).send(.get, "/big").body
            #expect(body.count == 256 * 65_536)
            #expect((0..<256).allSatisfy { body[$0 * 65_536 + 65_535] == UInt8($0) })
        }
    }

    @Test func `a drain lets the request in progress finish, ends a long poll at once, and takes no new ones`() async throws {
        let entered = Flag(), gate = Semaphore()
        let routes = [
            Route(.get, "/work") { _ in
                entered.raise()
                try await onThread { gate.wait() }
                return .text("finished")
            },
            Route(.get, "/poll", deadline: nil, yieldsToDrain: true) { _ in
                entered.raise()
                try await Task.sleep(for: .seconds(60))
                return .done
            },
        ]
        try await withServer(routes) { server, path in
            defer { gate.post() }  // also when an expectation fails before the gate would be opened
            let idle = try RawClient(path)
            defer { idle.close() }
            let client = HTTPClient(socket: path)
            let work = Task { try await client.send(.get, "/work") }
            let poll = Task { try await client.raw(.get, "/poll") }
            #expect(await eventually { entered.count == 2 })
            let drain = Task { await server.drain(within: .seconds(20)) }
            #expect(try await poll.value.status == 503)
            #expect(try await idle.rest().isEmpty)
            #expect(server.isDraining)
            let late = await #expect(throws: Fault.self) { try await client.send(.get, "/work") }
            #expect(late?.code == "peer.not_running")
            gate.post()
            #expect(text(try await work.value.body) == "finished")
            await drain.value
        }
    }

    @Test func `a client that had connected before the drain is answered, one that says nothing is waited for only a moment`() async throws {
        try await withServer([Route(.get, "/ask") { _ in .text("answer") }]) { server, path in
            let spoken = try RawClient(path), fresh = try RawClient(path), silent = try RawClient(path)
            defer { for client in [spoken, fresh, silent] { client.close() } }
            try spoken.say("GET /ask HTTP/1.1\r\nHost: x\r\n\r\n")
            _ = try await spoken.until("answer")
            let begun = ContinuousClock.now
            let drain = Task { await server.drain(within: .seconds(20)) }
            #expect(try await spoken.rest().isEmpty)  // it waited for nothing, and knows that an idle connection may end
            try fresh.say("GET /ask HTTP/1.1\r\n")
            try fresh.say("Host: x\r\n\r\n")
            let answer = try await fresh.rest()
            #expect(answer.hasSuffix("answer") && answer.lowercased().contains("connection: close"), "\(answer)")
            #expect(try await silent.rest().isEmpty)
            await drain.value
            #expect(ContinuousClock.now - begun < .seconds(10))
        }
    }

    @Test func `who is still in the queue when a drain begins is answered`() async throws {
        let entered = Flag(), gate = Semaphore()
        let routes = [
            Route(.get, "/work") { _ in
                entered.raise()
                try await onThread { gate.wait() }
                return .text("finished")
            }
        ]
        var limits = HTTPServer.Limits()
        limits.connections = 1
        try await withServer(routes, limits: limits) { server, path in
            let first = try RawClient(path), queued = try (0..<3).map { _ in try RawClient(path) }
            defer { for client in [first] + queued { client.close() } }
            for client in [first] + queued { try client.say("GET /work HTTP/1.1\r\nHost: x\r\n\r\n") }
            #expect(await eventually { entered.count == 1 })
            let drain = Task { await server.drain(within: .seconds(20)) }
            #expect(await eventually { server.isDraining })
            for _ in 0..<4 { gate.post() }
            for client in [first] + queued { #expect(try await client.rest().hasSuffix("finished")) }
            await drain.value
        }
    }

    @Test(arguments: 0..<20) func `whoever got a connection gets an answer, in whichever instant the server stops`(round: Int) async throws {
        try await withServer([Route(.get, "/ask") { _ in .text("answer") }]) { server, path in
            let answers = try await withThrowingTaskGroup(of: Int?.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        try await onThread {
                            var answered = 0
                            while let client = try? RawClient(path) {  // until nobody listens
                                defer { client.close() }
                                try client.say("GET /ask HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                                guard text(try UnixSocket.receiveAll(client.descriptor, limit: 4096)).hasSuffix("answer") else { return nil }
                                answered += 1
                            }
                            return answered
                        }
                    }
                }
                try await Task.sleep(for: .milliseconds(5 + round))
                await server.drain(within: .seconds(10))
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(!answers.contains(nil), "a call was cut")
            #expect(answers.compactMap { $0 }.reduce(0, +) > 0)
        }
    }

    @Test func `what does not end within the drain is cancelled`() async throws {
        let cancelled = Flag(), entered = Flag()
        let route = Route(.get, "/stuck", deadline: nil) { _ in
            entered.raise()
            do { try await Task.sleep(for: .seconds(60)) } catch { cancelled.raise() }
            return .done
        }
        try await withServer([route]) { server, path in
            let call = Task { try await HTTPClient(socket: path).send(.get, "/stuck") }
            #expect(await eventually { entered.count == 1 })
            await server.drain(within: .milliseconds(100))
            #expect(await eventually { cancelled.count == 1 })
            _ = await call.result
        }
    }

    @Test(arguments: [1, 2, 3, 7, 1000]) func `events are the same however the bytes are cut`(size: Int) throws {
        let wire = Array(": hello\n\nevent: a\r\ndata: 1\r\ndata:2\r\n\r\nid: 9\rdata: x: y\r\rdata\n\ndata: last\n\nignored: z\n\ndata: unfinished".utf8)
        var parser = SSEParser(), events: [SSEEvent] = []
        for start in stride(from: 0, to: wire.count, by: size) { events += try parser.feed(Array(wire[start..<min(start + size, wire.count)])) }
        #expect(events == [SSEEvent(data: "1\n2", event: "a"), SSEEvent(data: "x: y", id: "9"), SSEEvent(data: "last", id: "9")])
        var endless = SSEParser(limit: 10)
        #expect(throws: Fault.self) { try endless.feed(Array("data: 1234567890".utf8)) }
    }
}

@Suite struct ClientTests {
    @Test func `a daemon that is not running is said plainly, with what to do`() async throws {
        let fault = await #expect(throws: Fault.self) { try await HTTPClient(socket: "/tmp/no-such-directory/admin.sock").send(.get, "/healthz") }
        #expect(fault?.code == "peer.not_running")
        #expect(fault?.kind == .environment)
        #expect(fault?.what == "cannot reach forge-admin")
        #expect(fault?.remedy.contains("forge up") == true)
    }

    @Test func `a daemon that does not answer is given up on`() async throws {
        let route = Route(.get, "/never", deadline: nil) { _ in
            try await Task.sleep(for: .seconds(60))
            return .done
        }
        try await withServer([route]) { _, path in
            var client = HTTPClient(socket: path)
            client.timeout = .milliseconds(100)
            let unary = await #expect(throws: Fault.self) { try await client.send(.get, "/never") }
            #expect(unary?.code == "peer.timeout")
            let streamed = await #expect(throws: Fault.self) { try await client.events(.get, "/never") { _ in true } }
            #expect(streamed?.code == "peer.timeout")
        }
    }

    @Test(arguments: ["HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "HTTP/1.1 200", "nonsense\r\n\r\n"])
    func `an answer that breaks off is a lost connection, never a short answer, and is not asked for again`(answer: String) async throws {
        try await withScript([answer, whole]) { client, _ in
            let fault = await #expect(throws: Fault.self) { try await client.send(.get, "/") }
            #expect(fault?.code == "peer.lost")
        }
    }

    @Test func `asking is done once more when the connection ended without a byte, and only once`() async throws {
        try await withScript(["", whole]) { client, calls in
            let reply = try await client.send(.get, "/")
            #expect(text(reply.body) == "whole")
            #expect(calls.count == 2)
        }
        try await withScript(["", "", whole]) { client, _ in
            let fault = await #expect(throws: Fault.self) { try await client.send(.get, "/") }
            #expect(fault?.code == "peer.lost")
        }
        try await withScript(["", whole]) { client, calls in
            let fault = await #expect(throws: Fault.self) { try await client.send(.post, "/", body: [1]) }
            #expect(fault?.code == "peer.lost")
            #expect(calls.count == 1)
        }
    }

    private let whole = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole"

    /// A daemon that reads a request and says the next of `answers`, connection after connection.
    private func withScript(_ answers: [String], _ body: (HTTPClient, Flag) async throws -> Void) async throws {
        let directory = Path.join(Environment["TMPDIR"] ?? "/tmp", "forge-client-\(String(describing: ID()).prefix(12))")
        try Durable.makeDirectory(directory)
        defer { try? Path.removeTree(directory) }
        let path = Path.join(directory, "s.sock"), calls = Flag()
        let listener = try UnixSocket.listen(path)
        try UnixSocket.setBlocking(listener, true)
        try UnixSocket.setTimeout(listener, .seconds(10))
        let server = Task {
            try await onThread {
                for answer in answers {
                    let client = try UnixSocket.accept(listener)
                    defer { UnixSocket.close(client) }
                    if try UnixSocket.receiveFDs(client, count: 4096, max: 0).bytes.isEmpty { return }  // the test is over
                    calls.raise()
                    try UnixSocket.sendAll(client, Array(answer.utf8))
                }
            }
        }
        try await body(HTTPClient(socket: path), calls)
        UnixSocket.close(try UnixSocket.connectBlocking(path))
        try await server.value
        UnixSocket.close(listener)
    }
}
