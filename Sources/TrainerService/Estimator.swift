package import ForgeCore
package import ForgeModel
import ForgeOS
import ForgeTensor
package import ForgeTraining
package import TrainerAPI

/// Says what a run will need before it starts. Keeps one compute device for measuring, on a thread of its own.
package actor Estimator {
    private let thread = ThreadExecutor("estimator")
    package nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }

    private let threads: Int?
    private var device: Device?

    package init(threads: Int?) { self.threads = threads }

    /// - Parameters:
    ///   - base: the configuration of what the recipe starts from, if that is a model.
    ///   - textBytes: of the training split; a token is never shorter than a byte.
    ///   - directory: whose file system will hold the run.
    package func estimate(_ recipe: Recipe, from base: MistralConfig? = nil, textBytes: Int64, directory: String) throws(Fault) -> RunEstimate {
        let device = try opened()
        let need: TrainingEstimate
        do throws(Fault) { need = try TrainingEstimate(recipe, base: base, on: device) } catch {
            // So large that not even its plan fits: the answer is the same, only sooner.
            guard error.code == "compute.memory" else { throw error }
            throw Fault(.request, "run.does_not_fit", "the run does not fit this machine", why: error.message, remedy: "make the model, sequences_per_pass or sequence_length smaller")
        }
        // Token shards in memory and on disk, and the texts a tokenizer is trained on.
        let memory = need.memory + ByteCount(textBytes * 6), disk = need.disk + ByteCount(textBytes * 4)
        let memoryFree = try Machine.memory().free, diskFree = try Path.freeSpace(directory)
        var obstacles: [String] = []
        if memory > memoryFree { obstacles.append("it needs \(memory) of memory and \(memoryFree) are free: set `recompute: true`, or make the model, sequences_per_pass or sequence_length smaller") }
        if disk > diskFree { obstacles.append("it needs \(disk) on disk and \(diskFree) are free under `\(directory)`") }
        return RunEstimate(
            parameters: need.parameters, tokens: need.tokens, flops: need.flops, memory: memory, disk: disk, seconds: need.seconds, memoryFree: memoryFree, diskFree: diskFree,
            obstacles: obstacles)
    }

    private func opened() throws(Fault) -> Device {
        if let device { return device }
        let fresh = try Device(threads: threads)
        device = fresh
        return fresh
    }
}
