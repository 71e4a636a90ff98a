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
        } catch { preconditionFailure("the fixture with more names is a tokenizer: \(error)") }
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

    static func pieces(_ item: Case, _ rule: ModelSettingsRule?) throws -> [ChatPiece] {
        guard let conversation = item.conversation else { return try ChatLayout.infilling(item.template, prompt: item.prompt ?? "", suffix: item.suffix ?? "") }
        return try ChatLayout(item.template, conversation, item.purpose == "training" ? .training : .prompt, rule).pieces
    }

    /// For the formats of SentencePiece tokenizers this vocabulary stands in, with a space before every text.
    static func tokens(_ item: Case, _ rule: ModelSettingsRule?) throws -> ChatTokens {
        let pieces = try pieces(item, rule)
        guard item.template.usesPieces else { return try ChatTokens(pieces, tokenizer) }
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

    /// For Tests/Peers/test_chat.py: what we make of conversations it wrote.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["FORGE_PEERS_CHAT"] != nil, "set by Tests/Peers/test_chat.py"))
    func `layouts are written out for the peers test`() throws {
        let folder = try #require(ProcessInfo.processInfo.environment["FORGE_PEERS_CHAT"])
        func read(_ name: String) throws -> [UInt8] { try Array(#require(FileManager.default.contents(atPath: "\(folder)/\(name)"))) }
        let bytes = try read("cases.json"), tokenizer = try Tokenizer(tekken: read("tekken.json"))
        let items = try JSONDecoder().decode([Case].self, from: Data(bytes)), raw = try #require(try JSON.parse(bytes, limits: .init(bytes: 1 << 28)).array)
        var models: [ChatTemplate: Tokenizer] = [:]
        for template in ChatTemplate.allCases where template.usesPieces { models[template] = try Tokenizer(sentencePiece: read("\(template.rawValue).model")) }
        var out: [JSON] = []
        for (item, json) in zip(items, raw) {
            do {
                let pieces = try ChatGoldenTests.pieces(item, try json["rule"].flatMap { try ModelSettingsRule(tekken: ["model_settings_builder": $0]) })
                let tokens = try ChatTokens(pieces, item.template.usesPieces ? #require(models[item.template]) : tokenizer)
                out.append([
                    "ids": .array(tokens.tokens.map { .int(Int64($0)) }),
                    "spoken": .array(tokens.spoken.map { [.int(Int64($0.lowerBound)), .int(Int64($0.upperBound))] }),
                ])
            } catch {
                out.append(["refused": .string("\(error)")])
            }
        }
        try Data(JSON.array(out).text.utf8).write(to: URL(filePath: "\(folder)/out.json"))
    }
}
