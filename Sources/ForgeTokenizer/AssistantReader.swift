/// Reads what an assistant generates, token by token, back into words, reasoning and calls: the other direction of `ChatLayout`.
///
/// What it has returned is final. No stream traps it or is lost: a call that cannot be read comes out as the text it was, marked. Marks that stand where they mean
/// nothing are passed over, and nothing is read after `</s>`.
package struct AssistantReader: Sendable {
    package enum Event: Sendable, Hashable {
        case text(String)
        case reasoning(String)
        /// The reasoning is closed; what is said next is not part of it.
        case reasoningEnded
        case callStarted(index: Int, id: String, name: String)
        /// The next part of a call's arguments.
        case arguments(index: Int, String)
        /// - whole: its arguments are JSON.
        case callEnded(index: Int, whole: Bool)
        /// What should have been a call; empty where nothing followed the mark.
        case malformed(String)
    }

    private enum Place {
        case words, reasoning
        /// Up to version 7: a JSON list of calls.
        case list(CallList)
        /// From version 11 on: the name, then perhaps an id, then the arguments of one call.
        case name([UInt8])
        case id(name: [UInt8], [UInt8])
        case arguments([UInt8])
        /// What follows the name of a function that cannot be one.
        case broken
        case ended
    }

    private let template: ChatTemplate
    private let tokenizer: Tokenizer
    private let seed: UInt64
    private var place = Place.words
    /// Of the text that is under way: from one mark to the next, each being a text of its own.
    private var decoder: StreamDecoder
    private var ids: Set<String> = []
    /// Calls begun so far, those of a continued message among them: the index of the next.
    private var callCount: Int

    /// - Parameters:
    ///   - seed: what ids are derived from where the model writes none; take another for every answer.
    ///   - message: the message that is continued, if one is.
    package init(_ template: ChatTemplate, _ tokenizer: Tokenizer, seed: UInt64, continuing message: ChatMessage? = nil) {
        self.template = template
        self.tokenizer = tokenizer
        self.seed = seed
        decoder = StreamDecoder(tokenizer, continuing: message?.continues == true)
        if let message, message.continues, message.calls.isEmpty, case .reasoning(_, closed: false) = message.chunks.last { place = .reasoning }
        for call in message?.calls ?? [] { if let id = call.id { ids.insert(id) } }
        callCount = message?.calls.count ?? 0
    }

    package var isEnded: Bool { if case .ended = place { true } else { false } }

    package mutating func push(_ token: Token) -> [Event] {
        guard !isEnded else { return [] }
        guard let mark = tokenizer.control.name(of: token) else { return take(decoder.push(token)) }
        switch (mark, place) {
        case ("</s>", _): return finish()
        case ("[THINK]", .reasoning), ("[THINK]", .ended): return []
        case ("[THINK]", _) where template.version >= .v13: return go(.reasoning)
        case ("[/THINK]", .reasoning): return go(.words)
        case ("[TOOL_CALLS]", _) where template.version >= .v11: return go(.name([]))
        case ("[TOOL_CALLS]", _) where template.version >= .v2: return go(.list(CallList()))
        case ("[CALL_ID]", .name): return startID()
        case ("[ARGS]", .name), ("[ARGS]", .id): return startArguments()
        default: return []
        }
    }

    /// No token follows.
    package mutating func finish() -> [Event] { go(.ended) }

    /// Text that is certain, where it belongs.
    private mutating func take(_ text: String) -> [Event] {
        guard !text.isEmpty else { return [] }
        // The place is emptied before what it holds grows, so that nothing is copied.
        switch place {
        case .words: return [.text(text)]
        case .reasoning: return [.reasoning(text)]
        case .broken: return [.malformed(text)]
        case .list(var list):
            place = .words
            var events: [Event] = []
            for found in list.take(text.utf8) { events += call(found) }
            place = .list(list)
            return events
        case .name(var name):
            place = .words
            name += text.utf8
            place = .name(name)
        case .id(let name, var id):
            place = .words
            id += text.utf8
            place = .id(name: name, id)
        case .arguments(var written):
            place = .words
            written += text.utf8
            place = .arguments(written)
            return [.arguments(index: callCount - 1, text)]
        case .ended: break
        }
        return []
    }

    /// What is held back, as it is: an unfinished character becomes U+FFFD.
    private mutating func flush() -> [Event] { take(decoder.finish()) }

    /// Leaves where it is for `next`.
    private mutating func go(_ next: Place) -> [Event] {
        var events = flush()
        switch place {
        case .words, .broken, .ended: break
        case .reasoning: if case .words = next { events.append(.reasoningEnded) }
        case .list(var list): for found in list.finish() { events += call(found) }
        case .name(let name): events.append(.malformed(String(decoding: name, as: UTF8.self)))
        case .id(let name, let id): events.append(.malformed(String(decoding: name + id, as: UTF8.self)))
        case .arguments(let written):
            if written.isEmpty { events.append(.arguments(index: callCount - 1, "{}")) }
            events.append(.callEnded(index: callCount - 1, whole: written.isEmpty || PythonJSON.isJSON(written)))
        }
        place = next
        decoder = StreamDecoder(tokenizer)
        return events
    }

    /// The name is over, and an id follows.
    private mutating func startID() -> [Event] {
        let events = flush()
        if case .name(let name) = place { place = .id(name: name, []) }
        return events
    }

    /// The arguments follow: now the call is certain, or certainly none.
    private mutating func startArguments() -> [Event] {
        var events = flush(), name: [UInt8] = [], id: [UInt8] = []
        switch place {
        case .name(let whole): name = whole
        case .id(let whole, let written): (name, id) = (whole, written)
        default: break
        }
        let called = String(decoding: name, as: UTF8.self)
        guard ToolCall.isName(called) else {
            place = .broken
            return events + [.malformed(called)]
        }
        events.append(.callStarted(index: callCount, id: newID(String(decoding: id, as: UTF8.self)), name: called))
        callCount += 1
        place = .arguments([])
        return events
    }

    private mutating func call(_ found: CallList.Found) -> [Event] {
        switch found {
        case .text(let text): return [.malformed(text)]
        case .call(let name, let id, let arguments):
            let index = callCount, certain = newID(id)
            callCount += 1
            return [.callStarted(index: index, id: certain, name: name), .arguments(index: index, arguments), .callEnded(index: index, whole: true)]
        }
    }

    /// The id the model wrote, or, if that is none or another call's, one derived from the seed.
    private mutating func newID(_ written: String) -> String {
        var id = written, index = callCount
        while !ToolCall.isID(id) || ids.contains(id) {
            id = ToolCall.derivedID(seed: seed, index: index)
            index += 1 << 20
        }
        ids.insert(id)
        return id
    }
}

extension ChatTemplate {
    /// An assistant's turn out of its tokens, `</s>` among them or not, and whether some of it was a call that could not be read: that stands in its words then.
    package func read(
        _ tokens: some Sequence<Token>, with tokenizer: Tokenizer, seed: UInt64, continuing message: ChatMessage? = nil
    ) -> (message: ChatMessage, isMalformed: Bool) {
        var reader = AssistantReader(self, tokenizer, seed: seed, continuing: message), turn = AssistantTurn()
        for token in tokens { for event in reader.push(token) { turn.add(event) } }
        for event in reader.finish() { turn.add(event) }
        return (turn.message, turn.isMalformed)
    }
}
