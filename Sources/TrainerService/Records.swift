package import ForgeCore
package import ForgeGate
package import TrainerAPI

/// A data set as it lies in the trainer's state, beside its sealed files.
package struct DatasetRecord: Codable, Sendable, Hashable {
    package var view: DatasetView
    package var report: DatasetReport
}

/// A run as it lies in the trainer's state: everything needed to take it up again, and nothing secret.
package struct RunRecord: Codable, Sendable, Hashable {
    package struct Source: Codable, Sendable, Hashable {
        /// The trainer's number of the data set; names its key and its directory.
        package var id: ID
        package var name: String
        package var digest: Digest
    }

    package struct Base: Codable, Sendable, Hashable {
        package var name: String
        package var version: Int64
        package var digest: Digest

        var reference: String { "\(name)@\(version)" }
    }

    /// A file of the finished model, sealed in the run's directory until the registry has it.
    package struct File: Codable, Sendable, Hashable {
        package var name: String
        package var digest: Digest
        package var bytes: Int64
    }

    package struct Trained: Codable, Sendable, Hashable {
        package var files: [File]
        package var kernels: String
    }

    package var id: ID
    package var model: String
    package var state: RunState
    package var why: String
    package var submittedBy: String
    /// recipe.yaml with every default written out.
    package var recipe: String
    package var recipeDigest: Digest
    package var seed: UInt64
    package var steps: Int
    package var datasets: [Source]
    /// What it starts from, where that is a model.
    package var base: Base?
    /// Microseconds since 1970.
    package var created: Int64
    package var started: Int64?
    package var finished: Int64?
    package var attempts = 0
    /// Attempts since a checkpoint was last written: a run that makes no progress is given up.
    package var fruitless = 0
    package var estimate: RunEstimate?
    package var trained: Trained?
    package var upload: ID?
    package var result: RunView.Result?
    package var events: [RunView.Event] = []
    /// Decision of the submission, then of each start.
    package var submitted: AuditIndex
    package var starts: [AuditIndex] = []

    /// States a run may go to from where it is. Anything else is a bug.
    package static func mayGo(_ from: RunState, _ to: RunState) -> Bool {
        switch from {
        case .queued: [.preparing, .waiting, .storing, .cancelled, .failed].contains(to)
        case .preparing: [.running, .queued, .paused, .waiting, .storing, .failed, .cancelled].contains(to)
        case .running: [.storing, .queued, .paused, .waiting, .failed, .cancelled].contains(to)
        case .storing: [.finished, .queued, .paused, .waiting, .failed, .cancelled].contains(to)
        case .waiting: [.queued, .preparing, .storing, .cancelled, .failed, .paused].contains(to)
        case .paused: [.queued, .cancelled].contains(to)
        case .failed, .cancelled: to == .queued
        case .finished: false
        }
    }

    /// - Precondition: the step is one of `mayGo`, or changes only the reason.
    package mutating func go(_ to: RunState, _ why: String, at time: Int64) {
        precondition(state == to || RunRecord.mayGo(state, to), "a run does not go from \(state.rawValue) to \(to.rawValue)")
        if state != to || self.why != why {
            events.append(.init(time: time, state: to, why: why))
            // Waiting can take days; what happened first and last is what people read.
            if events.count > 200 { events.remove(at: 100) }
        }
        state = to
        self.why = why
        if to == .running, started == nil { started = time }
        if to.isOver { finished = time }
        if to == .queued { finished = nil }
    }

    package func view(_ progress: RunMetric?) -> RunView {
        RunView(
            id: id, model: model, state: state, why: why, submittedBy: submittedBy, recipe: recipeDigest, seed: seed, datasets: datasets.map { .init(name: $0.name, digest: $0.digest) },
            created: created, started: started, finished: finished, attempts: attempts, estimate: estimate, progress: progress, steps: steps, result: result, events: events, record: submitted)
    }

    /// The run as policy sees it.
    package var entity: EntityID { EntityID("Forge::Run", id.description) }
    package var attributes: JSON.Object {
        var out = JSON.Object()
        out["owner"] = ["__entity": ["type": "Forge::User", "id": .string(submittedBy)]]
        return out
    }
}
