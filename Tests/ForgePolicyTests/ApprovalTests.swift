import ForgeCore
import ForgeGate
import ForgePolicy
import Testing

@Suite struct ApprovalTests {
    static func request(persons: Int = 2, roles: Set<String> = ["ml_lead", "security_officer"], id: ID = ID(repeatElement(7, count: 16))!) -> ApprovalRequest {
        ApprovalRequest(
            id: id, action: "model.promote", resource: EntityID("Forge::Model", "policies@2"), content: Digest(repeatElement(1, count: 32)),
            parameters: ["alias": "production"], requester: "rene", person: "rene", reason: "better on held-out documents", created: 1_000_000_000,
            voteBy: 1_000_000_000 + 72 * 3_600_000_000, executeWithinSeconds: 86_400, policy: Digest(repeatElement(2, count: 32))!,
            quorum: Quorum(persons: persons, roles: roles))
    }

    static func vote(_ user: String, _ roles: Set<String>, person: String? = nil) -> Approval.Vote {
        Approval.Vote(user: user, person: person ?? user, roles: roles, key: "SHA256:…", signature: "…")
    }

    let now: Int64 = 1_000_000_100

    @Test func `an officer and an ML lead approve, and it is executed once`() throws {
        var approval = Approval(Self.request())
        try approval.apply(.vote(Self.vote("lee", ["ml_lead"])), at: now)
        #expect(approval.state == .pending)
        #expect(throws: Approval.Refusal.notApproved(.pending)) { try approval.apply(.begin, at: now) }
        try approval.apply(.vote(Self.vote("otto", ["security_officer"])), at: now + 1)
        #expect(approval.state == .approved)
        #expect(approval.facts(content: Digest(repeatElement(1, count: 32)), at: now) == VoteFacts(digestMatches: true, count: 2, roles: ["ml_lead", "security_officer"], ageSeconds: 0))
        #expect(approval.facts(content: Digest(repeatElement(9, count: 32)), at: now).digestMatches == false)
        #expect(approval.facts(content: nil, at: now).digestMatches == false)
        try approval.apply(.begin, at: now + 2)
        #expect(throws: Approval.Refusal.notApproved(.executing)) { try approval.apply(.begin, at: now + 2) }
        try approval.apply(.executed, at: now + 3)
        #expect(approval.state == .executed)
        for event in [Approval.Event.begin, .executed, .failed(note: ""), .veto(Self.vote("otto", [])), .invalidate(note: ""), .withdraw(user: "rene", person: "rene")] {
            #expect(throws: Approval.Refusal.self) { try approval.apply(event, at: now + 4) }
        }
        #expect(approval.state == .executed)
    }

    @Test func `the requester, a second account and a second vote of one person are refused`() throws {
        var approval = Approval(Self.request())
        #expect(throws: Approval.Refusal.requesterVotes) { try approval.apply(.vote(Self.vote("rene", ["security_officer"])), at: now) }
        #expect(throws: Approval.Refusal.requesterVotes) { try approval.apply(.vote(Self.vote("rene2", ["security_officer"], person: "rene")), at: now) }
        try approval.apply(.vote(Self.vote("lee", ["ml_lead"])), at: now)
        #expect(throws: Approval.Refusal.votedBefore) { try approval.apply(.vote(Self.vote("lee", ["ml_lead"])), at: now) }
        #expect(throws: Approval.Refusal.votedBefore) { try approval.apply(.vote(Self.vote("lee2", ["security_officer"], person: "lee")), at: now) }
        #expect(approval.state == .pending)
        #expect(throws: Approval.Refusal.requesterVotes) { try approval.apply(.veto(Self.vote("rene", [])), at: now) }
        #expect(throws: Approval.Refusal.notRequester) { try approval.apply(.withdraw(user: "lee", person: "lee"), at: now) }
    }

    @Test func `a deadline that has passed stays passed when the clock is set back`() throws {
        var approval = Approval(Self.request())
        try approval.apply(.passed, at: approval.request.voteBy + 1)
        #expect(throws: Approval.Refusal.notOpen(.expired)) { try approval.apply(.vote(Self.vote("lee", ["ml_lead"])), at: now) }
        var other = Approval(Self.request(persons: 1, roles: []))
        try other.apply(.vote(Self.vote("lee", ["ml_lead"])), at: now)
        #expect(other.state(at: now + 86_400_000_000) == .approved)
        #expect(other.state(at: now + 86_400_000_001) == .lapsed)
    }

