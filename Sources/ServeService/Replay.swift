import ForgeAudit
import ForgeAuthority
package import ForgeCore
import ForgeGate
package import ForgeHTTP
import ForgeInference
import RegistryAPI
import ServeAPI

/// Computes a recorded answer again and compares commitments (docs/formats/receipt-commitment.md §6).
package struct Replay: Sendable {
    private let ports: ServePorts
    private let house: ModelHouse

    package init(_ ports: ServePorts, house: ModelHouse) {
        self.ports = ports
        self.house = house
    }

    package func answer(_ http: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let caller = try await ports.identify(http.caller)
        let replay = try ReplayRequest(http.json())
        let request = try InferenceRequest(replay.endpoint, json: replay.request)
        let permit = try await ports.gate.permit(caller.request(.receiptReplay, on: EntityID("Forge::Receipt", replay.receipt.description)))
        let id = permit.decision.request
        let outcome: AuditEntry.Outcome
        let result: Result<ReplayResult, Fault>
        do throws(Fault) {
            let found = try await compute(replay, request, permit)
            outcome = found.isEqual ? .ok : .failed(code: "receipt.differs")
            result = .success(found)
        } catch {
            outcome = .failed(code: error.code)
            result = .failure(error)
        }
        var data = JSON.Object()
        data["receipt"] = .string(replay.receipt.description)
        if case .success(let found) = result { data["answer_commitment"] = .string(found.computed.description) }
        _ = try await ports.log.append(
            .outcome(.receiptReplay, outcome, request: id, who: caller.subject, object: .init("Forge::Receipt", replay.receipt.description), data: data))
        return .json(try result.get().json)
    }

    private func compute(_ replay: ReplayRequest, _ request: InferenceRequest, _ permit: consuming Permit) async throws(Fault) -> ReplayResult {
        let recorded = try RecordedAnswer(replay.receipt, proof: replay.proof, log: try await ports.logKey())
        func refuse(_ code: String, _ why: String, _ remedy: String) -> Fault {
            Fault(.request, "receipt.\(code)", "receipt \(replay.receipt) cannot be replayed", why: why, remedy: remedy)
        }
        let salt = replay.salt
        guard salt.commitment("request", to: request.committed) == recorded.requestCommitment else {
            throw refuse("other_request", "this request is not the one that was committed to", "send the request exactly as it was answered")
        }
        guard recorded.finish == "stop" || recorded.finish == "length" else {
            throw refuse("cut", "the answer ended as `\(recorded.finish)`, at a moment that cannot be repeated", "replay an answer that was completed")
        }
        guard let model = await house.loaded, model.digest == recorded.model else {
            throw refuse("other_model", "it was answered by the model \(recorded.model.short), which is not loaded", "load it by its digest, then try again")
        }
        guard recorded.backend == model.backend, recorded.code == InferenceVersion.current else {
            throw refuse(
                "other_kernels", "it was computed by `\(recorded.backend)` in `\(recorded.code)`, and this server has `\(model.backend)` in `\(InferenceVersion.current)`",
                "replay it on a machine and version like the one that answered")
        }
        let prompt = try model.prompt(request)
        var assembly = AnswerAssembly(request, prompt: prompt, model: model, echoed: "")
        var streams: [AsyncStream<TokenEvent>] = []
        for generation in request.generations(prompt, model, seed: recorded.seed) { streams.append(try await model.engine.submit(generation)) }
        for await (index, event) in merged(streams) { _ = try assembly.take(index, event) }
        guard assembly.isClosed, assembly.finish == "stop" || assembly.finish == "length" else {
            throw Fault(.environment, "receipt.interrupted", "the replay was interrupted", why: "the server is going down, or the client has gone", retryable: true)
        }
        let computed = salt.commitment("answer", to: AnsweredChoice.committed(assembly.answered))
        return ReplayResult(
            receipt: replay.receipt, isEqual: computed == recorded.answerCommitment, recorded: recorded.answerCommitment, computed: computed, model: model.digest,
            backend: model.backend, code: InferenceVersion.current, choices: assembly.answered)
    }
}
