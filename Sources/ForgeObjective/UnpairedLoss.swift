package import ForgeCore

/// Learning from single answers, each judged desirable or not: no pairs are needed.
package struct UnpairedLoss: Sendable, Hashable {
    package enum Kind: String, Sendable, Hashable, CaseIterable, Codable {
        /// λ_D σ(−β(r − z)) or λ_U σ(β(r − z)), z the policy's divergence from its reference. Ethayarajh et al. 2024 (arXiv:2402.01306), eq. 7.
        case kto
        /// The same without z: APO-zero (arXiv:2408.06266, eq. 7) on single answers.
        case apoZero = "apo_zero_unpaired"

        package var needsBaseline: Bool { self == .kto }
    }

    package struct Example: Sendable, Hashable {
        /// Sums over the answer's tokens.
        package var policy: Double
        package var reference: Double
        package var isDesirable: Bool

        package init(policy: Double, reference: Double, isDesirable: Bool) {
            self.policy = policy
            self.reference = reference
            self.isDesirable = isDesirable
        }
    }

    package struct Batch: Sendable, Hashable {
        package var loss: Double
        /// Derivative by the policy's sum of each example, in the order given.
        package var gradients: [Double]
        package var metrics: Metrics
    }

    /// Sums and counts, so that those of several passes can be added.
    package struct Metrics: Sendable, Hashable {
        package var desirable = 0
        package var undesirable = 0
        package var desirableReward = 0.0
        package var undesirableReward = 0.0
        /// z, one for a whole step.
        package var baseline = 0.0

        package init(baseline: Double = 0) { self.baseline = baseline }

        package mutating func add(_ pass: Metrics) {
            desirable += pass.desirable
            undesirable += pass.undesirable
            desirableReward += pass.desirableReward
            undesirableReward += pass.undesirableReward
        }

        /// Mean reward of desirable answers above that of undesirable ones; nil if a side is empty.
        package var margin: Double? { desirable > 0 && undesirable > 0 ? desirableReward / Double(desirable) - undesirableReward / Double(undesirable) : nil }
    }

    package let kind: Kind
    package let beta: Double
    /// λ_D and λ_U: chosen so that λ_D·desirable to λ_U·undesirable is between 1 and 4/3, by the paper.
    package let desirableWeight: Double
    package let undesirableWeight: Double

    package init(_ kind: Kind = .kto, beta: Double = 0.1, desirableWeight: Double = 1, undesirableWeight: Double = 1) throws(Fault) {
        guard beta.isFinite, beta > 0 else { throw .setting("beta", beta, needs: "a finite number above 0") }
        for (name, weight) in [("desirable_weight", desirableWeight), ("undesirable_weight", undesirableWeight)] {
            guard weight.isFinite, weight >= 0 else { throw .setting(name, weight, needs: "a finite number, 0 or above") }
        }
        self.kind = kind
        self.beta = beta
        self.desirableWeight = desirableWeight
        self.undesirableWeight = undesirableWeight
    }

    /// z of a step: the mean log-ratio of answers that belong to other prompts, at least 0. It is a constant to the derivative, and one for all passes of a step.
    package static func baseline(policy: [Double], reference: [Double]) throws(Fault) -> Double {
        guard !policy.isEmpty, policy.count == reference.count else { throw .shape("\(policy.count) sums of the policy stand beside \(reference.count) of the reference") }
        for (i, (a, b)) in zip(policy, reference).enumerated() where !(a - b).isFinite { throw .notFinite("the log-ratio", of: "mismatched answer \(i)") }
        return max(0, zip(policy, reference).reduce(0) { $0 + $1.0 - $1.1 } / Double(policy.count))
    }

    /// - Parameters:
    ///   - baseline: z of the step; `kto` needs it.
    ///   - total: examples of the whole optimiser step, when this pass is one of several.
    package func batch(_ examples: [Example], baseline: Double? = nil, of total: Int? = nil) throws(Fault) -> Batch {
        let total = total ?? examples.count
        guard !examples.isEmpty, total >= examples.count else { throw .shape("a pass of \(examples.count) answers cannot be part of a step of \(total)") }
        if kind.needsBaseline, baseline == nil { throw .missing("the divergence estimated from mismatched answers", kind.rawValue) }
        let z = kind.needsBaseline ? baseline ?? 0 : 0
        guard z.isFinite, z >= 0 else { throw .notFinite("the divergence", of: "the step") }
        var batch = Batch(loss: 0, gradients: [], metrics: Metrics(baseline: z))
        let share = 1 / Double(total)
        for (i, example) in examples.enumerated() {
            let ratio = example.policy - example.reference
            guard ratio.isFinite else { throw .notFinite("the log-ratio", of: "answer \(i)") }
            let sign = example.isDesirable ? 1.0 : -1, weight = share * (example.isDesirable ? desirableWeight : undesirableWeight)
            let x = sign * beta * (ratio - z)
            batch.loss += weight * sigmoid(-x)
            batch.gradients.append(-weight * sign * beta * sigmoid(x) * sigmoid(-x))
            if example.isDesirable {
                batch.metrics.desirable += 1
                batch.metrics.desirableReward += beta * ratio
            } else {
                batch.metrics.undesirable += 1
                batch.metrics.undesirableReward += beta * ratio
            }
        }
        return batch
    }
}
