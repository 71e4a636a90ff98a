import ForgeCore

/// Reads the parameters of a request, each within its bounds, and refuses by name what nobody asked about.
struct ParameterReader {
    private let object: JSON.Object
    private var read: Set<String> = []

    init(_ json: JSON) throws(Fault) {
        guard let object = json.object else {
            throw Fault(.request, "invalid_value", "cannot read the request", why: "its body is not a JSON object", remedy: "send parameters as members of one object")
        }
        self.object = object
    }

    static func missing(_ name: String) -> Fault {
        Fault(.request, "missing_required_parameter.\(name)", "`\(name)` is missing", why: "an answer cannot be made without it", remedy: "send `\(name)`")
    }

    static func invalid(_ name: String, _ why: String, _ remedy: String) -> Fault {
        Fault(.request, "invalid_value.\(name)", "`\(name)` cannot be used", why: why, remedy: remedy)
    }

    static func unsupported(_ name: String, _ why: String) -> Fault {
        Fault(.request, "unsupported_parameter.\(name)", "`\(name)` is not supported", why: why, remedy: "leave `\(name)` out")
    }

    /// nil when absent or null: both mean the default.
    private mutating func value(_ name: String) -> JSON? {
        read.insert(name)
        guard let value = object[name], value != .null else { return nil }
        return value
    }

    @discardableResult
    mutating func text(_ name: String, bytesMax: Int) throws(Fault) -> String? {
        guard let value = value(name) else { return nil }
        guard let text = value.string, !text.isEmpty, text.utf8.count <= bytesMax else {
            throw Self.invalid(name, "it is not a text of 1 to \(bytesMax) bytes", "send a text")
        }
        return text
    }

    mutating func int(_ name: String, _ range: ClosedRange<Int>) throws(Fault) -> Int? {
        guard let value = value(name) else { return nil }
        guard let number = value.int, let int = Int(exactly: number), range.contains(int) else {
            throw Self.invalid(name, "it is not a whole number from \(range.lowerBound) to \(range.upperBound)", "send `\(name)` within its bounds")
        }
        return int
    }

    mutating func number(_ name: String, _ range: ClosedRange<Double>) throws(Fault) -> Double? {
        guard let value = value(name) else { return nil }
        guard let number = value.number, range.contains(number) else {
            throw Self.invalid(name, "it is not a number from \(Int(range.lowerBound)) to \(Int(range.upperBound))", "send `\(name)` within its bounds")
        }
        return number
    }

    mutating func bool(_ name: String) throws(Fault) -> Bool? {
        guard let value = value(name) else { return nil }
        guard let bool = value.bool else { throw Self.invalid(name, "it is neither true nor false", "send true or false") }
        return bool
    }

    mutating func seed() throws(Fault) -> Int64? {
        guard let value = value("seed") else { return nil }
        guard let seed = value.int else { throw Self.invalid("seed", "it is not a whole number of 64 bits", "send a whole number") }
        return seed
    }

    mutating func stops() throws(Fault) -> [String] {
        guard let value = value("stop") else { return [] }
        let stops = value.string.map { [$0] } ?? value.array?.compactMap(\.string)
        let count = value.array?.count ?? 1
        guard let stops, stops.count == count, count <= InferenceRequest.stopsMax, stops.allSatisfy({ (1...InferenceRequest.stopBytesMax).contains($0.utf8.count) }) else {
            throw Self.invalid(
                "stop", "it is not one text, or a list of up to \(InferenceRequest.stopsMax), of 1 to \(InferenceRequest.stopBytesMax) bytes each", "send fewer or shorter stop strings")
        }
        return stops
    }

    mutating func prompt() throws(Fault) -> InferenceRequest.Input {
        guard let value = value("prompt") else { throw Self.missing("prompt") }
        func refuse() -> Fault {
            Self.invalid("prompt", "it is neither a text nor a list of token numbers", "send one prompt a request")
        }
        if let text = value.string { return .text(text) }
        guard let items = value.array, !items.isEmpty else { throw refuse() }
        // One prompt in a list is one prompt; several would be several requests under one receipt.
        if items.count == 1, let text = items[0].string { return .text(text) }
        if items.count == 1, items[0].array != nil { return .tokens(try tokens(items[0].array!)) }
        if items[0].string != nil || items[0].array != nil { throw Self.unsupported("prompt", "several prompts in one request are not taken yet") }
        return .tokens(try tokens(items))
    }

