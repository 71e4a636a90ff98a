package import ForgeCore
package import ForgeTensor

/// How the tokens of a pass spread over the experts of each layer, and what that says to the routers.
package final class ExpertLoads {
    package let routing: Routing
    package let layers: Int
    /// Pairs of (token, choice) each expert of each layer got in the last pass.
    package private(set) var counts: [[Int]]
    /// L = E Σ_e f_e P_e of the last pass, all layers pooled (Fedus et al. 2021, arXiv:2101.03961, eqs. 4-6, as transformers computes it for Mixtral): f_e the
    /// share of tokens that went to e, summed over their choices, P_e the mean score. Perfectly balanced, it is the number of choices.
    package private(set) var balanceLoss = 0.0

    /// A layer's sorted places: `[experts + 1]` each.
    let starts: [Indices]
    /// `[1, experts]`: what the balancing loss adds to the gradient of every token's scores, the same in every layer.
    let balance: Tensor
    /// Sums of the scores of each layer's experts, in double.
    private let mass: [Storage]

    package init(layers: Int, _ routing: Routing, on device: Device) throws(Fault) {
        self.routing = routing
        self.layers = layers
        counts = Array(repeating: Array(repeating: 0, count: routing.experts), count: layers)
        balance = try device.tensor(rows: 1, columns: routing.experts)
        var starts: [Indices] = [], mass: [Storage] = []
        for _ in 0..<layers {
            starts.append(try Indices(capacity: routing.experts + 1, on: device))
            mass.append(try Storage(bytes: 8 * routing.experts, on: device))
        }
        self.starts = starts
        self.mass = mass
    }

    func add(_ probs: Tensor, layer: Int) throws(Fault) { try probs.storage.device.columnSums(mass[layer], probs) }

    /// After the last layer: pools the layers, and makes dL/dp = weight · E f_e / rows ready for the way back.
    /// - Parameter rows: of one layer.
    func pool(rows: Int, weight: Float) {
        precondition(weight == 0 || routing.score == .softmax, "the balancing loss is defined for scores that sum to one")
        var pooled = [Double](repeating: 0, count: routing.experts), scores = pooled
        for layer in 0..<layers {
            let starts = starts[layer].values(routing.experts + 1), sums = mass[layer].doubles(routing.experts)
            for expert in 0..<routing.experts {
                counts[layer][expert] = Int(starts[expert + 1] - starts[expert])
                pooled[expert] += Double(counts[layer][expert])
                scores[expert] += sums[expert]
            }
        }
        let total = Double(rows * layers), experts = Double(routing.experts)
        balanceLoss = zip(pooled, scores).reduce(0) { $0 + ($1.0 / total) * ($1.1 / total) } * experts
        balance.write(pooled.map { Float(Double(weight) * experts * ($0 / total) / total) })
    }

    /// What a pass of this model needs beside the tape's memory.
    package var bytes: ByteCount { ByteCount(layers * (12 * routing.experts + 4) + 4 * routing.experts) }
}

/// Balancing without a loss (Wang et al. 2024, arXiv:2408.15664): a bias that only chooses, moved once a step.
package enum ExpertBias {
    /// `b += rate · sign(mean load - load)`, expert by expert.
    /// - Parameters:
    ///   - bias: `[experts]` of one layer.
    ///   - loads: pairs each expert got in the whole step.
    package static func update(_ bias: inout [Float], loads: [Int], rate: Float) {
        precondition(bias.count == loads.count, "a bias an expert")
        let total = loads.reduce(0, +)
        for expert in bias.indices {
            // Whole numbers, so that equal loads are equal: load < mean ⟺ load · experts < total.
            let load = loads[expert] * loads.count
            if load < total { bias[expert] += rate } else if load > total { bias[expert] -= rate }
        }
    }
}
