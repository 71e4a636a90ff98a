/// Puts the events of a reader together again.
package struct AssistantTurn: Sendable, Hashable {
    package private(set) var isMalformed = false
    /// What is over, without the stretch that may still grow.
    private var done = ChatMessage(.assistant, "")
    private var growing = ""
    private var isThinking = false

    package init() {}

    package mutating func add(_ event: AssistantReader.Event) {
        switch event {
        case .text(let text): grow(text, thinking: false)
        case .malformed(let text):
            grow(text, thinking: false)
            isMalformed = true
        case .reasoning(let text): grow(text, thinking: true)
        case .reasoningEnded:
            if !isThinking { close() }
            done.chunks.append(.reasoning(growing))
            (growing, isThinking) = ("", false)
        case .callStarted(_, let id, let name): done.calls.append(ToolCall(id: id, name: name, arguments: ""))
        case .arguments(_, let text): if let last = done.calls.indices.last { done.calls[last].arguments += text }
        case .callEnded(_, let whole): if !whole { isMalformed = true }
        }
    }

    /// The turn so far; reasoning that has not ended is not closed.
    package var message: ChatMessage {
        var turn = self
        turn.close()
        return turn.done
    }

    private mutating func grow(_ text: String, thinking: Bool) {
        if thinking != isThinking { close() }
        isThinking = thinking
        growing += text
    }

    private mutating func close() {
        guard !growing.isEmpty else { return }
        done.chunks.append(isThinking ? .reasoning(growing, closed: false) : .text(growing))
        growing = ""
    }
}
