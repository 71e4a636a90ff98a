package import ForgeCore
import ForgeOS

/// The one writer of the registry's file. Requests that wait while a commit is on its way to the disk go together into the next
/// transaction, up to 1024; each is answered after that commit, never before.
///
/// `State` is what must move with the database, such as the right edge of the log's tree: a request that fails, and a batch whose
/// commit fails, leave it as it was.
package actor Writer<State: Sendable> {
    package typealias Body<T> = @Sendable (Database, inout State) throws(Fault) -> T

    package enum Importance: Sendable {
        case ordinary
        /// May use the reserve when the disk is full.
        case officer
    }

    /// How the writer is, for health answers.
    package enum Health: Sendable, Hashable {
        case well
        /// Only officers' requests are tried, in the reserve.
        case full
        /// A write failed in a way that leaves the disk's content unknown; nothing is acknowledged until a restart.
        case broken(String)
    }

    private struct Pending {
        let importance: Importance
        /// Runs the request inside its savepoint; the closure it returns answers the caller once the commit's fate is known.
        let run: (Database, inout State) throws(Fault) -> (Fault?) -> Void
        let fail: (Fault) -> Void
    }

    package static var batchMax: Int { 1024 }
    package static var queueMax: Int { 16_384 }

    private let thread: ThreadExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }

    private let database: Database
    private let reserve: Reserve?
    private let beforeCommit: @Sendable (Database, inout State) throws(Fault) -> Void
    private let onBroken: @Sendable (Fault) -> Void
    private var state: State
    private var queue: [Pending] = []
    private var isScheduled = false
    package private(set) var health = Health.well
    /// Batches committed, and requests in them.
    package private(set) var commits = 0
    package private(set) var requests = 0

    /// - Parameters:
    ///   - database: the writer's connection, opened by the caller and given away here.
    ///   - beforeCommit: runs once per batch, last in its transaction.
    ///   - onBroken: told once; a daemon exits, so that a restart reads what is really on disk.
    package init(
        _ database: sending Database, state: State, reserve: Reserve? = nil, beforeCommit: @escaping @Sendable (Database, inout State) throws(Fault) -> Void = { _, _ in },
        onBroken: @escaping @Sendable (Fault) -> Void = { _ in }
    ) {
        precondition(database.access == .writer, "the writer needs the connection that may write")
        thread = ThreadExecutor("forge-ledger")
        self.database = database
        self.state = state
        self.reserve = reserve
        self.beforeCommit = beforeCommit
        self.onBroken = onBroken
    }

    /// Runs `body` in the next transaction.
    /// - Returns: what `body` returned, after the commit is durable.
    /// - Throws: what `body` throws (its changes are undone, the others' stay), `store.full`, `store.broken`, or `store.busy` when too many wait.
    package func write<T: Sendable>(as importance: Importance = .ordinary, _ body: @escaping Body<T>) async throws(Fault) -> T {
        if case .broken(let why) = health { throw Writer.broken(why) }
        guard queue.count < Writer.queueMax else {
            throw Fault.store("busy", "nothing more can be put on record just now", why: "\(queue.count) requests wait for the disk", remedy: "try again in a moment", retryable: true)
        }
        let result: Result<T, Fault> = await withCheckedContinuation { continuation in
            queue.append(
                Pending(
                    importance: importance,
                    run: { database, state throws(Fault) in
                        let value = try body(database, &state)
                        return { fault in continuation.resume(returning: fault.map { .failure($0) } ?? .success(value)) }
                    },
                    fail: { continuation.resume(returning: .failure($0)) }))
            schedule()
        }
        return try result.get()
    }

    /// Reads with the writer's own connection: sees everything committed and nothing else, since bodies run in between.
    package func read<T: Sendable>(_ body: @Sendable (Database, State) throws(Fault) -> T) throws(Fault) -> T { try body(database, state) }

    private func schedule() {
        guard !isScheduled else { return }
        isScheduled = true
        // Not a child of any request: it serves all that queued before it on this thread, and ends.
        Task { self.drain() }
    }

    private func drain() {
        let batch = Array(queue.prefix(Writer.batchMax))
        queue.removeFirst(batch.count)
        commit(batch)
        isScheduled = false
        if !queue.isEmpty { schedule() }
    }

    private func commit(_ batch: [Pending]) {
        if case .broken(let why) = health {
            for request in batch { request.fail(Writer.broken(why)) }
            return
        }
        var batch = batch
        if health == .full {
            if reserve?.refill() ?? true {
                health = .well
            } else {
                for request in batch where request.importance == .ordinary { request.fail(Database.full("the reserve is in use")) }
                batch.removeAll { $0.importance == .ordinary }
            }
        }
        while !batch.isEmpty {
            switch attempt(batch) {
            case .done: return
            case .broken(let fault):
                health = .broken(fault.message)
                for request in batch { request.fail(fault) }
                onBroken(fault)
                return
            case .full(let fault):
                health = .full
                for request in batch where request.importance == .ordinary { request.fail(fault) }
                batch.removeAll { $0.importance == .ordinary }
                guard reserve?.release() ?? false else {
                    for request in batch { request.fail(fault) }
                    return
                }
            case .failed(let fault):
                for request in batch { request.fail(fault) }
                return
            }
        }
    }

    private enum Attempt {
        case done
        /// Nothing was answered yet in the cases below.
        case full(Fault)
        case broken(Fault)
        case failed(Fault)
    }

    private func attempt(_ batch: [Pending]) -> Attempt {
        let before = state
        var answers: [() -> Void] = []
        do throws(Fault) {
            try database.begin()
            for request in batch {
                let here = state
                try database.execute("SAVEPOINT request")
                do throws(Fault) {
                    let answer = try request.run(database, &state)
                    try database.execute("RELEASE request")
                    answers.append { answer(nil) }
                } catch {
                    // A full or failing disk is everybody's; so is a transaction that SQLite gave up by itself.
                    if error.isStoreFull || error.isStoreBroken || !database.isInTransaction { throw error }
                    try database.execute("ROLLBACK TO request; RELEASE request")
                    state = here
                    answers.append { request.fail(error) }
                }
            }
            try beforeCommit(database, &state)
            try database.commit()
        } catch {
            database.rollback()
            state = before
            return error.isStoreFull ? .full(error) : error.isStoreBroken ? .broken(error) : .failed(error)
        }
        commits += 1
        requests += batch.count
        do throws(Fault) {
            try database.checkpointIfDue()
        } catch {
            // The batch is durable in the WAL; what follows is not to be trusted.
            health = .broken(error.message)
            onBroken(error)
        }
        for answer in answers { answer() }
        return .done
    }

    private static func broken(_ why: String) -> Fault {
        .store("broken", "nothing can be put on record", why: why, remedy: "the registry stops; when it starts again it verifies the log first", retryable: true)
    }
}

/// A read-only connection on its own thread, for answers that may take long.
package actor Reader {
    private let thread: ThreadExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }
    private let database: Database

    package init(_ path: String) throws(Fault) {
        thread = ThreadExecutor("forge-reader")
        database = try Database(path, .reader)
    }

    package func read<T: Sendable>(_ body: @Sendable (Database) throws(Fault) -> T) throws(Fault) -> T { try body(database) }

    /// One snapshot for several statements.
    package func snapshot<T: Sendable>(_ body: @Sendable (Database) throws(Fault) -> T) throws(Fault) -> T {
        try database.execute("BEGIN")
        defer { database.rollback() }
        return try body(database)
    }
}
