package import ForgeCore

/// How a token is drawn. The order is fixed: temperature, then the `topK` most probable, then the smallest set of those that holds `topP`.
///
/// Other engines apply the same words in other orders, so the same numbers need not give the same text elsewhere (docs/formats/sampling.md).
package struct Sampling: Hashable, Sendable, Codable {
    /// Zero takes the most probable token, the lowest number of equals.
    package var temperature: Double
    /// Zero means all.
    package var topK: Int
    package var topP: Double
    package var seed: UInt64
    /// Which of several answers to one prompt: they share a seed and differ in this.
    package var choice: Int

    package init(temperature: Double = 1, topK: Int = 0, topP: Double = 1, seed: UInt64 = 0, choice: Int = 0) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.seed = seed
        self.choice = choice
    }

    /// - Throws: `.request` naming the parameter that is out of bounds.
    package func check() throws(Fault) {
        func refuse(_ name: String, _ bound: String) -> Fault {
            Fault(.request, "sampling.\(name)", "`\(name)` is out of bounds", why: "it has to be \(bound)", remedy: "send `\(name)` within its bounds or leave it out")
        }
        guard temperature.isFinite, temperature >= 0, temperature <= 2 else { throw refuse("temperature", "from 0 to 2") }
        guard topK >= 0 else { throw refuse("top_k", "0 (all) or more") }
        guard topP > 0, topP <= 1 else { throw refuse("top_p", "above 0 and at most 1") }
    }
}

/// A token with the logarithm of the probability that the model itself gave it, before temperature and cuts.
package struct TokenLogprob: Hashable, Sendable {
    package let token: TokenID
    package let logprob: Double

    package init(token: TokenID, logprob: Double) {
        self.token = token
        self.logprob = logprob
    }
}
