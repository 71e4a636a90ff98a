package import ForgeCore

/// The life of one approval: events in, state out; no clock, no signature check, no I/O (docs/formats/approval.md, "States").
package struct Approval: Hashable, Sendable {
    package enum State: String, Hashable, Sendable, Codable, CaseIterable {
        case pending, approved, executing, executed, failed, vetoed, withdrawn, expired, lapsed, invalidated

        /// Whether anything can still happen.
        package var isOpen: Bool { self == .pending || self == .approved || self == .executing }
    }

    /// A verified signature of one person.
    package struct Vote: Hashable, Sendable {
        package let user: String
        package let person: String
        package let roles: Set<String>
        /// The signing key's `SHA256:` fingerprint, and the armored signature: evidence.
        package let key: String
        package let signature: String

        package init(user: String, person: String, roles: Set<String>, key: String, signature: String) {
            self.user = user
            self.person = person
            self.roles = roles
            self.key = key
            self.signature = signature
        }
    }

    package enum Event: Hashable, Sendable {
        case vote(Vote)
        case veto(Vote)
        case withdraw(user: String, person: String)
        case begin
        case executed
        case failed(note: String)
        case invalidate(note: String)
        /// Nothing happened but time.
        case passed
    }

    /// Why an event changes nothing.
    package enum Refusal: Error, Hashable, Sendable {
        case notOpen(State)
        case requesterVotes
        case votedBefore
        case notRequester
        case notApproved(State)
        case notExecuting(State)
    }

    package let request: ApprovalRequest
    package private(set) var state: State = .pending
    package private(set) var votes: [Vote] = []
    package private(set) var vetoes: [Vote] = []
    /// UTC microseconds of the last event; never falls.
    package private(set) var latest: Int64
    package private(set) var executeBy: Int64?
    package private(set) var note = ""

    package init(_ request: ApprovalRequest) {
        self.request = request
        latest = request.created
    }

    /// Moves by one event. A refused event leaves everything but the clock as it was.
    package mutating func apply(_ event: Event, at now: Int64) throws(Refusal) {
        pass(to: now)
        switch event {
        case .passed: break
        case .vote(let vote):
            guard state == .pending else { throw .notOpen(state) }
            try check(vote)
            votes.append(vote)
            if isQuorumMet {
                state = .approved
                executeBy = latest + request.executeWithinSeconds * 1_000_000
            }
        case .veto(let vote):
            guard state == .pending || state == .approved else { throw .notOpen(state) }
            guard vote.person != request.person else { throw .requesterVotes }
            vetoes.append(vote)
            state = .vetoed
        case .withdraw(let user, let person):
            guard state == .pending || state == .approved else { throw .notOpen(state) }
            guard user == request.requester || person == request.person else { throw .notRequester }
            state = .withdrawn
        case .begin:
            guard state == .approved else { throw .notApproved(state) }
            // INVARIANT: `approved` was reached only through the quorum, and votes are never removed.
            precondition(isQuorumMet, "an approved request has its quorum")
            state = .executing
        case .executed:
            guard state == .executing else { throw .notExecuting(state) }
            state = .executed
        case .failed(let note):
            guard state == .executing else { throw .notExecuting(state) }
            state = .failed
            self.note = note
        case .invalidate(let note):
            guard state == .pending || state == .approved else { throw .notOpen(state) }
            state = .invalidated
            self.note = note
        }
    }

    /// The state once it is that late.
    package func state(at now: Int64) -> State {
        var later = self
        later.pass(to: now)
        return later.state
    }

    package var isQuorumMet: Bool {
        Set(votes.map { ExactText($0.person) }).count >= request.quorum.persons && request.quorum.roles.isSubset(of: rolesOfVoters)
    }

    package var rolesOfVoters: Set<String> { votes.reduce(into: []) { $0.formUnion($1.roles) } }

    /// What the policies read of these votes.
    /// - Parameter content: the digest that is in place now; a vote for another content does not match.
    package func facts(content: Digest?, at now: Int64) -> VoteFacts {
        VoteFacts(
            digestMatches: content == request.content, count: Set(votes.map { ExactText($0.person) }).count, roles: rolesOfVoters,
            ageSeconds: max(0, max(now, latest) - request.created) / 1_000_000)
    }

    private func check(_ vote: Vote) throws(Refusal) {
        guard vote.person != request.person, vote.user != request.requester else { throw .requesterVotes }
        guard !votes.contains(where: { $0.person == vote.person || $0.user == vote.user }) else { throw .votedBefore }
    }

    private mutating func pass(to now: Int64) {
        latest = max(latest, now)
        if state == .pending, latest > request.voteBy { state = .expired }
        if state == .approved, let executeBy, latest > executeBy { state = .lapsed }
    }
}

extension Approval.Refusal {
    /// As the person reads it.
    package var fault: Fault {
        switch self {
        case .notOpen(let state), .notApproved(let state), .notExecuting(let state):
            Fault(.request, "approval.state", "the approval is \(state.rawValue)", remedy: "file a new request if it is still wanted")
        case .requesterVotes:
            Fault(.denied, "approval.requester", "the requester does not vote", why: "policy `guard.requester_may_not_vote`: who asks for an approval does not vote on it")
        case .votedBefore:
            Fault(.denied, "approval.again", "this person has voted already", why: "policy `guard.one_vote_a_person`: a person votes once, whatever accounts and roles they have")
        case .notRequester:
            Fault(.denied, "approval.not_requester", "only the requester withdraws a request")
        }
    }
}
