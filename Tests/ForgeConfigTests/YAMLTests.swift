import ForgeConfig
import ForgeCore
import Testing

private func fault(_ body: () throws(Fault) -> Void) -> Fault? {
    do throws(Fault) {
        try body()
        return nil
    } catch {
        return error
    }
}

@Suite struct YAMLTests {
    @Test func `a document reads with positions and without guessing types`() throws {
        let node = try YAML.parse("a: 1\nb:\n  - yes\n  - \"2\"\nc: {d: 1.5, e: ~}\n", source: "t")
        #expect(node.json == ["a": 1, "b": ["yes", "2"], "c": ["d": .double(1.5), "e": nil]])
        guard case .mapping(let entries) = node.value else {
            Issue.record("not a mapping")
            return
        }
        #expect(entries[1].value.mark.description == "line 3, column 3")
    }

    @Test(arguments: [
        ("a: 1\na: 2\n", "`a` is written twice (line 2, column 1)"),
        ("a: &x 1\nb: *x\n", "anchors"),
        ("a: !!int 1\n", "tags"),
        ("a: 1\n---\nb: 2\n", "second document"),
        ("[a]: 1\n", "key must be a single value"),
        ("a: [1\n", "line 2"),
        ("", "empty"),
        ("a:\n\t- b\n", "line 2"),
    ])
    func `what a configuration has no use for is refused where it stands`(text: String, expected: String) {
        let fault = fault { () throws(Fault) in _ = try YAML.parse(text, source: "site.yaml") }
        #expect(fault?.message.contains(expected) == true, "\(fault?.message ?? "no fault")")
        #expect(fault?.what == "cannot read `site.yaml`")
    }

    @Test func `size, depth and count are bounded`() {
        let deep = String(repeating: "[", count: 40) + String(repeating: "]", count: 40)
        #expect(fault { () throws(Fault) in _ = try YAML.parse(deep, source: "t") }?.message.contains("deeper") == true)
        #expect(fault { () throws(Fault) in _ = try YAML.parse("a: b", source: "t", limits: .init(bytes: 3)) } != nil)
        #expect(fault { () throws(Fault) in _ = try YAML.parse("[1,2,3]", source: "t", limits: .init(nodes: 2)) } != nil)
        #expect(fault { () throws(Fault) in _ = try YAML.parse([0x61, 0x3a, 0x20, 0xff], source: "t") }?.code == "yaml.encoding")
    }

    private func reader(_ text: String) throws(Fault) -> YAMLReader { try YAMLReader(try YAML.parse(text, source: "recipe.yaml"), source: "recipe.yaml") }

    @Test func `a misspelt key is named with its place and its neighbour`() throws {
        var reader = try reader("steps: 10\nlearnig_rate: 0.1\n")
        _ = try reader.int("steps", in: 1...100)
        _ = try reader.optionalDouble("learning_rate", in: 0...1)
        let remaining = reader
        let fault = fault { () throws(Fault) in try remaining.finish() }
        #expect(fault?.why == "unknown key `learnig_rate` (line 2, column 1)")
        #expect(fault?.remedy == "did you mean `learning_rate`?")
    }

    @Test func `a required key that is misspelt says the same`() throws {
        var reader = try reader("optimiser:\n  learnig_rate: 0.1\n")
        var inner = try reader.reader("optimiser")
        let fault = fault { () throws(Fault) in _ = try inner.double("learning_rate", in: 0...1) }
        #expect(fault?.why == "unknown key `optimiser.learnig_rate` (line 2, column 3)")
        #expect(fault?.remedy == "did you mean `optimiser.learning_rate`?")
    }

    @Test func `types and ranges are said with the value that stood there`() throws {
        var reader = try reader("steps: ten\nrate: 7\nname: [a]\nflag: yes\nquoted: \"3\"\n")
        #expect(fault { () throws(Fault) in _ = try reader.int("steps", in: 1...9) }?.why == "`steps` should be a whole number and is `ten` (line 1, column 8)")
        #expect(fault { () throws(Fault) in _ = try reader.double("rate", in: 0...1) }?.why.contains("between 0.0 and 1.0") == true)
        #expect(fault { () throws(Fault) in _ = try reader.string("name") }?.why.contains("is a list") == true)
        #expect(fault { () throws(Fault) in _ = try reader.optionalBool("flag") }?.why.contains("`true` or `false`") == true)
        #expect(fault { () throws(Fault) in _ = try reader.int("quoted", in: 0...9) } != nil, "a quoted number is text")
        #expect(fault { () throws(Fault) in _ = try reader.string("absent") }?.code == "config.missing_key")
    }

    private enum Schedule: String, CaseIterable { case cosine, wsd }

    @Test func `a wrong word is answered with the right ones`() throws {
        var reader = try reader("schedule: cosin\nother: wsd\n")
        let fault = fault { () throws(Fault) in _ = try reader.optionalChoice("schedule", of: Schedule.self) }
        #expect(fault?.why.contains("one of `cosine`, `wsd`") == true)
        #expect(fault?.remedy == "did you mean `cosine`?")
        #expect(try reader.optionalChoice("other", of: Schedule.self) == .wsd)
    }

    @Test(arguments: [("", "abc", 3), ("abc", "abc", 0), ("form", "from", 1), ("kitten", "sitting", 3)])
    func `edits are counted`(a: String, b: String, distance: Int) {
        #expect(Spelling.distance(a, b) == distance)
    }
}
