package import ForgeCore
import Glibc

/// What to do where the program that sampled gave a token another probability than the trainer's own forward pass gives it: the loss is weighed by
/// exp(log π_old − log π_sampler), truncated or, out of bounds, left out (Yao et al. 2025, fengyao.notion.site/off-policy-rl; names and defaults as in TRL 1.16).
/// One engine with batch-invariant kernels makes every weight exactly 1.
package struct RolloutCorrection: Sendable, Hashable {
    package enum Mode: String, Sendable, Hashable, CaseIterable, Codable {
        case tokenTruncate = "token_truncate"
        case tokenMask = "token_mask"
        case sequenceTruncate = "sequence_truncate"
        case sequenceMask = "sequence_mask"

        var isOfSequence: Bool { self == .sequenceTruncate || self == .sequenceMask }
        var masks: Bool { self == .tokenMask || self == .sequenceMask }
    }

    package let mode: Mode
    package let least: Double
    package let most: Double

    package init(_ mode: Mode = .sequenceMask, least: Double = 0, most: Double = 3) throws(Fault) {
        guard least >= 0, least <= 1 else { throw .setting("rollout_ratio_min", least, needs: "a number from 0 to 1") }
        guard most.isFinite, most >= 1 else { throw .setting("rollout_ratio_max", most, needs: "a finite number, 1 or above") }
        self.mode = mode
        self.least = least
        self.most = most
    }

    /// The weight of each token; 1 where masked. Finite: the bounds come after the exponential.
    /// - Precondition: the lists are of one length, and finite where the mask is set.
    func weights(old: [Double], sampler: [Double], mask: [Bool]) -> [Double] {
        let differences = mask.indices.map { mask[$0] ? old[$0] - sampler[$0] : 0 }
        if mode.isOfSequence { return Array(repeating: weight(differences.reduce(0, +)), count: mask.count) }
        return zip(differences, mask).map { $1 ? weight($0) : 1 }
    }

    private func weight(_ difference: Double) -> Double {
        let ratio = exp(difference)
        if mode.masks { return ratio < least || ratio > most ? 0 : ratio }
        return clamp(ratio, least, most)
    }
}
