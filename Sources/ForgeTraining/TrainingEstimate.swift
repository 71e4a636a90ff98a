package import ForgeCore
package import ForgeModel
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
    /// - Parameters:
    ///   - base: the configuration of what the recipe starts from, if that is a model.
    ///   - vocabulary: of the tokenizer that is or will be trained.
    package init(_ recipe: Recipe, base: MistralConfig? = nil, vocabulary: Int? = nil, on device: Device) throws(Fault) {
        let config: MistralConfig
        switch recipe.start {
        case .architecture(let model): config = model.config(vocabulary: vocabulary ?? model.vocabulary, bos: 1, eos: 2)
        case .base:
            guard let base else { preconditionFailure("a run from a model is estimated for that model") }
            config = base
        }
        try config.validate()
        let table = ParameterTable(config), learning = recipe.adapters.map { ParameterTable(config, adapters: $0.config) } ?? table
        let weights = try Parameters(table, on: device), gradients = try Parameters(table, on: device)
        let decoder = try Decoder(weights, gradients: gradients, rows: recipe.rowsPerPass, precision: recipe.precision, recompute: recipe.recompute, on: device)
        parameters = learning.count
        tokens = recipe.tokens
        // Frozen weights have no gradients of their own: a third of the products falls away.
        flops = table.trainingFlops(perTokenWithContext: recipe.sequenceLength) * Double(recipe.tokens) * (recipe.adapters == nil ? 1 : 2.0 / 3)
        let frozen = recipe.adapters.map { PackedWeights.bytes(config, as: $0.format) } ?? ByteCount(0)
        // A base is lent whole, in memory.
        let lent = base == nil ? ByteCount(0) : ByteCount(table.count * 4)
        // One that only evaluates stands beside it where weights are asked between steps: those that learn, or those they began as.
        let asked = recipe.method == .kto || recipe.keepsReference ? try Decoder(weights, rows: recipe.rowsPerPass, precision: recipe.precision, on: device).activationBytes : ByteCount(0), kept = recipe.keepsReference ? ByteCount(learning.count * 4) : ByteCount(0)
        memory = Optimiser.bytes(learning) + frozen + lent + decoder.activationBytes + asked + kept + ByteCount(device.threads << 21) + .mib(64)
        disk = ByteCount(learning.count * 4 * 9 + table.count * 4) + .mib(1)
        machinePeak = device.measuredPeak(precision: recipe.precision)
        seconds = flops / (machinePeak * TrainingEstimate.usualShare(recipe.precision))
    }

    /// Measured on models of one to thirty million parameters (docs/performance.md).
    package static func usualShare(_ precision: Precision) -> Double { precision == .bf16 ? 0.33 : 0.6 }
}
