import ForgeCore

extension Conversation {
    /// Refuses what the format cannot lay out, and what mistral_common's validator refuses: `serving` for a prompt, `finetuning` for a training example
    /// (docs/formats/tokenizer.md §5.2).
    func check(for version: ChatTemplate.Version, _ purpose: ChatLayout.Purpose) throws(Fault) {
        guard let last = messages.last else { throw Conversation.refuse("there is none", "send at least one message from a user") }
        if messages.count == 1, messages[0].role != .user {
            throw Conversation.refuse("the only one, `messages[0]`, is from the \(messages[0].role.rawValue)", "send at least one message from a user")
        }
        try checkEnd(last, purpose)
        try checkOrder()
        if version >= .v11 { try checkPairs(purpose) } else { try checkCounts(purpose) }
        for (index, message) in messages.enumerated() { try check(message, index, version, purpose) }
        if version == .v2 { try checkSingleResults() }
        try checkTools(version)
    }

    private func checkEnd(_ last: ChatMessage, _ purpose: ChatLayout.Purpose) throws(Fault) {
        let place = "`messages[\(messages.count - 1)]`, the last,"
        switch purpose {
        case .prompt:
            guard last.role != .assistant || last.continues else {
                throw Conversation.refuse("\(place) is the assistant's, whose turn would be next", "end with a user's message or a tool's, or have it continued")
            }
            guard last.role != .system else { throw Conversation.refuse("\(place) is from the system", "end with a user's message or a tool's") }
        case .training:
            guard last.role == .assistant else {
                throw Conversation.refuse("\(place) is from the \(last.role.rawValue): there is nothing to learn after it", "end with the assistant's message")
            }
            guard !last.continues else { throw Conversation.refuse("\(place) is not finished", "end with a whole message") }
        }
    }

    private func checkOrder() throws(Fault) {
        for (index, message) in messages.enumerated().dropFirst() {
            let before = messages[index - 1].role
            let fits =
                switch before {
                case .system, .user: message.role != .tool
                case .assistant, .tool: message.role != .system
                }
            guard fits else {
                throw Conversation.refuse(
                    "`messages[\(index)]` is from the \(message.role.rawValue), after the \(before.rawValue)",
                    message.role == .tool ? "send a tool's message only after the assistant called it" : "put what the system says before the user's words")
            }
        }
    }

    /// Up to version 7 results are counted. As in the reference, the first message's calls do not count.
    private func checkCounts(_ purpose: ChatLayout.Purpose) throws(Fault) {
        var caller = 0, called = 0, answered = 0
        for (index, message) in messages.enumerated().dropFirst() {
            if message.role == .tool {
                answered += 1
            } else if message.role == .assistant {
                guard called == answered else { throw uneven(caller, called, answered) }
                (caller, called, answered) = (index, message.calls.count, 0)
            }
        }
        guard purpose == .training ? called >= answered : called == answered else { throw uneven(caller, called, answered) }
    }

    private func uneven(_ caller: Int, _ called: Int, _ answered: Int) -> Fault {
        Conversation.refuse("`messages[\(caller)]` makes \(called) calls that count, and \(answered) results follow", "send one tool's message for each call, right after the calls")
    }

    private func checkPairs(_ purpose: ChatLayout.Purpose) throws(Fault) {
        var caller = 0, called: Set<[UInt8]> = [], answered: Set<[UInt8]> = []
        for (index, message) in messages.enumerated().dropFirst() {
            if message.role == .tool {
                let id = Array((message.callID ?? "").utf8)
                guard !answered.contains(id) else {
                    throw Conversation.refuse("`messages[\(index)]` answers a call that has its answer", "send one result for each call")
                }
                guard called.contains(id) else {
                    throw Conversation.refuse("`messages[\(index)]` answers no call of the assistant's last message", "give it the id of the call it answers")
                }
                answered.insert(id)
            } else if message.role == .assistant {
                guard called.count == answered.count else { throw uneven(caller, called.count, answered.count) }
                (caller, called, answered) = (index, [], [])
                for call in message.calls {
                    guard called.insert(Array((call.id ?? "null").utf8)).inserted else {
                        throw Conversation.refuse("two calls of `messages[\(index)]` have one id", "give each call its own id")
                    }
                }
            }
        }
        guard purpose == .training || called.count == answered.count else { throw uneven(caller, called.count, answered.count) }
    }

    private func check(_ message: ChatMessage, _ index: Int, _ version: ChatTemplate.Version, _ purpose: ChatLayout.Purpose) throws(Fault) {
        let place = "`messages[\(index)]`", isLast = index == messages.count - 1
        let thinks = message.chunks.contains { if case .reasoning = $0 { true } else { false } }
        if thinks {
            let mayThink = version >= .v13 && (message.role == .assistant || message.role == .system && version < .v15)
            guard mayThink else { throw Conversation.refuse("\(place) holds reasoning, which this format has no place for", "leave the reasoning out") }
        }
        guard message.calls.isEmpty || message.role == .assistant else {
            throw Conversation.refuse("\(place) makes calls, and is from the \(message.role.rawValue)", "let only the assistant call tools")
        }
        guard !message.continues || isLast && message.role == .assistant else {
            throw Conversation.refuse("\(place) is to be continued, and is not the assistant's last", "have only the last message continued")
        }
        guard message.weight.map({ message.role == .assistant && (0...1).contains($0) }) ?? true else {
            throw Conversation.refuse("the weight of \(place) cannot be honoured", "weigh only the assistant's messages, with 0 or 1")
        }
        switch message.role {
        case .system, .user: break
        case .assistant:
            guard version >= .v7 || message.chunks.isEmpty != message.calls.isEmpty else {
                throw Conversation.refuse("\(place) must have either content or calls", "leave one of them out, or give it the one it lacks")
            }
            for call in message.calls { try check(call, place, version, mayLackID: purpose == .training && isLast) }
        case .tool:
            guard version > .v1 else { throw Conversation.refuse("\(place) is from a tool, which this format does not know", "leave tools out") }
            guard message.name.map({ ToolCall.isName($0) }) ?? true else { throw Conversation.badName(message.name ?? "", place) }
            guard version < .v3 || message.callID.map({ version >= .v13 ? !$0.isEmpty && $0 != "null" : ToolCall.isID($0) }) ?? false else {
                throw Conversation.badID(message.callID, place, version)
            }
        }
    }

