import ForgeInference
import Testing

private let a = SequenceID(1), b = SequenceID(2), c = SequenceID(3)

private func scheduler(
    budget: Int = 8, blocks: Int = 64, blockSize: Int = 4, sequences: Int = 8, waiting: Int = 8, context: Int = 256, spare: Int = 0
) -> Scheduler {
    Scheduler(
        limits: .init(tokensPerStep: budget, sequencesMax: sequences, waitingMax: waiting, contextMax: context, blocksSpare: spare),
        pool: BlockPool(blocks: blocks, blockSize: blockSize))
}

/// What a step computes, without the blocks.
private func plan(_ action: Scheduler.Action) -> [SequenceID: Range<Int>] {
    guard case .run(let slices) = action else { return [:] }
    return Dictionary(uniqueKeysWithValues: slices.map { ($0.sequence, $0.tokens) })
}

@Suite struct SchedulerTests {
    @Test func `a long prompt is cut to the step budget and resumes where it stopped`() {
        var scheduler = scheduler()
        scheduler.handle(.arrived(a, promptTokens: 12))
        #expect(plan(scheduler.step()) == [a: 0..<8])
        #expect(plan(scheduler.step()) == [a: 8..<12])
        #expect(scheduler.step() == .idle)
    }

    @Test func `only the slice that reaches the last known token draws`() {
        var scheduler = scheduler()
        scheduler.handle(.arrived(a, promptTokens: 12))
        guard case .run(let first) = scheduler.step(), case .run(let second) = scheduler.step() else { return #expect(Bool(false)) }
        #expect(first.map(\.draws) == [false])
        #expect(second.map(\.draws) == [true])
        scheduler.handle(.drew(a, tokens: 1))
        #expect(plan(scheduler.step()) == [a: 12..<13])
    }

    @Test func `an answer under way keeps going while a long prompt is read`() {
        var scheduler = scheduler(budget: 8)
        scheduler.handle(.arrived(a, promptTokens: 3))
        _ = scheduler.step()
        scheduler.handle(.drew(a, tokens: 1))
        scheduler.handle(.arrived(b, promptTokens: 100))
        #expect(plan(scheduler.step()) == [a: 3..<4, b: 0..<7])
        scheduler.handle(.drew(a, tokens: 1))
        #expect(plan(scheduler.step()) == [a: 4..<5, b: 7..<14])
    }

    @Test func `a long prompt that came first leaves a token of the budget to each one behind it`() {
        var scheduler = scheduler(budget: 8)
        scheduler.handle(.arrived(a, promptTokens: 7))
        _ = scheduler.step()
        scheduler.handle(.arrived(b, promptTokens: 3))
        scheduler.handle(.drew(a, tokens: 40))
        #expect(plan(scheduler.step()) == [a: 7..<15])
        #expect(plan(scheduler.step()) == [a: 15..<23])
        scheduler.handle(.left(a))
        scheduler.handle(.arrived(a, promptTokens: 7))
        #expect(plan(scheduler.step()) == [b: 0..<3, a: 0..<5])
        scheduler.handle(.drew(b, tokens: 60))
        #expect(plan(scheduler.step()) == [b: 3..<10, a: 5..<6])
    }

    @Test func `no more sequences run than allowed, and the next one follows when one leaves`() {
        var scheduler = scheduler(sequences: 2)
        for id in [a, b, c] { scheduler.handle(.arrived(id, promptTokens: 2)) }
        #expect(plan(scheduler.step()) == [a: 0..<2, b: 0..<2])
        scheduler.handle(.left(a))
        #expect(plan(scheduler.step()) == [c: 0..<2])
    }

    @Test func `when blocks run out the youngest starts again from zero and loses nothing it knew`() {
        var scheduler = scheduler(blocks: 4, blockSize: 4)
        scheduler.handle(.arrived(a, promptTokens: 7))
        scheduler.handle(.arrived(b, promptTokens: 7))
        #expect(plan(scheduler.step()) == [a: 0..<7, b: 0..<1])
        scheduler.handle(.drew(a, tokens: 1))
        #expect(plan(scheduler.step()) == [a: 7..<8, b: 1..<7])
        scheduler.handle(.drew(a, tokens: 1))
        scheduler.handle(.drew(b, tokens: 1))
        // a needs a third block; b gives up its two.
        #expect(plan(scheduler.step()) == [a: 8..<9])
        #expect(scheduler.preemptions == 1)
        #expect(scheduler.waiting == [b])
        #expect(scheduler.progress(of: b)! == (known: 8, computed: 0))
        scheduler.handle(.left(a))
        #expect(plan(scheduler.step()) == [b: 0..<8])
    }

    @Test func `whoever was sent back goes before whoever came later`() {
        var scheduler = scheduler(blocks: 4, blockSize: 4)
        scheduler.handle(.arrived(a, promptTokens: 8))
        _ = scheduler.step()
        scheduler.handle(.arrived(b, promptTokens: 8))
        _ = scheduler.step()
        scheduler.handle(.arrived(c, promptTokens: 1))
        scheduler.handle(.drew(a, tokens: 1))
        _ = scheduler.step()
        #expect(scheduler.waiting == [b, c])
    }

    @Test func `a sequence that leaves while it waits or runs gives every block back`() {
        var scheduler = scheduler(blocks: 4, blockSize: 4, sequences: 1)
        scheduler.handle(.arrived(a, promptTokens: 9))
        scheduler.handle(.arrived(b, promptTokens: 9))
        _ = scheduler.step()
        #expect(scheduler.pool.freeCount == 2)
        scheduler.handle(.left(b))
        scheduler.handle(.left(a))
        scheduler.handle(.left(a))
        #expect(scheduler.pool.freeCount == 4)
        #expect(scheduler.isIdle)
        #expect(scheduler.step() == .idle)
    }

    @Test func `the queue says when it is full`() {
        var scheduler = scheduler(sequences: 1, waiting: 2)
        scheduler.handle(.arrived(a, promptTokens: 1))
        _ = scheduler.step()
        scheduler.handle(.arrived(b, promptTokens: 1))
        #expect(scheduler.hasRoom)
        scheduler.handle(.arrived(c, promptTokens: 1))
        #expect(!scheduler.hasRoom)
    }

    @Test func `the context is never larger than the pool`() {
        #expect(scheduler(blocks: 3, blockSize: 4, context: 256).limits.contextMax == 12)
    }

    /// Any mixture ends: every sequence computes every position exactly once since its last preemption, in order, and holds the blocks for it.
    @Test(arguments: 0..<40 as Range<UInt64>)
    func `a random day ends with every token computed and every block free`(seed: UInt64) {
        var random = SplitMix(state: seed)
        let blockSize = [1, 3, 16][Int(seed % 3)], blocks = 12 + Int(random.next() % 20)
        var scheduler = scheduler(
            budget: 1 + Int(random.next() % 20), blocks: blocks, blockSize: blockSize, sequences: 1 + Int(random.next() % 6), waiting: 100,
            spare: Int(random.next() % 3))
        var wanted: [SequenceID: Int] = [:], computed: [SequenceID: Int] = [:], owner: [Int32: SequenceID] = [:]
        var arrived: UInt64 = 0, steps = 0
        while arrived < 12 || !scheduler.isIdle {
            steps += 1
            guard steps < 20_000 else { Issue.record("it does not end"); return }
            if arrived < 12, random.next() % 4 == 0 {
                let id = SequenceID(arrived)
                let prompt = 1 + Int(random.next() % UInt64(scheduler.limits.contextMax))
                wanted[id] = min(scheduler.limits.contextMax, prompt + Int(random.next() % 12))
                scheduler.handle(.arrived(id, promptTokens: prompt))
                arrived += 1
            }
            guard case .run(let slices) = scheduler.step() else { continue }
            #expect(slices.reduce(0) { $0 + $1.tokens.count } <= scheduler.limits.tokensPerStep)
            owner = [:]
            for slice in slices {
                let id = slice.sequence
                #expect(slice.tokens.lowerBound == computed[id, default: 0] || slice.tokens.lowerBound == 0)
                computed[id] = slice.tokens.upperBound
                #expect(slice.blocks.count * blockSize >= slice.tokens.upperBound)
                for block in slice.blocks { #expect(owner.updateValue(id, forKey: block) == nil, "two sequences hold one block") }
                guard slice.draws else { continue }
                let known = scheduler.progress(of: id)!.known
                if known == wanted[id] || random.next() % 50 == 0 { scheduler.handle(.left(id)) } else { scheduler.handle(.drew(id, tokens: 1)) }
            }
        }
        #expect(scheduler.pool.freeCount == blocks)
    }
}

/// Steele et al. 2014; small, seeded, the same everywhere.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
