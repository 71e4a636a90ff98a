package import ForgeCore
package import ForgeGate
package import ForgePolicy

/// All approvals: a fold over their journal (docs/formats/approval.md, "Journal"), each state kept by the pure machine.
package struct ApprovalBook: Sendable {
    package private(set) var approvals: [ID: Approval] = [:]
    /// Which request began the execution: it links the decision to its outcome in the log.
    package private(set) var executions: [ID: ID] = [:]

    package init() {}

    package var sorted: [Approval] { approvals.values.sorted { ($0.request.created, $0.request.id) < ($1.request.created, $1.request.id) } }

    package subscript(_ id: ID) -> Approval? { approvals[id] }

    /// The open approval for the same wish: action, resource, parameters and requester; the content may have changed since.
    package func open(action: String, resource: EntityID, parameters: JSON.Object, requester: String, now: Int64) -> Approval? {
        sorted.last {
            $0.request.action == action && $0.request.resource == resource && $0.request.parameters == parameters && $0.request.requester == requester
                && $0.state(at: now).isOpen
        }
    }

    // MARK: events

    static func filed(_ request: ApprovalRequest) -> JSON {
        ["v": 1, "t": .int(request.created), "approval": .string(request.id.description), "event": "filed", "request": request.json]
    }

    /// - Parameter request: of the decision that begins an execution.
    static func event(_ event: Approval.Event, of id: ID, at now: Int64, request: ID? = nil) -> JSON {
        var object = JSON.Object()
        object["v"] = 1
        object["t"] = .int(now)
        object["approval"] = .string(id.description)
        func put(_ name: String, _ vote: Approval.Vote) {
            object["event"] = .string(name)
            object["user"] = .string(vote.user)
            object["person"] = .string(vote.person)
            object["roles"] = .array(vote.roles.sorted().map { .string($0) })
            object["key"] = .string(vote.key)
            object["signature"] = .string(vote.signature)
        }
        switch event {
        case .vote(let vote): put("vote", vote)
        case .veto(let vote): put("veto", vote)
        case .withdraw(let user, let person):
            object["event"] = "withdraw"
            object["user"] = .string(user)
            object["person"] = .string(person)
        case .begin:
            object["event"] = "begin"
            if let request { object["request"] = .string(request.description) }
        case .executed: object["event"] = "executed"
        case .failed(let note):
            object["event"] = "failed"
            object["note"] = .string(note)
        case .invalidate(let note):
            object["event"] = "invalidate"
            object["note"] = .string(note)
        case .passed: preconditionFailure("the passing of time is not an event of the journal")
        }
        return .object(object)
    }

    /// Replays one line; what the machine would refuse cannot have been written by it.
    mutating func apply(_ line: JSON) throws(Fault) {
        guard line["v"]?.int == 1, let time = line["t"]?.int, let id = line["approval"]?.string.flatMap({ ID(parsing: $0) }), let name = line["event"]?.string else {
            throw ApprovalBook.unreadable()
        }
        if name == "filed" {
            guard let request = line["request"].flatMap({ ApprovalRequest($0) }), request.id == id, approvals[id] == nil else { throw ApprovalBook.unreadable() }
            approvals[id] = Approval(request)
            return
        }
        guard let event = ApprovalBook.event(name, line), var approval = approvals[id] else { throw ApprovalBook.unreadable() }
        do throws(Approval.Refusal) { try approval.apply(event, at: time) } catch { throw ApprovalBook.unreadable() }
        approvals[id] = approval
        if event == .begin, let request = line["request"]?.string.flatMap({ ID(parsing: $0) }) { executions[id] = request }
    }

    private static func event(_ name: String, _ line: JSON) -> Approval.Event? {
        func vote() -> Approval.Vote? {
            guard let user = line["user"]?.string, let person = line["person"]?.string, let roles = line["roles"]?.array, let key = line["key"]?.string,
                let signature = line["signature"]?.string
            else { return nil }
            return Approval.Vote(user: user, person: person, roles: Set(roles.compactMap(\.string)), key: key, signature: signature)
        }
        switch name {
        case "vote": return vote().map { .vote($0) }
        case "veto": return vote().map { .veto($0) }
        case "withdraw":
            guard let user = line["user"]?.string, let person = line["person"]?.string else { return nil }
            return .withdraw(user: user, person: person)
        case "begin": return .begin
        case "executed": return .executed
        case "failed": return line["note"]?.string.map { .failed(note: $0) }
        case "invalidate": return line["note"]?.string.map { .invalidate(note: $0) }
        default: return nil
        }
    }

    private static func unreadable() -> Fault { Fault(.environment, "admin.journal", "an event of an approval does not read") }
}
