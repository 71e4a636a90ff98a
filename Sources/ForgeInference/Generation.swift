package import ForgeCore

/// One request to the engine: a prompt already in tokens, and how to go on from it.
package struct Generation: Hashable, Sendable {
    package var prompt: [TokenID]
    /// Tokens drawn at most. The engine lowers it to what the context leaves.
    package var tokensMax: Int
    package var sampling: Sampling
    /// The answer ends before the first of these.
    package var stops: [String]
    /// Tokens that end the answer without adding text.
    package var ends: Set<TokenID>
    /// nil: no log-probabilities; 0: of each drawn token; n: of the n most probable too.
    package var logprobs: Int?
    /// Whether the answer is a text of its own, and not the rest of one: it then lacks a blank that its tokenizer puts before every text.
    package var opensText: Bool

    package init(
        prompt: [TokenID], tokensMax: Int, sampling: Sampling = Sampling(), stops: [String] = [], ends: Set<TokenID> = [], logprobs: Int? = nil, opensText: Bool = false
    ) {
        self.prompt = prompt
        self.tokensMax = tokensMax
        self.sampling = sampling
        self.stops = stops
        self.ends = ends
        self.logprobs = logprobs
        self.opensText = opensText
    }

    package static let stopsMax = 16
    package static let stopBytesMax = 256
    package static let logprobsMax = 20

    /// What is bounded whatever the model; the engine adds what the model bounds.
    /// - Throws: `.request` naming the parameter.
    package func check() throws(Fault) {
        try sampling.check()
        guard tokensMax > 0 else {
            throw Fault(.request, "sampling.max_tokens", "`max_tokens` is out of bounds", why: "it has to be 1 or more", remedy: "ask for at least one token")
        }
        guard stops.count <= Self.stopsMax, stops.allSatisfy({ !$0.isEmpty && $0.utf8.count <= Self.stopBytesMax }) else {
            throw Fault(
                .request, "sampling.stop", "`stop` is out of bounds",
                why: "it takes at most \(Self.stopsMax) strings, each of 1 to \(Self.stopBytesMax) bytes", remedy: "send fewer or shorter stop strings")
        }
        guard logprobs ?? 0 >= 0, logprobs ?? 0 <= Self.logprobsMax else {
            throw Fault(
                .request, "sampling.logprobs", "`logprobs` is out of bounds", why: "it has to be from 0 to \(Self.logprobsMax)", remedy: "ask for fewer alternatives")
        }
    }
}

/// What a request's stream carries, in this order: `started`, any number of `token`, then one of the last two.
package enum TokenEvent: Hashable, Sendable {
    /// The first of its tokens is being computed: waiting is over.
    case started
    case token(DrawnToken)
    case finished(Finish)
    /// The engine could not go on. Nothing follows.
    case failed(code: String, why: String)
}

/// One token, with the text that became certain by it; that may be none, or also text held back before.
package struct DrawnToken: Hashable, Sendable {
    package let token: TokenID
    package let text: String
    package let logprob: TokenLogprob?
    package let top: [TokenLogprob]

    package init(token: TokenID, text: String, logprob: TokenLogprob? = nil, top: [TokenLogprob] = []) {
        self.token = token
        self.text = text
        self.logprob = logprob
        self.top = top
    }
}

package struct Finish: Hashable, Sendable {
    package enum Reason: String, Hashable, Sendable, Codable {
        /// An end token or a stop string.
        case stop
        /// `tokensMax` or the end of the context.
        case length
        /// Nobody listens any more.
        case cancelled
        /// The daemon is going down and its deadline has come.
        case cut
    }

    package let reason: Reason
    /// Text that was held back until nothing could follow.
    package let text: String
    package let promptTokens: Int
    /// Tokens drawn, an end token included.
    package let drawnTokens: Int

    package init(reason: Reason, text: String, promptTokens: Int, drawnTokens: Int) {
        self.reason = reason
        self.text = text
        self.promptTokens = promptTokens
        self.drawnTokens = drawnTokens
    }
}
