import ForgeCore
import ForgeGate
import Testing

private struct Fixed: Authority {
    let outcome: Verdict.Outcome
    var reasons: [PolicyReason] = []
    var errors: [PolicyReason] = []
    var approval: ID?

    func decide(_ request: AccessRequest) async throws(Fault) -> Decision {
        let digest = Digest(repeatElement(1, count: 32))!
        return Decision(
            Verdict(outcome, reasons: reasons, errors: errors, policyDigest: digest, entityEpoch: 7), record: 4411, request: ID(), approval: approval)
    }
}

private struct Silent: Authority {
    func decide(_ request: AccessRequest) async throws(Fault) -> Decision {
        throw Fault(.environment, "audit.unavailable", "the decision could not be recorded")
    }
}

@Suite struct GateTests {
    let request = AccessRequest(
        .user("dana"), method: .sshsig, uid: 1000, action: "model.promote", resource: EntityID("Forge::Model", "policies@2"))

    @Test func `an allow becomes a permit that names its request and its record`() async throws {
        let permit = try await Gate(Fixed(outcome: .allow)).permit(request)
        #expect(permit.record == 4411)
        #expect(permit.request == request)
    }

    @Test func `a refusal names the policy, its reason and the record`() async {
        let reason = PolicyReason(id: "guard.four_eyes", text: "promotion needs two signatures")
        let fault = await fault(from: Fixed(outcome: .deny, reasons: [reason]))
        #expect(fault?.kind == .denied)
        #expect(fault?.record == 4411)
        #expect(fault?.why == "policy `guard.four_eyes`: promotion needs two signatures")
        #expect(fault?.kind.exitCode == 2)
    }

    @Test func `no permit at all says so instead of naming nothing`() async {
        #expect(await fault(from: Fixed(outcome: .deny))?.why == "no policy permits it")
    }

    @Test func `a policy that errs is named before any other reason`() async {
        let broken = PolicyReason(id: "guard.broken", text: "attribute `trainedBy` is missing")
        let fault = await fault(from: Fixed(outcome: .deny, errors: [broken]))
        #expect(fault?.why.contains("guard.broken") == true)
    }

    @Test func `missing votes name the approval that was filed`() async {
        let id = ID()
        let fault = await fault(from: Fixed(outcome: .needsApproval, approval: id))
        #expect(fault?.kind == .approval)
        #expect(fault?.remedy.contains(id.description) == true)
        #expect(fault?.kind.exitCode == 8)
    }

    @Test func `no record means no permit`() async {
        #expect(await fault(from: Silent())?.kind == .environment)
    }

    private func fault(from authority: any Authority) async -> Fault? {
        do throws(Fault) {
            _ = try await Gate(authority).permit(request)
            return nil
        } catch {
            return error
        }
    }

    @Test func `principals and entities translate both ways`() {
        for principal in [Principal.user("a\"b"), .service(.serve), .app("crm")] {
            #expect(Principal(principal.entity) == principal)
        }
        #expect(Principal.user("a\"b").description == #"Forge::User::"a\"b""#)
        #expect(Principal(EntityID("Forge::Service", "nobody")) == nil)
    }
}