    @Test func `the signed form is read back, and every member is under the digest`() throws {
        let request = Self.request()
        #expect(ApprovalRequest(request.json) == request)
        #expect(request.signedMessage(.approve) == Array("forge-approval-v1 approve \(request.digest)\n".utf8))
        var object = request.json.object!
        for key in object.keys where key != "v" {
            let kept = object[key]
            object[key] = nil
            #expect(ApprovalRequest(.object(object)) == nil, "\(key) is not optional")
            object[key] = kept
        }
        object["extra"] = 1
        #expect(ApprovalRequest(.object(object)) == nil)
        // Golden: a change of format changes this digest, and must change the version with it.
        #expect(
            String(decoding: request.json.canonical, as: UTF8.self)
                == #"{"action":"model.promote","content":"sha256:0101010101010101010101010101010101010101010101010101010101010101","created":1000000000,"execute_within":86400,"id":"07070707070707070707070707070707","parameters":{"alias":"production"},"person":"rene","policy":"sha256:0202020202020202020202020202020202020202020202020202020202020202","quorum":{"persons":2,"roles":["ml_lead","security_officer"]},"reason":"better on held-out documents","requester":"rene","resource":{"id":"policies@2","type":"Forge::Model"},"v":1,"vote_by":260200000000}"#
        )
    }

    /// A second account of what happened, kept beside the machine: the machine may not execute unless this agrees.
    @Test(arguments: 0..<16 as Range<UInt64>)
    func `no sequence of events executes without the quorum, twice, or after the end`(seed: UInt64) {
        var random = Seeded(seed)
        let people: [(user: String, person: String, roles: Set<String>)] = [
            ("rene", "rene", ["security_officer"]), ("rene2", "rene", ["ml_lead"]), ("lee", "lee", ["ml_lead"]), ("lee2", "lee", ["security_officer"]),
            ("otto", "otto", ["security_officer"]), ("oona", "oona", ["security_officer"]), ("max", "max", ["ml_lead", "security_officer"]), ("dana", "dana", []),
        ]
        var executions = 0
        for _ in 0..<7000 {
            var approval = Approval(Self.request())
            var voted: [String: Set<String>] = [:]
            var begun = 0
            var done = 0
            var ended = false
            var clock: Int64 = now
            for _ in 0..<Int.random(in: 1...14, using: &random) {
                clock += Int64.random(in: -3_600_000_000...9_000_000_000, using: &random)
                let who = people.randomElement(using: &random)!
                let vote = Approval.Vote(user: who.user, person: who.person, roles: who.roles, key: "k", signature: "s")
                let before = approval
                let event: Approval.Event =
                    switch Int.random(in: 0..<24, using: &random) {
                    case 0..<13: .vote(vote)
                    case 13: .veto(vote)
                    case 14: .withdraw(user: who.user, person: who.person)
                    case 15..<19: .begin
                    case 19..<21: .executed
                    case 21: .failed(note: "x")
                    case 22: .invalidate(note: "x")
                    default: .passed
                    }
                do throws(Approval.Refusal) {
                    try approval.apply(event, at: clock)
                } catch {
                    #expect(approval.votes == before.votes && approval.vetoes == before.vetoes)
                    continue
                }
                switch event {
                case .vote: voted[who.person, default: []].formUnion(who.roles)
                case .begin:
                    begun += 1
                    let roles = voted.values.reduce(into: Set<String>()) { $0.formUnion($1) }
                    #expect(voted["rene"] == nil && voted.count >= 2 && roles.isSuperset(of: ["ml_lead", "security_officer"]))
                    #expect(!ended && begun == 1)
                case .executed:
                    done += 1
                    #expect(begun == 1 && done == 1 && !ended)
                    ended = true
                case .failed, .veto, .withdraw, .invalidate:
                    #expect(!ended && done == 0)
                    ended = true
                case .passed: break
                }
                if before.state != .pending, approval.state == .pending { Issue.record("nothing goes back to pending") }
                if !before.state.isOpen, approval.state != before.state { Issue.record("\(before.state) became \(approval.state)") }
            }
            executions += done
        }
        #expect(executions > 10, "the sequences reach the end often enough to mean something")
    }
}
