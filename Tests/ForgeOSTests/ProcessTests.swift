import ForgeCore
import ForgeOS
import Glibc
import Testing

enum ThisThread {
    static func pause() { usleep(1_000) }
}

@Suite struct ProcessTests {
    /// Runs a shell script whose standard output is a socket we read.
    private func output(of script: String, _ change: (inout ChildProcess.Request) -> Void = { _ in }) async throws -> (String, ChildProcess.Exit) {
        let (ours, theirs) = try UnixSocket.pair()
        defer { UnixSocket.close(ours) }
        var request = ChildProcess.Request("/bin/sh", ["-c", script], environment: ["PATH": "/usr/bin:/bin"], descriptors: [1: theirs])
        change(&request)
        let child: ChildProcess
        do {
            child = try ChildProcess(request)
        } catch {
            UnixSocket.close(theirs)
            throw error
        }
        UnixSocket.close(theirs)
        let bytes = try UnixSocket.receiveAll(ours, limit: 1 << 20)
        return (text(bytes), await child.wait())
    }

    @Test func `a child has its arguments, its environment and only the descriptors it was given`() async throws {
        let leak = unsafe open("/dev/null", O_RDONLY)  // deliberately not close-on-exec
        defer { close(leak) }
        let (listing, exit) = try await output(of: "echo $A; ls /proc/self/fd | tr '\\n' ' '; exit 7") { $0.environment["A"] = "b c" }
        // ls opens one more, the directory it lists.
        #expect(listing == "b c\n0 1 2 3 ")
        #expect(exit == .code(7))
    }

    @Test func `descriptors arrive under the numbers asked for, also when they cross`() async throws {
        let scratch = try Scratch()
        try Durable.create(scratch["a"], with: Array("A".utf8))
        try Durable.create(scratch["b"], with: Array("B".utf8))
        let a = try File(scratch["a"], .read), b = try File(scratch["b"], .read)
        let (fa, fb) = (a.descriptor, b.descriptor)
        let (read, _) = try await output(of: "cat /proc/self/fd/\(fb) /proc/self/fd/\(fa) /proc/self/fd/9") {
            $0.descriptors[fb] = fa
            $0.descriptors[fa] = fb
            $0.descriptors[9] = fa
        }
        _ = a.descriptor + b.descriptor
        #expect(read == "ABA")
    }

    @Test func `a missing or unrunnable program is a fault at once`() throws {
        let missing = #expect(throws: Fault.self) { _ = try ChildProcess(.init("/no/such/program")) }
        #expect(missing?.message == "cannot start `/no/such/program`: it does not exist")
        let directory = #expect(throws: Fault.self) { _ = try ChildProcess(.init("/tmp")) }
        #expect(directory?.code == "os.eacces")
    }

    @Test func `a stubborn child is asked, then killed`() async throws {
        let (ours, theirs) = try UnixSocket.pair()
        defer { UnixSocket.close(ours) }
        let script = "trap '' TERM; echo deaf; exec >&-; while :; do sleep 0.05; done"
        let child = try ChildProcess(.init("/bin/sh", ["-c", script], environment: ["PATH": "/usr/bin:/bin"], descriptors: [1: theirs]))
        UnixSocket.close(theirs)
        // Until it says so, the signal would still end it.
        #expect(text(try UnixSocket.receiveAll(ours, limit: 1 << 10)) == "deaf\n")
        #expect(await child.stop(grace: .milliseconds(200)) == .signal(SIGKILL))
        child.signal(SIGTERM)  // harmless afterwards
        #expect(await child.wait() == .signal(SIGKILL))
    }

    @Test func `a child ends with the process that made it, not with the thread`() async throws {
        // The sleeper is started from a thread that ends at once; it must still run when that thread is long gone.
        let started = Semaphore()
        let box = Box<ChildProcess>()
        OSThread.start("brief") {
            var request = ChildProcess.Request("/bin/sleep", ["30"])
            request.parentDeathSignal = SIGKILL
            unsafe box.value = try? ChildProcess(request)
            started.post()
        }
        started.wait()
        let made = unsafe box.value
        let child = try #require(made)
        func hasThread() throws -> Bool {
            try Path.list("/proc/self/task").contains { (try? File("/proc/self/task/\($0)/comm", .read).readAll(limit: .kib(1))).map { text($0) } == "brief\n" }
        }
        // The kernel sends the signal when the thread goes; one that was sent would show at the child before the wait below ends.
        let end = ContinuousClock.now + .seconds(10)
        while try hasThread(), ContinuousClock.now < end { ThisThread.pause() }
        #expect(try !hasThread())
        let stat = text(try File("/proc/\(child.pid)/stat", .read).readAll(limit: .kib(4)))
        #expect(stat.contains(") S ") || stat.contains(") R "), "\(stat)")
        #expect(child.exit == nil)
        #expect(await child.stop(grace: .seconds(5)) == .signal(SIGTERM))
    }

    @Test(.enabled(if: geteuid() == 0)) func `a child can be another user for good`() async throws {
        let (said, exit) = try await output(of: "id -u; id -g; id -G; cat /etc/shadow >/dev/null 2>&1 && echo readable") { $0.user = (65_534, 65_534) }
        #expect(said == "65534\n65534\n65534\n")
        #expect(exit == .code(1))
    }

    @Test func `many children at once are each waited for`() async throws {
        let exits = try await withThrowingTaskGroup(of: ChildProcess.Exit.self) { group in
            for i in 0..<32 { group.addTask { try await ChildProcess(.init("/bin/sh", ["-c", "exit \(i)"])).wait() } }
            return try await group.reduce(into: Set<ChildProcess.Exit>()) { $0.insert($1) }
        }
        #expect(exits == Set((0..<32).map { .code($0) }))
    }

    @Test func `signals are events for each who asked`() async throws {
        let events = try Signals.events(SIGUSR1, SIGUSR2)
        let others = try Signals.events(SIGUSR2)
        kill(getpid(), SIGUSR1)
        kill(getpid(), SIGUSR2)
        var iterator = events.makeAsyncIterator(), other = others.makeAsyncIterator()
        let got = await [iterator.next(), iterator.next()]
        #expect(Set(got) == [SIGUSR1, SIGUSR2])
        #expect(await other.next() == SIGUSR2)
    }

    @Test func `an actor with its own thread runs there and in order`() async {
        let ledger = Ledger()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<100 { group.addTask { await ledger.add() } }
        }
        #expect(await ledger.count == 100)
        #expect(await ledger.threads == ["ledger\n"])
    }

    @Test func `readiness without a service manager does nothing`() {
        Notify.ready("listening")
        Notify.status("a\nb")
        Notify.watchdog()
        #expect(ListenFDs.named("http") == nil)
    }

    @Test func `what is no terminal says so`() throws {
        let file = try File("/dev/null", .read)
        #expect(!Terminal.isTTY(file.descriptor))
        #expect(Terminal.width(file.descriptor) == nil)
    }
}

private actor Ledger {
    private let thread = ThreadExecutor("ledger")
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }
    private(set) var count = 0
    private(set) var threads: Set<String> = []

    func add() {
        count += 1
        threads.insert(text((try? File("/proc/thread-self/comm", .read).readAll(limit: 64)) ?? []))
    }
}

/// One value handed between threads that the test itself keeps in order.
private final class Box<T: Sendable>: Sendable {
    // SAFETY: written before the semaphore is posted, read after it was waited for.
    nonisolated(unsafe) var value: T?
}
