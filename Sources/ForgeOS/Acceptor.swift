import CForgeOS
package import ForgeCore
import Glibc
import Synchronization

/// Takes connections from one listening socket, on a thread of its own, and only while there is a place for them: the rest wait in
/// the socket's queue.
///
/// A connection that was taken always reaches `arrived`, also at the end. This is why the loop is ours: a framework's listener drops
/// what it accepted in the instant it is closed.
package final class Acceptor: Sendable {
    private let listener: Int32
    /// Somebody else holds the listening socket too (the service manager) and will serve its queue.
    private let isAdopted: Bool
    private let places: Semaphore
    /// The thread watches `wake`; closing `stopEnd` wakes it.
    private let wake: Int32
    private let stopEnd: Mutex<Int32?>

    /// A connection on its way to whoever serves it; closed if nobody takes it.
    package final class Arrival: Sendable {
        private let descriptor: Mutex<Int32?>
        init(_ descriptor: Int32) { self.descriptor = Mutex(descriptor) }

        package var peer: PeerCredentials {
            get throws(Fault) { try descriptor.withLock { (descriptor) throws(Fault) in try PeerCredentials(ofSocket: descriptor ?? -1) } }
        }

        /// The connected, blocking socket; the caller closes it.
        package func take() -> Int32 {
            let taken = descriptor.withLock { $0.take() }
            guard let taken else { preconditionFailure("an arrival is taken once") }
            return taken
        }

        deinit { if let left = descriptor.withLock({ $0 }) { UnixSocket.close(left) } }
    }

    /// - Parameters:
    ///   - listener: bound and listening; it is closed at the end.
    ///   - places: connections at once; `leave` gives a place back.
    ///   - arrived: called on the thread, so it must not wait.
    ///   - ended: called last, with the failure if it was one.
    package init(
        _ listener: Int32, places: Int, arrived: @escaping @Sendable (Arrival) -> Void, ended: @escaping @Sendable (Fault?) -> Void
    ) throws(Fault) {
        let (wake, stopEnd) = try UnixSocket.pair()
        self.listener = listener
        self.isAdopted = ListenFDs.adopted.contains { $0.descriptor == listener }
        self.places = Semaphore(UInt32(places))
        self.wake = wake
        self.stopEnd = Mutex(stopEnd)
        do throws(Fault) { try UnixSocket.setBlocking(listener, false) } catch {
            UnixSocket.close(wake)
            UnixSocket.close(stopEnd)
            throw error
        }
        OSThread.start("accept") { [self] in
            let fault = run(arrived)
            UnixSocket.close(listener)
            UnixSocket.close(wake)
            ended(fault)
        }
    }

    /// A connection has ended.
    package func leave() { places.post() }

    /// Ends the accepting. A socket of our own refuses newcomers from now on, and those in its queue still arrive; the queue of an
    /// adopted one is left to the next process that is started for it. Can be called again.
    package func stop() {
        let end = stopEnd.withLock { end in
            // Newcomers get ECONNREFUSED; accept(2) goes on giving what is in the queue and then fails with EINVAL. Under the lock, so
            // that a thread that sees the stop sees a queue that can only shrink.
            if end != nil, !isAdopted { _ = shutdown(listener, Int32(SHUT_RDWR)) }
            return end.take()
        }
        guard let end else { return }
        UnixSocket.close(end)
        places.post()  // for a thread that waits for a place
    }

    private var isStopping: Bool { stopEnd.withLock { $0 == nil } }

    private func run(_ arrived: (Arrival) -> Void) -> Fault? {
        while true {
            places.wait()
            if isStopping, isAdopted { return nil }
            do throws(Fault) {
                guard let descriptor = try next() else { return nil }
                arrived(Arrival(descriptor))
            } catch {
                return error
            }
        }
    }

    /// - Returns: nil when there will be no more.
    private func next() throws(Fault) -> Int32? {
        while true {
            let descriptor = fos_accept(listener)
            if descriptor >= 0 { return descriptor }
            let code = errno
            if isStopping, code != EINTR { return nil }
            switch code {
            case EINTR, ECONNABORTED: continue
            case EAGAIN: waitForEvent()
            // Passes as other connections end; the queue holds the rest meanwhile.
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: pause()
            default: throw OSError.fault("accept on", "a socket", errno: code)
            }
            if isStopping, isAdopted { return nil }
        }
    }

    /// Until somebody is in the queue or the stop begins.
    private func waitForEvent() {
        var watched = [pollfd(fd: listener, events: Int16(POLLIN), revents: 0), pollfd(fd: wake, events: Int16(POLLIN), revents: 0)]
        _ = unsafe poll(&watched, 2, -1)
    }

    /// A tenth of a second, or until the stop begins.
    private func pause() {
        var watched = pollfd(fd: wake, events: Int16(POLLIN), revents: 0)
        _ = unsafe poll(&watched, 1, 100)
    }
}