    private func tokens(_ items: [JSON]) throws(Fault) -> [Int32] {
        var tokens: [Int32] = []
        for item in items {
            guard let token = item.int.flatMap({ Int32(exactly: $0) }) else {
                throw Self.invalid("prompt", "it holds something that is no token number", "send a text, or a list of whole numbers")
            }
            tokens.append(token)
        }
        return tokens
    }

    mutating func messages() throws(Fault) -> [ChatTurn] {
        guard let value = value("messages") else { throw Self.missing("messages") }
        guard let items = value.array, (1...InferenceRequest.messagesMax).contains(items.count) else {
            throw Self.invalid("messages", "it is not a list of 1 to \(InferenceRequest.messagesMax) messages", "send the turns of the conversation, the oldest first")
        }
        var messages: [ChatTurn] = []
        for (index, item) in items.enumerated() { messages.append(try message(item, "messages[\(index)]")) }
        return messages
    }

    private func message(_ item: JSON, _ place: String) throws(Fault) -> ChatTurn {
        guard let object = item.object, let role = object["role"]?.string else { throw Self.invalid("messages", "`\(place)` has no `role`", "give each message a role and a content") }
        guard ["system", "developer", "user", "assistant"].contains(role) else {
            throw Self.invalid("messages", "`\(place).role` is none of `system`, `user`, `assistant`", "tools and functions are not supported yet")
        }
        for (key, value) in object.members where !["role", "content"].contains(key) && value != .null {
            throw Self.unsupported("messages", "`\(place)` has a member `\(key.prefix(40))`")
        }
        if let text = object["content"]?.string { return ChatTurn(role: role == "developer" ? "system" : role, content: text) }
        guard let parts = object["content"]?.array, !parts.isEmpty else { throw Self.invalid("messages", "`\(place).content` is not a text", "send a text") }
        var text = ""
        for part in parts {
            guard part["type"]?.string == "text", let piece = part["text"]?.string else { throw Self.unsupported("messages", "`\(place).content` has a part that is not text") }
            text += piece
        }
        return ChatTurn(role: role == "developer" ? "system" : role, content: text)
    }

    mutating func streamOptions(stream: Bool) throws(Fault) -> Bool {
        guard let value = value("stream_options") else { return false }
        guard let options = value.object else { throw Self.invalid("stream_options", "it is not an object", "send `{\"include_usage\": true}`") }
        guard stream else { throw Self.invalid("stream_options", "`stream` is not true", "send it with `stream: true` only") }
        for key in options.keys where key != "include_usage" { throw Self.unsupported("stream_options", "it has a member `\(key.prefix(40))`") }
        guard let include = options["include_usage"] else { return false }
        guard let bool = include.bool else { throw Self.invalid("stream_options", "`include_usage` is neither true nor false", "send true or false") }
        return bool
    }

    /// Parameters that OpenAI has and Forge has not: their neutral value is accepted, since it asks for nothing.
    mutating func neutral() throws(Fault) {
        for name in ["presence_penalty", "frequency_penalty"] {
            if let value = value(name), value.number != 0 { throw Self.unsupported(name, "penalties are not supported yet") }
        }
        if let value = value("logit_bias"), value.object?.isEmpty != true { throw Self.unsupported("logit_bias", "biases are not supported yet") }
        if let value = value("response_format"), value["type"]?.string != "text" { throw Self.unsupported("response_format", "only text is written yet") }
        for name in ["tools", "functions"] {
            if let value = value(name), value.array?.isEmpty != true { throw Self.unsupported(name, "tools are not supported yet") }
        }
        if let value = value("tool_choice"), value.string != "none" { throw Self.unsupported("tool_choice", "tools are not supported yet") }
        if let value = value("suffix"), value.string != "" { throw Self.unsupported("suffix", "text is only continued, not filled in") }
        if let value = value("best_of"), value.int != 1 { throw Self.unsupported("best_of", "only one candidate a choice is drawn") }
        if let value = value("store"), value.bool != false { throw Self.unsupported("store", "answers are not kept") }
    }

    func finish() throws(Fault) {
        guard let name = object.keys.first(where: { !read.contains($0) }) else { return }
        let shown = String(name.unicodeScalars.prefix(60).map { $0.value < 0x21 || $0 == "`" || $0 == "." ? "_" : Character($0) })
        throw Fault(
            .request, "unknown_parameter.\(shown)", "`\(shown)` is not a parameter of this server", why: "a parameter that is not understood is refused rather than ignored",
            remedy: "leave it out")
    }
}
