import Glibc

/// What DPO holds the policy near to its reference by: a log-ratio r becomes the score f′(eʳ) (Wang et al. 2023, arXiv:2309.16240).
package enum Divergence: Sendable, Hashable {
    case reverseKL
    case forwardKL
    case jensenShannon
    /// (t^(α−1) − 1) / (α−1); α = 1 is the reverse divergence.
    case alpha(Double)

    /// The name in a recipe.
    package var name: String {
        switch self {
        case .reverseKL: "reverse_kl"
        case .forwardKL: "forward_kl"
        case .jensenShannon: "js_divergence"
        case .alpha: "alpha_divergence"
        }
    }

    package init?(name: String, alpha: Double = 0.5) {
        let all: [Divergence] = [.reverseKL, .forwardKL, .jensenShannon, .alpha(alpha)]
        guard let found = all.first(where: { $0.name == name }) else { return nil }
        self = found
    }

    /// An exponent beyond this counts as this: e⁸⁰ is no number to learn from, and still fits float32.
    static let exponentMax = 80.0

    func score(_ ratio: Double) -> Curve {
        switch self {
        case .reverseKL: return Curve(value: ratio, slope: 1)
        case .forwardKL:
            let power = exp(min(-ratio, Divergence.exponentMax))
            return Curve(value: 1 - power, slope: -ratio > Divergence.exponentMax ? 0 : power)
        case .jensenShannon: return Curve(value: M_LN2 + logSigmoid(ratio), slope: sigmoid(-ratio))
        case .alpha(let alpha):
            let by = alpha - 1
            if abs(by) < 1e-6 { return Curve(value: ratio, slope: 1) }
            let power = min(by * ratio, Divergence.exponentMax)
            return Curve(value: expm1(power) / by, slope: by * ratio > Divergence.exponentMax ? 0 : exp(power))
        }
    }
}

/// How much a policy strays from its reference at one sampled token, x = log π_ref − log π (Schulman, joschu.net/blog/kl-approx.html).
package enum DivergenceEstimator: String, Sendable, Hashable, CaseIterable {
    /// −x: unbiased, may be negative. The one to take from a reward; in a loss its derivative says nothing (its expectation is zero).
    case k1
    /// x²/2: biased, with the derivative of the divergence.
    case k2
    /// eˣ − x − 1: unbiased and never negative. The one to add to a loss.
    case k3

    /// Beyond this x, k3 goes on as its tangent: finite, convex, and still pulling the policy back.
    static let exponentMax = 20.0

    package func value(policy: Double, reference: Double) -> Double { curve(policy: policy, reference: reference).value }

    /// The slope is by log π.
    func curve(policy: Double, reference: Double) -> Curve {
        let x = reference - policy
        switch self {
        case .k1: return Curve(value: -x, slope: 1)
        case .k2: return Curve(value: x * x / 2, slope: -x)
        case .k3:
            let near = min(x, DivergenceEstimator.exponentMax), rise = expm1(near)
            return Curve(value: rise - near + rise * (x - near), slope: -rise)
        }
    }
}
