package import ForgeCore
package import ForgeTokenizer

/// Samples to sequences: what a model is shown, and what of it it learns.
package struct SampleEncoder: Sendable {
    private let tokenizer: Tokenizer
    private let template: ChatTemplate?
    private var encoder: Encoder

    /// - Parameter template: how conversations are laid out; nil refuses them.
    package init(_ tokenizer: Tokenizer, template: ChatTemplate?) {
        self.tokenizer = tokenizer
        self.template = template
        encoder = Encoder(tokenizer)
    }

    /// The sequences of a sample: of a pair the better answer's, then the other's; of everything else one.
    /// - Throws: `.request` for a conversation without a template or one that the template refuses, and for a task, which has no answer to learn.
    package mutating func sequences(_ sample: Sample) throws(Fault) -> [LearntSequence] {
        switch sample {
        case .text(let text): [plain("", text)]
        case .conversation(let conversation): [try laidOut(conversation)]
        case .completion(let prompt, let answer): [try answered(prompt, answer)]
        case .labelled(let prompt, let answer, let isGood): [try answered(prompt, answer, value: isGood ? 1 : 0)]
        case .pair(let pair): [try answered(pair.prompt, pair.chosen, value: pair.scores?.chosen), try answered(pair.prompt, pair.rejected, value: pair.scores?.rejected)]
        case .task: throw SampleEncoder.fault("a task has no answer to learn from", "use a method of policy learning")
        }
    }

    /// The ids of a prompt, up to where the model goes on.
    package mutating func prompt(_ prompt: Sample.Prompt) throws(Fault) -> [Token] {
        switch prompt {
        case .text(let text):
            var tokens = [tokenizer.control.begin]
            encoder.encode(Array(text.utf8), into: &tokens)
            return tokens
        case .conversation(let conversation): return try known().encode(conversation, with: tokenizer)
        }
    }

    private mutating func answered(_ prompt: Sample.Prompt, _ answer: Sample.Answer, value: Double? = nil) throws(Fault) -> LearntSequence {
        var out: LearntSequence
        switch (prompt, answer) {
        case (.text(let prompt), .text(let text)): out = plain(prompt, text)
        case (.text, .messages): throw SampleEncoder.fault("messages follow a prompt that is plain text", "write both as text or both as messages")
        case (.conversation(var conversation), let answer):
            // Only the answer is learnt, not what the assistant said before it.
            for i in conversation.messages.indices where conversation.messages[i].role == .assistant { conversation.messages[i].weight = 0 }
            switch answer {
            case .text(let text): conversation.messages.append(ChatMessage(.assistant, text))
            case .messages(let messages): conversation.messages += messages
            }
            out = try laidOut(conversation)
        }
        out.value = value
        return out
    }

    /// Each part is encoded alone, as a prompt is when the model is asked.
    private mutating func plain(_ prompt: String, _ text: String) -> LearntSequence {
        var tokens = [tokenizer.control.begin]
        encoder.encode(Array(prompt.utf8), into: &tokens)
        let first = tokens.count
        encoder.encode(Array(text.utf8), into: &tokens)
        tokens.append(tokenizer.control.end)
        return LearntSequence(tokens, learnt: [first..<tokens.count])
    }

    private func laidOut(_ conversation: Conversation) throws(Fault) -> LearntSequence {
        let laid = try known().encodeForTraining(conversation, with: tokenizer)
        return LearntSequence(laid.tokens, learnt: laid.spoken)
    }

    private func known() throws(Fault) -> ChatTemplate {
        guard let template else { throw SampleEncoder.fault("they hold conversations, and neither the recipe nor its base names a chat template", "name one under `chat` in the recipe") }
        return template
    }

    private static func fault(_ why: String, _ remedy: String) -> Fault { Fault(.request, "samples.form", "the samples do not fit the method", why: why, remedy: remedy) }
}
