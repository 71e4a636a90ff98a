package import ForgeCore
import Glibc

extension PreferenceLoss {
    /// An answer token by token, for methods that weigh them (`tailWeight`, `isWeighted`); the others take it too.
    package struct Tokens: Sendable, Hashable {
        package var policy: [Double]
        package var reference: [Double]?
        /// log Σ p² over the vocabulary at each token, under the policy: what WPO measures a token's probability against.
        package var logSumOfSquares: [Double]?

        package init(policy: [Double], reference: [Double]? = nil, logSumOfSquares: [Double]? = nil) {
            self.policy = policy
            self.reference = reference
            self.logSumOfSquares = logSumOfSquares
        }
    }

    package struct TokenTerm: Sendable, Hashable {
        package var loss: Double
        /// Derivative of the loss by the policy's log-probability of each token.
        package var chosen: [Double]
        package var rejected: [Double]
        package var metrics: Metrics
    }

    package func term(chosen: Tokens, rejected: Tokens, preference: Double? = nil, scores: Scores? = nil) throws(Fault) -> TokenTerm {
        let shared = min(chosen.policy.count, rejected.policy.count)
        func sums(_ answer: Tokens, _ name: String, tail: Double) throws(Fault) -> Completion {
            if let reference = answer.reference, reference.count != answer.policy.count { throw .shape("the \(name) answer has \(answer.policy.count) tokens, and \(reference.count) of the reference") }
            func sum(_ list: [Double]) -> Double { list.prefix(shared).reduce(0, +) + (tail == 0 ? 0 : tail * list.dropFirst(shared).reduce(0, +)) }
            return Completion(policy: sum(answer.policy), reference: answer.reference.map(sum), tokens: answer.policy.count)
        }
        let tail = options.tailWeight ?? 1
        let whole = Pair(chosen: try sums(chosen, "chosen", tail: 1), rejected: try sums(rejected, "rejected", tail: 1), preference: preference, scores: scores)
        try check(whole, named: "the pair")
        var weighed = whole
        if tail != 1 { (weighed.chosen, weighed.rejected) = (try sums(chosen, "chosen", tail: tail), try sums(rejected, "rejected", tail: tail)) }
        let weight = options.isWeighted ? try likeliness(chosen, "chosen") * likeliness(rejected, "rejected") : 1
        var gradient = preferred(weighed)
        gradient.loss *= weight
        // The likelihood is of the whole answer, whatever the preference makes of its tail; the rewards are of what was compared.
        let term = try withLikelihood(gradient, whole).finite("the pair"), extra = -nll / Double(whole.chosen.tokens)
        func spread(_ slope: Double, _ count: Int, plus: Double) -> [Double] { (0..<count).map { slope * weight * ($0 < shared ? 1 : tail) + plus } }
        var metrics = term.metrics
        if tail != 1 {
            metrics = withLikelihood(gradient, weighed).metrics
            metrics.nll = term.metrics.nll
        }
        return TokenTerm(
            loss: term.loss, chosen: spread(gradient.chosen, chosen.policy.count, plus: extra), rejected: spread(gradient.rejected, rejected.policy.count, plus: 0), metrics: metrics)
    }

    /// The geometric mean of p / Σp² over an answer: about 1 for one that the policy would sample. A constant to the derivative.
    private func likeliness(_ answer: Tokens, _ name: String) throws(Fault) -> Double {
        guard let squares = answer.logSumOfSquares else { throw .missing("log Σ p² of each token", "wpo") }
        guard squares.count == answer.policy.count else { throw .shape("the \(name) answer has \(answer.policy.count) tokens, and \(squares.count) of log Σ p²") }
        guard squares.allSatisfy(\.isFinite) else { throw .notFinite("log Σ p²", of: "the \(name) answer") }
        let mean = zip(answer.policy, squares).reduce(0) { $0 + $1.0 - $1.1 } / Double(squares.count)
        // TRL leaves this open above; a confident policy's p ≤ √Σp² bounds it by e^(−½ log Σp²), far below any overflow for a vocabulary.
        guard exp(mean).isFinite else { throw .notFinite("the weight", of: "the \(name) answer") }
        return exp(mean)
    }
}
