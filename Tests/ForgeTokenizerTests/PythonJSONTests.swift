import FoundationEssentials
import ForgeCore
import Testing

@testable import ForgeTokenizer

/// `json.dumps(json.loads(text), ensure_ascii=False)` of Python 3.11; thousands more in Tests/Peers/test_chat.py.
@Suite struct PythonJSONTests {
    private static func rewritten(_ text: String) -> String? {
        guard case .json(let bytes) = PythonJSON.rewrite(text.utf8) else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test(arguments: [
        (" {\"a\" : 1 , \"b\":[ ] }\n", "{\"a\": 1, \"b\": []}"), ("[1,2,[3]]", "[1, 2, [3]]"), ("{}", "{}"), ("22", "22"), ("-0", "0"), ("-0.0", "-0.0"), ("1.50", "1.5"), ("1e5", "100000.0"),
        ("1E+16", "1e+16"), ("1e15", "1000000000000000.0"), ("123456789012345680.0", "1.2345678901234568e+17"), ("0.0001", "0.0001"), ("0.00001", "1e-05"), ("1.25e-7", "1.25e-07"), ("5e-324", "5e-324"),
        ("1e400", "Infinity"), ("-1e400", "-Infinity"), ("1e-400", "0.0"), ("1.7976931348623157e308", "1.7976931348623157e+308"), ("9007199254740993.0", "9007199254740992.0"), ("0.1", "0.1"), ("100.0", "100.0"),
        ("123456789012345678901234567890", "123456789012345678901234567890"), ("[NaN,Infinity,-Infinity]", "[NaN, Infinity, -Infinity]"), ("\"\\u00e9\\/\\u0001\\b\\u007f\"", "\"é/\\u0001\\b\u{7f}\""),
        ("\"\\ud83d\\ude00\"", "\"😀\""), ("\"\\ud83d\"", "\"\u{fffd}\""), ("\"\\ude00\\ud83dx\"", "\"\u{fffd}\u{fffd}x\""), ("\"\\ud83d\\u0041\"", "\"\u{fffd}A\""), ("{\"a\":1,\"b\":2,\"a\":[3]}", "{\"a\": [3], \"b\": 2}"),
        ("{\"a\":{\"x\":1,\"x\":2},\"\\u0061\":{\"y\":1,\"y\":2}}", "{\"a\": {\"y\": 2}}"), ("{\"é\":1,\"e\u{301}\":2}", "{\"é\": 1, \"e\u{301}\": 2}"), ("[true,false,null]", "[true, false, null]"),
    ])
    func `JSON is written as Python writes it`(text: String, expected: String) {
        let written = PythonJSONTests.rewritten(text)
        #expect(written.map { Array($0.utf8) } == Array(expected.utf8), "\(text) → \(written ?? "text")")
    }

    @Test(arguments: ["", " ", "x", "01", "1.", ".5", "1e", "-", "+1", "tru", "[1,]", "[1", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "\"x", "\"\t\"", "\"\\x\"", "\"\\u12\"", "\"\\ud83d\\u12g4\"", "1 2", "{}x", "\u{feff}{}", "-Inf", "nan"])
    func `what is not JSON is a text`(text: String) {
        #expect(PythonJSON.rewrite(text.utf8) == .text)
    }

    @Test func `what is beyond a bound is refused by name`() {
        let deep = String(repeating: "[", count: 256), deeper = deep + "[[", digits = String(repeating: "7", count: 4300)
        #expect(PythonJSONTests.rewritten(deep + String(repeating: "]", count: 256)) != nil && PythonJSONTests.rewritten(digits) == digits)
        guard case .refused(let depth) = PythonJSON.rewrite(deeper.utf8), case .refused(let size) = PythonJSON.rewrite((digits + "7").utf8) else {
            Issue.record("taken")
            return
        }
        #expect(depth.contains("256") && size.contains("4300"))
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func `damaged JSON never traps, and what is written is read as itself`(seed: UInt64) {
        let good = Array(#"{"a": [1.5e-7, -0, 123456789012345678901, "é\ud83d\ude00\n\"", null, true], "b": {"a": {}, "a": []}, "c": NaN}"#.utf8)
        var random = Random(seed)
        for _ in 0..<150 {
            var bytes = random.below(3) == 0 ? Array(good.prefix(random.below(good.count))) : good
            for _ in 0..<(1 + random.below(4)) where !bytes.isEmpty {
                switch random.below(3) {
                case 0: bytes[random.below(bytes.count)] = UInt8(random.below(256))
                case 1: bytes.remove(at: random.below(bytes.count))
                default: bytes.insert(random.pick(Array("{}[]\",:\\0eN-".utf8)), at: random.below(bytes.count))
                }
            }
            if case .json(let once) = PythonJSON.rewrite(bytes) { #expect(PythonJSON.rewrite(once) == .json(once)) }
            _ = PythonJSON.members(of: bytes)
        }
    }

    /// For Tests/Peers/test_chat.py.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["FORGE_PEERS_JSON"] != nil, "set by Tests/Peers/test_chat.py"))
    func `rewritten texts are written out for the peers test`() throws {
        let folder = try #require(ProcessInfo.processInfo.environment["FORGE_PEERS_JSON"])
        let texts = try JSON.parse(Array(#require(FileManager.default.contents(atPath: "\(folder)/texts.json"))))
        let out: [JSON] = (texts.array ?? []).map { PythonJSONTests.rewritten($0.string ?? "").map { .string($0) } ?? .null }
        try Data(JSON.array(out).text.utf8).write(to: URL(filePath: "\(folder)/out.json"))
    }
}
