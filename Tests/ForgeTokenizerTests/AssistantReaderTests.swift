import ForgeCore
import Testing

@testable import ForgeTokenizer

/// What a model says, read back.
@Suite struct AssistantReaderTests {
    private static let tokenizer = ChatGoldenTests.tokenizer
    /// SentencePiece's way with the same marks: bytes, a blank, and the letters of ASCII.
    private static let pieces: Tokenizer = {
        let marks = ["<unk>", "<s>", "</s>"] + tokenizer.control.sorted.map(\.name).filter { !["<unk>", "<s>", "</s>"].contains($0) }
        let bytes = (0...255).map { value in "<0x" + (value < 16 ? "0" : "") + String(value, radix: 16, uppercase: true) + ">" }, plain = ["\u{2581}"] + (33...126).map { String(UnicodeScalar(UInt8($0))) }
        do {
            return try Tokenizer(
                sentencePiece: SentencePieceModel(
                    pieces: marks.enumerated().map { .init($1, score: 0, kind: $0 == 0 ? .unknown : .control) } + bytes.map { .init($0, score: 0, kind: .byte) }
                        + plain.map { .init($0, score: -1) }))
        } catch { preconditionFailure("marks, bytes and letters are a vocabulary: \(error)") }
    }()

    private static func tokenizer(of template: ChatTemplate) -> Tokenizer { template.usesPieces ? pieces : tokenizer }

    private typealias Event = AssistantReader.Event

    /// `parts` as a model writes them: names of control tokens stand for these.
    private static func tokens(_ parts: [String], _ template: ChatTemplate) -> [Token] {
        parts.flatMap { part -> [Token] in
            let tokenizer = tokenizer(of: template)
            return tokenizer.control[part].map { [$0] } ?? tokenizer.encode(part)
        }
    }

    private static func events(_ parts: [String], _ template: ChatTemplate, continuing: ChatMessage? = nil) -> [Event] {
        var reader = AssistantReader(template, tokenizer(of: template), seed: 7, continuing: continuing)
        var events: [Event] = []
        for token in tokens(parts, template) { events += reader.push(token) }
        events += reader.finish()
        // Texts come in parts; what they are together is what counts.
        return events.reduce(into: []) { joined, event in
            switch (joined.last, event) {
            case (.text(let a), .text(let b)): joined[joined.count - 1] = .text(a + b)
            case (.reasoning(let a), .reasoning(let b)): joined[joined.count - 1] = .reasoning(a + b)
            case (.malformed(let a), .malformed(let b)): joined[joined.count - 1] = .malformed(a + b)
            case (.arguments(let i, let a), .arguments(_, let b)): joined[joined.count - 1] = .arguments(index: i, a + b)
            default: joined.append(event)
            }
        }
    }

