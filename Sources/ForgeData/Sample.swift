package import ForgeCore
package import ForgeTokenizer

/// One example of what a model should do (docs/formats/sample.md).
package enum Sample: Sendable, Hashable {
    /// A text to continue.
    case text(String)
    /// What the assistant says in it is learnt.
    case conversation(Conversation)
    case completion(Prompt, Answer)
    case pair(Pair)
    /// An answer that is good or bad.
    case labelled(Prompt, Answer, isGood: Bool)
    /// A task whose answers are judged as `reward` says.
    case task(Prompt, reward: JSON.Object)

    package enum Prompt: Sendable, Hashable {
        /// Continued as it stands.
        case text(String)
        /// Laid out by the model's chat format.
        case conversation(Conversation)
    }

    package enum Answer: Sendable, Hashable {
        case text(String)
        case messages([ChatMessage])
    }

    /// Two answers, the first the better one.
    package struct Pair: Sendable, Hashable {
        package var prompt: Prompt
        package var chosen: Answer
        package var rejected: Answer
        /// How good each is, where somebody said.
        package var scores: Scores?

        package struct Scores: Sendable, Hashable {
            package var chosen: Double
            package var rejected: Double

            package init(chosen: Double, rejected: Double) {
                self.chosen = chosen
                self.rejected = rejected
            }
        }

        package init(_ prompt: Prompt, chosen: Answer, rejected: Answer, scores: Scores? = nil) {
            self.prompt = prompt
            self.chosen = chosen
            self.rejected = rejected
            self.scores = scores
        }
    }

    package enum Form: String, Sendable, Hashable, CaseIterable { case text, conversation, completion, pair, labelled, task }

    package var form: Form {
        switch self {
        case .text: .text
        case .conversation: .conversation
        case .completion: .completion
        case .pair: .pair
        case .labelled: .labelled
        case .task: .task
        }
    }

    /// All that is said in it, in order.
    package var words: [String] {
        var words: [String] = []
        _ = map {
            words.append($0)
            return $0
        }
        return words
    }

    /// The same with every string of people's words changed.
    func map(_ change: (String) -> String) -> Sample {
        func messages(_ messages: [ChatMessage]) -> [ChatMessage] {
            messages.map { message in
                var message = message
                message.chunks = message.chunks.map {
                    switch $0 {
                    case .text(let text): .text(change(text))
                    case .reasoning(let text, let closed): .reasoning(change(text), closed: closed)
                    }
                }
                for i in message.calls.indices { message.calls[i].arguments = change(message.calls[i].arguments) }
                return message
            }
        }
        func conversation(_ conversation: Conversation) -> Conversation {
            var conversation = conversation
            conversation.messages = messages(conversation.messages)
            return conversation
        }
        func prompt(_ prompt: Prompt) -> Prompt {
            switch prompt {
            case .text(let text): .text(change(text))
            case .conversation(let said): .conversation(conversation(said))
            }
        }
        func answer(_ answer: Answer) -> Answer {
            switch answer {
            case .text(let text): .text(change(text))
            case .messages(let said): .messages(messages(said))
            }
        }
        switch self {
        case .text(let text): return .text(change(text))
        case .conversation(let said): return .conversation(conversation(said))
        case .completion(let asked, let said): return .completion(prompt(asked), answer(said))
        case .pair(let pair): return .pair(Pair(prompt(pair.prompt), chosen: answer(pair.chosen), rejected: answer(pair.rejected), scores: pair.scores))
        case .labelled(let asked, let said, let isGood): return .labelled(prompt(asked), answer(said), isGood: isGood)
        case .task(let asked, let reward): return .task(prompt(asked), reward: reward)
        }
    }
}
