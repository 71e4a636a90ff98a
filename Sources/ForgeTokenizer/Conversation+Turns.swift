import ForgeCore

/// What a format lays out as one turn: a message, or several in a row from the same side as one.
struct Turn {
    /// Of the first message that went into it; of a turn that no message stands for, 0.
    var index: Int
    var message: ChatMessage

    /// `text` as a JSON value the way the formats write it: rewritten if it is JSON, else as a string; `{}` if it is empty.
    func value(_ text: String, _ what: String) throws(Fault) -> String {
        guard !text.isEmpty else { return "{}" }
        switch PythonJSON.rewrite(text.utf8) {
        case .json(let bytes): return String(decoding: bytes, as: UTF8.self)
        case .text: return PythonJSON.text(quoting: text)
        case .refused(let why): throw Conversation.refuse("the \(what) in `messages[\(index)]` hold \(why)", "send less of it, or send it as a JSON string")
        }
    }
}

extension Conversation {
    static let join = "\n\n"

    static func refuse(_ why: String, _ remedy: String) -> Fault {
        Fault(.request, "chat.messages", "the messages do not form a conversation", why: why, remedy: remedy)
    }

    /// All that the system says, for formats in which a user says it.
    var systemWords: String {
        messages.filter { $0.role == .system && !$0.chunks.isEmpty }.map { Conversation.merged([$0], "\n\n").first?.words ?? "" }.joined(separator: Conversation.join)
    }

    /// The messages as the format sees them: neighbours from one side become one turn, results stand in the order of their calls, and what the system says stands
    /// alone, or nowhere up to version 3.
    func turns(for version: ChatTemplate.Version) throws(Fault) -> [Turn] {
        let chunkJoin = version >= .v15 ? "" : Conversation.join
        var turns: [Turn] = [], from = messages.startIndex, places: [[UInt8]: Int] = [:]
        while from < messages.endIndex {
            let role = messages[from].role, weight = messages[from].weight
            let to = messages[from...].firstIndex { $0.role != role || $0.weight != weight } ?? messages.endIndex
            let group = Array(messages[from..<to])
            switch role {
            case .system:
                guard version >= .v7 else { break }
                for (i, message) in group.enumerated() { turns.append(Turn(index: from + i, message: ChatMessage(.system, Conversation.merged([message], chunkJoin)))) }
            case .user: turns.append(Turn(index: from, message: ChatMessage(.user, Conversation.merged(group, chunkJoin))))
            case .assistant:
                let turn = try assistant(group, at: from, chunkJoin, version)
                places = Dictionary(turn.message.calls.enumerated().map { (Array(($1.id ?? "").utf8), $0) }, uniquingKeysWith: max)
                turns.append(turn)
            case .tool:
                var results: [(place: Int, turn: Turn)] = []
                for (i, message) in group.enumerated() {
                    var result = message
                    result.chunks = Conversation.merged([message], chunkJoin)
                    let place = version >= .v11 ? places[Array((message.callID ?? "").utf8)] ?? places.count : 0
                    results.append((place * group.count + i, Turn(index: from + i, message: result)))
                }
                turns += results.sorted { $0.place < $1.place }.map(\.turn)
            }
            from = to
        }
        if version < .v7, turns.first?.message.role != .user { turns.insert(Turn(index: 0, message: ChatMessage(.user, "")), at: 0) }
        return turns
    }

    private func assistant(_ group: [ChatMessage], at index: Int, _ chunkJoin: String, _ version: ChatTemplate.Version) throws(Fault) -> Turn {
        let message = ChatMessage(
            .assistant, Conversation.merged(group, chunkJoin), calls: group.flatMap(\.calls), continues: group.contains(where: \.continues), weight: group[0].weight)
        guard !message.chunks.isEmpty || !message.calls.isEmpty else {
            throw Conversation.refuse("the assistant says nothing in `messages[\(index)]`", "give it content or calls, or leave it out")
        }
        guard version >= .v7 || message.chunks.isEmpty || message.calls.isEmpty else {
            throw Conversation.refuse("the assistant both speaks and calls in the turn that begins with `messages[\(index)]`", "let a turn have either content or calls in this format")
        }
        return Turn(index: index, message: message)
    }

    /// The chunks of messages in a row, texts next to one another as one.
    static func merged(_ messages: [ChatMessage], _ chunkJoin: String) -> [ChatMessage.Chunk] {
        var all: [ChatMessage.Chunk] = [], words = "", hasWords = false
        for message in messages {
            var isNewMessage = true
            for chunk in message.chunks {
                switch chunk {
                case .text(let text):
                    guard !text.isEmpty else { continue }
                    if hasWords { words += isNewMessage ? join : chunkJoin }
                    words += text
                    (hasWords, isNewMessage) = (true, false)
                case .reasoning:
                    if hasWords { all.append(.text(words)) }
                    (words, hasWords) = ("", false)
                    all.append(chunk)
                }
            }
        }
        if hasWords { all.append(.text(words)) }
        return all
    }
}

extension ChatMessage.Chunk {
    fileprivate var words: String { if case .text(let words) = self { words } else { "" } }
}
