import ForgeAudit
import ForgeAuthority
package import ForgeCore
import ForgeGate
package import ForgeHTTP
import ForgeInference
import ForgeOS
import ForgeTokenizer
package import ServeAPI
import Synchronization

/// The life of a request: decode, gate, draw, encode; the intent is durable before the first token, the outcome before the last byte.
package struct Inference: Sendable {
    private let ports: ServePorts
    private let house: ModelHouse
    private let metrics: ServeMetrics

    package init(_ ports: ServePorts, house: ModelHouse, metrics: ServeMetrics) {
        self.ports = ports
        self.house = house
        self.metrics = metrics
    }

    package func answer(_ http: HTTPRequest, _ endpoint: InferenceRequest.Endpoint) async throws(Fault) -> HTTPResponse {
        do throws(Fault) {
            let caller = try await ports.identify(http.caller)
            let request = try InferenceRequest(endpoint, json: http.json())
            let model = try await house.model(named: request.model)
            let prompt = try model.prompt(request)
            let permit = try await ports.gate.permit(caller.request(.infer, on: model.entity, digest: model.digest, attributes: model.attributes))
            let run = try await begin(request, prompt, model, caller, permit)
            var response = request.stream ? streamed(run) : try await whole(run)
            response.headers["x-forge-receipt"] = run.receipt.id.description
            return response
        } catch {
            metrics.refused(error.code)
            throw error
        }
    }

    /// A request that was permitted and is being computed.
    private struct Run: Sendable {
        let request: InferenceRequest
        let prompt: [Token]
        let model: LoadedModel
        let receipt: Receipt
        let shape: AnswerShape
        let ledger: OutcomeLedger
        let streams: [AsyncStream<TokenEvent>]
        /// What an echo begins with.
        let echoed: String
        let timer: RequestTimer
    }

    private func begin(
        _ request: InferenceRequest, _ prompt: [Token], _ model: LoadedModel, _ caller: KnownCaller, _ permit: consuming Permit
    ) async throws(Fault) -> Run {
        // A drawn seed stays below 2^53, so that any JSON reader can send it back.
        let receipt = Receipt(id: permit.decision.request, salt: Salt(), seed: request.seed ?? Int64.random(in: 0..<(1 << 53)))
        let ledger = OutcomeLedger(ports.log, request, receipt, caller, model, policy: permit.decision.verdict.policyDigest)
        let timer = RequestTimer(metrics)
        metrics.add(.choices, Double(request.n))
        metrics.add(.tokensMax, Double(model.tokensMax(request)))
        var streams: [AsyncStream<TokenEvent>] = []
        do throws(Fault) {
            for generation in request.generations(prompt, model, seed: receipt.seed) { streams.append(try await model.engine.submit(generation)) }
        } catch {
            try await ledger.close(request.unanswered("failed"), Usage(promptTokens: prompt.count, completionTokens: 0), "failed")
            throw error
        }
        let shape = AnswerShape(
            request.endpoint, receipt: receipt.id, created: Clock.now(), model: request.model, fingerprint: model.fingerprint, includeUsage: request.includeUsage)
        var echoed = ""
        if request.echo {
            if case .text(let text) = request.input { echoed = text } else { echoed = String(decoding: model.tokenizer.decode(prompt), as: UTF8.self) }
        }
        return Run(
            request: request, prompt: prompt, model: model, receipt: receipt, shape: shape, ledger: ledger, streams: streams, echoed: echoed, timer: timer)
    }

    private func whole(_ run: Run) async throws(Fault) -> HTTPResponse {
        var assembly = AnswerAssembly(run.request, prompt: run.prompt, model: run.model, echoed: run.echoed)
        var timer = run.timer
        do throws(Fault) {
            for await (index, event) in merged(run.streams) {
                timer.saw(event)
                _ = try assembly.take(index, event)
            }
        } catch {
            try await run.ledger.close(assembly.answered, assembly.usage, "failed")
            throw error
        }
        timer.ended(assembly.usage.completionTokens, prompt: run.prompt.count)
        guard assembly.isClosed else {
            // The stream ends without a last event when this task is cancelled: the client has gone.
            assembly.end("cancelled")
            try await run.ledger.close(assembly.answered, assembly.usage, "cancelled")
            throw Fault(.environment, "http.cancelled", "the request was given up", why: "the client has gone", retryable: true)
        }
        try await run.ledger.close(assembly.answered, assembly.usage, assembly.finish)
        let choices = assembly.answered.map { choice in
            AnswerShape.Choice(
                index: choice.index, text: run.echoed + choice.text, finish: choice.wireFinish, tokens: assembly.tokens(of: choice.index),
                textStart: run.echoed.unicodeScalars.count)
        }
        return .json(run.shape.whole(choices, usage: assembly.usage, receipt: run.receipt))
    }

    private func streamed(_ run: Run) -> HTTPResponse {
        .sse { writer in
            var assembly = AnswerAssembly(run.request, prompt: run.prompt, model: run.model, echoed: run.echoed)
            var timer = run.timer
            do {
                for index in 0..<run.request.n {
                    if let opening = run.shape.opening(index) { try await writer.send(data: opening.text) }
                    if !run.echoed.isEmpty { try await writer.send(data: run.shape.piece(index, text: run.echoed, tokens: nil, textStart: 0).text) }
                }
                for await (index, event) in merged(run.streams) {
                    timer.saw(event)
                    for output in try assembly.take(index, event) {
                        switch output {
                        case .piece(let index, let text, let tokens, let textStart):
                            try await writer.send(data: run.shape.piece(index, text: text, tokens: tokens, textStart: textStart).text)
                        case .closed(let index):
                            // The last one waits for the record.
                            if !assembly.isClosed { try await writer.send(data: run.shape.closing(index, finish: assembly.answered[index].wireFinish, receipt: nil).text) }
                            else { try await end(run, assembly, last: index, writer) }
                        }
                    }
                }
            } catch {
                let finish = error is Fault ? "failed" : "cancelled"
                assembly.end(finish)
                try await run.ledger.close(assembly.answered, assembly.usage, finish)
                throw error
            }
            timer.ended(assembly.usage.completionTokens, prompt: run.prompt.count)
            if !assembly.isClosed {
                assembly.end("cancelled")
                try await run.ledger.close(assembly.answered, assembly.usage, "cancelled")
            }
        }
    }

    /// Records, then says the last words.
    private func end(_ run: Run, _ assembly: AnswerAssembly, last: Int, _ writer: SSEWriter) async throws {
        try await run.ledger.close(assembly.answered, assembly.usage, assembly.finish)
        let usage = run.request.includeUsage
        try await writer.send(data: run.shape.closing(last, finish: assembly.answered[last].wireFinish, receipt: usage ? nil : run.receipt).text)
        if usage { try await writer.send(data: run.shape.usage(assembly.usage, receipt: run.receipt).text) }
        try await writer.send(data: "[DONE]")
    }
}

