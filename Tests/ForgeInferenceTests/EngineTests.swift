import ForgeCore
import ForgeInference
import Testing

/// A model that answers a token with the next number, so that what an engine should say is plain.
private final class Counting: StepModel {
    let vocabulary = 256
    let contextMax: Int
    let blockSize = 4
    let blocks: Int
    private let failsAt: Int?
    private var steps = 0

    init(contextMax: Int = 128, blocks: Int = 64, failsAt: Int? = nil) {
        self.contextMax = contextMax
        self.blocks = blocks
        self.failsAt = failsAt
    }

    func logits(_ batch: StepBatch) throws(Fault) -> [Float] {
        steps += 1
        if steps == failsAt { throw Fault(.environment, "device.lost", "the device is gone") }
        var out: [Float] = []
        for row in batch.drawRows {
            var logits = [Float](repeating: 0, count: vocabulary)
            logits[Int(batch.tokens[Int(row)] + 1) % vocabulary] = 50
            out += logits
        }
        return out
    }
}

private func engine(_ model: sending Counting = Counting(), limits: Scheduler.Limits = .init(tokensPerStep: 16)) -> Engine {
    Engine(model, limits: limits) { [UInt8(truncatingIfNeeded: $0)] }
}

private struct Answer: Equatable {
    var tokens: [TokenID] = []
    var text = ""
    var finish: Finish.Reason?
    var drawn = 0
    var failure: String?
}

private func collect(_ stream: AsyncStream<TokenEvent>) async -> Answer {
    var answer = Answer()
    for await event in stream {
        switch event {
        case .started: break
        case .token(let token):
            answer.tokens.append(token.token)
            answer.text += token.text
        case .finished(let finish):
            answer.text += finish.text
            answer.finish = finish.reason
            answer.drawn = finish.drawnTokens
        case .failed(let code, _): answer.failure = code
        }
    }
    return answer
}

private func ids(_ text: String) -> [TokenID] { text.utf8.map { TokenID($0) } }

@Suite struct EngineTests {
    @Test func `the blank that a tokenizer puts before a text is none of an answer that is a text of its own`() async throws {
        // Token 98 has no text, as a control token.
        let engine = Engine(Counting(), limits: .init(tokensPerStep: 16), opening: { $0 == 98 ? [] : [UInt8(truncatingIfNeeded: $0)] }) { $0 == 98 ? [] : [0x20, UInt8(truncatingIfNeeded: $0)] }
        var request = Generation(prompt: [97], tokensMax: 4, sampling: Sampling(temperature: 0))
        #expect(try await collect(engine.submit(request)).text == " c d e")
        request.opensText = true
        #expect(try await collect(engine.submit(request)).text == "c d e")
    }

    @Test func `a request is answered up to its limit`() async throws {
        let answer = await collect(try await engine().submit(Generation(prompt: ids("a"), tokensMax: 3, sampling: Sampling(temperature: 0))))
        #expect(answer == Answer(tokens: ids("bcd"), text: "bcd", finish: .length, drawn: 3))
    }

    @Test func `an end token ends it and adds no text`() async throws {
        let answer = await collect(try await engine().submit(Generation(prompt: ids("a"), tokensMax: 30, ends: [TokenID(UInt8(ascii: "d"))])))
        #expect(answer == Answer(tokens: ids("bcd"), text: "bc", finish: .stop, drawn: 3))
    }

    @Test func `a stop string ends it and does not show`() async throws {
        let answer = await collect(try await engine().submit(Generation(prompt: ids("a"), tokensMax: 30, stops: ["ef"])))
        #expect(answer == Answer(tokens: ids("bcdef"), text: "bcd", finish: .stop, drawn: 5))
    }

    @Test func `the end of the context ends it`() async throws {
        let answer = await collect(try await engine(Counting(contextMax: 8)).submit(Generation(prompt: ids("aaaaa"), tokensMax: 30)))
        #expect(answer.finish == .length)
        #expect(answer.drawn == 3)
    }

    @Test func `many at once share steps and each gets its own answer`() async throws {
        let engine = engine()
        var streams: [(UInt8, AsyncStream<TokenEvent>)] = []
        for i in 0..<20 as Range<UInt8> { streams.append((i, try await engine.submit(Generation(prompt: [TokenID(i) + 40], tokensMax: 10)))) }
        for (i, stream) in streams {
            let answer = await collect(stream)
            #expect(answer.tokens == (1...10).map { TokenID(i) + 40 + $0 })
        }
        await engine.drain()
        let counters = engine.counters.now
        #expect(counters.sequencesInStepMax > 1)
        #expect(counters.drawnTokens == 200)
        #expect(counters.promptTokens == 20)
        #expect(counters.finished == [.length: 20])
        #expect(counters.running == 0 && counters.waiting == 0 && counters.cacheUsage == 0)
    }

