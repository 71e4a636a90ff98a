import AdminAPI
import AdminService
import ForgeAudit
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeOS
import ForgePolicy
import Testing

/// A promotion from the registry's first question to its report, and everything that must stop it.
@Suite struct ApprovalFlowTests {
    /// Asks as the registry would, in the name of a person who is signed in.
    private func ask(_ house: Institution, _ request: AccessRequest) async throws -> Decision { try await house.peer().decide(request) }

    private func file(_ house: Institution) async throws -> ApprovalView {
        _ = try await house.signIn("rene")
        let decision = try await ask(house, house.promotion())
        #expect(decision.verdict.outcome == .needsApproval)
        let otto = try await house.signIn("otto")
        return try await otto.approval(try #require(decision.approval))
    }

    @Test func `an officer and an ML lead sign, and the release is decided once`() async throws {
        try await Institution.with { house in
            let view = try await file(house)
            #expect(view.state == "pending" && view.missingPersons == 2 && view.missingRoles == ["ml_lead", "security_officer"])
            let request = try #require(ApprovalRequest(try JSON.parse(view.document)))
            #expect(request.digest == Digest.sha256(view.document))
            #expect(request.content == Institution.content && request.reason == "better on held-out documents" && request.parameters == ["alias": "production"])
            #expect(house.log.last(.approvalRequest)?.decision == .allow)

            // Asking again files nothing new.
            #expect(try await ask(house, house.promotion()).approval == view.id)

            let otto = try await house.signIn("otto")
            let afterOne = try await otto.vote(try await house.vote(as: "otto", on: view), on: view.id)
            #expect(afterOne.state == "pending" && afterOne.missingPersons == 1 && afterOne.missingRoles == ["ml_lead"])
            let still = try await ask(house, house.promotion())
            #expect(still.verdict.outcome == .needsApproval && still.verdict.reasons.map(\.id) == ["guard.four_eyes"])

            let lee = try await house.signIn("lee")
            #expect(try await lee.vote(try await house.vote(as: "lee", on: view), on: view.id).state == "approved")
            let decision = try await ask(house, house.promotion())
            #expect(decision.allowed && decision.approval == view.id && decision.verdict.reasons.map(\.id) == ["role.release_manager.release"])
            #expect(house.log.last(.modelPromote)?.approvers == ["otto", "lee"])
            #expect(house.log.last(.modelPromote)?.phase == .intent)

            // It is being executed: nobody gets a second one.
            #expect(await refusal { _ = try await ask(house, house.promotion()) }?.code == "approval.conflict")
            try await house.peer().report(ExecutionReport(ok: true), of: view.id)
            #expect(try await otto.approval(view.id).state == "executed")
            let next = try await ask(house, house.promotion())
            #expect(next.verdict.outcome == .needsApproval && next.approval != view.id, "what was executed serves nothing else")
        }
    }

    @Test func `the requester, a data scientist, a second vote and a forged one are refused by name`() async throws {
        try await Institution.with { house in
            let view = try await file(house)
            let rene = try await house.signIn("rene")
            let own = await refusal { _ = try await rene.vote(try await house.vote(as: "rene", on: view), on: view.id) }
            #expect(own?.why.contains("guard.requester_may_not_vote") == true && own?.record != nil)

            let dana = try await house.signIn("dana")
            #expect(await refusal { _ = try await dana.vote(try await house.vote(as: "dana", on: view), on: view.id) }?.kind == .denied)

            let otto = try await house.signIn("otto")
            _ = try await otto.vote(try await house.vote(as: "otto", on: view), on: view.id)
            let again = await refusal { _ = try await otto.vote(try await house.vote(as: "otto", on: view), on: view.id) }
            #expect(again?.why.contains("guard.one_vote_a_person") == true)

            let lee = try await house.signIn("lee")
            let forged = await refusal { _ = try await lee.vote(try await house.vote(as: "lee", on: view, signedBy: "dana"), on: view.id) }
            #expect(forged?.code == "approval.signature" && forged?.record != nil)
            #expect(house.log.last(.approvalVote)?.outcome == .failed(code: "approval.signature"))

            // A veto's signature is no vote, and a vote for another document is none for this one.
            var veto = try await house.vote(.veto, as: "lee", on: view)
            veto.ballot = .approve
            #expect(await refusal { _ = try await lee.vote(veto, on: view.id) }?.code == "approval.signature")
            var other = view
            other.document += " "
            #expect(await refusal { _ = try await lee.vote(try await house.vote(as: "lee", on: other), on: view.id) }?.code == "approval.digest")
            #expect(try await otto.approval(view.id).votes.count == 1)
        }
    }

    @Test func `one veto ends it, and a withdrawal is the requester's alone`() async throws {
        try await Institution.with { house in
            let view = try await file(house)
            let lee = try await house.signIn("lee")
            #expect(await refusal { _ = try await lee.withdraw(view.id) }?.kind == .denied)
            let vetoed = try await lee.vote(try await house.vote(.veto, as: "lee", on: view), on: view.id)
            #expect(vetoed.state == "vetoed" && vetoed.vetoes.map(\.user) == ["lee"])
            let otto = try await house.signIn("otto")
            #expect(await refusal { _ = try await otto.vote(try await house.vote(as: "otto", on: view), on: view.id) }?.code == "approval.state")

            let rene = try await house.signIn("rene")
            let second = try #require(try await ask(house, house.promotion()).approval)
            #expect(second != view.id)
            #expect(try await rene.withdraw(second).state == "withdrawn")
        }
    }

    @Test func `other content, worse scores and time each take the approval away`() async throws {
        try await Institution.with { house in
            let view = try await file(house)
            for name in ["otto", "lee"] { _ = try await house.signIn(name).vote(try await house.vote(as: name, on: view), on: view.id) }
            // Votes are not for a model that got worse meanwhile: the policies are asked again.
            let worse = try await ask(house, house.promotion(heldout: 2_300_000))
            #expect(worse.verdict.outcome == .deny && worse.verdict.reasons.map(\.id) == ["guard.promotion_may_not_worsen"])
            // Nor for other bytes under the same name.
            let swapped = try await ask(house, house.promotion(content: Digest.sha256("other weights")))
            #expect(swapped.verdict.outcome == .needsApproval && swapped.approval != view.id)
            let otto = try await house.signIn("otto")
            #expect(try await otto.approval(view.id).state == "invalidated")
            // Nor for ever.
            let fresh = try await otto.approval(try #require(swapped.approval))
            house.clock.advance(.seconds(72 * 3600 + 1))
            let later = try await house.signIn("otto")
            #expect(try await later.approval(fresh.id).state == "expired")
            #expect(await refusal { _ = try await later.vote(try await house.vote(as: "otto", on: fresh), on: fresh.id) }?.code == "approval.state")
        }
    }

    @Test func `an execution nobody reported is closed by what the log says`() async throws {
        for (outcome, state) in [(AuditEntry.Outcome.ok, "executed"), (.unknown(code: "daemon.restarted"), "failed")] {
            try await Institution.with { house in
                let view = try await file(house)
                for name in ["otto", "lee"] { _ = try await house.signIn(name).vote(try await house.vote(as: name, on: view), on: view.id) }
                let decision = try await ask(house, house.promotion())
                let otto = try await house.signIn("otto")
                await house.steward.settle { (_) async throws(Fault) in outcome }
                #expect(try await otto.approval(view.id).state == "executing", "it is given time to report")
                house.clock.advance(.seconds(31))
                await house.steward.settle { (_) async throws(Fault) in nil }
                #expect(try await otto.approval(view.id).state == "executing", "the log knows nothing yet")
                await house.steward.settle { (request) async throws(Fault) in request == decision.request ? outcome : nil }
                #expect(try await otto.approval(view.id).state == state)
            }
        }
    }

    @Test func `nobody is asked for who is not here, and nothing ordinary is decided here`() async throws {
        try await Institution.with { house in
            #expect(await refusal { _ = try await ask(house, house.promotion()) }?.code == "decision.absent")
            _ = try await house.signIn("rene")
            var elsewhere = house.promotion()
            elsewhere.uid += 1
            #expect(await refusal { _ = try await ask(house, elsewhere) }?.code == "decision.absent")
            var asService = house.promotion()
            asService.principal = .service(.registry)
            #expect(await refusal { _ = try await ask(house, asService) }?.code == "decision.absent")
            var ordinary = house.promotion()
            ordinary.action = "model.rollback"
            #expect(await refusal { _ = try await ask(house, ordinary) }?.code == "policy.ordinary")
            var forged = house.promotion()
            forged.context["approval"] = ["digestMatches": true, "count": 2, "roles": ["ml_lead", "security_officer"], "ageSeconds": 0]
            #expect(try await ask(house, forged).verdict.outcome == .deny)
        }
    }

    @Test func `the data scientist's own attempt is denied by name and files nothing`() async throws {
        try await Institution.with { house in
            _ = try await house.signIn("dana")
            let decision = try await ask(house, house.promotion(by: "dana"))
            #expect(decision.verdict.outcome == .deny && decision.approval == nil)
            #expect(decision.verdict.reasons.map(\.id).contains("guard.trainer_may_not_promote"))
            #expect(decision.refusal(of: house.promotion(by: "dana")).why.contains("who trained a model does not promote it"))
            #expect(house.log.last(.modelPromote)?.decision == .deny)
        }
    }

    @Test func `no record, no approval, no vote, no release`() async throws {
        try await Institution.with { house in
            _ = try await house.signIn("rene")
            house.log.setDown(true)
            #expect(await refusal { _ = try await ask(house, house.promotion()) }?.kind == .environment)
            house.log.setDown(false)
            let view = try await file(house)
            let otto = try await house.signIn("otto")
            let vote = try await house.vote(as: "otto", on: view)
            house.log.setDown(true)
            #expect(await refusal { _ = try await otto.vote(vote, on: view.id) }?.kind == .environment)
            house.log.setDown(false)
            #expect(try await otto.approval(view.id).votes.isEmpty)
            _ = try await otto.vote(vote, on: view.id)
            _ = try await house.signIn("lee").vote(try await house.vote(as: "lee", on: view), on: view.id)
            house.log.setDown(true)
            #expect(await refusal { _ = try await ask(house, house.promotion()) }?.kind == .environment)
            house.log.setDown(false)
            #expect(try await otto.approval(view.id).state == "approved", "an unrecorded release is none, and can be asked for again")
            #expect(try await ask(house, house.promotion()).allowed)
        }
    }
}
