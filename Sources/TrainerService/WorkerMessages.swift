import ForgeCore
import TrainerAPI

/// What a worker is told, once, over the socket it inherits as descriptor 3. Holds keys: it is never logged or written.
struct WorkerOrder: Codable, Sendable {
    struct Data: Codable, Sendable {
        var name: String
        var digest: Digest
        /// Where the sealed data set lies, and its key (base64).
        var directory: String
        var key: String
    }

    struct Training: Codable, Sendable {
        var run: ID
        var directory: String
        var key: String
        var project: ID
        var store: ID
        var recipe: String
    }

    /// A file of a lent model: sealed memory that comes with the order.
    struct LentFile: Codable, Sendable {
        var name: String
        var bytes: Int
    }

    struct Evaluation: Codable, Sendable {
        /// Score the fixed text, not documents.
        var importing: Bool
    }

    var data: [Data]
    var threads: Int?
    /// What is scored, or what a run starts from; one descriptor each comes with the order, in this order.
    var model: [LentFile] = []
    var training: Training?
    var evaluation: Evaluation?
}

/// What a worker says, as it goes.
enum WorkerReport: Codable, Sendable {
    /// It has taken the order up.
    case started
    case preparing(what: String)
    /// Training begins, or goes on, after this step.
    case running(step: Int, kernels: String)
    case step(RunMetric)
    case checkpoint(step: Int)
    /// Checkpoints that were not whole were set aside.
    case damaged([String])
    case trained(files: [RunRecord.File], kernels: String)
    case scored(documents: Int, bytes: Int, modelBits: Double, baselineBits: Double, tasks: EvaluationReport.Tasks?)
    /// It was asked to stop, has written a checkpoint, and ends.
    case stopped(step: Int)
    case failed(WorkerFault)
}

/// A fault on its way between processes.
struct WorkerFault: Codable, Sendable {
    var kind: Fault.Kind
    var code: String
    var what: String
    var why: String
    var remedy: String
    var detail: String
    var retryable: Bool

    init(_ fault: Fault) {
        (kind, code, what, why, remedy, detail, retryable) = (fault.kind, fault.code, fault.what, fault.why, fault.remedy, fault.detail, fault.retryable)
    }
    var fault: Fault { Fault(kind, code, what, why: why, remedy: remedy, retryable: retryable, detail: detail) }
}