extension InferenceRequest {
    /// An answer in a conversation does, unless it goes on where the assistant stopped.
    private var opensText: Bool { if case .messages(let turns) = input { turns.last?.role != "assistant" } else { false } }

    /// One for each choice: they share prompt and seed.
    func generations(_ prompt: [Token], _ model: LoadedModel, seed: Int64) -> [Generation] {
        (0..<n).map { choice in
            Generation(
                prompt: prompt, tokensMax: model.tokensMax(self),
                sampling: Sampling(temperature: temperature, topK: topK, topP: topP, seed: UInt64(bitPattern: seed), choice: choice), stops: stop, ends: model.ends,
                logprobs: logprobs, opensText: opensText)
        }
    }
}

/// The events of several streams as they come, each with its stream's number. Ends when all have ended.
func merged(_ streams: [AsyncStream<TokenEvent>]) -> AsyncStream<(Int, TokenEvent)> {
    let (stream, continuation) = AsyncStream.makeStream(of: (Int, TokenEvent).self)
    // Lives as long as the streams do; leaving the merged stream cancels it, and with it every request.
    let task = Task {
        await withTaskGroup(of: Void.self) { group in
            for (index, events) in streams.enumerated() {
                group.addTask { for await event in events { continuation.yield((index, event)) } }
            }
        }
        continuation.finish()
    }
    continuation.onTermination = { reason in if case .cancelled = reason { task.cancel() } }
    return stream
}
