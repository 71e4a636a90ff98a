import ForgeCore
import Testing

@testable import ForgeCLI

@Suite struct ReceiptPeopleTests {
    @Test func `keys known from elsewhere are read by account`() throws {
        let people = try ReceiptCommand.Verify.people(Array(#"{"lee":["SHA256:a","SHA256:b"],"sam":["SHA256:c"]}"#.utf8), "people.json")
        #expect(people == ["lee": ["SHA256:a", "SHA256:b"], "sam": ["SHA256:c"]])
    }

    /// Nothing in it may look like keys and mean none: the check would then pass unasked.
    @Test(arguments: ["", "[]", "{}", #"{"lee":[]}"#, #"{"lee":"SHA256:a"}"#, #"{"lee":["MD5:a"]}"#, #"{"lee":[1]}"#])
    func `a file that names no keys is refused`(text: String) {
        #expect(throws: Fault.self) { _ = try ReceiptCommand.Verify.people(Array(text.utf8), "people.json") }
    }
}
