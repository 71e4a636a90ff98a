import ForgeCore
import ForgeModel
import ForgeTensor

/// Parameters, gradients and moments of one run, and the step that moves them.
final class Optimiser {
    let parameters: Parameters
    let gradients: Parameters
    let first: Parameters
    let second: Parameters
    private let recipe: Recipe
    private let device: Device
    private let partials: Tensor
    private let muon: Muon?
    /// Runs of neighbouring parameters that AdamW treats alike.
    private let groups: [(range: Range<Int>, decays: Bool)]

    init(_ recipe: Recipe, table: ParameterTable, on device: Device) throws(Fault) {
        self.recipe = recipe
        self.device = device
        parameters = try Parameters(table, on: device)
        gradients = try Parameters(table, on: device)
        first = try Parameters(table, on: device)
        second = try Parameters(table, on: device)
        partials = try device.tensor(rows: 1, columns: Device.sumOfSquaresWorkspace(table.count))
        muon = recipe.optimizer == .muon ? try Muon(table, precision: recipe.precision, on: device) : nil
        var groups: [(range: Range<Int>, decays: Bool)] = []
        for entry in table.entries where recipe.optimizer == .adamw || entry.role != .matrix {
            // Norms are scales, not directions: decay would only pull them from one.
            let decays = entry.role != .norm
            if let last = groups.last, last.decays == decays, last.range.upperBound == entry.offset {
                groups[groups.count - 1].range = last.range.lowerBound..<entry.range.upperBound
            } else {
                groups.append((entry.range, decays))
            }
        }
        self.groups = groups
    }

    /// Bytes a run holds for a table, activations aside.
    static func bytes(_ table: ParameterTable) -> ByteCount { ByteCount(table.count * 4 * 4) }

    /// √Σg² over all parameters.
    func gradientNorm() throws(Fault) -> Double { try device.sumOfSquares(gradients.flat, partials: partials).squareRoot() }

    /// One update with the gradients as they are.
    /// - Parameter number: 1, 2, …
    func update(number: Int, norm: Double) throws(Fault) {
        let factor = recipe.rateFactor(step: number - 1)
        let scale = Float(min(1, recipe.clip / (norm + 1e-6)))
        for group in groups {
            func part(_ p: Parameters) -> Tensor { p.flat.view(from: group.range.lowerBound, rows: 1, columns: group.range.count) }
            try device.adamw(
                part(parameters), m: part(first), v: part(second), gradient: part(gradients),
                step: AdamWStep(
                    rate: Float(recipe.learningRate * factor), beta1: Float(recipe.beta1), beta2: Float(recipe.beta2), eps: Float(recipe.eps),
                    decay: group.decays ? Float(recipe.weightDecay) : 0, number: number, scale: scale))
        }
        guard let muon else { return }
        for entry in parameters.table.entries where entry.role == .matrix {
            try muon.update(
                parameters.tensor(entry), momentum: first.tensor(entry), gradient: gradients.tensor(entry), partials: partials,
                rate: Float(recipe.matrixRate * factor), beta: Float(recipe.momentum), decay: Float(recipe.weightDecay), scale: scale)
        }
    }
}
