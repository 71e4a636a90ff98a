package import ForgeCore
import ForgeTemplate
package import ForgeTokenizer

/// A conversation laid out by a template that came with the model (docs/formats/chat-template.md), as tokens.
///
/// Control tokens are recognised in the template's own text and nowhere else: what a caller wrote is text, whatever it spells. The rest is encoded as one text from one control
/// token to the next, because where the template's words end and a caller's begin must not show.
package struct TemplatedChat: Sendable {
    /// What a model names that has one (`generation.json`).
    package static let name = "jinja"
    package static let templateMax = 512 << 10

    private let template: Template
    private let tokenizer: Tokenizer
    /// Names of control tokens by their first byte, the longest first.
    private let marks: [UInt8: [(name: [UInt8], token: Token)]]
    private let constants: JSON.Object

    /// - Throws: `.request` for what is no template of the language, and for a tokenizer that puts a blank before every text: where such templates mean one is not settled.
    package init(_ source: String, _ tokenizer: Tokenizer) throws(Fault) {
        guard source.utf8.count <= TemplatedChat.templateMax else {
            throw Fault(.request, "chat.template", "the chat template cannot be used", why: "it has \(ByteCount(source.utf8.count)); at most \(ByteCount(TemplatedChat.templateMax)) are read")
        }
        guard !tokenizer.dropsPrefix else {
            throw Fault(
                .request, "chat.template", "the chat template cannot be used", why: "the tokenizer is SentencePiece's, which puts a blank before every text", remedy: "name one of Mistral's formats instead")
        }
        template = try Template(parsing: source)
        self.tokenizer = tokenizer
        var marks: [UInt8: [(name: [UInt8], token: Token)]] = [:]
        for (token, name) in tokenizer.control.sorted where !name.isEmpty { marks[name.utf8.first!, default: []].append((Array(name.utf8), token)) }
        self.marks = marks.mapValues { $0.sorted { $0.name.count > $1.name.count } }
        func name(_ token: Token) -> JSON { .string(tokenizer.control.name(of: token) ?? "") }
        constants = ["bos_token": name(tokenizer.control.begin), "eos_token": name(tokenizer.control.end)]
    }

    /// - Throws: `.request` unless the same conversation always gives the same prompt: one that tells the day could not be computed again.
    package func requireRepeatable() throws(Fault) {
        let probe = [ChatMessage(.user, "a")]
        guard try spans(probe, at: Timestamp(seconds: 0)) == spans(probe, at: Timestamp(seconds: 1_000_000_000)) else {
            throw Fault(
                .request, "chat.template", "the chat template cannot be used", why: "its prompts change with the day, so no answer could be computed again",
                remedy: "take the date out of the template, and say it in a message where it matters")
        }
    }

    /// The prompt, up to where the assistant speaks next.
    /// - Throws: `.request` with the template's own words where it refuses the conversation.
    package func encode(_ messages: [ChatMessage]) throws(Fault) -> [Token] {
        guard messages.last?.role != .assistant else {
            throw Fault(.request, "chat.messages", "the last message is from the assistant", why: "this model's chat template cannot go on with an answer that was begun", remedy: "end with a user's message")
        }
        var encoder = Encoder(tokenizer), tokens: [Token] = [], text: [UInt8] = []
        func flush() {
            encoder.encode(text, into: &tokens)
            text.removeAll(keepingCapacity: true)
        }
        for span in try spans(messages, at: Timestamp(seconds: 0)) {
            let bytes = Array(span.text.utf8)
            guard !span.isInput else {
                text += bytes
                continue
            }
            var at = 0
            while at < bytes.count {
                if let mark = marks[bytes[at]]?.first(where: { bytes[at...].starts(with: $0.name) }) {
                    flush()
                    tokens.append(mark.token)
                    at += mark.name.count
                } else {
                    text.append(bytes[at])
                    at += 1
                }
            }
        }
        flush()
        return tokens
    }

    private func spans(_ messages: [ChatMessage], at time: Timestamp) throws(Fault) -> [Template.Span] {
        let turns: [JSON] = messages.map { ["role": .string($0.role.rawValue), "content": .string($0.content)] }
        return try template.render(["messages": .array(turns), "add_generation_prompt": true], constants: constants, now: time)
    }
}
