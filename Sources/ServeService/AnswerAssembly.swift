import ForgeCore
import ForgeInference
import ForgeTokenizer
import ServeAPI

/// Puts the events of one request's choices together: what to send next, and in the end what to commit to.
struct AnswerAssembly {
    enum Output {
        case piece(index: Int, text: String, tokens: [AnswerToken]?, textStart: Int)
        case closed(index: Int)
    }

    private struct Choice {
        var answered: AnsweredChoice
        /// Tokens whose text is not certain yet.
        var pending: [AnswerToken] = []
        var all: [AnswerToken] = []
        /// Characters sent so far, an echoed prompt included.
        var sent: Int
        var isClosed = false
    }

    private let model: LoadedModel
    private let wantsLogprobs: Bool
    private var choices: [Choice]
    private(set) var drawnTokens = 0
    private(set) var promptTokens: Int

    init(_ request: InferenceRequest, prompt: [Token], model: LoadedModel, echoed: String) {
        self.model = model
        wantsLogprobs = request.logprobs != nil
        promptTokens = prompt.count
        choices = (0..<request.n).map { Choice(answered: AnsweredChoice(index: $0), sent: echoed.unicodeScalars.count) }
    }

    var isClosed: Bool { choices.allSatisfy(\.isClosed) }
    var answered: [AnsweredChoice] { choices.map(\.answered) }
    var usage: Usage { Usage(promptTokens: promptTokens, completionTokens: drawnTokens) }

    func tokens(of index: Int) -> [AnswerToken]? { wantsLogprobs ? choices[index].all : nil }

    /// The word for the whole answer: of several choices the worst.
    var finish: String {
        let order = ["stop", "length", "cancelled", "cut", "failed"]
        return choices.map(\.answered.finish).max { (order.firstIndex(of: $0) ?? 0) < (order.firstIndex(of: $1) ?? 0) } ?? "failed"
    }

    /// - Throws: `.environment` when the engine failed.
    mutating func take(_ index: Int, _ event: TokenEvent) throws(Fault) -> [Output] {
        switch event {
        case .started: return []
        case .token(let token):
            drawnTokens += 1
            choices[index].answered.tokens.append(token.token)
            // An end token is no part of the text, so it has no place among the text's log-probabilities.
            if wantsLogprobs, let logprob = token.logprob, !model.ends.contains(token.token) {
                let shown = AnswerToken(drawn: alternative(logprob), top: token.top.map(alternative))
                choices[index].pending.append(shown)
                choices[index].all.append(shown)
            }
            return piece(index, token.text)
        case .finished(let finish):
            var out = piece(index, finish.text, isLast: true)
            choices[index].answered.finish = finish.reason.rawValue
            choices[index].isClosed = true
            out.append(.closed(index: index))
            return out
        case .failed(let code, let why):
            end("failed")
            throw Fault(.environment, "serve.engine", "the answer could not be computed", why: why, remedy: "try again", retryable: true, detail: code)
        }
    }

    /// Whatever is still open ends with this word.
    mutating func end(_ finish: String) {
        for index in choices.indices where !choices[index].isClosed {
            choices[index].answered.finish = finish
            choices[index].isClosed = true
        }
    }

    private mutating func piece(_ index: Int, _ text: String, isLast: Bool = false) -> [Output] {
        guard !text.isEmpty || (isLast && !choices[index].pending.isEmpty) else { return [] }
        let start = choices[index].sent
        choices[index].sent += text.unicodeScalars.count
        choices[index].answered.text += text
        defer { choices[index].pending = [] }
        return [.piece(index: index, text: text, tokens: wantsLogprobs ? choices[index].pending : nil, textStart: start)]
    }

    private func alternative(_ logprob: TokenLogprob) -> AnswerToken.Alternative {
        let bytes = model.tokenizer.bytes(of: logprob.token)
        return .init(bytes: bytes.isEmpty ? Array((model.tokenizer.control.name(of: logprob.token) ?? "").utf8) : Array(bytes), logprob: logprob.logprob)
    }
}

extension AnsweredChoice {
    /// OpenAI's word for how it ended: an answer that was cut off is one that got too long for its time.
    var wireFinish: String { finish == "stop" ? "stop" : "length" }
}
