package import AdminAPI
import ForgeAudit
package import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgePolicy
import RegistryAPI

/// Enrolling the people, once.
extension Steward {
    /// Records every enrolment and the shipped bundle's activation, then makes both durable. Stopped half-way, it can be run
    /// again: the site file is written last.
    package func initialise(_ site: SiteDescription, id: ID) async throws(Fault) -> InitReply {
        try await exclusively { () async throws(Fault) in
            guard directory == nil else {
                throw Fault(.request, "admin.initialised.exists", "the people are enrolled already", remedy: "`forge user ls` shows them")
            }
            let fresh = try Directory(site)
            let digest = engine.bundle.digest
            let enrolments = fresh.sorted.map { account in
                AuditEntry(
                    .userEnrol, .event, request: id, who: subject, object: .init("Forge::User", account.name), outcome: .ok,
                    data: [
                        "person": .string(account.person), "keys": .int(Int64(account.keys.count)),
                        // Whose signature a vote is can be told from the record alone.
                        "digests": .array(account.keys.map { .string($0.digest.description) }),
                    ])
            }
            let verdict = Verdict(
                .allow, reasons: [PolicyReason(id: "bootstrap.init", text: "an appliance without people is given its people and the shipped policy")], policyDigest: digest,
                entityEpoch: epoch)
            let object = AuditEntry.Object("Forge::Policy", digest.short, digest: digest)
            let activation = AuditEntry.decision(.policyActivate, verdict, request: id, who: subject, object: object)
            _ = try await audit.append(enrolments + [activation])
            let bundle = Steward.message(engine.bundle, signatures: [], activated: clock())
            try files.save(bundle)
            try files.save(site)
            policy = bundle
            directory = fresh
            try changed()
            _ = try? await audit.append(.outcome(.policyActivate, .ok, request: id, who: subject, object: object))
            return InitReply(epoch: epoch, policy: digest, users: fresh.sorted.map(\.name), witnessKey: witnessNoteKey.description)
        }
    }

    static func message(_ bundle: PolicyBundle, signatures: [BundleMessage.Signature], activated: Int64) -> BundleMessage {
        BundleMessage(digest: bundle.digest, files: bundle.files.map { .init(name: $0.name, content: $0.content) }, signatures: signatures, activated: activated)
    }

    package func users() throws(Fault) -> [UserView] {
        try site().directory.sorted.map {
            UserView(name: $0.name, person: $0.person, roles: $0.roles, fingerprints: $0.keys.map(\.fingerprint), disabled: $0.disabled, uid: $0.uid)
        }
    }
}
