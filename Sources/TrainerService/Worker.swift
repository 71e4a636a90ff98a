import ForgeArtifact
import ForgeCore
import ForgeCrypto
import ForgeData
import ForgeOS
import ForgeTraining
import Glibc
import Synchronization

/// The process in which one run is trained, or one model scored. It has a socket to its daemon and nothing else: no credential, no listening door.
package enum Worker {
    package static let flag = "--worker"
    static let socket: Int32 = 3

    /// Takes the order from the inherited socket, carries it out and exits: 0 when it said how it ended, 70 when it could not.
    package static func main() async -> Never {
        Signals.ignoreBrokenPipes()
        ThisProcess.narrowUmask()
        try? ThisProcess.forbidDumps()
        let channel = WorkerChannel(socket)
        let stop = Flag()
        if let signals = try? Signals.events(SIGTERM, SIGINT) {
            // Lives as long as the process: it only turns the signal into a flag the work looks at between steps.
            Task { for await _ in signals { stop.set() } }
        }
        // Steps block for as long as they take: on a thread of their own.
        let code = await withCheckedContinuation { (ended: CheckedContinuation<Int32, Never>) in
            OSThread.start("work") { ended.resume(returning: Worker.work(channel, stop)) }
        }
        exit(code)
    }

    private static func work(_ channel: WorkerChannel, _ stop: Flag) -> Int32 {
        do throws(Fault) {
            guard let order: WorkerOrder = try channel.receive() else { return 70 }
            do throws(Fault) {
                try channel.send(WorkerReport.started)
                if let training = order.training {
                    try TrainingJob(training, order, channel, stop).run()
                } else if let evaluation = order.evaluation {
                    try EvaluationJob(evaluation, order, channel).run()
                }
                return 0
            } catch {
                try channel.send(WorkerReport.failed(WorkerFault(error)))
                return 0
            }
        } catch {
            // The daemon is gone; what is on disk is whole.
            return 70
        }
    }

    /// The model that was lent with the order; nil where none was.
    static func lentModel(_ order: WorkerOrder, _ channel: WorkerChannel) throws(Fault) -> StoredModel? {
        let descriptors = channel.takeDescriptors()
        guard descriptors.count == order.model.count else {
            for descriptor in descriptors { UnixSocket.close(descriptor) }
            throw Fault(.environment, "worker.order", "the worker cannot read its order", why: "\(descriptors.count) files came of \(order.model.count)")
        }
        guard !descriptors.isEmpty else { return nil }
        var files: [String: SealedMapping] = [:]
        for (file, descriptor) in zip(order.model, descriptors) { files[file.name] = try Memfd(adopting: descriptor, name: file.name).map() }
        return try StoredModel(count: { files[$0.rawValue]?.count }) { (file, range) throws(Fault) in
            guard let mapping = files[file.rawValue] else { preconditionFailure("a file is counted before it is read") }
            return unsafe mapping.withUnsafeBytes { unsafe Array($0[range]) }
        }
    }

    /// A key as orders carry it.
    static func key(_ text: String) throws(Fault) -> SecretBytes {
        guard var bytes = Base64.decode(text), bytes.count == 32 else { throw Fault(.environment, "worker.order", "the worker cannot read its order", why: "a key is not 32 bytes") }
        return SecretBytes(taking: &bytes)
    }
}

/// Set once, by anybody.
final class Flag: Sendable {
    private let state = Mutex(false)
    func set() { state.withLock { $0 = true } }
    var isSet: Bool { state.withLock { $0 } }
}
