import ForgeCore
import ForgeCrypto
@testable import ForgeData
import ForgeTokenizer
import Testing

struct SampleTests {
    private func read(_ text: String, name: String = "a.jsonl", redacts: Bool = false) throws -> ReadDocument {
        try DocumentReader(.init(redacts: redacts)).read(path: name, bytes: Array(text.utf8))
    }

    private static let lines: [(String, Sample.Form)] = [
        (#"{"text":"arma virumque cano"}"#, .text),
        (#"{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"hello"}]}"#, .conversation),
        (#"{"prompt":"2+2=","completion":"4"}"#, .completion),
        (#"{"messages":[{"role":"user","content":"2+2"}],"completion":"4"}"#, .completion),
        (#"{"prompt":"q","chosen":"a","rejected":"b","chosen_score":2.5,"rejected_score":1.0}"#, .pair),
        (#"{"messages":[{"role":"user","content":"q"}],"chosen":[{"role":"assistant","content":"a"}],"rejected":[{"role":"assistant","content":"b"}]}"#, .pair),
        (#"{"prompt":"q","completion":"a","label":false}"#, .labelled),
        (#"{"prompt":"q","reward":{"kind":"exact","answer":"4"}}"#, .task),
        (#"{"messages":[{"role":"user","content":"sum"},{"role":"assistant","content":"","tool_calls":[{"id":"abcdefghi","function":{"name":"add","arguments":"{\"a\":1}"}}]},{"role":"tool","content":"1","tool_call_id":"abcdefghi"},{"role":"assistant","content":"1","weight":1}],"tools":[{"type":"function","function":{"name":"add","description":"adds","parameters":{"type":"object"}}}]}"#, .conversation),
    ]

    @Test(arguments: lines) func `a sample is kept as it was written, and reads as it was kept`(line: String, form: Sample.Form) throws {
        let document = try read(line + "\n\n"), samples = try SampleReader.samples(document.text)
        #expect(document.kind == .samples && samples.count == 1 && samples[0].form == form)
        #expect(try JSON.parse(line) == samples[0].json)
        #expect(try read(String(decoding: document.text, as: UTF8.self)).text == document.text)
    }

    @Test func `members that are no part of a sample are let go`() throws {
        let document = try read(#"{"id":7,"source":{"a":[1]},"prompt":[{"role":"user","content":"q"}],"completion":"a"}"#)
        #expect(String(decoding: document.text, as: UTF8.self) == #"{"messages":[{"role":"user","content":"q"}],"completion":"a"}"# + "\n")
    }

    @Test(arguments: [
        ("{", "line 2: it is not JSON"), ("[]", "not a JSON object"), (#"{"mesages":[]}"#, "none of `text`"), (#"{"text":""}"#, "`text` is empty"), (#"{"text":7}"#, "`text` is not a string"),
        (#"{"messages":[]}"#, "`messages` is empty"), (#"{"messages":[{"role":"user","content":"x"}]}"#, "nothing to learn"),
        (#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y","weight":0}]}"#, "nothing to learn"),
        (#"{"messages":[{"role":"robot","content":"x"}]}"#, "`messages[0].role`"), (#"{"messages":[{"role":"user","text":"x"}]}"#, "has a member `text`"),
        (#"{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#, "`image_url`, which is not learnt from"),
        (#"{"prompt":"x","chosen":"y"}"#, "`rejected`"), (#"{"prompt":"x","chosen":"y","rejected":"z","chosen_score":1}"#, "the other has none"),
        (#"{"prompt":"x","completion":"y","label":"yes"}"#, "`label`"), (#"{"completion":"y"}"#, "neither `prompt` nor `messages`"),
        (#"{"prompt":"x","messages":[{"role":"user","content":"x"}],"completion":"y"}"#, "both `prompt` and `messages`"),
        (#"{"prompt":"x","completion":[{"role":"assistant","content":"y"}]}"#, "not a string, and the prompt is one"),
        (#"{"prompt":"x","reward":"4"}"#, "`reward` is not an object"), (#"{"text":"a","messages":[]}"#, "does not belong"),
        (#"{"prompt":"q","completion":"a"}"#, "another form"),
    ])
    func `a bad line is named, and its file is refused`(line: String, why: String) {
        do {
            _ = try read(#"{"text":"good"}"# + "\n" + line)
            Issue.record("taken: \(line)")
        } catch let refusal as Refusal {
            #expect(refusal.reason == .malformed && refusal.why.hasPrefix("line 2: ") && refusal.why.contains(why), "\(refusal.why)")
        } catch { Issue.record("\(error)") }
    }

    @Test func `a name says on which side a file stands, and alike files are not one`() throws {
        var ingestor = try Ingestor(heldOutPermille: 500)
        let line = #"{"prompt":"the same question of many words for all","completion":"X"}"#
        for (i, name) in ["pairs.train.jsonl", "pairs.valid.jsonl", "test.ndjson", "latest.jsonl", "b/evaluation.jsonl", "sets.dev.jsonl.gz.jsonl"].enumerated() {
            try ingestor.accept(try read(line.replacing("X", with: String(i)), name: name))
        }
        try ingestor.accept(try read(line.replacing("X", with: "0"), name: "copy.jsonl"))
        let leaves = try ingestor.finish().manifest.leaves
        #expect(Set(leaves.filter { $0.split == .heldout }.map(\.path)) == ["pairs.valid.jsonl", "test.ndjson", "sets.dev.jsonl.gz.jsonl"])
        #expect(leaves.filter { $0.split == .duplicate }.count == 1 && leaves.filter { $0.split == .train }.count == 3)
    }

    @Test func `personal data in a sample are found in its words and replaced there`() throws {
        let line = #"{"messages":[{"role":"user","content":"write to \"anna@example.org\""},{"role":"assistant","content":"done"}]}"#
        let document = try read(line, redacts: true), plain = try read(line)
        #expect(!document.text.contains(Array("anna@".utf8)) && plain.text.contains(Array("anna@".utf8)))
        #expect(document.personal == plain.personal && document.personal.values.reduce(0, +) == 1)
        #expect(try SampleReader.samples(document.text).count == 1)
    }

    private func tokenizer() throws -> Tokenizer {
        var trainer = try BPETrainer(vocabularyCount: 300)
        for n in 0..<50 { trainer.add(Array("the answer to question \(n) is \(n * 7)".utf8)) }
        return try trainer.train()
    }

    @Test func `only what the assistant says is learnt`() throws {
        let tokenizer = try tokenizer()
        var encoder = SampleEncoder(tokenizer, template: .mistralV3)
        func learnt(_ line: String) throws -> [String] {
            let sample = try Sample(json: try JSON.parse(line))
            return try encoder.sequences(sample).map { sequence in String(decoding: sequence.learnt.flatMap { tokenizer.decode(sequence.tokens[$0]) }, as: UTF8.self) }
        }
        #expect(try learnt(#"{"prompt":"the answer","completion":" is 7"}"#) == [" is 7"])
        #expect(try learnt(#"{"messages":[{"role":"user","content":"question 1"},{"role":"assistant","content":"7"},{"role":"user","content":"2"},{"role":"assistant","content":"14"}]}"#) == ["714"])
        #expect(try learnt(#"{"messages":[{"role":"user","content":"1"},{"role":"assistant","content":"7","weight":0},{"role":"user","content":"2"},{"role":"assistant","content":"14"}]}"#) == ["14"])
        // What the assistant said in the prompt is not its answer.
        #expect(try learnt(#"{"messages":[{"role":"user","content":"1"},{"role":"assistant","content":"7"},{"role":"user","content":"2"}],"chosen":"14","rejected":"15"}"#) == ["14", "15"])
        let sequence = try #require(try encoder.sequences(try Sample(json: try JSON.parse(#"{"prompt":"the answer","completion":" is"}"#))).first)
        // A target is what the row after it holds, and the end of the answer is one.
        #expect(sequence.targets.last { $0 >= 0 } == tokenizer.control.end && sequence.rows.isMultiple(of: 2) && sequence.targets.first == -1 && sequence.targets.count == sequence.rows)
        for (row, target) in sequence.targets.enumerated() where target >= 0 { #expect(target == sequence.tokens[row + 1]) }
        var without = SampleEncoder(tokenizer, template: nil)
        #expect { try without.sequences(try Sample(json: try JSON.parse(SampleTests.lines[1].0))) } throws: { ($0 as? Fault)?.code == "samples.form" }
    }

    private func shard(_ rows: [Int], form: SampleShard.Form = .single) -> SampleShard {
        var shard = SampleShard(tokenizer: .sha256([1]), form: form)
        for (i, rows) in rows.enumerated() { shard.append(LearntSequence((0...rows).map { Token($0 + i) }, learnt: [1..<rows + 1], value: i % 3 == 0 ? Double(i) / 3 : nil)) }
        return shard
    }

    @Test func `a shard reads as it was written, and nothing else does`() throws {
        let shard = shard([5, 1, 70_000, 3, 9, 12], form: .pairs), bytes = shard.encoded(), again = try SampleShard(parsing: bytes)
        #expect(again.sequences == shard.sequences && again.form == .pairs && again.tokenizer == shard.tokenizer && again.encoded() == bytes)
        let small = self.shard([5, 2, 3]).encoded()
        for cut in 0..<small.count { #expect(throws: Fault.self) { try SampleShard(parsing: Array(small[..<cut])) } }
        for at in small.indices {
            for bit in [UInt8(1), 0x80] {
                var changed = small
                changed[at] ^= bit
                // Never a trap; what reads, reads as something that can be written again.
                if let read = try? SampleShard(parsing: changed) { _ = read.encoded() }
            }
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `packing loses nothing, overfills nothing and follows the plain rule`(seed: UInt64) throws {
        var random = SplitMix64(state: seed)
        let rows = (0..<60).map { _ in 1 + Int(random.next() % 40) }, bins = SampleCursor.pack(Array(rows.indices), rows: { rows[$0] }, length: 40)
        #expect(bins.flatMap { $0 }.sorted() == Array(rows.indices) && bins.allSatisfy { $0.reduce(0) { $0 + rows[$1] } <= 40 })
        var plain: [[Int]] = []
        for i in rows.indices.sorted(by: { rows[$0] != rows[$1] ? rows[$0] > rows[$1] : $0 < $1 }) {
            let room = plain.map { 40 - $0.reduce(0) { $0 + rows[$1] } }
            if let best = room.indices.filter({ room[$0] >= rows[i] }).min(by: { (room[$0], $0) < (room[$1], $1) }) { plain[best].append(i) } else { plain.append([i]) }
        }
        #expect(bins == plain)
    }

    @Test(arguments: [SampleShard.Form.single, .pairs])
    func `a cursor takes each sample once an epoch and goes on where it was left`(form: SampleShard.Form) throws {
        let shard = shard((0..<30).map { 1 + $0 % 11 }, form: form)
        var cursor = try SampleCursor(shard, length: 16, packs: true, seed: 4), other = try SampleCursor(shard, length: 16, packs: true, seed: 5)
        let count = cursor.unitsPerEpoch, first = cursor.next(count), second = cursor.next(count)
        #expect(first.flatMap { $0 }.sorted() == Array(0..<30) && second.flatMap { $0 }.sorted() == Array(0..<30) && first != second && first != other.next(count))
        if form == .pairs { #expect(first.allSatisfy { $0.count == 2 && $0[0].isMultiple(of: 2) && $0[1] == $0[0] + 1 }) }
        var whole = try SampleCursor(shard, length: 16, packs: true, seed: 4), parts = whole
        var seen: [[Int]] = []
        for _ in 0..<7 {
            seen += parts.next(count / 3 + 1)
            let state = parts.state
            parts = try SampleCursor(shard, length: 16, packs: true, seed: 4)
            try parts.resume(at: state)
        }
        #expect(seen == whole.next(seen.count))
        var few = try SampleCursor(self.shard([3]), length: 16, packs: true, seed: 4)
        #expect { try few.resume(at: parts.state) } throws: { ($0 as? Fault)?.code == "cursor.shard" }
        #expect { try SampleCursor(shard, length: 8, packs: true, seed: 1) } throws: { ($0 as? Fault)?.code == "train.too_long" }
    }
}
