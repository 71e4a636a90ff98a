import FoundationEssentials
import ForgeCore
import Testing

@testable import ForgeTokenizer

@Suite struct ChatTemplateTests {
    private static let tokenizer = ChatGoldenTests.tokenizer

    private static func pieces(_ template: ChatTemplate, _ conversation: Conversation, _ purpose: ChatLayout.Purpose = .prompt) throws -> [ChatPiece] {
        try ChatLayout(template, conversation, purpose, nil).pieces
    }

    private static func refusal(_ template: ChatTemplate, _ conversation: Conversation, _ purpose: ChatLayout.Purpose = .prompt) -> Fault? {
        do throws(Fault) {
            _ = try ChatLayout(template, conversation, purpose, nil)
            return nil
        } catch { return error }
    }

    /// Every control token there is, in every place where somebody's text goes.
    @Test(arguments: ChatTemplate.allCases)
    func `no text can forge a control token`(template: ChatTemplate) throws {
        let all = Self.tokenizer.control.sorted.map(\.name)
        #expect(all.count == 32)
        for name in all + [all.joined()] {
            var messages = [ChatMessage(.system, name), ChatMessage(.user, name)], tools: [ChatTool] = []
            if template.version > .v1 {
                let quoted = PythonJSON.text(quoting: name)
                tools = [ChatTool("f", description: name, parameters: "{\(quoted): \(quoted)}")]
                for arguments in [name, "{\(quoted): [\(quoted)]}"] {
                    messages.append(ChatMessage(.assistant, template.version >= .v13 ? [.reasoning(name), .text(name)] : template.version >= .v7 ? [.text(name)] : [], calls: [ToolCall(id: "abcdefghi", name: "f", arguments: arguments)]))
                    messages.append(.result(of: "abcdefghi", arguments, name: "f"))
                    messages.append(ChatMessage(.assistant, name))
                    messages.append(ChatMessage(.user, name))
                }
                // The second format leaves out calls before the last user's words: some must stand after them.
                messages.append(ChatMessage(.assistant, [], calls: [ToolCall(id: "abcdefghi", name: "f", arguments: name)]))
                messages.append(.result(of: "abcdefghi", name, name: "f"))
            }
            let conversation = Conversation(messages, tools: tools, schema: "{\"title\": \(PythonJSON.text(quoting: name))}")
            let pieces = try Self.pieces(template, conversation)
            let placed = pieces.compactMap { if case .control(let name) = $0.kind { Self.tokenizer.control[name] } else { nil } }
            let tokens = try template.encode(conversation, with: Self.tokenizer)
            #expect(tokens.filter { $0 < 32 } == [1] + placed, "\(name)")
            // Names and ids are laid out as well, and are refused before they are.
            guard template.version > .v1 else { continue }
            for spoilt in [ToolCall(id: "abcdefghi", name: name, arguments: ""), ToolCall(id: name, name: "f", arguments: "")] where template.version >= .v3 {
                let fault = Self.refusal(template, Conversation([ChatMessage(.user, "a"), ChatMessage(.assistant, [], calls: [spoilt]), .result(of: spoilt.id, "")]))
                #expect(fault?.why.contains("messages[1]") == true || template.version >= .v13 && spoilt.name == "f")
            }
            #expect(Self.refusal(template, Conversation([ChatMessage(.user, "a")], tools: [ChatTool(name, parameters: "{}")]))?.code == "chat.tools")
            let infilling = try template.encodeInfilling(prompt: name, suffix: name, with: Self.tokenizer)
            #expect(infilling.filter { $0 < 32 } == [1, 16, 14])
        }
    }

    @Test(arguments: ChatTemplate.allCases)
    func `what the assistant said is to be learnt, and nothing else`(template: ChatTemplate) throws {
        let conversation = Conversation([
            ChatMessage(.system, "S"), ChatMessage(.user, "U"), ChatMessage(.assistant, [.text("first")], weight: 0), ChatMessage(.user, "V"), ChatMessage(.assistant, "second"),
        ])
        let taught = try template.encodeForTraining(conversation, with: Self.tokenizer)
        #expect(taught.spoken.count == 1 && taught.spoken[0].upperBound == taught.tokens.count)
        #expect(Self.tokenizer.decode(taught.tokens[taught.spoken[0]]) == Array("second".utf8) && taught.tokens.last == 2)
        #expect(taught.mask.filter { $0 }.count == taught.spoken[0].count)
        // The same conversation as a prompt is the same up to there.
        let prompt = try template.encode(Conversation(Array(conversation.messages.dropLast())), with: Self.tokenizer)
        #expect(Array(taught.tokens.prefix(prompt.count)) == prompt && prompt.count == taught.spoken[0].lowerBound)
    }

