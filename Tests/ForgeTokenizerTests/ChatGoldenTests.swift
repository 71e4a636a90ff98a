import FoundationEssentials
import ForgeCore
import Testing

@testable import ForgeTokenizer

/// Every format against mistral_common: Tests/Fixtures/tokenizer/make-chat.py.
@Suite struct ChatGoldenTests {
    static let later = ["[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]", "[MODEL_SETTINGS]", "[/MODEL_SETTINGS]"]

    /// tekken.json with the control tokens of the later versions.
    static let tokenizer: Tokenizer = {
        do {
            let text = String(decoding: try GoldenTests.fixture("tekken.json"), as: UTF8.self), last = "\"token_str\":\"[TOOL_CONTENT]\",\"is_control\":true}"
            let at = try #require(text.firstRange(of: last)).upperBound
            let more = later.enumerated().map { ",{\"rank\":\(20 + $0),\"token_str\":\"\($1)\",\"is_control\":true}" }.joined()
            return try Tokenizer(tekken: Array((text[..<at] + more + text[at...]).utf8))
        } catch { fatalError("\(error)") }
    }()

    struct Case: Decodable {
        let template: ChatTemplate
        let purpose: String
        let conversation: Conversation?
        let prompt: String?
        let suffix: String?
        let ids: String?
        let spoken: [[Int]]?
        let refused: Bool?
    }

    /// For the formats of SentencePiece tokenizers this vocabulary stands in, with a space before every text.
    static func tokens(_ item: Case, _ rule: ModelSettingsRule?) throws -> ChatTokens {
        let pieces: [ChatPiece]
        if let conversation = item.conversation {
            pieces = try ChatLayout(item.template, conversation, item.purpose == "training" ? .training : .prompt, rule).pieces
        } else {
            pieces = try ChatLayout.infilling(item.template, prompt: item.prompt ?? "", suffix: item.suffix ?? "")
        }
        guard item.template.usesPieces else { return try ChatTokens(pieces, tokenizer) }
        // As a SentencePiece tokenizer sees it.
        return try ChatTokens(pieces, tokenizer.control) { (text, tokens) in tokens += text.isEmpty ? [] : tokenizer.encode(" " + text) }
    }

    @Test func `every format gives mistral_common's ids and refuses what it refuses`() throws {
        let bytes = try GoldenTests.fixture("chat-golden.json")
        let items = try JSONDecoder().decode([Case].self, from: Data(bytes)), raw = try #require(try JSON.parse(bytes).array)
        #expect(items.count > 300 && Set(items.map(\.template)).count == ChatTemplate.allCases.count)
        for (item, json) in zip(items, raw) {
            let rule = try json["rule"].flatMap { try ModelSettingsRule(tekken: ["model_settings_builder": $0]) }
            do {
                let tokens = try ChatGoldenTests.tokens(item, rule)
                #expect(item.refused == nil, "\(json.text)")
                let ids = try #require(item.ids.flatMap { Base64.decode($0) })
                let expected = stride(from: 0, to: ids.count, by: 2).map { Token(ids[$0]) | Token(ids[$0 + 1]) << 8 }
                #expect(tokens.tokens == expected, "\(json.text)")
                if let spoken = item.spoken { #expect(tokens.spoken == spoken.map { $0[0]..<$0[1] }, "\(json.text)") }
                #expect(tokens.mask.count == tokens.tokens.count)
            } catch {
                let fault = try #require(error as? Fault)
                #expect(item.refused == true && fault.kind == .request, "\(fault) \(json.text)")
                #expect(!fault.why.isEmpty && !fault.remedy.isEmpty)
            }
        }
    }
}
