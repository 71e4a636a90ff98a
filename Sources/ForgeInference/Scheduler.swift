/// Decides which positions of which sequences the next step computes.
///
/// There is no prefill and no decode. A sequence has *known* tokens (prompt and what was drawn) and *computed* tokens (whose keys and values are in
/// the cache); each step hands out a budget of tokens so that computed catches up with known. A slice that reaches the last known token yields logits,
/// one token is drawn from them, and the sequence has one more to compute. Long prompts are cut to the budget, a preempted sequence starts again from
/// zero, and neither needs a rule of its own (after *vLLM* `v1/core/sched/scheduler.py`).
///
/// Pure: no clock, no tensor, no randomness. The same events in the same order give the same slices.
package struct Scheduler: Sendable {
    package struct Limits: Hashable, Sendable {
        /// Positions computed in one step, over all sequences.
        package var tokensPerStep: Int
        /// Sequences that hold blocks at the same time.
        package var sequencesMax: Int
        /// Sequences that may wait; one more is refused.
        package var waitingMax: Int
        /// Known tokens of one sequence at most: the model's context, or the whole pool where that is smaller.
        package var contextMax: Int
        /// Blocks that stay free when a further sequence is let in beside others, so that those can grow a little first.
        package var blocksSpare: Int

        package init(tokensPerStep: Int = 512, sequencesMax: Int = 64, waitingMax: Int = 256, contextMax: Int = 4096, blocksSpare: Int = 1) {
            precondition(tokensPerStep > 0 && sequencesMax > 0 && waitingMax >= 0 && contextMax > 0 && blocksSpare >= 0, "limits leave room to work")
            self.tokensPerStep = tokensPerStep
            self.sequencesMax = sequencesMax
            self.waitingMax = waitingMax
            self.contextMax = contextMax
            self.blocksSpare = blocksSpare
        }
    }

    package enum Event: Hashable, Sendable {
        case arrived(SequenceID, promptTokens: Int)
        /// The sequence's last slice reached its end and this many tokens were drawn (one, until there is speculation).
        case drew(SequenceID, tokens: Int)
        /// Finished or cancelled: its blocks are free again.
        case left(SequenceID)
    }

    /// Positions `tokens` of one sequence, and the blocks that hold positions `0..<tokens.upperBound`.
    package struct Slice: Hashable, Sendable {
        package let sequence: SequenceID
        package let tokens: Range<Int>
        package let blocks: [BlockPool.BlockID]
        /// Whether a token follows: the slice ends at the last known token.
        package let draws: Bool

        package init(sequence: SequenceID, tokens: Range<Int>, blocks: [BlockPool.BlockID], draws: Bool) {
            self.sequence = sequence
            self.tokens = tokens
            self.blocks = blocks
            self.draws = draws
        }
    }

    package enum Action: Hashable, Sendable {
        case run([Slice])
        case idle
    }

    private struct Sequence: Sendable {
        var known: Int
        var computed = 0
        var blocks: [BlockPool.BlockID] = []
    }

    package let limits: Limits
    package private(set) var pool: BlockPool
    /// In order of admission: the last one is the first to be preempted.
    package private(set) var running: [SequenceID] = []
    /// In order of arrival, with preempted sequences in front.
    package private(set) var waiting: [SequenceID] = []
    private var sequences: [SequenceID: Sequence] = [:]
    package private(set) var preemptions = 0

    package init(limits: Limits, pool: BlockPool) {
        var limits = limits
        // A sequence alone must always be able to finish, or preemption could go round in circles.
        limits.contextMax = min(limits.contextMax, pool.count * pool.blockSize)
        self.limits = limits
        self.pool = pool
    }

    package var isIdle: Bool { running.isEmpty && waiting.isEmpty }

    /// Whether one more may arrive.
    package var hasRoom: Bool { waiting.count < limits.waitingMax }

    /// - Precondition: an arriving sequence is new, has a prompt, and fits `limits`; a sequence that draws is running. The engine checks what comes from outside.
    package mutating func handle(_ event: Event) {
        switch event {
        case .arrived(let id, let promptTokens):
            precondition(sequences[id] == nil, "\(id) arrived twice")
            precondition(promptTokens > 0 && promptTokens <= limits.contextMax && hasRoom, "\(id) does not fit; the engine refuses such a request before")
            sequences[id] = Sequence(known: promptTokens)
            waiting.append(id)
        case .drew(let id, let tokens):
            // A sequence that left while its step ran draws into the void.
            guard sequences[id] != nil else { return }
            sequences[id]!.known += tokens
            precondition(sequences[id]!.known <= limits.contextMax, "\(id) grew past its context")
        case .left(let id):
            guard var sequence = sequences.removeValue(forKey: id) else { return }
            pool.release(&sequence.blocks)
            running.removeAll { $0 == id }
            waiting.removeAll { $0 == id }
        }
    }

    /// The next step. The slices count as computed from here on: the caller runs them or stops for good.
    package mutating func step() -> Action {
        var budget = limits.tokensPerStep
        var slices: [Slice] = []
        var preempted = false

        // Those that run come first, in order of admission; the youngest gives way when blocks run out.
        var index = 0
        while index < running.count, budget > 0 {
            let id = running[index]
            // Each sequence behind this one keeps a token of the budget: a long prompt slows the others' answers, it does not stop them.
            let share = max(1, budget - (running.count - index - 1))
            while let sequence = sequences[id], !grow(id, to: sequence.computed + min(share, sequence.known - sequence.computed)) {
                let victim = running.removeLast()
                preempt(victim)
                preempted = true
                if victim == id { break }
            }
            guard index < running.count, running[index] == id else { break }
            if let slice = advance(id, atMost: share, of: &budget) { slices.append(slice) }
            index += 1
        }

        // Then those that wait, unless somebody has just been sent back: room is short.
        while !preempted, budget > 0, running.count < limits.sequencesMax, let id = waiting.first {
            let known = sequences[id]!.known
            let spare = running.isEmpty ? 0 : limits.blocksSpare
            guard pool.blocks(forTokens: known) + spare <= pool.freeCount else { break }
            waiting.removeFirst()
            running.append(id)
            let grown = grow(id, to: min(budget, known))
            precondition(grown, "a sequence whose whole prompt fits has room for its first slice")
            if let slice = advance(id, atMost: budget, of: &budget) { slices.append(slice) }
        }
        return slices.isEmpty ? .idle : .run(slices)
    }

    /// Known and computed tokens of a sequence, for tests and metrics.
    package func progress(of id: SequenceID) -> (known: Int, computed: Int)? {
        sequences[id].map { ($0.known, $0.computed) }
    }

    private mutating func grow(_ id: SequenceID, to tokens: Int) -> Bool {
        pool.extend(&sequences[id]!.blocks, toTokens: tokens)
    }

    private mutating func advance(_ id: SequenceID, atMost share: Int, of budget: inout Int) -> Slice? {
        let sequence = sequences[id]!
        let count = min(share, sequence.known - sequence.computed)
        guard count > 0 else { return nil }
        budget -= count
        let tokens = sequence.computed..<sequence.computed + count
        sequences[id]!.computed = tokens.upperBound
        return Slice(sequence: id, tokens: tokens, blocks: sequence.blocks, draws: tokens.upperBound == sequence.known)
    }

    private mutating func preempt(_ id: SequenceID) {
        pool.release(&sequences[id]!.blocks)
        sequences[id]!.computed = 0
        waiting.insert(id, at: 0)
        preemptions += 1
    }
}
