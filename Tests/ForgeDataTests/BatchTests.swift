import FoundationEssentials
import ForgeCore
import ForgeCrypto
import ForgeData
import ForgeTokenizer
import Testing

@Suite struct BatchTests {
    static let tokenizer: Tokenizer = {
        let trainer = try! BPETrainer(vocabularyCount: 276)  // SAFETY: the smallest size the trainer accepts
        return try! trainer.train()  // SAFETY: as above
    }()

    /// Document d holds d+1 ids, each 100·d + place + 300: every id names where it came from.
    private func shard(_ documents: Int) -> TokenShard {
        var shard = TokenShard(tokenizer: .sha256("t"))
        for d in 0..<documents { shard.append((0...d).map { Token(300 + d * 100 + $0) }) }
        return shard
    }

    @Test func `a shard comes back from its bytes`() throws {
        let shard = shard(7)
        #expect(try TokenShard(parsing: shard.encoded()) == shard)
        var wide = TokenShard(tokenizer: .sha256("w"))
        wide.append([70_000, 3])
        wide.append([])
        #expect(try TokenShard(parsing: wide.encoded()) == wide)
    }

    @Test func `a damaged shard is refused at every cut and every flipped header byte`() throws {
        let bytes = shard(4).encoded()
        for count in 0..<bytes.count { #expect(throws: Fault.self) { try TokenShard(parsing: Array(bytes[..<count])) } }
        for i in 0..<32 {
            var flipped = bytes
            flipped[i] ^= 0x81
            #expect(throws: Fault.self) { try TokenShard(parsing: flipped) }
        }
    }

    @Test(arguments: [1, 3, 8, 64])
    func `an epoch visits every place once and never predicts across documents`(length: Int) throws {
        let shard = shard(9)
        var cursor = try BatchCursor(shard, length: length, seed: 5, control: BatchTests.tokenizer.control)
        let control = BatchTests.tokenizer.control
        var seen: [Token: Int] = [:]
        let batch = cursor.next(rows: cursor.sequencesPerEpoch)
        #expect(cursor.tokensPerEpoch == shard.tokens.count + 2 * 9)
        for row in 0..<batch.rows {
            for i in 0..<length {
                let at = row * length + i
                let input = batch.inputs[at], target = batch.targets[at]
                seen[input, default: 0] += 1
                if input == control.end { #expect(target == -1) }
                if input >= 300, target >= 300 { #expect(target == input + 1) }
                if input == control.begin { #expect(target >= 300 && batch.segments[at] == Int32(i)) }
                if i > 0, batch.inputs[at - 1] != control.end { #expect(batch.segments[at] == batch.segments[at - 1]) }
            }
        }
        for token in shard.tokens { #expect(seen[token] == 1) }
        #expect(seen[control.begin] == 9)
        #expect(batch.targetCount == shard.tokens.count + 9)
    }

    @Test(arguments: [0, 1, 5, 13, 40])
    func `a cursor resumed from its state gives the same batches`(taken: Int) throws {
        let shard = shard(12)
        let control = BatchTests.tokenizer.control
        var whole = try BatchCursor(shard, length: 6, seed: 99, control: control)
        for _ in 0..<taken { _ = whole.next(rows: 2) }
        let stored = try JSONEncoder().encode(whole.state)
        var resumed = try BatchCursor(shard, length: 6, seed: 99, control: control)
        try resumed.resume(at: JSONDecoder().decode(BatchCursor.State.self, from: stored))
        for _ in 0..<30 { #expect(whole.next(rows: 3) == resumed.next(rows: 3)) }
        #expect(whole.state == resumed.state)
        #expect(whole.state.epoch > 0)
    }

    @Test func `epochs differ, seeds differ, and a state does not fit other data`() throws {
        let control = BatchTests.tokenizer.control
        var a = try BatchCursor(shard(20), length: 16, seed: 1, control: control)
        var b = try BatchCursor(shard(20), length: 16, seed: 2, control: control)
        let first = a.next(rows: a.sequencesPerEpoch)
        #expect(a.next(rows: a.sequencesPerEpoch) != first)
        #expect(b.next(rows: b.sequencesPerEpoch) != first)
        let state = a.state
        var other = try BatchCursor(shard(21), length: 16, seed: 1, control: control)
        #expect(throws: Fault.self) { try other.resume(at: state) }
        #expect(throws: Fault.self) { try BatchCursor(TokenShard(tokenizer: .sha256("t")), length: 4, seed: 1, control: control) }
    }

    @Test func `the order is the documented one`() {
        var random = SplitMix64(state: 0)
        // SplitMix64 seeded with 0: the first outputs of its author's reference program.
        #expect(random.next() == 0xe220_a839_7b1d_cdaf)
        #expect(random.next() == 0x6e78_9e6a_a1b9_65f4)
        var shuffler = SplitMix64(state: 42)
        #expect(shuffler.permutation(1000).sorted() == (0..<1000).map { Int32($0) })
    }
}
