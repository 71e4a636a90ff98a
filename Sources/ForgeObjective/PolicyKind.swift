extension PolicyLoss {
    /// A method of learning from sampled answers. The raw value is its name in a recipe, and stays.
    ///
    /// ρ is the ratio of the policy's probability to that of the policy that sampled, A the advantage. Unless said otherwise a token's loss is
    /// −min(ρA, clip(ρ, 1−ε_low, 1+ε_high)A).
    package enum Kind: String, Sendable, Hashable, CaseIterable, Codable {
        /// Mean over answers of the mean over tokens. Shao et al. 2024 (arXiv:2402.03300), eq. 3.
        case grpo
        /// Mean over tokens. TRL's name for GRPO with the batch's tokens as its normaliser.
        case bnpo
        /// Sum over tokens, divided by answers times the greatest length. Liu et al. 2025 (arXiv:2503.20783).
        case drGRPO = "dr_grpo"
        /// Mean over tokens, with the higher upper clip. Yu et al. 2025 (arXiv:2503.14476), eq. 8. Same as `bnpo` but for ε.
        case dapo
        /// −min(ρ, w)·A·log π, the weight held constant: no token loses its gradient. MiniMax 2025 (arXiv:2506.13585), eq. 4; w = 5 in ScaleRL (arXiv:2510.13786).
        case cispo
        /// One ratio for an answer: the geometric mean of its tokens'. Zheng et al. 2025 (arXiv:2507.18071), eq. 5 to 7.
        case gspo
        /// −A·4σ(τ(ρ−1))/τ: a gate instead of a clip, τ by the advantage's sign. Gao et al. 2025 (arXiv:2511.20347).
        case sapo
        /// `gspo` with the sum over an answer's tokens instead of their mean (length-unbiased). TRL cites arXiv:2602.05261.
        case luspo
        /// −φ(w)·A·log π, φ(w) = e^λ wᵏ e^(−λw) of the answer's whole ratio, held constant. TRL cites arXiv:2602.10693.
        case vespo
        /// One ratio for an answer: the product of its tokens'. Ahmadian et al. 2024 (arXiv:2402.14740) with PPO's clip, as in TRL 1.16.
        case rloo
        /// Mean over tokens, advantages of each token. Schulman et al. 2017 (arXiv:1707.06347), eq. 7.
        case ppo

        package var ratio: Ratio {
            switch self {
            case .gspo, .luspo: .geometricMean
            case .rloo: .product
            case .grpo, .bnpo, .drGRPO, .dapo, .cispo, .sapo, .vespo, .ppo: .token
            }
        }

        package var aggregation: Aggregation {
            switch self {
            case .grpo, .gspo, .sapo, .rloo: .sequenceMean
            case .bnpo, .dapo, .cispo, .vespo, .ppo: .tokenMean
            case .drGRPO: .lengthLimit
            case .luspo: .sequenceSum
            }
        }

        package var defaultClip: Clip {
            switch self {
            case .dapo: Clip(low: 0.2, high: 0.28)
            // A geometric mean hardly moves: its paper's 3·10⁻⁴ and 4·10⁻⁴.
            case .gspo, .luspo: Clip(low: 3e-4, high: 4e-4)
            default: Clip(low: 0.2, high: 0.2)
            }
        }

        /// Whether ε, δ and the dual clip have a meaning.
        package var clips: Bool { self != .cispo && self != .sapo && self != .vespo }
    }

    /// What a ratio is of.
    package enum Ratio: String, Sendable, Hashable, CaseIterable {
        case token
        case geometricMean = "sequence"
        case product
    }

    /// How the tokens' losses become one. Every divisor is of the whole step (`StepTotals`).
    package enum Aggregation: String, Sendable, Hashable, CaseIterable {
        case sequenceMean = "sequence_mean"
        case tokenMean = "token_mean"
        case sequenceSum = "sequence_sum"
        case lengthLimit = "length_limit"
    }

    package struct Clip: Sendable, Hashable {
        package var low: Double
        package var high: Double

        package init(low: Double, high: Double) {
            self.low = low
            self.high = high
        }
    }

    package struct Options: Sendable, Hashable {
        /// ε; nil for the kind's own.
        package var clip: Clip?
        /// δ: no ratio counts for more, also where a bad answer became likelier. Prime Intellect 2025 (arXiv:2505.07291, §3.4). Above 1+ε_high.
        package var ratioMax: Double?
        /// c of the dual clip: a bad token's loss is at most −cA. Ye et al. 2019 (arXiv:1912.09729), eq. 4; 3 there and in verl.
        package var dualClip: Double?
        /// The largest weight in `cispo`.
        package var weightMax = 5.0
        /// Weight of the divergence from the reference, added to each token's loss. 0 needs no reference.
        package var klWeight = 0.0
        package var klEstimator = DivergenceEstimator.k3
        /// nil for the kind's own.
        package var ratio: Ratio?
        package var aggregation: Aggregation?
        /// The greatest length of an answer in tokens: `length_limit` divides by it.
        package var lengthLimit: Int?
        /// τ of `sapo` for A > 0 and for the rest.
        package var gate = BySign(above: 1.0, below: 1.05)
        /// k and λ of `vespo` for A ≥ 0 and for the rest.
        package var weighting = BySign(above: Gamma(power: 2, rate: 3), below: Gamma(power: 3, rate: 2))
        /// Engine and trainer disagree on log-probabilities: how the loss allows for it.
        package var correction: RolloutCorrection?
        /// An answer with A < 0 is dropped if the policy has drifted from it by more than this, in nats a token. DeepSeek-V3.2 (arXiv:2512.02556, §3.1).
        package var driftMax: Double?

        package init() {}
    }

    /// One for good answers, one for bad ones.
    package struct BySign<Value: Sendable & Hashable>: Sendable, Hashable {
        package var above: Value
        package var below: Value

        package init(above: Value, below: Value) {
            self.above = above
            self.below = below
        }
    }

    package struct Gamma: Sendable, Hashable {
        package var power: Double
        package var rate: Double

        package init(power: Double, rate: Double) {
            self.power = power
            self.rate = rate
        }
    }
}
