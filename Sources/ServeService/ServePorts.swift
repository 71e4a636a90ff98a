package import ForgeAudit
package import ForgeAuthority
package import ForgeCore
package import ForgeGate
package import ForgeHTTP
package import RegistryAPI

/// What the service needs of the world, each replaceable in a test.
package struct ServePorts: Sendable {
    package var identify: @Sendable (Caller) async throws(Fault) -> KnownCaller
    package var gate: Gate
    package var log: any AuditPort
    package var models: any ModelSource
    /// The registry's key for its log: what a proof of an old answer has to hold under.
    package var logKey: @Sendable () async throws(Fault) -> NoteKey

    package init(
        identify: @escaping @Sendable (Caller) async throws(Fault) -> KnownCaller, gate: Gate, log: any AuditPort, models: any ModelSource,
        logKey: @escaping @Sendable () async throws(Fault) -> NoteKey
    ) {
        self.identify = identify
        self.gate = gate
        self.log = log
        self.models = models
        self.logKey = logKey
    }
}

/// What the log holds of one answer.
package struct RecordedAnswer: Hashable, Sendable {
    package let requestCommitment: Digest
    package let answerCommitment: Digest
    package let model: Digest
    package let seed: Int64
    package let backend: String
    package let code: String
    package let finish: String

    /// - Parameter proof: a C2SP tlog-proof that carries the leaf of the outcome.
    /// - Throws: `.request` when it does not prove the outcome of that receipt under `key`.
    package init(_ receipt: ID, proof: String, log key: NoteKey) throws(Fault) {
        func refuse(_ why: String) -> Fault {
            Fault(.request, "receipt.unproven", "receipt \(receipt) is not proven", why: why, remedy: "send the proof of the outcome's record, as `forge receipt show` gives it")
        }
        let entry: AuditEntry
        do throws(Fault) {
            entry = try AuditRecord(parsing: try LogProof(parsing: proof.utf8).verify(log: key).leaf).entry
        } catch { throw refuse(error.message) }
        guard entry.action == .infer, entry.phase == .outcome, entry.request == receipt else { throw refuse("the proven record is another one") }
        let facts = entry.data
        func digest(_ name: String) -> Digest? { facts[name]?.string.flatMap { Digest(parsing: $0) } }
        guard let request = digest("request_commitment"), let answer = digest("answer_commitment"), let model = digest("model_digest"),
            let seed = facts["seed"]?.string.flatMap({ Int64($0) }), let backend = facts["backend"]?.string, let code = facts["code"]?.string,
            let finish = facts["finish"]?.string
        else { throw refuse("the proven record lacks the facts of an answer") }
        requestCommitment = request
        answerCommitment = answer
        self.model = model
        self.seed = seed
        self.backend = backend
        self.code = code
        self.finish = finish
    }
}
