package import ForgeCore
import ForgeCrypto
import ForgeHTTP
import ForgeOS
package import TrainerAPI

/// The trainer's state on disk (docs/formats/trainer-state.md). Every change of a record is durable when it returns.
///
/// ```
/// state/datasets/<id>/{dataset.json, documents.blob, index.blob}     state/incoming/<id>/   (a data set on its way in)
/// state/runs/<id>/{run.json, metrics.jsonl, tokenizer.blob, train.blob, checkpoints/, model/}
/// ```
package actor TrainerStore {
    private let thread = ThreadExecutor("trainer-store")
    package nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }

    static let recordName = "run.json"

    private let root: String
    private var datasets: [ID: DatasetRecord] = [:]
    private var runs: [ID: RunRecord] = [:]
    private var metrics: [ID: [RunMetric]] = [:]
    /// Whoever waits for a run's next step or state.
    private var watchers: [ID: [(id: ID, continuation: CheckedContinuation<Void, Never>)]] = [:]

    private var versions: [ID: UInt64] = [:]

    package init(_ root: String) throws(Fault) {
        self.root = root
        for part in ["datasets", "incoming", "runs"] { try Durable.makeDirectory(Path.join(root, part)) }
        // What was on its way in when the daemon ended is not a data set; its sender was told nothing.
        for name in try Path.list(Path.join(root, "incoming")) { try Path.removeTree(Path.join(root, "incoming", name)) }
        for name in try Path.list(Path.join(root, "datasets")) {
            let record: DatasetRecord = try TrainerStore.read(Path.join(root, "datasets", name, "dataset.json"))
            datasets[record.view.id] = record
        }
        for name in try Path.list(Path.join(root, "runs")) {
            let path = Path.join(root, "runs", name, TrainerStore.recordName)
            for leftover in try Path.list(Path.parent(path)) where Durable.isTemporary(leftover) && !TrainingJob.isLeftover(leftover) {
                try Durable.remove(Path.join(Path.parent(path), leftover))
            }
            // A directory without a record was made by a submission that never was acknowledged.
            guard try Path.information(path) != nil else {
                try Path.removeTree(Path.join(root, "runs", name))
                continue
            }
            let record: RunRecord = try TrainerStore.read(path)
            runs[record.id] = record
        }
    }

    private static func read<Value: Decodable>(_ path: String) throws(Fault) -> Value {
        do throws(Fault) {
            let bytes = try File(path, .read).readAll(limit: .mib(64))
            let content = Array(bytes.drop { $0 != 0x0a }.dropFirst())
            guard summed(content) == bytes else { throw Fault(.environment, "trainer.record", "its checksum does not match its content") }
            return try Wire.decode(from: content, "`\(Path.name(path))`")
        } catch {
            throw Fault(
                .environment, "trainer.record", "cannot read a record of the trainer", why: error.message, remedy: "set `\(path)` aside and start forged again", detail: path)
        }
    }

    private static func summed(_ content: [UInt8]) -> [UInt8] { Array("forge-trainer-v1 \(Digest.sha256(content))\n".utf8) + content }

    package nonisolated func incoming(_ id: ID) -> String { Path.join(root, "incoming", id.description) }
    package nonisolated func directory(ofDataset id: ID) -> String { Path.join(root, "datasets", id.description) }
    package nonisolated func directory(ofRun id: ID) -> String { Path.join(root, "runs", id.description) }

    // MARK: data sets

    /// Newest first.
    package func allDatasets() -> [DatasetRecord] { datasets.values.sorted { ($0.view.created, $0.view.id) > ($1.view.created, $1.view.id) } }

    /// - Parameter reference: a name (the latest of it), a digest or an id.
    package func dataset(_ reference: String) throws(Fault) -> DatasetRecord {
        if let digest = Digest(parsing: reference), let found = datasets.values.first(where: { $0.view.digest == digest }) { return found }
        if let id = ID(parsing: reference), let found = datasets[id] { return found }
        if let found = allDatasets().first(where: { $0.view.name == reference }) { return found }
        throw Fault(.request, "data.not_found", "there is no data set `\(reference.prefix(100))` here", remedy: "`forge data ls` shows them")
    }

    /// Takes a finished one from `incoming`.
    package func insert(_ record: DatasetRecord) throws(Fault) {
        let from = incoming(record.view.id)
        try Durable.create(Path.join(from, "dataset.json"), with: TrainerStore.summed(try Wire.encode(record)))
        try Durable.move(from, to: directory(ofDataset: record.view.id))
        datasets[record.view.id] = record
    }

    // MARK: runs

    /// Newest first.
    package func allRuns() -> [RunRecord] { runs.values.sorted { ($0.created, $0.id) > ($1.created, $1.id) } }

    /// - Parameter reference: an id, or at least four of its first digits if only one begins so.
    package func run(_ reference: String) throws(Fault) -> RunRecord {
        let found = runs.values.filter { $0.id.description == reference || (reference.utf8.count >= 4 && $0.id.description.hasPrefix(reference)) }
        guard let first = found.first, found.count == 1 else {
            throw Fault(
                .request, "run.not_found", found.isEmpty ? "there is no run `\(reference.prefix(64))`" : "`\(reference.prefix(64))` begins the ids of several runs", remedy: "`forge run ls` shows them")
        }
        return first
    }

    package func insert(_ record: RunRecord) throws(Fault) {
        try Durable.makeDirectory(directory(ofRun: record.id))
        try Durable.create(Path.join(directory(ofRun: record.id), TrainerStore.recordName), with: TrainerStore.summed(try Wire.encode(record)))
        runs[record.id] = record
    }

    @discardableResult
    package func update(_ id: ID, _ change: @Sendable (inout RunRecord) -> Void) throws(Fault) -> RunRecord {
        guard var record = runs[id] else { preconditionFailure("a run that is updated is there") }
        change(&record)
        guard record != runs[id] else { return record }
        try Durable.replace(Path.join(directory(ofRun: id), TrainerStore.recordName), with: TrainerStore.summed(try Wire.encode(record)))
        runs[id] = record
        wake(id)
        return record
    }

    /// The oldest run that wants a worker.
    package func nextQueued() -> RunRecord? { runs.values.filter { $0.state == .queued || $0.state == .waiting }.min { ($0.created, $0.id) < ($1.created, $1.id) } }

    // MARK: metrics

    /// Appends a step; a step done again after a resume takes the place of the one before.
    package func append(_ metric: RunMetric, of run: ID) throws(Fault) {
        let file = try File(Path.join(directory(ofRun: run), "metrics.jsonl"), .append)
        let size = try file.size()
        do throws(Fault) { try file.write(try Wire.encode(metric) + [0x0a]) } catch {
            // A line cut by a full disk would take the next one with it.
            try? file.truncate(to: size)
            throw error
        }
        var known = try loaded(run)
        TrainerStore.put(metric, into: &known)
        metrics[run] = known
        wake(run)
    }

    package func metrics(of run: ID) throws(Fault) -> [RunMetric] { try loaded(run) }
    package func progress(of run: ID) throws(Fault) -> RunMetric? { try loaded(run).last }

    private func loaded(_ run: ID) throws(Fault) -> [RunMetric] {
        if let known = metrics[run] { return known }
        let path = Path.join(directory(ofRun: run), "metrics.jsonl")
        var out: [RunMetric] = []
        if try Path.information(path) != nil {
            for line in try File(path, .read).readAll(limit: .gib(1)).split(separator: 0x0a) {
                // A line cut by a kill is the last one of its attempt; its step was done again.
                if let metric = try? Wire.decode(RunMetric.self, from: Array(line), "a line of metrics") { TrainerStore.put(metric, into: &out) }
            }
        }
        metrics[run] = out
        return out
    }

    private static func put(_ metric: RunMetric, into all: inout [RunMetric]) {
        while let last = all.last, last.step >= metric.step { all.removeLast() }
        all.append(metric)
    }

    // MARK: watching

    /// Counts the changes of a run: read it before looking, wait with it afterwards, and nothing is missed.
    package func version(of run: ID) -> UInt64 { versions[run] ?? 0 }

    /// Returns when something about the run has changed since `version`, or when the task is cancelled.
    package func change(of run: ID, since version: UInt64) async {
        guard self.version(of: run) == version else { return }
        let id = ID()
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                // Cancelled before the continuation was there: the handler found nothing to wake.
                if Task.isCancelled { continuation.resume() } else { watchers[run, default: []].append((id, continuation)) }
            }
        } onCancel: {
            // Not awaited: cancellation must not wait for this actor.
            Task { await self.forget(id, run) }
        }
    }

    private func forget(_ id: ID, _ run: ID) {
        guard let at = watchers[run]?.firstIndex(where: { $0.id == id }) else { return }
        watchers[run]?.remove(at: at).continuation.resume()
    }

    private func wake(_ run: ID) {
        versions[run, default: 0] += 1
        for watcher in watchers.removeValue(forKey: run) ?? [] { watcher.continuation.resume() }
    }
}
