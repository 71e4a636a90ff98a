extension PreferenceLoss {
    /// A method of learning from pairs. The raw value is its name in a recipe, and stays.
    ///
    /// Below, Δ is the difference of the two log-ratios r = log π − log π_ref, summed over a completion's tokens; a bar divides by its length; ε is the label
    /// smoothing; ℓ(x) = −log σ(x).
    package enum Kind: String, Sendable, Hashable, CaseIterable, Codable {
        /// ℓ(βΔ). Rafailov et al. 2023 (arXiv:2305.18290), eq. 7.
        case sigmoid = "dpo"
        /// ℓ(βΔ̄). Lambert et al. 2024 (Tülu 3, arXiv:2411.15124), eq. 6.
        case sigmoidNorm = "dpo_norm"
        /// [(1−ε)ℓ(βΔ) − εℓ(−βΔ)] / (1−2ε): unbiased when a share ε of the labels is flipped. Chowdhury et al. 2024 (arXiv:2403.00409).
        case robust
        /// (1−ε)ℓ(βΔ) + εℓ(−βΔ). Mitchell 2023 (ericmitchell.ai/cdpo.pdf).
        case conservative = "cdpo"
        /// max(0, 1 − βΔ). Zhao et al. 2023 (SLiC, arXiv:2305.10425), as Liu et al. 2023 (arXiv:2309.06657) put it on log-ratios.
        case hinge
        /// (Δ̄ − 1/2β)². Azar et al. 2023 (arXiv:2310.12036), eq. 17; the division by length is its authors' word to TRL's.
        case ipo
        /// σ(−βr_c) + σ(βr_l). D'Oosterlinck et al. 2024 (arXiv:2408.06266), eq. 7: the chosen answer is better than the model.
        case apoZero = "apo_zero"
        /// σ(βr_c) + σ(−βΔ). The same, eq. 8: the chosen answer is worse than the model.
        case apoDown = "apo_down"
        /// ℓ(β(mean log π_c − mean log π_l) − γ), without a reference. Meng et al. 2024 (arXiv:2405.14734), eq. 6.
        case simpo
        /// NLL_c + βℓ(log odds_c − log odds_l), odds = p/(1−p) of mean log-probabilities, without a reference. Hong et al. 2024 (arXiv:2403.07691), eq. 6 and 7.
        case orpo
        /// ℓ(βΔ − δ), δ = α f(s_c − s_l) from scores. Amini et al. 2024 (arXiv:2402.10571), eq. 9.
        case dpoOffset = "dpo_offset"
        /// pℓ(βΔ) + (1−p)ℓ(−βΔ) on answers sampled from the policy, p a judge's probability. Guo et al. 2024 (arXiv:2402.04792) with Ministral 3's soft labels (arXiv:2601.08584).
        case online = "odpo"
        /// KL(softmax of βr ‖ (1−ε, ε)). Ji et al. 2024 (arXiv:2402.00856), eq. 16.
        case exoPair = "exo_pair"
        /// ℓ(βr_c) + ½ℓ(−βr_c) + ½ℓ(−βr_l). Chen et al. 2024 (arXiv:2402.05369), with two answers.
        case ncaPair = "nca_pair"
        /// ℓ(βr_c) + ℓ(−βr_l). Jung et al. 2024 (arXiv:2404.04656) without their reward shift.
        case bcoPair = "bco_pair"
        /// (r_c − ½/β)² + (r_l + ½/β)². Wu et al. 2024 (arXiv:2405.00675), eq. 4.7 with hard labels.
        case sppoHard = "sppo_hard"
        /// ℓ on the batch's sorted differences of policy and reference. Melnyk et al. 2024 (arXiv:2406.05882).
        case aot
        /// The same on the sorted log-ratios of chosen and of rejected answers, which need not be pairs.
        case aotUnpaired = "aot_unpaired"
        /// ℓ(x)(1−m) + e^(−x)m, x = βΔ, m = σ(x/τ). Lu et al. 2024 (arXiv:2406.08414), eq. 5.
        case discopop

        package var needsReference: Bool { self != .simpo && self != .orpo }

        /// Whether a completion's length enters the loss. (`nll` needs it whatever the kind.)
        package var needsLengths: Bool { isNormalised || self == .orpo }

        /// Whether one pair's derivative depends on the others of its batch. Such a step is not the same when it is cut into other passes.
        package var spansBatch: Bool { self == .aot || self == .aotUnpaired }

        package var takesPreference: Bool { self == .online }
        package var needsScores: Bool { self == .dpoOffset }

        /// Where a reparameterised divergence cancels between the two answers; elsewhere its normaliser would stay behind.
        package var takesDivergence: Bool {
            switch self {
            case .sigmoid, .sigmoidNorm, .robust, .conservative, .hinge, .ipo, .exoPair, .discopop, .dpoOffset, .online: true
            case .apoZero, .apoDown, .simpo, .orpo, .ncaPair, .bcoPair, .sppoHard, .aot, .aotUnpaired: false
            }
        }

        package var takesLabelSmoothing: Bool {
            switch self {
            case .robust, .conservative, .simpo, .exoPair, .aot, .aotUnpaired: true
            default: false
            }
        }

        /// What its authors or users recommend; TRL's 0.1 where they do not say.
        package var defaultBeta: Double {
            switch self {
            case .sigmoidNorm: 5
            case .simpo: 2
            case .sppoHard: 0.001
            case .discopop: 0.05
            default: 0.1
            }
        }

        package var defaultLabelSmoothing: Double {
            switch self {
            case .robust, .conservative: 0.1
            case .exoPair: 0.001
            default: 0
            }
        }

        /// Weight of the chosen answer's mean negative log-likelihood.
        package var defaultLikelihood: Double { self == .orpo ? 1 : 0 }

        var isNormalised: Bool { self == .sigmoidNorm || self == .ipo || self == .simpo }
    }

    package struct Options: Sendable, Hashable {
        /// Of the kinds that take it; nil for the kind's own.
        package var labelSmoothing: Double?
        /// Weight of the chosen answer's mean negative log-likelihood, added to the loss: 0.2 in Llama 3.1 (arXiv:2407.21783 §4.1.4), 1 in Pang et al. 2024
        /// (arXiv:2404.19733). Nil is 1 for `orpo`, whose paper has it, and 0 elsewhere.
        package var nll: Double?
        /// SimPO's γ; nil is β/2, its authors' starting point.
        package var margin: Double?
        /// α of `dpo_offset`, and what is made of the scores.
        package var offsetScale = 1.0
        package var offset = Offset.log
        /// τ of `discopop`.
        package var temperature = 0.05
        /// `odpo` divided by β, so that its scale does not depend on β. Mistral names a rescaling without a formula; this is our reading.
        package var isRescaled = false
        package var divergence = Divergence.reverseKL
        /// LD-DPO's α: tokens beyond the shorter completion's length count this much. Liu et al. 2024 (arXiv:2409.06411). Needs token lists.
        package var tailWeight: Double?
        /// WPO: a pair weighs as much as the policy would have written it. Zhou et al. 2024 (arXiv:2406.11827), eq. 2. Needs token lists.
        package var isWeighted = false

        package init() {}
    }

    /// f of `dpo_offset`.
    package enum Offset: String, Sendable, Hashable, CaseIterable {
        /// log(s_c − s_l), the paper's choice. Negative for scores less than 1 apart, as in its authors' program.
        case log
        /// s_c − s_l.
        case identity
        /// log(s_c / s_l), for scores above 0, as its authors' program offers.
        case logRatio = "log_ratio"
    }
}
