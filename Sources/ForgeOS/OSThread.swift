import CForgeOS
import Synchronization

/// Threads for work that blocks: fsync, SQLite, waiting for a child. The shared pool has one thread a core and must never wait.
package enum OSThread {
    /// Runs `body` on a new thread of that name (at most 15 bytes are kept).
    package static func start(_ name: String, _ body: @escaping @Sendable () -> Void) {
        let box = unsafe Unmanaged.passRetained(Box(body)).toOpaque()
        let result = unsafe fos_thread_start(name, { raw in unsafe Unmanaged<Box>.fromOpaque(raw!).takeRetainedValue().body() }, box)
        precondition(result == 0, "the system refuses to make a thread")
    }

    private final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}

/// One thread that runs the jobs of the actors that name it, in order.
///
///     actor Ledger {
///         private let thread = ThreadExecutor("ledger")
///         nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }
///     }
package final class ThreadExecutor: SerialExecutor {
    private let queue: JobQueue

    package init(_ name: String) {
        let queue = JobQueue()
        self.queue = queue
        OSThread.start(name) { queue.run() }
    }

    deinit { queue.stop() }

    package func enqueue(_ job: consuming ExecutorJob) {
        unsafe queue.add(UnownedJob(job), asUnownedSerialExecutor())
    }
}

/// The queue outlives the executor's last reference until its thread has seen the stop.
private final class JobQueue: Sendable {
    // SAFETY: an actor keeps its executor alive, and a queued job its actor.
    @safe private struct State {
        var jobs: [(UnownedJob, UnownedSerialExecutor)] = unsafe []
        var stopped = false
    }
    private let state = Mutex(State())
    private let signal = Semaphore()

    func add(_ job: UnownedJob, _ executor: UnownedSerialExecutor) {
        state.withLock { unsafe $0.jobs.append((job, executor)) }
        signal.post()
    }

    func stop() {
        state.withLock { $0.stopped = true }
        signal.post()
    }

    func run() {
        while true {
            signal.wait()
            let (jobs, stopped) = unsafe state.withLock { state in
                defer { unsafe state.jobs = [] }
                return unsafe (state.jobs, state.stopped)
            }
            for unsafe (job, executor) in unsafe jobs { unsafe job.runSynchronously(on: executor) }
            if stopped, unsafe jobs.isEmpty { return }
        }
    }
}
