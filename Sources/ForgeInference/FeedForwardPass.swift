import ForgeCore
import ForgeModel
import ForgeTensor

/// The feed-forward of a layer in serving, dense or a mixture of experts, with the training pass's operations in the training pass's order.
///
/// Legend: R rows of the step, C rows times choices, E width, F feed-forward width, X experts.
struct FeedForwardPass {
    private let device: Device
    private let workspace: Tensor
    /// Room for the widest of its feed-forwards, used by one after the other.
    private let gateUp, hidden: Tensor
    private let mixture: Mixture?

    /// Where tokens are sorted by the experts they chose.
    private struct Mixture {
        let routing: Routing
        let scores_RX, mix_RC, gathered_CE, said_CE: Tensor
        let choice: Indices
        let dispatch: Dispatch
    }

    /// - Parameter workspace: what products of `rows` rows need; shared with the rest of the pass.
    init(_ config: MistralConfig, rows: Int, workspace: Tensor, on device: Device) throws(Fault) {
        self.device = device
        self.workspace = workspace
        let pairs = rows * (config.experts?.choices ?? 1), room = rows * max(config.experts?.choices ?? 1, config.experts?.shared ?? 0) * config.feedForward
        gateUp = try device.tensor(rows: 1, columns: 2 * room)
        hidden = try device.tensor(rows: 1, columns: room)
        guard let experts = config.experts else {
            mixture = nil
            return
        }
        mixture = Mixture(
            routing: experts.routing, scores_RX: try device.tensor(rows: rows, columns: experts.count),
            mix_RC: try device.tensor(rows: rows, columns: experts.choices), gathered_CE: try device.tensor(rows: pairs, columns: config.width),
            said_CE: try device.tensor(rows: pairs, columns: config.width), choice: try Indices(capacity: pairs, on: device),
            dispatch: Dispatch(
                starts: try Indices(capacity: experts.count + 1, on: device), place: try Indices(capacity: pairs, on: device), pair: try Indices(capacity: pairs, on: device)))
    }

    func run(_ x: Tensor, _ weights: PackedWeights.FeedForward, into out: Tensor) throws(Fault) {
        switch (weights, mixture) {
        case (.dense(let gated), nil): try apply(gated, to: x, into: out)
        case (.mixture(let router, let experts, let shared), let mixture?): try choose(x, router, experts, shared, mixture, into: out)
        default: preconditionFailure("the weights are those of the configuration")
        }
    }

    private func apply(_ gated: PackedWeights.Gated, to x: Tensor, into out: Tensor) throws(Fault) {
        let width = gated.down.inputs, gateUp = gateUp.view(rows: x.rows, columns: 2 * width), hidden = hidden.view(rows: x.rows, columns: width)
        try device.multiply(gateUp, x, by: gated.gateUp, workspace: workspace)
        try device.swiglu(hidden, gateUp)
        try device.multiply(out, hidden, by: gated.down, workspace: workspace)
    }

    /// Each expert multiplies the rows that chose it: a row of a product has the same bits whatever the others are, so they are those of the training pass,
    /// which multiplies by all experts at once.
    private func choose(
        _ x: Tensor, _ router: PackedMatrix, _ experts: [PackedWeights.Gated], _ shared: PackedWeights.Gated?, _ mixture: Mixture, into out: Tensor
    ) throws(Fault) {
        let rows = x.rows, choices = mixture.routing.choices, dispatch = mixture.dispatch
        let scores = mixture.scores_RX.prefix(rows), mix = mixture.mix_RC.prefix(rows)
        let gathered = mixture.gathered_CE.prefix(rows * choices), said = mixture.said_CE.prefix(rows * choices)
        try device.multiply(scores, x, by: router, workspace: workspace)
        try device.route(weights: mix, choice: mixture.choice, probs: scores, logits: scores, mixture.routing)
        try device.sort(dispatch, choice: mixture.choice, rows: rows, mixture.routing)
        try device.gather(gathered, x, dispatch, choices: choices)
        let starts = dispatch.starts.values(experts.count + 1).map(Int.init)
        for (number, expert) in experts.enumerated() where starts[number] < starts[number + 1] {
            let first = starts[number], count = starts[number + 1] - first
            try apply(expert, to: gathered.rows(first, count), into: said.rows(first, count))
        }
        if let shared { try apply(shared, to: x, into: out) }
        try device.combine(out, add: shared == nil ? nil : out, said, weights: mix, dispatch, choices: choices)
    }
}
