package import ForgeCore
import Glibc

/// How much better each sampled answer was than its group, from rewards alone.
///
/// Rewards come group by group: the answers to one prompt, any number of them. A reward of NaN was not given: its answer leaves the group's statistics and has
/// advantage 0. A group whose rewards are equal, or that has fewer than two, teaches nothing: its advantages are exactly 0.
package struct Advantages: Sendable, Hashable {
    package enum Kind: String, Sendable, Hashable, CaseIterable, Codable {
        /// (r − mean) / (std + 10⁻⁴) of the group, std unbiased. Shao et al. 2024 (arXiv:2402.03300), eq. 3 as TRL computes it.
        case grpo
        /// The mean of the group, the std of all rewards. Liu et al. 2025 (arXiv:2508.08221).
        case grpoBatch = "grpo_batch"
        /// r − mean. Liu et al. 2025 (arXiv:2503.20783).
        case drGRPO = "dr_grpo"
        /// r − mean of the group, then standardised over the batch's groups that teach. Magistral (arXiv:2506.10910), §2.1; std and 10⁻⁴ as in `grpo`, for it names neither.
        case magistral
        /// r − mean of the others. Kool et al. 2019; Ahmadian et al. 2024 (arXiv:2402.14740).
        case rloo
        /// The same, then standardised over the batch, as TRL's `normalize_advantages`.
        case rlooNormalised = "rloo_normalised"
    }

    /// What is worth a line in the record.
    package struct Metrics: Sendable, Hashable {
        /// Of the rewards that were given; nil if none was.
        package var mean: Double?
        package var deviation: Double?
        /// Rewards that were NaN.
        package var unscored = 0
        /// Groups that teach nothing.
        package var silentGroups = 0
    }

    /// Group by group, in the order given.
    package let values: [[Double]]
    /// Whether a group's rewards differ. DAPO (arXiv:2503.14476, §3.2) samples another in place of one whose do not.
    package let teaches: [Bool]
    package let metrics: Metrics

    /// Added to a standard deviation before dividing.
    static let floor = 1e-4
    /// A deviation up to this is none (TRL's test).
    static let silence = 1e-8

    /// - Throws: `.request` for an infinite reward, naming group and answer, and for an empty group.
    package init(_ kind: Kind, rewards groups: [[Double]]) throws(Fault) {
        for (g, group) in groups.enumerated() {
            guard !group.isEmpty else { throw .shape("group \(g) has no answer") }
            for (i, reward) in group.enumerated() where reward.isInfinite {
                throw Fault(
                    .request, "objective.reward", "the advantages cannot be computed", why: "the reward of answer \(i) in group \(g) is infinite",
                    remedy: "let the reward be finite, or NaN where there is none to give")
            }
        }
        let given = groups.map { $0.filter { !$0.isNaN } }
        let spreads = given.map(Spread.init)
        let all = Spread(Array(given.joined()))
        let teaches = zip(given, spreads).map { $1.deviation > Advantages.silence && $0.min() != $0.max() }
        var values = zip(groups, zip(spreads, teaches)).map { group, of in
            group.map { reward in
                guard of.1, !reward.isNaN else { return 0.0 }
                let off = reward - of.0.mean
                return switch kind {
                case .grpo: off / (of.0.deviation + Advantages.floor)
                case .grpoBatch: off / (all.deviation + Advantages.floor)
                case .drGRPO, .magistral: off
                case .rloo, .rlooNormalised: reward - (of.0.sum - reward) / Double(of.0.count - 1)
                }
            }
        }
        if kind == .magistral || kind == .rlooNormalised {
            // RLOO standardises over every answer that has a reward, silent groups too, as TRL does; Magistral drops those first.
            let counted = { (g: Int) in kind == .rlooNormalised ? given[g].count > 1 : teaches[g] }
            let over = Spread(groups.indices.filter(counted).flatMap { g in zip(groups[g], values[g]).filter { !$0.0.isNaN }.map(\.1) })
            if over.count > 1 {
                for g in groups.indices where teaches[g] {
                    for i in groups[g].indices where !groups[g][i].isNaN { values[g][i] = (values[g][i] - over.mean) / (over.deviation + Advantages.floor) }
                }
            }
        }
        self.values = values
        self.teaches = teaches
        metrics = Metrics(
            mean: all.count > 0 ? all.mean : nil, deviation: all.count > 1 ? all.deviation : nil, unscored: groups.reduce(0) { $0 + $1.count } - all.count,
            silentGroups: teaches.count { !$0 })
    }
}

/// Count, sum, mean and unbiased standard deviation; the last is 0 for fewer than two numbers.
struct Spread {
    let count: Int
    let sum: Double
    let mean: Double
    let deviation: Double

    init(_ numbers: [Double]) {
        count = numbers.count
        sum = numbers.reduce(0, +)
        mean = count > 0 ? sum / Double(count) : 0
        let mean = mean
        deviation = count > 1 ? (numbers.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count - 1)).squareRoot() : 0
    }
}

/// DAPO's soft punishment of overlong answers (arXiv:2503.14476, eq. 13), to be added to their reward.
package struct OverlongPenalty: Sendable, Hashable {
    /// Tokens.
    package let limit: Int
    package let buffer: Int

    package init(limit: Int, buffer: Int) throws(Fault) {
        guard buffer > 0, limit >= buffer else { throw .setting("overlong_buffer", Double(buffer), needs: "a number of tokens from 1 to the limit, \(limit)") }
        self.limit = limit
        self.buffer = buffer
    }

    /// 0 up to limit − buffer, then falling in a line to −1 at the limit, and −1 beyond.
    package func penalty(tokens: Int) -> Double {
        let over = tokens - (limit - buffer)
        return over <= 0 ? 0 : max(-1, -Double(over) / Double(buffer))
    }
}
