import ForgeInference
import Testing

@Suite struct TextStreamTests {
    /// Feeds the text in every way a tokenizer could cut it: whole, byte by byte, and at seeded places.
    private func feed(_ bytes: [UInt8], stops: [String], cut: (Int) -> Bool) -> (pieces: [String], stopped: Bool) {
        var stream = TextStream(stops: stops)
        var pieces: [String] = [], piece: [UInt8] = []
        for (i, byte) in bytes.enumerated() {
            piece.append(byte)
            if cut(i) {
                pieces.append(stream.append(piece))
                piece = []
            }
        }
        pieces.append(stream.append(piece))
        pieces.append(stream.finish())
        return (pieces, stream.stopped)
    }

    @Test(arguments: [
        "plain", "héllo wörld", "日本語テキスト", "👩‍👩‍👧‍👦 family 🏳️‍🌈", "\u{7FF}\u{800}\u{FFFF}\u{10000}\u{10FFFF}", "",
    ])
    func `pieces joined are the text, and no piece breaks a code point`(text: String) {
        for seed in 0..<20 as Range<UInt64> {
            var random = SplitMix(state: seed)
            let (pieces, stopped) = feed(Array(text.utf8), stops: [], cut: { _ in seed == 0 || random.next() % 3 == 0 })
            #expect(pieces.joined() == text)
            #expect(!stopped)
            #expect(pieces.allSatisfy { !$0.unicodeScalars.contains("\u{FFFD}") })
        }
    }

    @Test(arguments: [
        [0xFF], [0xC3], [0xC3, 0x28], [0xE2, 0x82], [0xE2, 0x28, 0xA1], [0xF0, 0x9F, 0x98], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0x80, 0x41, 0xC0, 0xAF],
        [0xF0, 0x80, 0x80, 0x41], [0x41, 0xE0, 0x9F, 0x42],
    ] as [[UInt8]])
    func `bytes that are no text read the same in pieces as in one`(bytes: [UInt8]) {
        let (pieces, _) = feed(bytes, stops: [], cut: { _ in true })
        #expect(pieces.joined() == String(decoding: bytes, as: UTF8.self))
    }

    @Test func `a stop string ends the text before it, however it is cut`() {
        for seed in 0..<50 as Range<UInt64> {
            var random = SplitMix(state: seed)
            let (pieces, stopped) = feed(Array("one two STOP three".utf8), stops: ["STOP", "never"], cut: { _ in random.next() % 2 == 0 })
            #expect(pieces.joined() == "one two ")
            #expect(stopped)
        }
    }

    @Test func `the beginning of a stop string is held back and comes out when it was none`() {
        var stream = TextStream(stops: ["</s>"])
        #expect(stream.append(Array("a</".utf8)) == "a")
        #expect(stream.append(Array("b</s".utf8)) == "</b")
        #expect(stream.append(Array("<".utf8)) == "</s")
        #expect(stream.finish() == "<")
    }

    @Test func `the earliest stop wins, and overlapping beginnings are found`() {
        #expect(feed(Array("xaaab".utf8), stops: ["aab"], cut: { _ in true }).pieces.joined() == "xa")
        #expect(feed(Array("x12y34".utf8), stops: ["34", "12"], cut: { _ in false }).pieces.joined() == "x")
    }

    @Test func `a stop string beyond the basic plane works byte by byte`() {
        let (pieces, stopped) = feed(Array("é🙂é".utf8), stops: ["🙂"], cut: { _ in true })
        #expect(pieces.joined() == "é")
        #expect(stopped)
    }

    @Test func `nothing follows a stop`() {
        var stream = TextStream(stops: ["."])
        #expect(stream.append(Array("a.b".utf8)) == "a")
        #expect(stream.append(Array("c".utf8)) == "")
        #expect(stream.finish() == "")
    }
}
