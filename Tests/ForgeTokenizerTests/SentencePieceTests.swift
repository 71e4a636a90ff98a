import ForgeCore
import Testing

@testable import ForgeTokenizer

/// SentencePiece's files and their conversions, against its library and `tokenizers`: Tests/Fixtures/tokenizer/make-pieces.py.
@Suite struct SentencePieceTests {
    private func tokenizer() throws -> Tokenizer { try Tokenizer(sentencePiece: GoldenTests.fixture("pieces.model")) }
    private func golden(_ part: String) throws -> [JSON] { try #require(JSON.parse(GoldenTests.fixture("pieces-golden.json"))[part]?.array) }
    private func ids(_ item: JSON) -> [Token] { (item["ids"]?.array ?? []).compactMap(\.int).map(Token.init) }

    @Test func `encoding gives sentencepiece's ids, for any bytes, also as it is kept`() throws {
        let tokenizer = try tokenizer(), kept = try Tokenizer(parsing: tokenizer.json), golden = try golden("encode")
        #expect(golden.count > 500)
        for item in golden {
            let text = try #require(item["text"]?.string.flatMap { Base64.decode($0) })
            #expect(tokenizer.encode(text) == ids(item), "\(text)")
            #expect(kept.encode(text) == ids(item), "\(text), as it is kept")
        }
    }

    @Test func `decoding gives sentencepiece's text, whole and token by token`() throws {
        let tokenizer = try tokenizer(), golden = try golden("decode")
        #expect(golden.count > 300)
        for item in golden {
            let text = try #require(item["text"]?.string)
            #expect(tokenizer.decode(ids(item)) == Array(text.utf8), "\(ids(item))")
            var stream = StreamDecoder(tokenizer)
            #expect(Array((ids(item).map { stream.push($0) }.joined() + stream.finish()).utf8) == Array(text.utf8), "\(ids(item))")
        }
    }

    @Test func `a conversion with tokens added later gives the ids and texts of tokenizers`() throws {
        let tokenizer = try Tokenizer(parsing: GoldenTests.fixture("pieces.json")), kept = try Tokenizer(parsing: tokenizer.json), golden = try golden("json")
        #expect(golden.count > 600 && kept.json == tokenizer.json)
        for item in golden {
            let text = try #require(item["text"]?.string), back = try #require(item["back"]?.string)
            #expect(tokenizer.encode(text) == ids(item), "\(text.debugDescription)")
            #expect(kept.encode(text) == ids(item), "\(text.debugDescription), as it is kept")
            #expect(tokenizer.decode(ids(item)) == Array(back.utf8), "\(text.debugDescription)")
        }
    }

    @Test func `the blank before a text is dropped from its first token, and from no other`() throws {
        let tokenizer = try tokenizer(), text = "the keeper", tokens = tokenizer.encode(text)
        #expect(tokenizer.dropsPrefix && tokenizer.bytes(of: tokens[0]).first == UInt8(ascii: " "))
        #expect(tokenizer.decode(tokens) == Array(text.utf8) && tokenizer.decode([1, 3] + tokens) == Array(text.utf8))
        var stream = StreamDecoder(tokenizer), later = StreamDecoder(tokenizer, continuing: true)
        #expect(tokens.map { stream.push($0) }.joined() == text)
        #expect(tokens.map { later.push($0) }.joined() == " " + text)
        var rule = PrefixRule(tokenizer)
        #expect((tokens + tokens).flatMap { rule.bytes(of: $0) } == Array("the keeper the keeper".utf8))
    }

    @Test func `text never becomes a control piece`() throws {
        let tokenizer = try tokenizer()
        #expect(tokenizer.control["[INST]"] == 3 && tokenizer.control.begin == 1 && tokenizer.control.end == 2 && tokenizer.control["[REF]"] == nil)
        #expect(!tokenizer.encode("<s>[INST] a [/INST]</s> <unk> [TOOL_CALLS]").contains { $0 < 6 })
    }

    @Test func `the file comes back to the byte, and a document that says something else is refused`() throws {
        let file = try GoldenTests.fixture("pieces.model"), json = try Tokenizer(sentencePiece: file).json, again = try Tokenizer(parsing: json)
        #expect(again.sentencePiece == file && again.json == json)
        let text = String(decoding: json, as: UTF8.self), at = try #require(text.range(of: "\"fuse_unk\":true"))
        let changed = Array((text[..<at.lowerBound] + "\"fuse_unk\":false" + text[at.upperBound...]).utf8)
        let fault = #expect(throws: Fault.self) { _ = try Tokenizer(parsing: changed) }
        #expect(fault?.why.contains("contradicts") == true)
    }

    @Test func `a vocabulary without a file makes the same tokenizer, and a file`() throws {
        let model = try SentencePieceModel(parsing: GoldenTests.fixture("pieces.model")), made = try Tokenizer(sentencePiece: model), tokenizer = try tokenizer()
        for item in try golden("encode").prefix(200) {
            let text = try #require(item["text"]?.string.flatMap { Base64.decode($0) })
            #expect(made.encode(text) == ids(item))
        }
        #expect(try SentencePieceModel(parsing: try #require(made.sentencePiece)) == model && made.count == tokenizer.count)
        var bare = model
        bare.addsDummyPrefix = false
        let plain = try Tokenizer(sentencePiece: bare)
        #expect(!plain.dropsPrefix && plain.decode(plain.encode(" a b")) == Array(" a b".utf8) && plain.encode("the") != made.encode("the"))
    }

    /// The rule of docs/formats/tokenizer.md §7 with nothing clever in it.
    private func slow(_ text: String, _ model: SentencePieceModel) -> [Token] {
        let pieces = Dictionary(uniqueKeysWithValues: model.pieces.enumerated().filter { $1.kind == .normal }.map { (Array($1.text.utf8), $0) })
        let bytes = Dictionary(uniqueKeysWithValues: model.pieces.enumerated().filter { $1.kind == .byte }.map { ($1.text, $0) })
        var symbols = ("▁" + text.split(separator: " ", omittingEmptySubsequences: false).joined(separator: "▁")).unicodeScalars.map { Array(String($0).utf8) }
        while true {
            let found = symbols.indices.dropLast().compactMap { at in pieces[symbols[at] + symbols[at + 1]].map { (at, model.pieces[$0].score) } }
            guard let best = found.max(by: { $0.1 != $1.1 ? $0.1 < $1.1 : $0.0 > $1.0 }) else { break }
            symbols.replaceSubrange(best.0...(best.0 + 1), with: [symbols[best.0] + symbols[best.0 + 1]])
        }
        return symbols.flatMap { symbol -> [Token] in
            if let id = pieces[symbol] { return [Token(id)] }
            return symbol.map { byte in
                let digits = String(byte, radix: 16, uppercase: true)
                return Token(bytes["<0x\(digits.count < 2 ? "0" : "")\(digits)>"] ?? -1)
            }
        }
    }

    @Test(arguments: 0..<12 as Range<UInt64>)
    func `the fast encoder agrees with the plain rule, with scores that tie and characters that are no pieces`(seed: UInt64) throws {
        var random = SplitMix(seed), model = try SentencePieceModel(parsing: GoldenTests.fixture("pieces.model"))
        if seed % 3 == 1 { for i in model.pieces.indices { model.pieces[i].score = -Float(i / 40) } }
        if seed % 3 == 2 { for i in model.pieces.indices where ["e", "t", "▁"].contains(model.pieces[i].text) { model.pieces[i].text = "q\(i)" } }
        let tokenizer = try Tokenizer(sentencePiece: model), letters = ["a", "aa", "t", "e", "h", " ", "  ", "per", "mit", "é", "\n"]
        for length in [3, 20, 120] {
            let text = (0..<length).map { _ in letters[Int(random.next() % UInt64(letters.count))] }.joined()
            #expect(tokenizer.encode(text) == slow(text, model), "\(text.debugDescription)")
        }
    }

    @Test(arguments: ["a", " ", "ab", "the "])
    func `a long text takes no longer than its length allows`(part: String) throws {
        let text = String(repeating: part, count: 1 << 17)
        for tokenizer in [try tokenizer(), try Tokenizer(parsing: GoldenTests.fixture("pieces.json"))] {
            #expect(tokenizer.decode(tokenizer.encode(text)).count >= text.utf8.count - 1)
        }
    }

    @Test(arguments: [
        (SentencePieceModel.Piece("the", score: 0), "written twice"), (.init("x\u{301}", score: .nan), "no number"), (.init("", score: 0), "empty"),
        (.init(String(repeating: "x", count: 1025), score: 0), "1024"), (.init("<unk2>", score: 0, kind: .unknown), "two unknown"), (.init("aaa", score: 0, kind: .unused), "unused"),
        (.init("<0x1>", score: 0, kind: .byte), "no name"), (.init(String(repeating: "y", count: 300), score: 0, kind: .userDefined), "longer than 256"),
    ])
    func `a vocabulary that cannot be honoured is refused by sentence`(piece: SentencePieceModel.Piece, why: String) throws {
        var model = try SentencePieceModel(parsing: GoldenTests.fixture("pieces.model"))
        if piece.kind == .normal, piece.text == "the", !model.pieces.contains(where: { $0.text == "the" }) { model.pieces.append(piece) }
        model.pieces.append(piece)
        let fault = #expect(throws: Fault.self) { _ = try Tokenizer(sentencePiece: model) }
        #expect(fault?.kind == .request && fault?.why.contains(why) == true, "\(fault?.why ?? "taken")")
    }

    @Test func `files of another model, or that change text, are refused`() throws {
        func file(_ change: (inout ProtobufWriter, inout ProtobufWriter) -> Void) -> [UInt8] {
            var trainer = ProtobufWriter(), normalizer = ProtobufWriter(), model = ProtobufWriter()
            change(&trainer, &normalizer)
            model.put(2, trainer.bytes)
            model.put(3, normalizer.bytes)
            return model.bytes
        }
        for (bytes, why) in [
            (file { _, n in n.put(4, false) }, "unigram"), (file { t, n in t.put(3, UInt64(2)) }, "removes blanks"),
            (file { t, n in t.put(3, UInt64(2)); n.put(4, false); n.put(2, [1, 2]) }, "normalises"), (file { t, _ in t.put(24, true) }, "after words"),
            (file { t, _ in t.put(3, [1]) }, "not of its kind"), ([0x0b], "unknown kind"), ([0x0a, 0x7f, 1], "longer than its message"), ([UInt8](repeating: 0xff, count: 11), "64 bits"),
            ([0x0a, 4, 0x0a, 2, 0xff, 0xfe], "not UTF-8"), ([], "unigram"),
        ] as [([UInt8], String)] {
            let fault = #expect(throws: Fault.self) { _ = try Tokenizer(sentencePiece: bytes) }
            #expect(fault?.why.contains(why) == true, "\(fault?.why ?? "taken")")
        }
    }

    @Test(arguments: 0..<16 as Range<UInt64>)
    func `damaged files never trap`(seed: UInt64) throws {
        let model = try GoldenTests.fixture("pieces.model"), json = try GoldenTests.fixture("pieces.json")
        var random = SplitMix(seed)
        func next(_ limit: Int) -> Int { Int(random.next() % UInt64(limit)) }
        for round in 0..<150 {
            let good = round % 10 == 0 ? json : model
            var bytes = next(3) == 0 ? Array(good.prefix(next(good.count))) : good
            for _ in 0..<(1 + next(4)) where !bytes.isEmpty {
                let at = next(next(4) == 0 ? bytes.count : min(bytes.count, 300))
                bytes[next(2) == 0 ? at : bytes.count - 1 - at] = UInt8(next(256))
            }
            do throws(Fault) {
                let tokenizer = round % 10 == 0 ? try Tokenizer(parsing: bytes) : try Tokenizer(sentencePiece: bytes)
                _ = tokenizer.decode(tokenizer.encode("a b [INST] the  keeper 東京 [REF]"))
                _ = tokenizer.decode((0..<40).map { _ in Token(next(700)) - 20 })
            } catch { #expect(error.kind == .request) }
        }
    }
}

extension String {
    /// The first place `text` stands.
    fileprivate func range(of text: String) -> Range<String.Index>? {
        let whole = Array(utf8), part = Array(text.utf8)
        guard let at = (0...max(whole.count - part.count, 0)).first(where: { whole[$0...].starts(with: part) }) else { return nil }
        let start = utf8.index(utf8.startIndex, offsetBy: at)
        return start..<utf8.index(start, offsetBy: part.count)
    }
}