    private func check(_ call: ToolCall, _ place: String, _ version: ChatTemplate.Version, mayLackID: Bool) throws(Fault) {
        guard version > .v1 else { throw Conversation.refuse("\(place) makes calls, which this format does not know", "leave tools out") }
        guard ToolCall.isName(call.name) else { throw Conversation.badName(call.name, place) }
        guard version >= .v3 else { return }
        if version >= .v13 {
            guard let id = call.id, !id.isEmpty, id != "null" else { throw Conversation.badID(call.id, place, version) }
        } else if let id = call.id {
            guard ToolCall.isID(id) else { throw Conversation.badID(id, place, version) }
        } else {
            guard mayLackID else { throw Conversation.badID(nil, place, version) }
        }
    }

    private static func badName(_ name: String, _ place: String) -> Fault {
        refuse("\(place) names the function `\(name.prefix(80))`", "name a function with 1 to 64 of the characters a-z, A-Z, 0-9, `_` and `-`")
    }

    private static func badID(_ id: String?, _ place: String, _ version: ChatTemplate.Version) -> Fault {
        refuse(
            id.map { "\(place) has the call id `\($0.prefix(40))`" } ?? "\(place) lacks a call id",
            version >= .v13 ? "give calls and results an id that is not empty, and not `null`" : "give calls and results an id of nine characters of a-z, A-Z and 0-9")
    }

    /// The second version has no ids, so two results of one turn could not be told apart.
    private func checkSingleResults() throws(Fault) {
        let from = messages.lastIndex { $0.role == .user } ?? 0
        var results = 0, answers = false
        for (index, message) in messages.enumerated() where index >= from {
            switch message.role {
            case .assistant: (answers, results) = (!message.calls.isEmpty, 0)
            case .tool where answers:
                results += 1
                guard results == 1 else {
                    throw Conversation.refuse("`messages[\(index)]` is the second result of one turn", "let the assistant make one call a turn in this format")
                }
            default: (answers, results) = (false, 0)
            }
        }
    }

    private func checkTools(_ version: ChatTemplate.Version) throws(Fault) {
        func refuse(_ why: String, _ remedy: String) -> Fault { Fault(.request, "chat.tools", "the tools cannot be used", why: why, remedy: remedy) }
        guard tools.isEmpty || version > .v1 else { throw refuse("this model's format does not know tools", "leave tools out") }
        for (index, tool) in tools.enumerated() {
            guard ToolCall.isName(tool.name) else {
                throw refuse("`tools[\(index)]` is called `\(tool.name.prefix(80))`", "name a function with 1 to 64 of the characters a-z, A-Z, 0-9, `_` and `-`")
            }
            guard PythonJSON.members(of: Array(tool.parameters.utf8)) != nil else {
                throw refuse("the parameters of `tools[\(index)]` are no JSON object", "describe the parameters by a JSON schema")
            }
        }
    }

    /// The tools as the formats write them.
    func toolList() throws(Fault) -> String {
        var list: [String] = []
        for tool in tools {
            let parameters = try Turn(index: 0, message: ChatMessage(.system, "")).value(tool.parameters, "parameters of `\(tool.name)`")
            list.append(
                "{\"type\": \"function\", \"function\": {\"name\": " + PythonJSON.text(quoting: tool.name) + ", \"description\": " + PythonJSON.text(quoting: tool.description)
                    + ", \"parameters\": " + parameters + "}}")
        }
        return "[" + list.joined(separator: ", ") + "]"
    }

    /// The model settings, as JSON; nil for none.
    func settings(for version: ChatTemplate.Version, _ rule: ModelSettingsRule?) throws(Fault) -> String? {
        func refuse(_ why: String, _ remedy: String) -> Fault { Fault(.request, "chat.settings", "the settings cannot be used", why: why, remedy: remedy) }
        guard version >= .v15 else {
            guard effort == nil else { throw refuse("this model takes no reasoning effort", "leave the reasoning effort out") }
            return nil
        }
        var chosen = effort, shown = schema
        if let rule {
            chosen = effort ?? rule.standard
            if let chosen, !rule.efforts.contains(chosen) {
                let known = rule.efforts.map { "`\($0.rawValue)`" }.joined(separator: ", ")
                throw refuse("this model does not know the reasoning effort `\(chosen.rawValue)`", known.isEmpty ? "leave the reasoning effort out" : "use one of \(known)")
            }
            if !rule.takesSchema { shown = nil }
        }
        var members: [String] = []
        if let shown {
            guard PythonJSON.members(of: Array(shown.utf8)) != nil, case .json(let bytes) = PythonJSON.rewrite(shown.utf8) else {
                throw refuse("the schema is no JSON object", "send a JSON schema")
            }
            members.append("\"json_schema\": " + String(decoding: bytes, as: UTF8.self))
        }
        if let chosen { members.append("\"reasoning_effort\": \"\(chosen.rawValue)\"") }
        return members.isEmpty ? nil : "{" + members.joined(separator: ", ") + "}"
    }
}
