/// One turn of a conversation.
///
/// As JSON it has the members of Mistral's messages: `role`, `content` (a text, or a list of `text` and `thinking` chunks), `tool_calls`, `tool_call_id`, `name`,
/// `prefix` and `weight`.
package struct ChatMessage: Sendable, Hashable {
    package enum Role: String, Sendable, Hashable, Codable { case system, user, assistant, tool }

    /// A stretch of what a message says, in the order they stand.
    package enum Chunk: Sendable, Hashable {
        case text(String)
        /// What the assistant thought before it spoke. One that is not closed goes on in what is generated next.
        case reasoning(String, closed: Bool = true)
    }

    package var role: Role
    package var chunks: [Chunk]
    /// The calls an assistant makes, after its words.
    package var calls: [ToolCall] = []
    /// The call that a tool's message answers.
    package var callID: String?
    /// The function that a tool's message comes from.
    package var name: String?
    /// The assistant's turn is not over: what is generated goes on from here.
    package var continues = false
    /// 0 keeps an assistant's turn out of the training loss.
    package var weight: Int?

    package init(_ role: Role, _ content: String) { self.init(role, content.isEmpty ? [] : [.text(content)]) }

    package init(_ role: Role, _ chunks: [Chunk], calls: [ToolCall] = [], continues: Bool = false, weight: Int? = nil) {
        self.role = role
        self.chunks = chunks
        self.calls = calls
        self.continues = continues
        self.weight = weight
    }

    /// What a tool answered.
    package static func result(of callID: String?, _ content: String, name: String? = nil) -> ChatMessage {
        var message = ChatMessage(.tool, content)
        message.callID = callID
        message.name = name
        return message
    }

    /// The words alone, without reasoning.
    package var content: String {
        var text = ""
        for case .text(let words) in chunks { text += words }
        return text
    }
}

/// A function the assistant wants called.
package struct ToolCall: Sendable, Hashable {
    /// nil where the format has no ids, or, in the last turn of a training example, where none is to be learnt.
    package var id: String?
    package var name: String
    /// JSON, kept as written; what is not JSON is laid out as a JSON string. Empty means `{}`.
    package var arguments: String

    package init(id: String? = nil, name: String, arguments: String) {
        self.id = id
        self.name = name
        self.arguments = arguments
    }

    /// An id for the call at `index` of a turn, where the model writes none: nine letters and digits that follow from `seed`.
    package static func derivedID(seed: UInt64, index: Int) -> String {
        let alphabet = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)
        // SplitMix64's finaliser: Steele, Lea and Flood 2014.
        var mixed = seed &+ UInt64(truncatingIfNeeded: index &+ 1) &* 0x9e37_79b9_7f4a_7c15
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        mixed ^= mixed >> 31
        var id: [UInt8] = []
        for _ in 0..<9 {
            id.append(alphabet[Int(mixed % 62)])
            mixed /= 62
        }
        return String(decoding: id, as: UTF8.self)
    }

    /// Whether `id` is nine letters and digits, as the formats that write ids demand.
    package static func isID(_ id: String) -> Bool { id.utf8.count == 9 && id.utf8.allSatisfy { ToolCall.isAlphanumeric($0) } }

    /// Whether a function may have this name: 1 to 64 letters, digits, dashes and underscores.
    package static func isName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count) && name.utf8.allSatisfy { ToolCall.isAlphanumeric($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"): true
        default: false
        }
    }
}