    @Test func `answers are the same when blocks are so short that sequences are sent back`() async throws {
        let engine = engine(Counting(contextMax: 32, blocks: 8))
        var streams: [AsyncStream<TokenEvent>] = []
        for i in 0..<4 as Range<TokenID> { streams.append(try await engine.submit(Generation(prompt: [i, i, i], tokensMax: 20))) }
        for (i, stream) in streams.enumerated() {
            #expect(await collect(stream).tokens == (1...20).map { TokenID(i) + $0 })
        }
        #expect(engine.counters.now.preemptions > 0)
    }

    @Test func `a reader that goes away frees its blocks`() async throws {
        let engine = engine(Counting(contextMax: 4000, blocks: 1000), limits: .init(tokensPerStep: 16, contextMax: 4000))
        let stream = try await engine.submit(Generation(prompt: ids("a"), tokensMax: 3999))
        // Leaving the loop drops the iterator of a stream nobody else holds; a task that is cancelled does the same to a stream it reads.
        let reader = Task { for await event in stream { if case .token = event { break } } }
        await reader.value
        let cancelled = try await engine.submit(Generation(prompt: ids("a"), tokensMax: 3999))
        let other = Task { for await _ in cancelled {} }
        other.cancel()
        await other.value
        await engine.cut()
        await engine.drain()
        let now = engine.counters.now
        #expect(now.cacheUsage == 0 && now.running == 0)
        #expect(now.finished[.cancelled, default: 0] >= 1)
        #expect(now.drawnTokens < 7000)
    }

    @Test func `what cannot fit is refused with its code, and a full queue says try again`() async throws {
        let engine = engine(Counting(contextMax: 8), limits: .init(tokensPerStep: 16, sequencesMax: 1, waitingMax: 0))
        func code(_ request: Generation) async -> String {
            do { _ = try await engine.submit(request); return "" } catch { return error.code }
        }
        #expect(await code(Generation(prompt: ids("aaaaaaaa"), tokensMax: 1)) == "context_length_exceeded")
        #expect(await code(Generation(prompt: [], tokensMax: 1)) == "prompt.tokens")
        #expect(await code(Generation(prompt: [256], tokensMax: 1)) == "prompt.tokens")
        #expect(await code(Generation(prompt: [1], tokensMax: 0)) == "sampling.max_tokens")
        #expect(await code(Generation(prompt: [1], tokensMax: 1, stops: [""])) == "sampling.stop")
        #expect(await code(Generation(prompt: [1], tokensMax: 1, logprobs: 21)) == "sampling.logprobs")
        #expect(await code(Generation(prompt: [1], tokensMax: 1)) == "serve.overloaded")
        #expect(engine.counters.now.refused == 1)
    }

    @Test func `draining finishes what was begun and takes nothing new`() async throws {
        let engine = engine()
        let stream = try await engine.submit(Generation(prompt: ids("a"), tokensMax: 40))
        async let drained: Void = engine.drain()
        let answer = await collect(stream)
        await drained
        #expect(answer.drawn == 40)
        await #expect(throws: Fault.self) { _ = try await engine.submit(Generation(prompt: ids("a"), tokensMax: 1)) }
    }

    @Test func `a cut ends every answer with a last event`() async throws {
        let engine = engine(Counting(contextMax: 100_000, blocks: 25_000), limits: .init(tokensPerStep: 16, contextMax: 100_000))
        let stream = try await engine.submit(Generation(prompt: ids("a"), tokensMax: 90_000))
        await engine.cut()
        let answer = await collect(stream)
        #expect(answer.finish == .cut)
        #expect(answer.tokens.count == answer.drawn)
    }

    @Test func `a device that fails fails its requests, and the engine goes on`() async throws {
        let engine = engine(Counting(failsAt: 2))
        let first = await collect(try await engine.submit(Generation(prompt: ids("a"), tokensMax: 5)))
        #expect(first.failure == "device.lost")
        let second = await collect(try await engine.submit(Generation(prompt: ids("a"), tokensMax: 5)))
        #expect(second.tokens == ids("bcdef"))
    }

    @Test func `log-probabilities come with each token when asked for`() async throws {
        var logprobs: [Double] = []
        for await event in try await engine().submit(Generation(prompt: ids("a"), tokensMax: 2, logprobs: 2)) {
            guard case .token(let token) = event else { continue }
            #expect(token.top.count == 2)
            #expect(token.top[0] == token.logprob)
            logprobs.append(token.logprob!.logprob)
        }
        #expect(logprobs.count == 2 && logprobs.allSatisfy { $0 <= 0 && $0 > -1e-9 })
    }
}