    @Test(arguments: [ChatTemplate.mistralV3, .mistralV3Pieces, .mistralV7, .mistralV7Pieces])
    func `a list of calls is read as each is closed`(template: ChatTemplate) {
        let said = Self.events(
            ["[TOOL_CALLS]", #"[{"name": "f", "arguments": {"a": "}]\""}, "id": "abcdefghi"}, {"name": "g", "arguments": {}, "id": "no"}]"#, "</s>", "never read"], template)
        #expect(said == [
            .callStarted(index: 0, id: "abcdefghi", name: "f"), .arguments(index: 0, #"{"a": "}]\""}"#), .callEnded(index: 0, whole: true),
            .callStarted(index: 1, id: ToolCall.derivedID(seed: 7, index: 1), name: "g"), .arguments(index: 1, "{}"), .callEnded(index: 1, whole: true),
        ])
        #expect(Self.events(["two  words ", "[TOOL_CALLS]", #" [{"name":"f"}]"#], template).count == 4)
    }

    @Test func `calls with marks are read as they come`() {
        #expect(Self.events(["ok", "[TOOL_CALLS]", "f", "[CALL_ID]", "abcdefghi", "[ARGS]", #"{"a": "東京"}"#, "[TOOL_CALLS]", "g", "[ARGS]", "{", "</s>"], .mistralV11) == [
            .text("ok"), .callStarted(index: 0, id: "abcdefghi", name: "f"), .arguments(index: 0, #"{"a": "東京"}"#), .callEnded(index: 0, whole: true),
            .callStarted(index: 1, id: ToolCall.derivedID(seed: 7, index: 1), name: "g"), .arguments(index: 1, "{"), .callEnded(index: 1, whole: false),
        ])
        #expect(Self.events(["[THINK]", " so", "[/THINK]", "yes", "[TOOL_CALLS]", "f", "[ARGS]", "</s>"], .mistralV13) == [
            .reasoning(" so"), .reasoningEnded, .text("yes"), .callStarted(index: 0, id: ToolCall.derivedID(seed: 7, index: 0), name: "f"), .arguments(index: 0, "{}"),
            .callEnded(index: 0, whole: true),
        ])
    }

    @Test func `arguments are told before they are whole`() {
        var reader = AssistantReader(.mistralV13, Self.tokenizer, seed: 1)
        var told = 0
        for token in Self.tokens(["[TOOL_CALLS]", "f", "[ARGS]", #"{"city": "Paris", "days": [1, 2, 3]}"#], .mistralV13) {
            for case .arguments(_, let text) in reader.push(token) { told += text.utf8.count }
        }
        #expect(told == 36 && !reader.isEnded)
    }

    @Test(arguments: [
        (ChatTemplate.mistralV3, ["[TOOL_CALLS]", "f(1)"], "f(1)"), (.mistralV3, ["[TOOL_CALLS]", #"[{"name": "f", "argum"#], #"[{"name": "f", "argum"#),
        (.mistralV3, ["[TOOL_CALLS]", #"[{"name": "f g"}]"#], #"[{"name": "f g"}"#), (.mistralV3, ["[TOOL_CALLS]", #"[{"arguments": {}}]"#], #"[{"arguments": {}}"#),
        (.mistralV3, ["[TOOL_CALLS]", "[{]}"], "[{]}"), (.mistralV7, ["[TOOL_CALLS]", "[]"], "[]"), (.mistralV7, ["[TOOL_CALLS]"], ""), (.mistralV7, ["[TOOL_CALLS]", #"{"name": "f"}"#], #"{"name": "f"}"#),
        (.mistralV11, ["[TOOL_CALLS]", "f"], "f"), (.mistralV11, ["[TOOL_CALLS]", "f", "[CALL_ID]", "x"], "fx"), (.mistralV11, ["[TOOL_CALLS]"], ""),
        (.mistralV11, ["[TOOL_CALLS]", "f g", "[ARGS]", "{}"], "f g{}"), (.mistralV13, ["[TOOL_CALLS]", #"[{"name": "f"}]"#], #"[{"name": "f"}]"#), (.mistralV15, ["[TOOL_CALLS]", "", "[ARGS]", "{}"], "{}"),
    ])
    func `a call that cannot be read comes out as its text, marked`(template: ChatTemplate, parts: [String], text: String) {
        #expect(Self.events(parts + ["</s>"], template) == [.malformed(text)])
        let (message, isMalformed) = template.read(Self.tokens(parts, template), with: Self.tokenizer(of: template), seed: 7)
        #expect(isMalformed && message.content == text && message.calls.isEmpty)
    }

    @Test func `a good call stands beside a bad one`() {
        #expect(Self.events(["[TOOL_CALLS]", #"[{"name": "f", "arguments": 1}, {"name": 2}, {"name": "g"}] and so on"#], .mistralV3) == [
            .callStarted(index: 0, id: ToolCall.derivedID(seed: 7, index: 0), name: "f"), .arguments(index: 0, "1"), .callEnded(index: 0, whole: true), .malformed(#", {"name": 2}"#),
            .callStarted(index: 1, id: ToolCall.derivedID(seed: 7, index: 1), name: "g"), .arguments(index: 1, "{}"), .callEnded(index: 1, whole: true), .malformed(" and so on"),
        ])
    }

    @Test func `a continued turn goes on where it stood`() {
        let thinking = ChatMessage(.assistant, [.reasoning("so", closed: false)], continues: true)
        #expect(Self.events([" it is", "[/THINK]", "yes"], .mistralV13, continuing: thinking) == [.reasoning(" it is"), .reasoningEnded, .text("yes")])
        let speaking = ChatMessage(.assistant, [.text("He")], continues: true)
        #expect(Self.events(["llo"], .mistralV3Pieces, continuing: speaking) == [.text(" llo")] && Self.events(["llo"], .mistralV3Pieces) == [.text("llo")])
    }

    @Test func `marks mean nothing where a format has none`() {
        #expect(Self.events(["a", "[THINK]", "b", "[/THINK]", "[INST]", "c", "[ARGS]", "d", "</s>"], .mistralV7) == [.text("abcd")])
        #expect(Self.events(["[TOOL_CALLS]", "x"], .mistralV1) == [.text("x")])
    }

    @Test func `an unfinished character is replaced, and a whole one waits`() {
        var reader = AssistantReader(.mistralV13, Self.tokenizer, seed: 1)
        func push(_ byte: UInt8) -> [Event] { reader.push(Self.tokenizer.encode([byte])[0]) }
        #expect(push(0xe6).isEmpty && push(0x9d).isEmpty && push(0xb1) == [.text("東")])
        #expect(push(0xe6).isEmpty && reader.push(Self.tokenizer.control["[THINK]"]!) == [.text("\u{fffd}")])
    }

    @Test func `ids are derived from the seed, alike every time and apart from one another`() {
        let ids = (0..<1000).map { ToolCall.derivedID(seed: 3, index: $0) }
        #expect(Set(ids).count == 1000 && ids.allSatisfy { ToolCall.isID($0) } && ToolCall.derivedID(seed: 4, index: 0) != ids[0] && ids == (0..<1000).map { ToolCall.derivedID(seed: 3, index: $0) })
    }

    /// Read and laid out again, a turn gives the same tokens.
    @Test(arguments: ChatTemplate.allCases, 0..<60 as Range<UInt64>)
    func `what is laid out is read back`(template: ChatTemplate, seed: UInt64) throws {
        var random = Random(seed &* 64 &+ UInt64(template.version.rawValue))
        let texts = ["hi", " hi", "a\n\nb ", "Größe 東京", "[INST] x [/INST]", "</s>", "{}", "[TOOL_CALLS]", "\u{301}"], arguments = ["{}", "", "not json", #"{ "a":[1.50,"]}"] }"#, "22", #""\\\"""#, "[1"]
        var chunks: [ChatMessage.Chunk] = []
        if template.version >= .v13 { for _ in 0..<random.below(3) { chunks.append(.reasoning(random.below(4) == 0 ? "" : random.pick(texts))) } }
        var calls: [ToolCall] = []
        if template.version > .v1, random.below(2) == 0 {
            for i in 0..<(1 + random.below(3)) { calls.append(ToolCall(id: "id000000\(i)", name: random.pick(["f", "get_x"]), arguments: random.pick(arguments))) }
        }
        if template.version < .v7 ? calls.isEmpty : calls.isEmpty || random.below(2) == 0 { chunks.append(.text(random.pick(texts))) }
        func lay(_ message: ChatMessage) throws -> [Token] {
            let pieces = try ChatLayout(template, Conversation([ChatMessage(.user, "?"), message]), .training, nil).pieces
            let tokens = try ChatTokens(pieces, Self.tokenizer(of: template))
            return Array(tokens.tokens[tokens.spoken[0]])
        }
        let tokens = try lay(ChatMessage(.assistant, chunks, calls: calls))
        let (message, isMalformed) = template.read(tokens, with: Self.tokenizer(of: template), seed: seed)
        #expect(!isMalformed || calls.contains { $0.arguments == "[1" || $0.arguments == "not json" }, "\(chunks) \(calls) \(message)")
        #expect(message.calls.map(\.name) == calls.map(\.name))
        if (.v3 ... .v11).contains(template.version) { #expect(message.calls.map(\.id) == calls.map(\.id)) }
        #expect(try lay(message) == tokens, "\(chunks) \(calls) \(message)")
    }

    @Test(arguments: ChatTemplate.allCases, 0..<40 as Range<UInt64>)
    func `nonsense never traps, and what is told is always in order`(template: ChatTemplate, seed: UInt64) {
        let tokenizer = Self.tokenizer(of: template)
        var random = Random(seed &* 1024 &+ UInt64(template.version.rawValue))
        let marks = ["[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]", "[INST]", "<unk>", "[TOOL_RESULTS]"].compactMap { tokenizer.control[$0] }
        let scraps = ["[{", "\"name\"", ": ", "\"f\"", "}]", ", ", "\"arguments\": {}", "\\", "f", "abcdefghi", "{", "}", "[", "]", " ", "\"id\": \"abcdefghi\"", #"[{"name": "f", "arguments": {}}"#].map { tokenizer.encode($0) }
        for _ in 0..<8 {
            var reader = AssistantReader(template, tokenizer, seed: seed), turn = AssistantTurn(), open: Int?, next = 0
            func check(_ events: [Event]) {
                for event in events {
                    turn.add(event)
                    switch event {
                    case .callStarted(let index, let id, let name):
                        #expect(open == nil && index == next && ToolCall.isID(id) && ToolCall.isName(name))
                        (open, next) = (index, next + 1)
                    case .arguments(let index, _): #expect(open == index)
                    case .callEnded(let index, _):
                        #expect(open == index)
                        open = nil
                    default: #expect(open == nil)
                    }
                }
            }
            for _ in 0..<random.below(120) {
                switch random.below(8) {
                case 0, 1, 2: check(reader.push(marks[random.below(marks.count)]))
                case 3: check(reader.push(Token(random.below(700)) - 10))
                case 4 where random.below(30) == 0: check(reader.push(tokenizer.control.end))
                default: for token in scraps[random.below(scraps.count)] { check(reader.push(token)) }
                }
            }
            check(reader.finish())
            #expect(open == nil && reader.isEnded && reader.push(40).isEmpty && Set(turn.message.calls.map(\.id)).count == turn.message.calls.count)
        }
    }
}

/// The same numbers from the same seed everywhere.
struct Random {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

    mutating func below(_ limit: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % limit
    }

    mutating func pick<T>(_ some: [T]) -> T { some[below(some.count)] }
}
