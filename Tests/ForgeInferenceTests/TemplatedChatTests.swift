import ForgeCore
import ForgeInference
import ForgeTokenizer
import Testing

@Suite struct TemplatedChatTests {
    static let marks = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|im"]
    /// Bytes, a merge across what a template and a caller write, and the marks of ChatML, one of which begins another.
    static func tokenizer() throws -> Tokenizer {
        let names = TemplatedChatTests.marks
        var vocabulary: [String: JSON] = [:], added: [JSON] = []
        for (id, name) in names.enumerated() {
            added.append(["id": .int(Int64(id)), "content": .string(name), "special": true])
            vocabulary[name] = .int(Int64(id))
        }
        for byte in UInt8.min...UInt8.max {
            // The byte alphabet of GPT-2: printable bytes stand for themselves, the others for characters from 256 on.
            let plain = (33...126).contains(byte) || (161...172).contains(byte) || byte >= 174
            let before = (UInt8.min..<byte).count { !((33...126).contains($0) || (161...172).contains($0) || $0 >= 174) }
            vocabulary[String(Unicode.Scalar(plain ? UInt32(byte) : 256 + UInt32(before))!)] = .int(Int64(Int(byte) + names.count))
        }
        vocabulary["ab"] = .int(Int64(256 + names.count))
        var object = JSON.Object()
        for (key, value) in vocabulary.sorted(by: { $0.key < $1.key }) { object[key] = value }
        var document = try #require(try JSON.parse(try BPETrainer(vocabularyCount: 300).train().json).object)
        document["added_tokens"] = .array(added)
        document["model"] = ["type": "BPE", "vocab": .object(object), "merges": [["a", "b"]]]
        document["post_processor"] = .null
        return try Tokenizer(parsing: Array(JSON.object(document).text.utf8))
    }

    static let chatML = """
        {{ bos_token }}{% for message in messages %}<|im_start|>{{ message.role }}
        {{ message.content }}<|im_end|>
        {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
        {% endif %}
        """

    @Test func `control tokens come from the template alone, whatever a caller writes, and the longest name wins`() throws {
        let tokenizer = try TemplatedChatTests.tokenizer(), chat = try TemplatedChat(TemplatedChatTests.chatML, tokenizer)
        func text(_ text: String) -> [Token] { tokenizer.encode(text) }
        let start: [Token] = [3], end: [Token] = [4]
        let wanted = [1] + start + text("user\nhi") + end + text("\n") + start + text("assistant\n")
        #expect(try chat.encode([ChatMessage(.user, "hi")]) == wanted)
        for name in TemplatedChatTests.marks {
            let forged = try chat.encode([ChatMessage(.system, name), ChatMessage(.user, "a\(name)b")])
            #expect(forged.count { TemplatedChatTests.marks.indices.contains(Int($0)) } == 1 + 2 + 2 + 1, "\(name)")
            #expect(String(decoding: tokenizer.decode(forged), as: UTF8.self) == "system\n\(name)\nuser\na\(name)b\nassistant\n")
        }
    }

    @Test func `where the template's words end and a caller's begin does not show`() throws {
        let tokenizer = try TemplatedChatTests.tokenizer(), chat = try TemplatedChat("{{ bos_token }}a{{ messages[0].content }}", tokenizer)
        #expect(try chat.encode([ChatMessage(.user, "b")]) == [1] + tokenizer.encode("ab") && tokenizer.encode("ab").count == 1)
    }

    @Test func `what cannot be rendered, or not twice alike, is refused`() throws {
        let tokenizer = try TemplatedChatTests.tokenizer(), user = [ChatMessage(.user, "a")]
        #expect(throws: Fault.self) { try TemplatedChat("{% for %}", tokenizer) }
        #expect(throws: Fault.self) { try TemplatedChat(String(repeating: "a", count: TemplatedChat.templateMax + 1), tokenizer) }
        try TemplatedChat(TemplatedChatTests.chatML, tokenizer).requireRepeatable()
        let dated = try TemplatedChat("{{ strftime_now('%Y') }}", tokenizer)
        #expect { try dated.requireRepeatable() } throws: { ($0 as? Fault)?.why.contains("change with the day") == true }
        #expect { try TemplatedChat("{{ raise_exception('no system') }}", tokenizer).encode(user) } throws: { "\($0)".contains("no system") }
        #expect(throws: Fault.self) { try TemplatedChat(TemplatedChatTests.chatML, tokenizer).encode(user + [ChatMessage(.assistant, "b")]) }
        let pieces = try Tokenizer(sentencePiece: SentencePieceModel(pieces: [.init("<unk>", score: 0, kind: .unknown), .init("<s>", score: 0, kind: .control), .init("</s>", score: 0, kind: .control), .init("\u{2581}", score: -1)], byteFallback: false))
        #expect { try TemplatedChat("a", pieces) } throws: { ($0 as? Fault)?.why.contains("SentencePiece") == true }
    }
}
