import Testing

@testable import ForgeTokenizer

@Suite struct PreTokenizerTests {
    private func words(_ text: String, _ expression: SplitExpression = .mistral) -> [String] {
        let bytes = Array(text.utf8)
        let splitter = PreTokenizer(expression)
        var out: [String] = []
        var at = 0
        while at < bytes.count {
            let end = splitter.wordEnd(in: bytes, from: at)
            out.append(String(decoding: bytes[at..<end], as: UTF8.self))
            at = end
        }
        return out
    }

    @Test(arguments: [
        ("Hello world", ["Hello", " world"]),
        ("HTMLParser readsXML", ["HTMLParser", " reads", "XML"]),
        ("a1b22", ["a", "1", "b", "2", "2"]),
        ("don't stop", ["don", "'t", " stop"]),
        ("x  y", ["x", " ", " y"]),
        ("x \n\n  y", ["x", " \n\n", " ", " y"]),
        ("end  ", ["end", "  "]),
        ("if (a) {\n", ["if", " (", "a", ")", " {\n"]),
        ("path/to//file", ["path", "/to", "//", "file"]),
        ("###\r\n//x", ["###\r\n//", "x"]),
        ("ABC.DEF", ["ABC", ".DEF"]),
        ("ÉCOLE école", ["ÉCOLE", " école"]),
        ("e\u{301}a", ["e\u{301}a"]),
        ("\u{301}AB", ["\u{301}", "AB"]),
        ("\u{301}\u{301}", ["\u{301}\u{301}"]),
        ("日本語Text", ["日本語Text"]),
        ("A日B", ["A日", "B"]),
        ("٣٤", ["٣", "٤"]),
        ("\t\tx", ["\t", "\tx"]),
        ("\u{a0}x", ["\u{a0}x"]),
        ("  !!", [" ", " !!"]),
        ("", []),
    ] as [(String, [String])])
    func `text splits where the expression says`(text: String, expected: [String]) {
        #expect(words(text) == expected)
    }

    @Test(arguments: [
        (.gpt2, "it's IT'S we'll  x", ["it", "'s", " IT", "'", "S", " we", "'ll", " ", " x"]), (.gpt2, "a1234 56\n\n b", ["a", "1234", " 56", "\n\n", " b"]),
        (.gpt2, " !? e\u{301}  ", [" !?", " e", "\u{301}", "  "]), (.gpt2, "\n x", ["\n", " x"]), (.gpt2, " 'sx", [" '", "sx"]),
        (.llama3, "it's IT'S '\u{17f}x we'LL", ["it", "'s", " IT", "'S", " '", "ſx", " we", "'LL"]), (.llama3, "a1234567 8", ["a", "123", "456", "7", " ", "8"]),
        (.llama3, "x \n\n  y/\n/", ["x", " \n\n", " ", " y", "/\n", "/"]), (.llama3, "\tHTMLParser.x", ["\tHTMLParser", ".x"]), (.llama3, "\u{301}a", ["\u{301}a"]),
        (.llama3, "'\u{17f}", ["'ſ"]), (.qwen2, "12 3's", ["1", "2", " ", "3", "'s"]),
    ] as [(SplitExpression, String, [String])])
    func `other expressions split as they say`(expression: SplitExpression, text: String, expected: [String]) {
        #expect(words(text, expression) == expected)
    }

    @Test func `the table agrees with the tool chain's Unicode where both know a scalar`() {
        var differing = 0
        for value in UInt32(0)...0x10ffff {
            guard let scalar = Unicode.Scalar(value) else { continue }
            let properties = scalar.properties
            let expected: UInt8 =
                if properties.isWhitespace {
                    ScalarClass.space
                } else {
                    switch properties.generalCategory {
                    case .uppercaseLetter, .titlecaseLetter: ScalarClass.upper
                    case .lowercaseLetter: ScalarClass.lower
                    case .modifierLetter, .otherLetter: ScalarClass.letter
                    case .nonspacingMark, .spacingMark, .enclosingMark: ScalarClass.mark
                    case .decimalNumber, .letterNumber, .otherNumber: ScalarClass.number
                    default: ScalarClass.other
                    }
                }
            // A newer tool chain may know scalars the table does not; it may never contradict it.
            if ScalarClass.table[Int(value)] != expected, ScalarClass.table[Int(value)] != ScalarClass.other { differing += 1 }
        }
        #expect(differing == 0)
    }

    @Test func `ill-formed bytes are words like any other and nothing is lost`() {
        var seed = SplitMix(7)
        for _ in 0..<300 {
            let bytes = (0..<Int(seed.next() % 40)).map { _ in UInt8(truncatingIfNeeded: seed.next()) }
            let splitter = PreTokenizer(SplitExpression.allCases[Int(seed.next() % 4)])
            var at = 0
            while at < bytes.count {
                let end = splitter.wordEnd(in: bytes, from: at)
                #expect(end > at && end <= bytes.count)
                at = end
            }
        }
    }
}

/// Vigna's SplitMix64: enough for tests, the same everywhere.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}
