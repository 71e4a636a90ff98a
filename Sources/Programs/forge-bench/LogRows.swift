import ForgeAudit
import ForgeCatalog
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeOS
import RegistryService
import Synchronization

/// Decisions on record: one writer alone, and 100 at once, each waiting for its own answer, which comes after the commit is durable.
func logRows(_ bench: Bench) async throws {
    let ledger = try await Ledger.open(bench.path("log"), clock: try LogClock.system(), reserve: .mib(4))
    let key = Ed25519.PrivateKey()
    guard let name = NoteKey("example/bench/audit", .ed25519, publicKey: key.publicKey.raw) else { preconditionFailure("the origin is a name") }
    try await ledger.initialise(
        store: ID(), key: name, signer: NoteSigner(name) { key.sign($0) }, redactor: Redactor.open(epoch: 1) { hmacSHA256(key: [1, 2, 3], $0) },
        by: .service(.registry, method: .peercred, uid: 1)
    ) { _, _ throws(Fault) in }
    for writers in [1, 100] {
        let each = writers == 1 ? 2_000 : 200
        let begun = Clock.monotonic
        let samples = try await withThrowingTaskGroup(of: [Double].self) { group in
            for _ in 0..<writers {
                group.addTask {
                    var samples: [Double] = []
                    for _ in 0..<each {
                        let entry = decision()
                        let begun = Clock.monotonic
                        _ = try await ledger.append([entry])
                        samples.append(Double(Clock.monotonic - begun) / 1e6)
                    }
                    return samples
                }
            }
            return try await group.reduce(into: [Double]()) { $0 += $1 }
        }
        let seconds = Double(Clock.monotonic - begun) / 1e9
        bench.say("log.append.\(writers)", "ms", samples: samples)
        bench.say("log.rate.\(writers)", "records/s", value: Double(samples.count) / seconds)
    }
}

private func decision() -> AuditEntry {
    let verdict = Verdict(.allow, reasons: [PolicyReason(id: "everyone.ask", text: "every enrolled person may ask the models")], policyDigest: .sha256("policy"), entityEpoch: 7)
    return .decision(
        .infer, verdict, request: ID(), who: .init(.user("dana"), method: .sshsig, uid: 1000, roles: ["data_scientist"]),
        object: .init("Forge::Model", "policies", version: "3", digest: .sha256("model")))
}
