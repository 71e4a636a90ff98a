package import ForgeCore

/// What teaches a model to score answers: −log σ(r_c − r_l − m) + c(r_c + r_l)². Bradley & Terry 1952, with the margin of Touvron et al. 2023
/// (arXiv:2307.09288 §3.2.2) and the centring of Eisenstein et al. 2023 (arXiv:2312.09244), without which only differences of rewards are learnt.
package struct RewardLoss: Sendable, Hashable {
    package struct Term: Sendable, Hashable {
        package var loss: Double
        /// Derivative by each reward.
        package var chosen: Double
        package var rejected: Double
        package var margin: Double
        /// 1 if the chosen answer has the larger reward.
        package var accuracy: Double
    }

    /// c; its authors take 0.01.
    package let centring: Double

    package init(centring: Double = 0) throws(Fault) {
        guard centring.isFinite, centring >= 0 else { throw .setting("centring", centring, needs: "a finite number, 0 or above") }
        self.centring = centring
    }

    /// - Parameters:
    ///   - margin: how much better the chosen answer was judged, 0 or above.
    ///   - share: of the step's loss, one over its pairs.
    package func term(chosen: Double, rejected: Double, margin: Double = 0, share: Double = 1) throws(Fault) -> Term {
        guard chosen.isFinite else { throw .notFinite("the reward", of: "the chosen answer") }
        guard rejected.isFinite else { throw .notFinite("the reward", of: "the rejected answer") }
        guard margin.isFinite, margin >= 0 else { throw .setting("margin", margin, needs: "a finite number, 0 or above") }
        let curve = Curve.logistic(chosen - rejected - margin), sum = chosen + rejected
        guard curve.value.isFinite, (centring * sum * sum).isFinite else { throw .notFinite("the loss", of: "the pair") }
        return Term(
            loss: share * (curve.value + centring * sum * sum), chosen: share * (curve.slope + 2 * centring * sum), rejected: share * (2 * centring * sum - curve.slope),
            margin: chosen - rejected, accuracy: chosen > rejected ? 1 : 0)
    }
}
