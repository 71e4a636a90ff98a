package import AdminAPI
import ForgeAudit
package import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgePolicy
import RegistryAPI

/// The rules in force: shown to everybody, changed by officers' signatures alone.
extension Steward {
    package func bundle() throws(Fault) -> BundleMessage { try site().policy }

    /// Activates a bundle that officers signed. Only the shipped one can be: nothing checks another bundle's types yet.
    /// Refusals are on record with the bundle's digest.
    package func activate(_ message: BundleMessage, by caller: AdminCaller, id: ID) async throws(Fault) -> BundleMessage {
        try await exclusively { () async throws(Fault) in
            let (directory, _) = try site()
            let user = try caller.user()
            do throws(Fault) {
                try check(message, directory)
            } catch {
                throw try await refused(message, error, caller, id)
            }
            let accounts = message.signatures.compactMap { directory.accounts[$0.user] }
            let votes = VoteFacts(
                digestMatches: true, count: Set(accounts.map { ExactText($0.person) }).count, roles: Set(accounts.flatMap(\.roles)), ageSeconds: 0)
            let request = AccessRequest(
                .user(user), method: caller.method, uid: caller.uid, action: "policy.activate", resource: EntityID("Forge::Policy", message.digest.short),
                resourceDigest: message.digest, attributes: ["digest": .string(message.digest.description)])
            let authority = PolicyActivation(steward: self, id: id, session: caller.session?.id, votes: votes, approvers: accounts.map(\.name))
            let permit = try await Gate(authority).permit(request)
            let active = Steward.message(engine.bundle, signatures: message.signatures, activated: clock())
            do throws(Fault) {
                try files.save(active)
                policy = active
                try changed()
            } catch {
                await conclude(permit, ok: false, code: error.code)
                throw error
            }
            await conclude(permit)
            return active
        }
    }

    /// - Throws: the first thing wrong with the bundle or a signature.
    private func check(_ message: BundleMessage, _ directory: Directory) throws(Fault) {
        let files = message.files.map { PolicyBundle.File(name: $0.name, content: $0.content) }
        guard files.isEmpty || PolicyBundle.digest(of: files) == message.digest else {
            throw Fault(.request, "policy.digest", "the bundle was refused", why: "its files do not have the digest it names", remedy: "sign and send the files as they are")
        }
        guard !message.signatures.isEmpty else {
            throw Fault(
                .denied, "policy.unsigned", "the bundle was refused", why: "nobody has signed it",
                remedy: "a security officer signs its digest: `ssh-keygen -Y sign -n \(PolicyBundle.signatureNamespace)`")
        }
        for signature in message.signatures {
            guard let account = directory.accounts[signature.user], !account.disabled,
                let key = Steward.signer(
                    account, of: PolicyBundle.signedMessage(message.digest), namespace: PolicyBundle.signatureNamespace, signature.signature),
                key.fingerprint == signature.fingerprint || signature.fingerprint.isEmpty
            else {
                throw Fault(
                    .denied, "policy.signature", "the bundle was refused", why: "a signature is not one of an enrolled person's keys over this digest",
                    remedy: "have the officer sign `\(message.digest)` again")
            }
        }
        guard message.digest == engine.bundle.digest else {
            throw Fault(
                .request, "policy.not_yet", "only the bundle that this version ships can be activated", why: "a schema validator for others does not exist yet",
                remedy: "its digest is \(engine.bundle.digest)")
        }
    }

    private func refused(_ message: BundleMessage, _ fault: Fault, _ caller: AdminCaller, _ id: ID) async throws(Fault) -> Fault {
        let verdict = Verdict(.deny, reasons: [PolicyReason(id: fault.code, text: fault.why)], policyDigest: engine.bundle.digest, entityEpoch: epoch)
        let who = subject(caller.principal, method: caller.method, uid: caller.uid, session: caller.session?.id)
        let object = AuditEntry.Object("Forge::Policy", message.digest.short, digest: message.digest)
        var told = fault
        told.record = try await audit.append(.decision(.policyActivate, verdict, request: id, who: who, object: object))
        return told
    }
}

/// Decides an activation with the facts of the officers' signatures.
private struct PolicyActivation: Authority {
    let steward: Steward
    let id: ID
    let session: ID?
    let votes: VoteFacts
    let approvers: [String]

    func decide(_ request: AccessRequest) async throws(Fault) -> Decision {
        try await steward.decide(request, id: id, session: session, votes: votes, approvers: approvers)
    }
}
