package import ForgeAuthority
import ForgeAudit
import ForgeArtifact
package import ForgeCore
import ForgeCrypto
import ForgeDaemon
package import ForgeGate
import ForgeOS
import ForgeTraining
import Glibc
package import Logging
import RegistryAPI
import TrainerAPI

/// Takes queued runs one after another, gives each a worker process, and brings what it makes to the registry.
///
/// A worker that dies takes its run back to the queue, and the run goes on from its last checkpoint. A run whose worker dies again and again
/// without a checkpoint in between is given up. When the registry is sealed or away, runs wait.
package actor Supervisor: Service {
    package nonisolated let name = "run supervisor"
    /// Deaths of a worker in a row, without a checkpoint in between, after which a run has failed.
    private static let fruitlessMax = 3
    /// How long a worker may take to write a checkpoint and end.
    private static let stopGrace: Duration = .seconds(30)
    /// Between two tries to reach the registry.
    private static let patience: Duration = .seconds(2)

    private let site: TrainerSite
    private let store: TrainerStore
    private let registry: any RegistryPort
    private let gate: Gate
    private let myself: KnownCaller
    private let logger: Logger

    private nonisolated let nudges: AsyncStream<Void>
    private nonisolated let nudged: AsyncStream<Void>.Continuation
    private var isStopping = false
    private var worker: (run: ID, process: ChildProcess)?
    private var cancelled: [ID: String] = [:]
    /// Runs that stopped when not even their record could be written.
    private var unwritten: Set<ID> = []
    /// Whoever waits for a worker's end to be settled.
    private var waiters: [ID: [CheckedContinuation<Void, Never>]] = [:]

    package init(site: TrainerSite, store: TrainerStore, registry: any RegistryPort, gate: Gate, myself: KnownCaller, logger: Logger) {
        self.site = site
        self.store = store
        self.registry = registry
        self.gate = gate
        self.myself = myself
        self.logger = logger
        (nudges, nudged) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    /// There may be something to do.
    package nonisolated func nudge() { nudged.yield() }

    // MARK: Service

    package func run() async throws {
        // What the last process left in the middle goes on from where it was.
        for record in await store.allRuns() where [.preparing, .running, .storing, .paused].contains(record.state) {
            try await store.update(record.id) { $0.go(.queued, "forged was started again", at: Trainer.now) }
        }
        nudge()
        for await _ in nudges {
            while !isStopping {
                await takeUpUnwritten()
                guard let record = await store.nextQueued() else {
                    if unwritten.isEmpty { break }
                    await pause()
                    continue
                }
                let outcome: Outcome
                do throws(Fault) { outcome = try await carry(record) } catch {
                    // The record itself could not be written: a full disk, most likely.
                    logger.error("cannot keep a run's record", metadata: ["run": "\(record.id)", "why": "\(error)"])
                    unwritten.insert(record.id)
                    outcome = .wait
                }
                // Somebody has to unseal the registry or make room first.
                if outcome == .wait { await pause(after: (try? await store.run(record.id.description))?.fruitless ?? 0) }
            }
            if isStopping { break }
        }
    }

    package func stop() async {
        isStopping = true
        nudged.finish()
        guard let worker else { return }
        _ = await worker.process.stop(grace: Supervisor.stopGrace)
    }

    /// A run whose record could not be written when it stopped stands in the queue again once it can.
    private func takeUpUnwritten() async {
        for id in unwritten {
            do throws(Fault) {
                try await store.update(id) { run in if RunRecord.mayGo(run.state, .queued) { run.go(.queued, "its record can be written again", at: Trainer.now) } }
                unwritten.remove(id)
            } catch {
                // Tried again after a while; it was logged when it happened.
            }
        }
    }

    /// Waits for a nudge or a while, whichever comes first.
    /// - Parameter fruitless: attempts that came to nothing. Each of them doubles the while: every start is on record, and may take long.
    private func pause(after fruitless: Int = 0) async {
        let again = Task { [nudged] in
            try? await Task.sleep(for: Supervisor.patience * (1 << min(fruitless, 7)))
            nudged.yield()
        }
        var iterator = nudges.makeAsyncIterator()
        _ = await iterator.next()
        again.cancel()
    }

    /// For tests of the worst day: what a memory killer does.
    func killWorker() { worker?.process.signal(SIGKILL) }

    // MARK: cancelling

    /// Returns when the run has stopped.
    package func cancel(_ run: ID, by whom: String) async throws(Fault) {
        let why = "cancelled by \(whom)"
        cancelled[run] = why
        if let worker, worker.run == run {
            worker.process.signal(SIGTERM)
            let last = Task {
                guard (try? await Task.sleep(for: Supervisor.stopGrace)) != nil else { return }
                worker.process.signal(SIGKILL)
            }
            // The supervising task sees the end and settles the record.
            await withCheckedContinuation { waiters[run, default: []].append($0) }
            last.cancel()
        }
        cancelled[run] = nil
        let now = Trainer.now
        _ = try await store.update(run) { record in if RunRecord.mayGo(record.state, .cancelled) { record.go(.cancelled, why, at: now) } }
    }

    // MARK: one run

    private enum Outcome { case done, wait }

    /// Takes a run as far as it goes now.
    private func carry(_ record: RunRecord) async throws(Fault) -> Outcome {
        let id = record.id
        if let why = cancelled.removeValue(forKey: id) {
            try await store.update(id) { $0.go(.cancelled, why, at: Trainer.now) }
            return .done
        }
        do throws(Fault) {
            let keys = try await keys(of: record)
            if record.trained == nil {
                guard try await train(record, keys) else { return .done }
            }
            try await deliver(id, keys)
            return .done
        } catch {
            return try await settle(id, error)
        }
    }

    /// What a fault outside the worker means for the run.
    private func settle(_ id: ID, _ fault: Fault) async throws(Fault) -> Outcome {
        let record = try await store.run(id.description)
        guard !record.state.isOver else { return .done }
        logger.warning("a run cannot go on", metadata: ["run": "\(id)", "why": "\(fault)"])
        // The world may change: a sealed registry is unsealed, a daemon comes back. What the caller or policy is to blame for does not.
        if isStopping {
            try await store.update(id) { run in if RunRecord.mayGo(run.state, .paused) { run.go(.paused, fault.message, at: Trainer.now) } }
            return .done
        }
        try await store.update(id) { $0.go(fault.kind == .environment ? .waiting : .failed, fault.message, at: Trainer.now) }
        return fault.kind == .environment ? .wait : .done
    }

    /// The keys of a run and its data, for as long as it is worked on.
    private final class Keys: Sendable {
        let run: ReleasedKey
        /// As orders carry them.
        let datasets: [ID: String]
        init(run: consuming ReleasedKey, datasets: [ID: String]) {
            self.run = run
            self.datasets = datasets
        }
    }

    private func keys(of record: RunRecord) async throws(Fault) -> Keys {
        var datasets: [ID: String] = [:]
        for source in record.datasets {
            let key = try await registry.releaseKey(.dataset, source.id)
            datasets[source.id] = Base64.encode(key.key.reveal())
        }
        return Keys(run: try await registry.releaseKey(.run, record.id), datasets: datasets)
    }

    // MARK: training

    /// - Returns: whether the model is trained; if not, the record says why.
    private func train(_ record: RunRecord, _ keys: Keys) async throws(Fault) -> Bool {
        let id = record.id
        defer {
            worker = nil
            for waiter in waiters.removeValue(forKey: id) ?? [] { waiter.resume() }
        }
        let permit = try await gate.permit(myself.request(.runStart, on: record.entity, attributes: record.attributes))
        let (decision, decided) = (permit.decision.request, permit.record)
        let (channel, process): (WorkerChannel, ChildProcess)
        var loan: ModelLoan?
        do throws(Fault) {
            if let base = record.base { loan = try await lend(base) }
            // A stop that came while the registry was asked.
            guard !isStopping else { throw Fault(.environment, "trainer.stopping", "forged is stopping", retryable: true) }
            (channel, process) = try start()
            // A base that is called back is gone from here at once; the run goes on from its last checkpoint when it is lent again.
            loan?.whenRecalled { process.signal(SIGKILL) }
            try channel.send(
                WorkerOrder(
                    data: record.datasets.map { .init(name: $0.name, digest: $0.digest, directory: store.directory(ofDataset: $0.id), key: keys.datasets[$0.id] ?? "") }, threads: site.threads,
                    model: (loan?.files ?? []).map { .init(name: $0.name, bytes: $0.bytes) },
                    training: .init(
                        run: id, directory: store.directory(ofRun: id), key: Base64.encode(keys.run.key.reveal()), project: keys.run.project, store: keys.run.store, recipe: record.recipe)),
                descriptors: (loan?.files ?? []).map { $0.memory.memfd.descriptor })
            worker = (id, process)
        } catch {
            _ = try? await registry.append(.outcome(.runStart, .failed(code: error.code), request: decision, who: myself.subject, object: .init(record.entity)))
            throw error
        }
        do throws(Fault) {
            _ = try await registry.append(
                .outcome(.runStart, .ok, request: decision, who: myself.subject, object: .init(record.entity), data: ["count": .int(Int64(record.attempts + 1))]))
            try await store.update(id) { run in
                run.attempts += 1
                run.fruitless += 1
                run.starts.append(decided)
                run.go(.preparing, "worker \(process.pid) started", at: Trainer.now)
            }
            var last: WorkerReport?
            for await report in Supervisor.reports(from: channel) {
                last = report
                try await note(report, of: id)
            }
            let exit = await process.wait()
            withExtendedLifetime(loan) {}
            return try await conclude(id, last, exit)
        } catch {
            // Work that cannot be put on record is not done.
            _ = await process.stop(grace: Supervisor.stopGrace)
            throw error
        }
    }

    private func lend(_ base: RunRecord.Base) async throws(Fault) -> ModelLoan {
        let loan = try await site.borrow(base.reference, for: .train)
        guard loan.digest == base.digest else {
            throw Fault(.request, "run.base_changed", "the run cannot start from `\(base.reference)`", why: "its digest is \(loan.digest), and the run was submitted for \(base.digest)", remedy: "submit the run again")
        }
        return loan
    }

    private func start() throws(Fault) -> (WorkerChannel, ChildProcess) {
        let (mine, theirs) = try UnixSocket.pair()
        defer { UnixSocket.close(theirs) }
        let channel = WorkerChannel(mine)
        // Descriptor 2 is the daemon's log, so that a trap's last words are found there.
        var request = ChildProcess.Request(site.executable, [Worker.flag], descriptors: [Worker.socket: theirs, 2: 2])
        // A worker without its daemon would work unseen; what it has not written yet is done again.
        request.parentDeathSignal = SIGKILL
        return (channel, try ChildProcess(request))
    }

    /// Messages as they come, read on a thread of their own.
    private static func reports(from channel: WorkerChannel) -> AsyncStream<WorkerReport> {
        let (stream, continuation) = AsyncStream.makeStream(of: WorkerReport.self)
        OSThread.start("worker-reports") {
            while let report = try? channel.receive(WorkerReport.self) { continuation.yield(report) }
            continuation.finish()
        }
        return stream
    }

    private func note(_ report: WorkerReport, of id: ID) async throws(Fault) {
        switch report {
        case .preparing(let what):
            try await store.update(id) { run in if run.state == .preparing { run.go(.preparing, what, at: Trainer.now) } else { run.why = what } }
        case .running(let step, let kernels):
            logger.info("training", metadata: ["run": "\(id)", "from": "\(step)", "kernels": "\(kernels)"])
            try await store.update(id) { $0.go(.running, step == 0 ? "from the first step" : "from the checkpoint at step \(step)", at: Trainer.now) }
        case .step(let metric):
            do throws(Fault) { try await store.append(metric, of: id) } catch {
                // A curve with a gap is no reason to stop a run; its checkpoints will say whether the disk is full.
                logger.warning("cannot keep a step's numbers", metadata: ["run": "\(id)", "why": "\(error)"])
            }
        case .checkpoint: try await store.update(id) { $0.fruitless = 0 }
        case .damaged(let names): logger.warning("checkpoints were not whole and were set aside", metadata: ["run": "\(id)", "files": "\(names.joined(separator: " "))"])
        case .trained(let files, let kernels): try await store.update(id) { $0.trained = .init(files: files, kernels: kernels) }
        case .started, .scored, .stopped, .failed: break
        }
    }

    /// The worker has ended; what that means depends on its last words.
    private func conclude(_ id: ID, _ last: WorkerReport?, _ exit: ChildProcess.Exit) async throws(Fault) -> Bool {
        let why = cancelled.removeValue(forKey: id)
        let record = try await store.run(id.description)
        if record.trained != nil, why == nil { return true }
        if let why {
            try await store.update(id) { $0.go(.cancelled, why, at: Trainer.now) }
        } else if case .failed(let fault) = last {
            if fault.code == "os.locked" {
                // The worker before this one is still ending.
                try await store.update(id) { $0.go(.queued, "the worker before is still ending", at: Trainer.now) }
                await pause()
                return false
            }
            // What a person can mend outside the run, such as a full disk, is waited for.
            if fault.kind == .environment, fault.retryable { throw fault.fault }
            logger.error("a run failed", metadata: ["run": "\(id)", "why": "\(fault.fault)"])
            try await store.update(id) { $0.go(.failed, fault.fault.message, at: Trainer.now) }
        } else if case .stopped(let step) = last {
            let next: RunState = isStopping ? .paused : .queued
            try await store.update(id) { $0.go(next, "stopped at step \(step)", at: Trainer.now) }
        } else if isStopping {
            try await store.update(id) { $0.go(.paused, "the worker ended with \(exit)", at: Trainer.now) }
        } else if record.fruitless >= Supervisor.fruitlessMax {
            try await store.update(id) { $0.go(.failed, "the worker ended with \(exit) \(Supervisor.fruitlessMax) times without a checkpoint in between", at: Trainer.now) }
        } else {
            logger.warning("a worker ended without a word; its run goes on from the last checkpoint", metadata: ["run": "\(id)", "exit": "\(exit)"])
            try await store.update(id) { $0.go(.queued, "the worker ended with \(exit)", at: Trainer.now) }
        }
        return false
    }

    // MARK: the registry

    /// A name that has no version yet is the first run's ordinary case.
    private func versions(of model: String) async throws(Fault) -> [ModelView] {
        do throws(Fault) { return try await registry.models(named: model) } catch {
            guard error.code == "model.not_found" else { throw error }
            return []
        }
    }

    private func deliver(_ id: ID, _ keys: Keys) async throws(Fault) {
        var record = try await store.update(id) { $0.go(.storing, "the model goes to the registry", at: Trainer.now) }
        guard let trained = record.trained else { preconditionFailure("a run that stores has a model") }
        // Committed before, when the answer was lost?
        var found = try await versions(of: record.model).first { $0.run == id.description }
        if found == nil {
            let upload = try await upload(record, trained)
            record = try await store.update(id) { $0.upload = upload.id }
            for file in upload.files { try await send(file, of: upload, from: Path.join(store.directory(ofRun: id), "model", "\(file.name).blob"), keys) }
            let recipe = try Recipe(parsing: Array(record.recipe.utf8))
            found = try await registry.commit(
                upload.id,
                CommitRequest(
                    run: id, trainedBy: record.submittedBy, seed: Int64(recipe.seed), kernelPath: trained.kernels, recipe: record.recipeDigest,
                    sources: record.datasets.map { .init(name: "dataset:\($0.name)", digest: $0.digest) } + (record.base.map { [.init(name: "model:\($0.reference)", digest: $0.digest)] } ?? []), started: record.started ?? record.created, finished: Trainer.now,
                    records: [.init(name: "record:run.submit", index: record.submitted)] + record.starts.map { .init(name: "record:run.start", index: $0) }))
        }
        guard let model = found else { preconditionFailure("a commit gives a model") }
        // The registry has it now; the run's own state is of no more use; its metrics and record stay.
        for name in ["checkpoints", "model", "train.blob", "tokenizer.blob"] { try? Path.removeTree(Path.join(store.directory(ofRun: id), name)) }
        try await store.update(id) { run in
            run.result = .init(name: model.name, version: model.version, digest: model.digest)
            run.upload = nil
            run.go(.finished, "\(model.name)@\(model.version)", at: Trainer.now)
        }
        logger.info("a model is stored", metadata: ["run": "\(id)", "model": "\(model.name)@\(model.version)", "digest": "\(model.digest)"])
    }

    private func upload(_ record: RunRecord, _ trained: RunRecord.Trained) async throws(Fault) -> UploadView {
        if let known = record.upload, let open = try? await registry.upload(known), open.state == "open" { return open }
        return try await registry.beginUpload(.init(name: record.model, files: trained.files.map { .init(name: $0.name, bytes: $0.bytes, digest: $0.digest) }))
    }

    private func send(_ file: UploadView.File, of upload: UploadView, from path: String, _ keys: Keys) async throws(Fault) {
        let reader = try SealedReader(path, key: keys.run.key)
        guard reader.count == file.bytes else { throw Fault(.environment, "run.model_file", "a file of the trained model is damaged", why: "`\(file.name)` has \(reader.count) bytes") }
        try await registry.send(file, of: upload) { (count, offset) throws(Fault) in try reader.read(count, at: offset) }
    }

    // MARK: scoring

    package struct Score: Sendable {
        package let documents: Int
        package let bytes: Int
        package let modelBits: Double
        package let baselineBits: Double
        let tasks: EvaluationReport.Tasks?
    }

    /// Scores a model in a worker of its own, beside whatever else runs.
    /// - Parameter datasets: none: the fixed text for imported models.
    func score(_ datasets: [DatasetRecord], files: [(name: String, bytes: Int, descriptor: Int32)]) async throws(Fault) -> Score {
        var data: [WorkerOrder.Data] = []
        for record in datasets {
            let key = try await registry.releaseKey(.dataset, record.view.id)
            data.append(.init(name: record.view.name, digest: record.view.digest, directory: store.directory(ofDataset: record.view.id), key: Base64.encode(key.key.reveal())))
        }
        let (channel, process) = try start()
        try channel.send(WorkerOrder(data: data, threads: site.threads, model: files.map { .init(name: $0.name, bytes: $0.bytes) }, evaluation: .init(importing: datasets.isEmpty)), descriptors: files.map(\.descriptor))
        var last: WorkerReport?
        for await report in Supervisor.reports(from: channel) { last = report }
        let exit = await process.wait()
        switch last {
        case .scored(let documents, let bytes, let modelBits, let baselineBits, let tasks):
            return Score(documents: documents, bytes: bytes, modelBits: modelBits, baselineBits: baselineBits, tasks: tasks)
        case .failed(let fault): throw fault.fault
        default:
            throw Fault(.environment, "evaluation.lost", "the score was not finished", why: "its worker ended with \(exit)", remedy: "try again; if it happens again, look at the daemon's log", retryable: true)
        }
    }
}
