import ForgeCore
import ForgeOS
import Glibc
import Testing

@Suite struct SocketTests {
    @Test func `descriptors travel with their message and refer to the same file`() throws {
        let scratch = try Scratch()
        try Durable.create(scratch["a"], with: Array("hello".utf8))
        let (left, right) = try UnixSocket.pair()
        defer { UnixSocket.close(left); UnixSocket.close(right) }
        let file = try File(scratch["a"], .read)
        try UnixSocket.sendFDs(left, Array("take".utf8), descriptors: [file.descriptor, file.descriptor])
        let (bytes, fds) = try UnixSocket.receiveFDs(right, count: 64, max: 4)
        #expect(text(bytes) == "take")
        #expect(fds.count == 2)
        #expect(fcntl(fds[0], F_GETFD) == FD_CLOEXEC)
        #expect(text(try File(adopting: fds[0], path: "received").readAll(limit: 16)) == "hello")
        UnixSocket.close(fds[1])
    }

    @Test func `more descriptors than expected are refused and none leaks`() throws {
        let (left, right) = try UnixSocket.pair()
        defer { UnixSocket.close(left); UnixSocket.close(right) }
        let before = try Path.list("/proc/self/fd").count
        try UnixSocket.sendFDs(left, [1], descriptors: [left, left, left])
        let fault = #expect(throws: Fault.self) { _ = try UnixSocket.receiveFDs(right, count: 8, max: 2) }
        #expect(fault?.code == "os.emsgsize")
        // Other tests run beside this one; a leak would show every time, so a generous bound is enough.
        #expect(try Path.list("/proc/self/fd").count <= before + 2)
    }

    @Test func `sealed memory cannot be written, grown or unsealed, and is mapped only when sealed`() throws {
        let memory = try Memfd("weights", size: 8)
        try memory.fill([1, 2, 3, 4], at: 4)
        #expect(throws: Fault.self) { try memory.fill([1], at: 8) }
        let unsealed = #expect(throws: Fault.self) { _ = try memory.map() }
        #expect(unsealed?.code == "os.memfd_unsealed")
        try memory.seal()
        let refused = #expect(throws: Fault.self) { try memory.fill([9], at: 0) }
        #expect(refused?.code == "os.eperm")
        #expect(ftruncate(memory.descriptor, 16) == -1)
        let map = try memory.map()
        #expect(bytes(map, 0..<8) == [0, 0, 0, 0, 1, 2, 3, 4])
    }

    @Test func `sealed memory crosses a socket`() throws {
        let (left, right) = try UnixSocket.pair()
        defer { UnixSocket.close(left); UnixSocket.close(right) }
        do {
            let memory = try Memfd("weights", size: 1 << 20)
            try memory.fill([UInt8](repeating: 7, count: 1 << 20), at: 0)
            try memory.seal()
            try UnixSocket.sendFDs(left, [0], descriptors: [memory.descriptor])
        }
        let (_, fds) = try UnixSocket.receiveFDs(right, count: 1, max: 1)
        let received = Memfd(adopting: try #require(fds.first), name: "weights")
        let isSealed = received.isSealed
        #expect(isSealed)
        let map = try received.map()
        #expect(map.count == 1 << 20)
        #expect(bytes(map, 1 << 19..<1 << 19 + 1) == [7])
    }

    @Test func `the peer is who the kernel says`() throws {
        let (left, right) = try UnixSocket.pair()
        defer { UnixSocket.close(left); UnixSocket.close(right) }
        let peer = try PeerCredentials(ofSocket: left)
        #expect(peer == PeerCredentials(uid: getuid(), gid: getgid(), pid: UInt32(getpid())))
    }

    @Test func `a socket file has its mode, answers, and is taken over only when its owner is dead`() throws {
        let scratch = try Scratch()
        let path = scratch["s.sock"]
        let first = try UnixSocket.listen(path, mode: 0o660)
        #expect(try Path.information(path)?.mode == 0o660)
        UnixSocket.close(try UnixSocket.connectBlocking(path))
        let used = #expect(throws: Fault.self) { _ = try UnixSocket.listen(path) }
        #expect(used?.code == "os.in_use")
        UnixSocket.close(first)
        let dead = #expect(throws: Fault.self) { _ = try UnixSocket.connectBlocking(path) }
        #expect(dead?.code == "os.econnrefused")
        UnixSocket.close(try UnixSocket.listen(path))
        try Durable.create(scratch["file"], with: [1])
        #expect(throws: Fault.self) { _ = try UnixSocket.listen(scratch["file"]) }
        #expect(try Path.information(scratch["file"])?.size == 1)
    }

    @Test func `a full queue is waited for without holding a thread, and says that somebody listens`() async throws {
        let scratch = try Scratch()
        let path = scratch["s.sock"]
        let listener = try UnixSocket.listen(path, backlog: 0)
        defer { UnixSocket.close(listener) }
        try UnixSocket.setBlocking(listener, true)
        var queued: [Int32] = []
        defer { for descriptor in queued { UnixSocket.close(descriptor) } }
        while let descriptor = try UnixSocket.connectNow(path) { queued.append(descriptor) }
        #expect(!queued.isEmpty)
        let used = #expect(throws: Fault.self) { _ = try UnixSocket.listen(path) }
        #expect(used?.code == "os.in_use")
        let impatient = await #expect(throws: Fault.self) { _ = try await UnixSocket.connect(path, patience: .milliseconds(20)) }
        #expect(impatient?.code == "os.eagain")
        // More waiters than the shared pool has threads: the one that makes room would never run if they held theirs.
        try await withThrowingTaskGroup(of: Int32.self) { group in
            for _ in 0..<64 { group.addTask { try await UnixSocket.connect(path, patience: .seconds(20)) } }
            let count = queued.count + 64
            OSThread.start("accept") { for _ in 0..<count { if let descriptor = try? UnixSocket.accept(listener) { UnixSocket.close(descriptor) } } }
            for try await descriptor in group { UnixSocket.close(descriptor) }
        }
    }

    @Test func `a path longer than a socket address still works`() throws {
        let scratch = try Scratch()
        let deep = scratch[String(repeating: "long/", count: 30)]
        try Durable.makeDirectory(deep)
        let path = Path.join(deep, "s.sock")
        #expect(path.utf8.count > 107)
        let listener = try UnixSocket.listen(path)
        defer { UnixSocket.close(listener) }
        UnixSocket.close(try UnixSocket.connectBlocking(path))
    }

    @Test func `a blocking socket gives up after its timeout`() throws {
        let (left, right) = try UnixSocket.pair()
        defer { UnixSocket.close(left); UnixSocket.close(right) }
        try UnixSocket.setTimeout(left, .milliseconds(50))
        let fault = #expect(throws: Fault.self) { _ = try UnixSocket.receiveAll(left, limit: 10) }
        #expect(fault?.code == "os.eagain")
    }
}

private func bytes(_ map: SealedMapping, _ range: Range<Int>) -> [UInt8] {
    map.withSpan { span in range.map { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) } }
}
