import ForgeAudit
import ForgeAuthority
import ForgeCore
import ForgeGate
import ForgeInference
import RegistryAPI
import ServeAPI
import Synchronization

/// The outcome record of one answer: written once, whatever happens to the answer.
final class OutcomeLedger: Sendable {
    private let log: any AuditPort
    private let request: InferenceRequest
    private let receipt: Receipt
    private let caller: KnownCaller
    private let model: LoadedModel
    private let policy: Digest
    private let begun = ContinuousClock.now
    private let isWritten = Mutex(false)

    init(_ log: any AuditPort, _ request: InferenceRequest, _ receipt: Receipt, _ caller: KnownCaller, _ model: LoadedModel, policy: Digest) {
        self.log = log
        self.request = request
        self.receipt = receipt
        self.caller = caller
        self.model = model
        self.policy = policy
    }

    deinit {
        guard !isWritten.withLock({ $0 }) else { return }
        // The response was dropped before anybody read it. The record outlives the request by one call.
        let entry = entry(request.unanswered("cancelled"), Usage(promptTokens: 0, completionTokens: 0), "cancelled")
        Task { [log] in _ = try? await log.append(entry) }
    }

    /// Writes the record. Cancelling the request does not cancel it.
    /// - Throws: `.environment` when it cannot be recorded: the answer then has no whole ending.
    func close(_ choices: [AnsweredChoice], _ usage: Usage, _ finish: String) async throws(Fault) {
        let first = isWritten.withLock { written in
            defer { written = true }
            return !written
        }
        guard first else { return }
        let entry = entry(choices, usage, finish), log = log
        // A task of its own, awaited here: a client that has gone must not take the record with it.
        let result = await Task { () -> Result<AuditIndex, Fault> in
            do throws(Fault) { return .success(try await log.append(entry)) } catch { return .failure(error) }
        }.value
        _ = try result.get()
    }

    private func entry(_ choices: [AnsweredChoice], _ usage: Usage, _ finish: String) -> AuditEntry {
        var data = JSON.Object()
        data["receipt"] = .string(receipt.id.description)
        data["request_commitment"] = .string(receipt.salt.commitment("request", to: request.committed).description)
        data["answer_commitment"] = .string(receipt.salt.commitment("answer", to: AnsweredChoice.committed(choices)).description)
        data["model_digest"] = .string(model.digest.description)
        data["policy"] = .string(policy.description)
        data["seed"] = .string(String(receipt.seed))
        data["sampling"] = .string(request.samplingText)
        data["backend"] = .string(model.backend)
        data["code"] = .string(InferenceVersion.current)
        data["version"] = .string(ForgeVersion.current)
        data["fingerprint"] = .string(model.fingerprint)
        data["prompt_tokens"] = .int(Int64(usage.promptTokens))
        data["completion_tokens"] = .int(Int64(usage.completionTokens))
        data["finish"] = .string(finish)
        data["streamed"] = .bool(request.stream)
        data["milliseconds"] = .int(milliseconds)
        var entry = AuditEntry.outcome(
            .infer, finish == "stop" || finish == "length" ? .ok : .failed(code: "answer.\(finish)"), request: receipt.id, who: caller.subject,
            object: .init(model.entity, version: String(model.version), digest: model.digest), data: data)
        entry.detail = (["receipt": .string(receipt.id.description), "salt": .string(receipt.salt.hex)] as JSON).canonical
        return entry
    }

    private var milliseconds: Int64 {
        let (seconds, attoseconds) = begun.duration(to: .now).components
        return seconds * 1000 + attoseconds / 1_000_000_000_000_000
    }
}

extension InferenceRequest {
    /// An answer without a token.
    func unanswered(_ finish: String) -> [AnsweredChoice] { (0..<n).map { AnsweredChoice(index: $0, finish: finish) } }
}
