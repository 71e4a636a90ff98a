import CForgeOS
package import ForgeCore
import Glibc

/// Who is at the other end of a Unix socket, as the kernel noted when the connection was made.
package struct PeerCredentials: Hashable, Sendable {
    package let uid: UInt32
    package let gid: UInt32
    /// 0 when the peer is outside this pid namespace. Evidence only: pids are reused.
    package let pid: UInt32

    package init(uid: UInt32, gid: UInt32, pid: UInt32) {
        self.uid = uid
        self.gid = gid
        self.pid = pid
    }

    package init(ofSocket descriptor: Int32) throws(Fault) {
        var peer = fos_credentials()
        try checked("ask who is calling on", "a socket") { unsafe fos_peer_credentials(descriptor, &peer) }
        self.init(uid: peer.uid, gid: peer.gid, pid: peer.pid)
    }
}

package enum UnixSocket {
    /// The most descriptors one message may carry.
    package static let descriptorsMax = Int(FOS_FDS_MAX)

    /// A listening stream socket at `path`, whose file has exactly `mode` from its first moment on (never wider).
    ///
    /// A socket that a dead process left there is replaced. One that still answers, and anything that is no socket, is left alone.
    /// - Throws: `os.in_use` when somebody listens there already.
    package static func listen(_ path: String, mode: UInt32 = 0o600, backlog: Int32 = 512) throws(Fault) -> Int32 {
        if let info = try Path.information(path) {
            guard info.kind == .socket else {
                throw Fault(
                    .environment, "os.not_a_socket", "cannot listen on `\(path)`", why: "something that is not a socket is there",
                    remedy: "move it away")
            }
            if answers(path) {
                throw Fault(
                    .environment, "os.in_use", "cannot listen on `\(path)`", why: "another process answers there",
                    remedy: "stop it first, or use another directory")
            }
            try checked("remove the old socket", path) { unsafe unlink(path) }
        }
        let fd = try checked("make a socket for", path) { fos_socket_stream() }
        do throws(Fault) {
            // The kernel gives the new file the socket's own mode, so it is narrow before it can be seen; chmod widens past the umask.
            try checked("set the mode of", path) { fchmod(fd, mode) }
            try withShortPath(path) { (short) throws(Fault) in try checked("listen on", path) { unsafe fos_bind(fd, short) } }
            try checked("set the mode of", path) { unsafe chmod(path, mode) }
            try checked("listen on", path) { Glibc.listen(fd, backlog) }
        } catch {
            close(fd)
            throw error
        }
        return fd
    }

    /// Whether a process listens there; a full queue is one's too.
    private static func answers(_ path: String) -> Bool {
        do throws(Fault) {
            if let fd = try connectNow(path) { close(fd) }
            return true
        } catch {
            return false
        }
    }

    /// A connected, non-blocking stream socket, or nil while the listener's queue is full (the kernel offers nothing to wait for then).
    package static func connectNow(_ path: String) throws(Fault) -> Int32? {
        let fd = try checked("make a socket for", path) { fos_socket_stream() }
        var isConnected = false
        do throws(Fault) {
            try withShortPath(path) { (short) throws(Fault) in
                while unsafe fos_connect(fd, short) != 0 {
                    let code = errno
                    if code == EINTR { continue }
                    if code == EAGAIN { return }
                    throw OSError.fault("connect to", path, errno: code)
                }
                isConnected = true
            }
        } catch {
            close(fd)
            throw error
        }
        if isConnected { return fd }
        close(fd)
        return nil
    }

    /// A connected, non-blocking stream socket. Waits only while the listener's queue is full, at most `patience`, and holds no thread.
    /// - Throws: `os.eagain` when the queue stayed full, `os.cancelled` when the task was.
    package static func connect(_ path: String, patience: Duration = .seconds(5)) async throws(Fault) -> Int32 {
        let end = ContinuousClock.now + patience
        while true {
            if let fd = try connectNow(path) { return fd }
            guard ContinuousClock.now < end else { throw OSError.fault("connect to", path, errno: EAGAIN) }
            do { try await Task.sleep(for: .milliseconds(2)) } catch {
                throw Fault(.environment, "os.cancelled", "the connection to `\(path)` was given up", retryable: true)
            }
        }
    }

    /// The same for a thread that may wait; never on the shared pool.
    package static func connectBlocking(_ path: String, patience: Duration = .seconds(5)) throws(Fault) -> Int32 {
        let end = ContinuousClock.now + patience
        while true {
            if let fd = try connectNow(path) { return fd }
            guard ContinuousClock.now < end else { throw OSError.fault("connect to", path, errno: EAGAIN) }
            usleep(2_000)
        }
    }

    /// The next connection on a blocking listener, itself blocking.
    package static func accept(_ listener: Int32) throws(Fault) -> Int32 {
        try checked("accept on", "a socket") { fos_accept(listener) }
    }

    /// Two connected blocking sockets.
    package static func pair() throws(Fault) -> (Int32, Int32) {
        var ends: [Int32] = [-1, -1]
        try checked("make", "a socket pair") { unsafe fos_socket_pair(&ends) }
        return (ends[0], ends[1])
    }

    /// Sends one message with descriptors. They stay open here.
    /// - Precondition: `bytes` is not empty, and `descriptors` are at most `descriptorsMax`.
    package static func sendFDs(_ socket: Int32, _ bytes: [UInt8], descriptors: [Int32]) throws(Fault) {
        precondition(!bytes.isEmpty && descriptors.count <= descriptorsMax, "a message with descriptors has bytes, and not too many descriptors")
        let sent = try checked("send descriptors over", "a socket") {
            unsafe fos_send_fds(socket, bytes, bytes.count, descriptors, descriptors.count)
        }
        if sent < bytes.count { try sendAll(socket, Array(bytes[sent...])) }
    }

    /// Receives what one `recvmsg` gives: up to `count` bytes (none at the end of the stream) and up to `max` descriptors, close-on-exec.
    /// - Throws: `os.emsgsize` when more descriptors came than `max`; all of them are then closed.
    package static func receiveFDs(_ socket: Int32, count: Int, max: Int) throws(Fault) -> (bytes: [UInt8], descriptors: [Int32]) {
        precondition(max <= descriptorsMax, "at most \(descriptorsMax) descriptors in one message")
        var bytes = [UInt8](repeating: 0, count: count)
        var fds = [Int32](repeating: -1, count: Swift.max(max, 1))
        var fdCount = 0
        let got = try checked("receive descriptors from", "a socket") {
            unsafe fos_receive_fds(socket, &bytes, count, &fds, max, &fdCount)
        }
        return (Array(bytes[..<Int(got)]), Array(fds[..<fdCount]))
    }

    /// Sends everything over a blocking socket; a peer that is gone is a fault, never a signal.
    package static func sendAll(_ socket: Int32, _ bytes: [UInt8]) throws(Fault) {
        var done = 0
        while done < bytes.count {
            done += try checked("send over", "a socket") {
                unsafe bytes.withUnsafeBytes { unsafe send(socket, $0.baseAddress! + done, $0.count - done, Int32(MSG_NOSIGNAL)) }
            }
        }
    }

    /// Everything until the other side closes, at most `limit` bytes, from a blocking socket.
    package static func receiveAll(_ socket: Int32, limit: Int) throws(Fault) -> [UInt8] {
        var out: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            let got = try checked("receive from", "a socket") { unsafe recv(socket, &buffer, buffer.count, 0) }
            if got == 0 { return out }
            out += buffer[..<got]
            guard out.count <= limit else {
                throw Fault(.request, "os.too_large", "cannot read a message from a socket", why: "it is longer than \(limit) bytes")
            }
        }
    }

    /// Ends the connection under every descriptor of it.
    package static func shutDown(_ socket: Int32) { _ = shutdown(socket, Int32(SHUT_RDWR)) }

    /// Another descriptor of the same connection.
    package static func duplicate(_ socket: Int32) throws(Fault) -> Int32 {
        try checked("duplicate", "a socket") { fcntl(socket, F_DUPFD_CLOEXEC, 0) }
    }

    package static func shutDownWriting(_ socket: Int32) { _ = shutdown(socket, Int32(SHUT_WR)) }

    package static func setBlocking(_ socket: Int32, _ blocking: Bool) throws(Fault) {
        let flags = try checked("set up", "a socket") { fcntl(socket, F_GETFL) }
        try checked("set up", "a socket") { fcntl(socket, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) }
    }

    /// Receiving and sending give up after this long (blocking sockets).
    package static func setTimeout(_ socket: Int32, _ duration: Duration) throws(Fault) {
        var time = timeval(tv_sec: Int(duration.components.seconds), tv_usec: Int(duration.components.attoseconds / 1_000_000_000_000))
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            try checked("set up", "a socket") { unsafe setsockopt(socket, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size)) }
        }
    }

    package static func close(_ descriptor: Int32) { _ = Glibc.close(descriptor) }

    /// A socket address holds 107 bytes. A longer path is reached through a descriptor of its directory.
    private static func withShortPath(_ path: String, _ body: (String) throws(Fault) -> Void) throws(Fault) {
        if path.utf8.count <= 107 { return try body(path) }
        let directory = try checked("open", Path.parent(path)) { unsafe open(Path.parent(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        defer { close(directory) }
        try body("/proc/self/fd/\(directory)/\(Path.name(path))")
    }
}
