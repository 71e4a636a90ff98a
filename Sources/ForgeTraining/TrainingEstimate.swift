package import ForgeCore
import ForgeModel
import ForgeNN
package import ForgeTensor

/// What a run will need, told before it starts.
package struct TrainingEstimate: Sendable, Hashable, Codable {
    package let parameters: Int
    package let tokens: Int
    package let flops: Double
    /// Parameters, gradients, moments, activations, and what the threads work in.
    package let memory: ByteCount
    /// Three checkpoints at their worst moment (two kept, one being written) and the model.
    package let disk: ByteCount
    package let machinePeak: Double
    /// At the share of the peak that runs of this kind reach.
    package let seconds: Double

    /// Plans the whole run without touching the memory it would take.
    /// - Parameter vocabulary: of the tokenizer that is or will be trained.
    package init(_ recipe: Recipe, vocabulary: Int? = nil, on device: Device) throws(Fault) {
        let config = recipe.config(vocabulary: vocabulary ?? recipe.vocabulary, bos: 1, eos: 2)
        try config.validate()
        let table = ParameterTable(config)
        let weights = try Parameters(table, on: device), gradients = try Parameters(table, on: device)
        let rows = min(recipe.sequencesPerPass, recipe.sequencesPerStep) * recipe.sequenceLength
        let decoder = try Decoder(weights, gradients: gradients, rows: rows, precision: recipe.precision, recompute: recipe.recompute, on: device)
        parameters = table.count
        tokens = recipe.tokens
        flops = table.trainingFlops(perTokenWithContext: recipe.sequenceLength) * Double(recipe.tokens)
        memory = Optimiser.bytes(table) + decoder.activationBytes + ByteCount(device.threads << 21) + .mib(64)
        disk = ByteCount(table.count * 4 * 10) + .mib(1)
        machinePeak = device.measuredPeak(precision: recipe.precision)
        seconds = flops / (machinePeak * TrainingEstimate.usualShare(recipe.precision))
    }

    /// Measured on models of one to thirty million parameters (docs/performance.md).
    package static func usualShare(_ precision: Precision) -> Double { precision == .bf16 ? 0.33 : 0.6 }
}
