import FoundationEssentials
import ForgeCore
import Testing

@testable import ForgeTokenizer

/// What another implementation learnt and encoded: Tests/Fixtures/tokenizer/make-golden.py.
@Suite struct GoldenTests {
    static func fixture(_ name: String, file: String = #filePath) throws -> [UInt8] {
        let folder = file.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
        return try Array(#require(FileManager.default.contents(atPath: "\(folder)/Fixtures/tokenizer/\(name)")))
    }

    private func golden() throws -> JSON { try JSON.parse(GoldenTests.fixture("golden.json")) }

    private func train(_ golden: JSON) throws -> Tokenizer {
        var trainer = try BPETrainer(vocabularyCount: Int(golden["vocabulary"]?.int ?? 0))
        for document in golden["corpus"]?.array ?? [] { trainer.add(Array((document.string ?? "").utf8)) }
        return try trainer.train()
    }

    @Test func `training learns the same merges in the same order`() throws {
        let golden = try golden()
        let tokenizer = try train(golden)
        let expected = (golden["merges"]?.array ?? []).map { ($0.array ?? []).compactMap(\.string).joined(separator: " ") }
        let learnt = tokenizer.bytePairs!.merges.map { ByteAlphabet.text(tokenizer.bytes(of: $0.left)) + " " + ByteAlphabet.text(tokenizer.bytes(of: $0.right)) }
        #expect(expected.count > 300)
        #expect(learnt == expected)
    }

    @Test func `encoding gives the same ids`() throws {
        let golden = try golden()
        let tokenizer = try train(golden)
        for item in golden["cases"]?.array ?? [] {
            let text = item["text"]?.string ?? ""
            let ids = (item["ids"]?.array ?? []).compactMap(\.int).map(Token.init)
            #expect(tokenizer.encode(text) == ids, "\(text.debugDescription)")
        }
    }

    /// For Tests/Peers/test_tokenizer.py: our tokenizer.json, and our ids of texts it wrote.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["FORGE_PEERS_TOKENIZER"] != nil, "set by Tests/Peers/test_tokenizer.py"))
    func `ids are written out for the peers test`() throws {
        let folder = try #require(ProcessInfo.processInfo.environment["FORGE_PEERS_TOKENIZER"])
        let texts = try JSON.parse(Array(#require(FileManager.default.contents(atPath: "\(folder)/texts.json"))))
        let tokenizer = try train(golden())
        try Data(tokenizer.json).write(to: URL(filePath: "\(folder)/tokenizer.json"))
        let ids: [JSON] = (texts.array ?? []).map { .array(tokenizer.encode($0.string ?? "").map { .int(Int64($0)) }) }
        try Data(JSON.array(ids).text.utf8).write(to: URL(filePath: "\(folder)/ids.json"))
    }
}
