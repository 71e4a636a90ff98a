import ForgeCore
import ForgeModel
import ForgeNN
import ForgeTensor

/// What learns in a run: every weight of a model, or adapters beside weights that stay as they are.
final class Learner {
    let config: MistralConfig
    let optimiser: Optimiser
    let decoder: Decoder
    private let recipe: Recipe
    private let device: Device
    private let frozen: PackedWeights?
    private let base: StoredModel?

    /// - Parameters:
    ///   - base: what the run starts from; nil for weights drawn from the recipe's seed.
    ///   - rows: of a pass.
    init(_ recipe: Recipe, _ config: MistralConfig, from base: StoredModel?, rows: Int, on device: Device) throws(Fault) {
        try config.validate()
        self.recipe = recipe
        self.config = config
        self.device = device
        self.base = base
        if let adapters = recipe.adapters {
            guard let base else { preconditionFailure("adapters lie beside a model") }
            let table = ParameterTable(config, adapters: adapters.config)
            guard !table.entries.isEmpty else {
                throw Fault(.request, "recipe.targets", "the adapters change nothing", why: "the model has none of the matrices under `adapters.targets`", remedy: "leave `targets` out for every matrix there is")
            }
            optimiser = try Optimiser(recipe, table: table, on: device)
            let frozen = try PackedWeights(ParameterTable(config), as: adapters.format, on: device) { (entry, tensor) throws(Fault) in tensor.write(try base.values(entry)) }
            self.frozen = frozen
            decoder = try Decoder(
                frozen, adapters: optimiser.parameters, gradients: optimiser.gradients, rows: rows, precision: recipe.precision, recompute: recipe.recompute, on: device)
            optimiser.parameters.initialise(seed: recipe.seed)
        } else {
            optimiser = try Optimiser(recipe, table: ParameterTable(config), on: device)
            frozen = nil
            decoder = try Decoder(optimiser.parameters, gradients: optimiser.gradients, rows: rows, precision: recipe.precision, recompute: recipe.recompute, on: device)
            try Learner.begin(optimiser.parameters, recipe, base)
        }
    }

    /// A decoder of the same weights that only evaluates, with the bits of the training pass.
    func evaluator(rows: Int) throws(Fault) -> Decoder {
        guard let frozen else { return try Decoder(optimiser.parameters, rows: rows, precision: recipe.precision, on: device) }
        return try Decoder(frozen, adapters: optimiser.parameters, rows: rows, precision: recipe.precision, on: device)
    }

    /// A decoder of what the run started from, which stays as it was.
    func reference(rows: Int) throws(Fault) -> Decoder {
        let still = try Parameters(optimiser.parameters.table, on: device)
        if let frozen {
            // Adapters change nothing as they begin.
            still.initialise(seed: recipe.seed)
            return try Decoder(frozen, adapters: still, rows: rows, precision: recipe.precision, on: device)
        }
        try Learner.begin(still, recipe, base)
        return try Decoder(still, rows: rows, precision: recipe.precision, on: device)
    }

    private static func begin(_ parameters: Parameters, _ recipe: Recipe, _ base: StoredModel?) throws(Fault) {
        if let base { try parameters.load(base) } else if case .architecture(let model) = recipe.start {
            parameters.initialise(seed: recipe.seed, embeddingDeviation: Float(model.embeddingDeviation))
        }
    }

    /// Whether `packed` computes what the training pass computes, to the bit: adapters are merged there, and lie beside their matrices here; and not every device attends alike.
    var drawsWithTrainingsBits: Bool { frozen == nil && device.backend.servesWithTrainingsBits }

    /// The model as it is now, as answers are drawn from it.
    func packed() throws(Fault) -> PackedWeights {
        guard let frozen, let base else { return try PackedWeights(optimiser.parameters, as: WeightFormat(recipe.precision), on: device) }
        let merge = AdapterMerge(optimiser.parameters)
        return try PackedWeights(ParameterTable(config), as: frozen.format, on: device) { (entry, tensor) throws(Fault) in
            var values = try base.values(entry)
            merge.delta(entry)?.add(to: &values, from: 0)
            tensor.write(values)
        }
    }

    /// Draws answers and says how likely each of their tokens was.
    func draw(_ requests: [Rollouts.Request], _ rollouts: Rollouts) throws(Fault) -> [Rollouts.Answer] {
        try rollouts.draw(requests, from: try packed(), rows: recipe.rowsPerPass, on: device)
    }
}