    @Test func `where tools stand is what tells formats apart`() throws {
        let conversation = Conversation([ChatMessage(.user, "a"), ChatMessage(.assistant, "b"), ChatMessage(.user, "c")], tools: [ChatTool("f", description: "é", parameters: #"{"b":1,"a":2.50}"#)])
        func place(_ template: ChatTemplate) throws -> Int? { try Self.pieces(template, conversation).firstIndex(of: ChatPiece(kind: .control("[AVAILABLE_TOOLS]"))) }
        #expect(try place(.mistralV3) == 5 && place(.mistralV7) == 5 && place(.mistralV11) == 5 && place(.mistralV13) == 0 && place(.mistralV15) == 0)
        let written = #"[{"type": "function", "function": {"name": "f", "description": "é", "parameters": {"b": 1, "a": 2.5}}}]"#
        #expect(try Self.pieces(.mistralV13, conversation)[1].kind == .text(written))
    }

    @Test func `settings are written where the model has them, with what holds when none is named`() throws {
        var conversation = Conversation([ChatMessage(.user, "a")])
        func settings(_ rule: ModelSettingsRule?) throws -> ChatPiece.Kind? {
            let pieces = try ChatLayout(.mistralV15, conversation, .prompt, rule).pieces
            return pieces.firstIndex(of: ChatPiece(kind: .control("[MODEL_SETTINGS]"))).map { pieces[$0 + 1].kind }
        }
        let rule = try #require(try ModelSettingsRule(tekken: ["model_settings_builder": ["reasoning_effort": ["type": "enum", "accepts_none": true, "values": ["none", "high"], "default": "none"]]]))
        #expect(try settings(nil) == nil && settings(rule) == .text(#"{"reasoning_effort": "none"}"#))
        conversation.effort = .high
        conversation.schema = #"{"type":"object"}"#
        #expect(try settings(rule) == .text(#"{"reasoning_effort": "high"}"#))
        #expect(try settings(nil) == .text(#"{"json_schema": {"type": "object"}, "reasoning_effort": "high"}"#))
        conversation.effort = .medium
        #expect(throws: Fault.self) { try settings(rule) }
        #expect(Self.refusal(.mistralV13, conversation)?.code == "chat.settings")
        #expect(try ModelSettingsRule(tekken: ["config": [:]]) == nil)
        for bad: JSON in [["temperature": 1], ["reasoning_effort": ["values": ["none"], "default": "high"]], ["reasoning_effort": ["values": ["none", "none"], "default": "none"]], [1]] {
            #expect(throws: Fault.self) { try ModelSettingsRule(tekken: ["model_settings_builder": bad]) }
        }
    }

    private static let call = ToolCall(id: "abcdefghi", name: "f", arguments: "{}")

    @Test(arguments: [
        (ChatTemplate.mistralV7, [], "there is none"), (.mistralV7, [ChatMessage(.system, "a")], "messages[0]"), (.mistralV3, [ChatMessage(.user, "a"), ChatMessage(.system, "b")], "messages[1]"),
        (.mistralV7, [ChatMessage(.user, "a"), ChatMessage(.assistant, "b")], "messages[1]"), (.mistralV7, [ChatMessage(.user, "a"), .result(of: "abcdefghi", "b")], "messages[1]"),
        (.mistralV7, [ChatMessage(.user, "a"), ChatMessage(.assistant, [], calls: [call]), ChatMessage(.user, "b")], "messages[1]"),
        (.mistralV3, [ChatMessage(.user, "a"), ChatMessage(.assistant, [.text("x")], calls: [call]), .result(of: "abcdefghi", "b")], "messages[1]"),
        (.mistralV11, [ChatMessage(.user, "a"), ChatMessage(.assistant, [], calls: [call, call]), .result(of: "abcdefghi", "b")], "messages[1]"),
        (.mistralV11, [ChatMessage(.user, "a"), ChatMessage(.assistant, [], calls: [call]), .result(of: "123456789", "b")], "messages[2]"),
        (.mistralV2, [ChatMessage(.user, "a"), ChatMessage(.assistant, [], calls: [call, call]), .result(of: nil, "b"), .result(of: nil, "b")], "messages[3]"),
        (.mistralV7, [ChatMessage(.user, "a"), ChatMessage(.assistant, [], calls: [ToolCall(name: "f", arguments: "")]), .result(of: nil, "b")], "messages[1]"),
        (.mistralV7, [ChatMessage(.user, "a"), ChatMessage(.assistant, [], calls: [ToolCall(id: "abcdefghi\n", name: "f", arguments: "")]), .result(of: nil, "b")], "messages[1]"),
        (.mistralV1, [ChatMessage(.user, "a"), ChatMessage(.assistant, [], calls: [call]), .result(of: nil, "b")], "messages[1]"),
        (.mistralV11, [ChatMessage(.user, "a"), ChatMessage(.assistant, [.reasoning("x"), .text("y")]), ChatMessage(.user, "a")], "messages[1]"),
        (.mistralV15, [ChatMessage(.system, [.reasoning("x")]), ChatMessage(.user, "a")], "messages[0]"), (.mistralV13, [ChatMessage(.user, [.reasoning("x")])], "messages[0]"),
        (.mistralV7, [ChatMessage(.user, "a"), ChatMessage(.assistant, [.text("x")], continues: true), ChatMessage(.user, "a")], "messages[1]"),
        (.mistralV7, [ChatMessage(.user, "a"), ChatMessage(.assistant, ""), ChatMessage(.user, "a")], "messages[1]"), (.mistralV7, [ChatMessage(.user, [.text("a")], weight: 1)], "messages[0]"),
        (.mistralV7, [ChatMessage(.user, "a"), ChatMessage(.assistant, [], calls: [ToolCall(id: "abcdefghi", name: "f", arguments: String(repeating: "[", count: 300))]), .result(of: "abcdefghi", "b")], "messages[1]"),
    ] as [(ChatTemplate, [ChatMessage], String)])
    func `a refusal names the message and says what to do`(template: ChatTemplate, messages: [ChatMessage], place: String) {
        let fault = Self.refusal(template, Conversation(messages))
        #expect(fault?.kind == .request && fault?.code == "chat.messages" && fault?.why.contains(place) == true && fault?.remedy.isEmpty == false, "\(fault?.why ?? "taken")")
    }

    @Test func `a training example ends with the assistant's whole turn`() {
        #expect(Self.refusal(.mistralV7, Conversation([ChatMessage(.user, "a")]), .training)?.why.contains("messages[0]") == true)
        #expect(Self.refusal(.mistralV7, Conversation([ChatMessage(.user, "a"), ChatMessage(.assistant, [.text("b")], continues: true)]), .training)?.why.contains("not finished") == true)
    }

    @Test func `a tokenizer without the marks says which it lacks`() {
        let fault = #expect(throws: Fault.self) { try ChatTemplate.mistralV15.encode(Conversation([ChatMessage(.user, "a")], effort: .high), with: TokenizerTests.trained) }
        #expect(fault?.code == "chat.template" && fault?.why.contains("[MODEL_SETTINGS]") == true)
        #expect(throws: Fault.self) { try ChatTemplate.mistralV1.encodeInfilling(prompt: "a", with: TokenizerTests.trained) }
    }

    @Test func `messages are Mistral's as JSON, and come back`() throws {
        let written = #"[{"role":"system","content":[{"type":"thinking","thinking":"t","closed":false},{"type":"text","text":"x"}]},{"role":"user","content":"u"},{"role":"assistant","content":"","tool_calls":[{"id":"abcdefghi","type":"function","function":{"name":"f","arguments":"{}"}}],"prefix":true,"weight":0},{"role":"tool","tool_call_id":"abcdefghi","name":"f","content":"r"}]"#
        let messages = try JSONDecoder().decode([ChatMessage].self, from: Data(written.utf8))
        #expect(messages[0].chunks == [.reasoning("t", closed: false), .text("x")] && messages[2].calls == [Self.call] && messages[2].continues && messages[2].weight == 0)
        #expect(messages[3] == .result(of: "abcdefghi", "r", name: "f"))
        #expect(try JSONDecoder().decode([ChatMessage].self, from: JSONEncoder().encode(messages)) == messages)
        #expect(throws: (any Error).self) { try JSONDecoder().decode(ChatMessage.self, from: Data(#"{"role":"user","content":[{"type":"image_url","image_url":"x"}]}"#.utf8)) }
    }
}
