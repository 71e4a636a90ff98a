package import ForgeCore
import Synchronization

/// The loop: takes requests, steps the scheduler, runs the model, draws, and sends each token to whoever asked.
///
/// An actor with a thread of its own. Requests are taken between two steps; a step is never interrupted. Stopping to read a stream cancels its
/// request, and its blocks are free before the next step.
package actor Engine {
    private let thread: EngineThread
    package nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }

    /// Counters for `/metrics`, readable at any time without waiting for a step.
    package nonisolated let counters = EngineCounters()
    package nonisolated let limits: Scheduler.Limits
    package nonisolated let blocks: Int
    package nonisolated let blockSize: Int
    private nonisolated let departures = Departures()

    private let model: any StepModel
    /// The bytes of a token's text; empty for tokens that have none.
    private let bytes: @Sendable (TokenID) -> [UInt8]
    /// The same of the first token that has some, where it opens a text.
    private let opening: @Sendable (TokenID) -> [UInt8]
    private var scheduler: Scheduler
    private var sequences: [SequenceID: Sequence] = [:]
    private var nextNumber: UInt64 = 0
    private var looping = false
    private var closed = false
    private var idleWaiters: [CheckedContinuation<Void, Never>] = []

    /// What the engine knows of a sequence beside the scheduler.
    private struct Sequence {
        let request: Generation
        let tokensMax: Int
        let events: AsyncStream<TokenEvent>.Continuation
        var known: [TokenID]
        var text: TextStream
        var started = false
        /// Until a token with text has come.
        var opensText: Bool
        var drawn: Int { known.count - request.prompt.count }
    }

    package init(
        _ model: sending any StepModel, limits: Scheduler.Limits = .init(), label: String = "forge.engine", opening: (@Sendable (TokenID) -> [UInt8])? = nil,
        bytes: @escaping @Sendable (TokenID) -> [UInt8]
    ) {
        thread = EngineThread(label: label)
        var limits = limits
        limits.contextMax = min(limits.contextMax, model.contextMax)
        let scheduler = Scheduler(limits: limits, pool: BlockPool(blocks: model.blocks, blockSize: model.blockSize))
        self.limits = scheduler.limits
        blocks = model.blocks
        blockSize = model.blockSize
        self.scheduler = scheduler
        self.model = model
        self.bytes = bytes
        self.opening = opening ?? bytes
    }

    /// Takes a request.
    /// - Returns: its events; the stream ends after `finished` or `failed`.
    /// - Throws: `.request` when a parameter is out of bounds or the prompt leaves no room in the context (`context_length_exceeded`);
    ///   `.environment`, worth trying again, when too many wait (`serve.overloaded`) or the engine is closing (`serve.draining`).
    package func submit(_ request: Generation) throws(Fault) -> AsyncStream<TokenEvent> {
        try request.check()
        guard !closed else {
            throw Fault(.environment, "serve.draining", "no new requests are taken", why: "the server is going down", remedy: "try again in a moment", retryable: true)
        }
        guard !request.prompt.isEmpty, request.prompt.allSatisfy({ $0 >= 0 && $0 < model.vocabulary }) else {
            throw Fault(
                .request, "prompt.tokens", "the prompt cannot be read as tokens",
                why: request.prompt.isEmpty ? "it is empty" : "a token number is outside the vocabulary of \(model.vocabulary)", remedy: "send text, or token numbers of this model")
        }
        let context = scheduler.limits.contextMax
        guard request.prompt.count < context else {
            throw Fault(
                .request, "context_length_exceeded", "the prompt has \(request.prompt.count) tokens, and this model's context holds \(context)",
                why: "at least one position has to be left for the answer", remedy: "shorten the prompt")
        }
        guard scheduler.hasRoom else {
            counters.update { $0.refused += 1 }
            throw Fault(
                .environment, "serve.overloaded", "\(scheduler.waiting.count) requests wait already", why: "the queue is full", remedy: "try again in a moment",
                retryable: true)
        }
        let id = SequenceID(nextNumber)
        nextNumber += 1
        // The stream's buffer needs no bound of its own: it holds at most one event a drawn token.
        let (stream, events) = AsyncStream.makeStream(of: TokenEvent.self, bufferingPolicy: .unbounded)
        events.onTermination = { [departures] reason in
            if case .cancelled = reason { departures.add(id) }
        }
        sequences[id] = Sequence(
            request: request, tokensMax: min(request.tokensMax, context - request.prompt.count), events: events, known: request.prompt,
            text: TextStream(stops: request.stops), opensText: request.opensText)
        scheduler.handle(.arrived(id, promptTokens: request.prompt.count))
        counters.update { $0.promptTokens += UInt64(request.prompt.count) }
        publish()
        if !looping {
            looping = true
            // The loop outlives this call and ends by itself when nothing is left to do.
            Task { await self.loop() }
        }
        return stream
    }

    /// Takes no more requests and returns once every one that was taken has ended.
    package func drain() async {
        closed = true
        guard !scheduler.isIdle || looping else { return }
        await withCheckedContinuation { idleWaiters.append($0) }
    }

    /// Ends every request now, each with its final event. For the deadline of a drain.
    package func cut() {
        closed = true
        for id in departures.take() { finish(id, .cancelled) }
        for id in sequences.keys.sorted() { finish(id, .cut) }
        publish()
    }

    private func loop() async {
        while true {
            for id in departures.take() { finish(id, .cancelled) }
            guard case .run(let slices) = scheduler.step() else { break }
            step(slices)
            publish()
            // Arrivals, cancellations and questions queue behind this step: let them in.
            await Task.yield()
        }
        // Nothing was awaited since the scheduler said idle, so nothing can have arrived.
        looping = false
        publish()
        for waiter in idleWaiters { waiter.resume() }
        idleWaiters = []
    }

    private func step(_ slices: [Scheduler.Slice]) {
        for slice in slices where sequences[slice.sequence]?.started == false {
            sequences[slice.sequence]!.started = true
            sequences[slice.sequence]!.events.yield(.started)
        }
        let batch = StepBatch(slices, blockSize: model.blockSize) { sequences[$0]!.known }
        let logits: [Float]
        do throws(Fault) {
            logits = try model.logits(batch)
        } catch {
            fail(error)
            return
        }
        counters.step(rows: batch.rows, sequences: slices.count)
        var row = 0
        for slice in slices where slice.draws {
            let range = row * model.vocabulary..<(row + 1) * model.vocabulary
            draw(slice.sequence, logits.span.extracting(range))
            row += 1
        }
    }

    private func draw(_ id: SequenceID, _ logits: Span<Float>) {
        var sequence = sequences[id]!
        let request = sequence.request
        let token = Sampler.draw(logits, request.sampling, position: sequence.known.count)
        sequence.known.append(token)
        counters.update { $0.drawnTokens += 1 }
        let ended = request.ends.contains(token)
        let spelt = bytes(token), text = ended ? "" : sequence.text.append(sequence.opensText ? opening(token) : spelt)
        if !spelt.isEmpty { sequence.opensText = false }
        if let top = request.logprobs {
            let (chosen, others) = Sampler.logprobs(logits, token: token, top: top)
            sequence.events.yield(.token(DrawnToken(token: token, text: text, logprob: chosen, top: others)))
        } else {
            sequence.events.yield(.token(DrawnToken(token: token, text: text)))
        }
        sequences[id] = sequence
        if ended || sequence.text.stopped {
            finish(id, .stop)
        } else if sequence.drawn >= sequence.tokensMax {
            finish(id, .length)
        } else {
            scheduler.handle(.drew(id, tokens: 1))
        }
    }

    private func finish(_ id: SequenceID, _ reason: Finish.Reason) {
        guard var sequence = sequences.removeValue(forKey: id) else { return }
        scheduler.handle(.left(id))
        counters.finished(reason)
        sequence.events.yield(
            .finished(
                Finish(reason: reason, text: sequence.text.finish(), promptTokens: sequence.request.prompt.count, drawnTokens: sequence.drawn)))
        sequence.events.finish()
    }

    /// After a failed step the cache means nothing: everybody is told, and the next request starts from an empty pool.
    private func fail(_ fault: Fault) {
        for id in sequences.keys.sorted() {
            let sequence = sequences.removeValue(forKey: id)!
            scheduler.handle(.left(id))
            sequence.events.yield(.failed(code: fault.code, why: fault.message))
            sequence.events.finish()
        }
    }

    private func publish() {
        counters.update {
            $0.running = scheduler.running.count
            $0.waiting = scheduler.waiting.count
            $0.cacheUsage = scheduler.pool.usage
            $0.preemptions = scheduler.preemptions
        }
    }
}

/// Streams whose readers went away, noted from any thread and read between steps.
private final class Departures: Sendable {
    private let ids = Mutex<[SequenceID]>([])
    func add(_ id: SequenceID) { ids.withLock { $0.append(id) } }
    func take() -> [SequenceID] {
        ids.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
    }
}
