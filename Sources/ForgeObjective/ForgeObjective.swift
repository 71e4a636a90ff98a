// ForgeObjective: what preference learning and policy learning minimise, as values.
//
// owns      the losses on pairs, on single judged answers, on rewards and on rollouts; advantages; estimators of the divergence from a reference
// promises  the loss, its derivative by every log-probability, value or reward that it was given, and what is worth a line in the record; everything in double;
//           no overflow for log-ratios of ±1000; the same sums however a step is cut into passes, where the method allows it
// never     sees a tensor, samples a token, opens a file, or gives back a loss that is no number
// flow      log-probabilities of whoever trains → PreferenceLoss, UnpairedLoss, RewardLoss ────────────┐
//           rewards → Advantages or AdvantageEstimator → Rollout → PolicyLoss, ValueLoss ──────────────┴→ derivatives, for its backward pass
//
// Which fault. A log-probability or value that is not finite was computed, not sent: `.environment`, naming the sequence, for training diverged or the weights are
// damaged. A reward that is infinite, a setting out of its range, and lists whose lengths differ are the caller's: `.request`. A reward of NaN is neither: a
// verifier had nothing to say, so its answer teaches nothing and is counted.
import ForgeCore
import Glibc

extension Fault {
    static func notFinite(_ what: String, of whom: String) -> Fault {
        Fault(
            .environment, "objective.not-finite", "the loss cannot be computed", why: "\(what) of \(whom) is no finite number",
            remedy: "training diverged or the weights are damaged: go back to the last checkpoint, with a lower learning rate")
    }

    static func shape(_ why: String) -> Fault {
        Fault(.request, "objective.shape", "the loss cannot be computed", why: why, remedy: "give one number for each token, and a list for each sequence")
    }

    static func missing(_ what: String, _ kind: String) -> Fault {
        Fault(.request, "objective.missing", "the loss cannot be computed", why: "`\(kind)` needs \(what)", remedy: "give it, or choose a method that does without")
    }

    static func setting(_ name: String, _ value: Double, needs range: String) -> Fault {
        Fault(.request, "objective.setting", "the method cannot be used", why: "`\(name)` is \(value)", remedy: "it needs \(range)")
    }

    static func combination(_ why: String, _ remedy: String) -> Fault {
        Fault(.request, "objective.combination", "the method cannot be used", why: why, remedy: remedy)
    }
}

/// A number and its derivative by whatever it was made from.
struct Curve {
    var value: Double
    var slope: Double

    /// −p log σ(x) − (1−p) log σ(−x): what a judge who prefers with probability p makes of the margin x.
    static func logistic(_ x: Double, preferring p: Double = 1) -> Curve {
        // A certain judge's other half is left out, not multiplied by 0: both are finite, and δ = 0 or p = 1 then give the very bits of the plain loss.
        if p == 1 { return Curve(value: -logSigmoid(x), slope: -sigmoid(-x)) }
        return Curve(value: -p * logSigmoid(x) - (1 - p) * logSigmoid(-x), slope: (1 - p) * sigmoid(x) - p * sigmoid(-x))
    }
}

func sigmoid(_ x: Double) -> Double { x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)) }

func logSigmoid(_ x: Double) -> Double { min(x, 0) - log1p(exp(-abs(x))) }

/// log(1 − eˣ) for x < 0, by whichever of two forms keeps its digits (Mächler 2012, "Accurately computing log(1 − exp(−|a|))").
func logOneMinusExp(_ x: Double) -> Double { x < -M_LN2 ? log1p(-exp(x)) : log(-expm1(x)) }

func clamp(_ x: Double, _ low: Double, _ high: Double) -> Double { min(max(x, low), high) }
