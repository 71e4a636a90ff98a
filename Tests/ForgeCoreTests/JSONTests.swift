import ForgeCore
import Testing

@Suite struct JSONTests {
    @Test func `names that look the same and are spelt differently are two names`() throws {
        let json = try JSON.parse(#"{"\u00e9":1,"e\u0301":2}"#)
        #expect(json.object?.count == 2 && json["\u{e9}"] == 1 && json["e\u{301}"] == 2)
    }

    @Test func `a document survives parsing and canonical writing`() throws {
        let json = try JSON.parse(#"{"b":[1,-2,true,null],"a":"é\n\u0001","c":{}}"#)
        #expect(String(decoding: json.canonical, as: UTF8.self) == #"{"a":"é\n\u0001","b":[1,-2,true,null],"c":{}}"#)
        #expect(try JSON.parse(json.canonical) == json)
    }

    @Test func `keys sort by UTF-16 code units as JCS says`() throws {
        // U+1F600 is a surrogate pair (d83d…) and sorts before U+FB33, although its UTF-8 sorts after.
        let json = try JSON.parse(#"{"\ufb33":1,"😀":2,"1":3}"#)
        #expect(String(decoding: json.canonical, as: UTF8.self) == "{\"1\":3,\"😀\":2,\"\u{fb33}\":1}")
    }

    @Test(arguments: [
        "", "{", "[1,]", "{\"a\":1,}", "{\"a\":1,\"a\":2}", "01", "1.", "-", "+1", "tru", "\"\u{1}\"", "\"\\ud800\"", "\"\\udc00\"",
        "\"\\x\"", "1 2", "9223372036854775808", "1e999", "[1", "\"abc", "{\"a\" 1}", "{1:2}", "NaN",
    ])
    func `what is not JSON is refused`(text: String) {
        #expect(throws: JSONError.self) { try JSON.parse(text) }
    }

    @Test func `bytes that are not UTF-8 are refused`() {
        #expect(throws: JSONError.self) { try JSON.parse([0x22, 0xff, 0x22]) }
        #expect(throws: JSONError.self) { try JSON.parse([0x22, 0xc0, 0x80, 0x22]) }
    }

    @Test func `depth and length are bounded`() throws {
        let deep = String(repeating: "[", count: 65) + String(repeating: "]", count: 65)
        #expect(throws: Never.self) { try JSON.parse(deep) }
        #expect(throws: JSONError.self) { try JSON.parse("[" + deep + "]") }
        #expect(throws: JSONError.self) { try JSON.parse("[1,2,3]", limits: .init(bytes: 6)) }
    }

    @Test func `escapes and surrogate pairs decode`() throws {
        #expect(try JSON.parse(#""\ud83d\ude00\/\b""#) == .string("😀/\u{8}"))
    }
}
