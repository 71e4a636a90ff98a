import FoundationEssentials
import ForgeCore
import Testing

@testable import ForgeTokenizer

/// The tokenizers of Mistral's releases, against mistral_common: Tests/Fixtures/tokenizer/make-tekken.py.
@Suite struct TekkenTests {
    private func tokenizer() throws -> Tokenizer { try Tokenizer(tekken: GoldenTests.fixture("tekken.json")) }

    @Test func `encoding gives mistral_common's ids, and decoding the text`() throws {
        let tokenizer = try tokenizer(), stored = try Tokenizer(parsing: tokenizer.json)
        let golden = try #require(try JSON.parse(GoldenTests.fixture("tekken-golden.json")).array)
        #expect(golden.count > 300)
        for item in golden {
            let text = try #require(item["text"]?.string), ids = (item["ids"]?.array ?? []).compactMap(\.int).map(Token.init)
            #expect(tokenizer.encode(text) == ids, "\(text.debugDescription)")
            #expect(stored.encode(text) == ids, "\(text.debugDescription), as it is kept")
            #expect(tokenizer.decode(ids) == Array(text.utf8))
        }
    }

    @Test func `a word that is a token comes out whole, and control tokens are never spelt`() throws {
        let tokenizer = try tokenizer()
        #expect(tokenizer.encode("xyzzy").count == 1 && tokenizer.encode("xyzzyx").count > 1)
        #expect(tokenizer.control["[INST]"] == 3 && tokenizer.control["<SPECIAL_31>"] == 31 && tokenizer.control.begin == 1)
        #expect(tokenizer.encode("<s>[INST]</s><SPECIAL_31>").allSatisfy { $0 >= 32 })
        // The last three tokens of the file are beyond the model's rows.
        #expect(tokenizer.count == 656 && tokenizer.encode(" qqq").count > 1)
    }

    @Test func `as it is kept it gives the same bytes again`() throws {
        let bytes = try tokenizer().json
        #expect(try Tokenizer(parsing: bytes).json == bytes)
    }

    @Test func `written out it is the same tokenizer, and one with merges of its own is not written`() throws {
        let tokenizer = try tokenizer(), written = try #require(tokenizer.tekken(version: "v7"))
        #expect(try Tokenizer(tekken: written).json == tokenizer.json && JSON.parse(written)["special_tokens"]?.array?.count == 20)
        #expect(TokenizerTests.trained.tekken(version: "v7") == nil)
        // As long as two merges stand in another order than their tokens, ranks alone do not say it.
        let text = String(decoding: tokenizer.json, as: UTF8.self), list = try #require(text.firstRange(of: "\"merges\":[[")).upperBound
        let first = try #require(text[list...].firstRange(of: "],[")), second = try #require(text[first.upperBound...].firstRange(of: "],["))
        let moved = text[..<list] + text[first.upperBound..<second.lowerBound] + "],[" + text[list..<first.lowerBound] + text[second.lowerBound...]
        #expect(try Tokenizer(parsing: Array(moved.utf8)).tekken(version: "v7") == nil)
    }

    @Test func `a long word takes no longer than its length allows`() throws {
        let tokenizer = try tokenizer(), long = [UInt8](repeating: UInt8(ascii: "a"), count: 1 << 20)
        #expect(tokenizer.decode(tokenizer.encode(long)) == long)
    }

    @Test(arguments: [
        ("\"pattern\":\"", "\"pattern\":\"x", "expression"), ("\"default_vocab_size\":656", "\"default_vocab_size\":999", "fewer tokens"),
        ("\"default_vocab_size\":656", "\"default_vocab_size\":20", "fewer tokens"), ("\"rank\":300,", "\"rank\":301,", "of that rank"), ("\"token_bytes\":\"AQ==\"", "\"token_bytes\":\"Ag==\"", "bytes in their order"),
        ("\"token_bytes\":\"AQ==\"", "\"token_bytes\":\"!\"", "has no bytes"), ("\"token_str\":\"[INST]\"", "\"token_str\":\"<s>\"", "written twice"), ("\"special_tokens\"", "\"other\"", ""),
        ("\"version\":\"v7\"", "\"version\":\"v13\"", ""), ("\"token_str\":\"<s>\"", "\"token_str\":\"<x>\"", "`<s>` and `</s>`"),
    ])
    func `what cannot be honoured is refused by name`(from: String, to: String, why: String) throws {
        let text = String(decoding: try GoldenTests.fixture("tekken.json"), as: UTF8.self)
        let at = try #require(text.firstRange(of: from))
        let changed = Array((text[..<at.lowerBound] + to + text[at.upperBound...]).utf8)
        guard !why.isEmpty else {
            // Without a list the third and seventh format mean the standard tokens; a version alone changes nothing.
            #expect(try Tokenizer(tekken: changed).encode("[INST] a") == tokenizer().encode("[INST] a"))
            return
        }
        let fault = #expect(throws: Fault.self) { _ = try Tokenizer(tekken: changed) }
        #expect(fault?.kind == .request && fault?.why.contains(why) == true, "\(fault?.why ?? "taken")")
    }

    @Test(arguments: 0..<8 as Range<UInt64>)
    func `damaged files never trap`(seed: UInt64) throws {
        let good = try GoldenTests.fixture("tekken.json")
        var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
        func next(_ limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % limit
        }
        for _ in 0..<30 {
            var bytes = next(3) == 0 ? Array(good.prefix(next(good.count))) : good
            for _ in 0..<(1 + next(6)) where !bytes.isEmpty { bytes[next(bytes.count)] = UInt8(next(256)) }
            do throws(Fault) {
                let tokenizer = try Tokenizer(tekken: bytes)
                #expect(tokenizer.decode(tokenizer.encode("a b [INST] 東京")) == Array("a b [INST] 東京".utf8))
            } catch { #expect(error.kind == .request) }
        }
    }

    /// For Tests/Peers/test_tekken.py: our ids of texts it wrote, with a real release's file.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["FORGE_PEERS_TEKKEN"] != nil, "set by Tests/Peers/test_tekken.py"))
    func `ids are written out for the peers test`() throws {
        let folder = try #require(ProcessInfo.processInfo.environment["FORGE_PEERS_TEKKEN"])
        func read(_ name: String) throws -> [UInt8] { try Array(#require(FileManager.default.contents(atPath: "\(folder)/\(name)"))) }
        let texts = try JSON.parse(read("texts.json")), tokenizer = try Tokenizer(tekken: read("tekken.json"))
        var encoder = Encoder(tokenizer)
        let ids: [JSON] = (texts.array ?? []).map { .array(encoder.encode(Array(($0.string ?? "").utf8)).map { .int(Int64($0)) }) }
        try Data(JSON.array(ids).text.utf8).write(to: URL(filePath: "\(folder)/ids.json"))
        let kept = tokenizer.json
        try Data(kept).write(to: URL(filePath: "\(folder)/tokenizer.json"))
        var again = Encoder(try Tokenizer(parsing: kept))
        let same = (texts.array ?? []).allSatisfy { again.encode(Array(($0.string ?? "").utf8)) == encoder.encode(Array(($0.string ?? "").utf8)) }
        #expect(same)
    }
}
