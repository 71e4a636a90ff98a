package import ForgeCore
package import ForgeGate

/// One thing that was decided, done or seen, as a daemon states it. The registry adds where and when (`LeafStamp`), redacts it,
/// and gives it an index.
package struct AuditEntry: Hashable, Sendable {
    package enum Phase: String, Sendable, Hashable {
        case intent
        case outcome
        case event
    }

    /// On whose behalf. `principal` is nil when nobody could be established.
    package struct Subject: Hashable, Sendable {
        package var principal: Principal?
        package var method: AuthMethod?
        package var uid: UInt32
        package var roles: [String]
        package var session: ID?

        package init(_ principal: Principal?, method: AuthMethod?, uid: UInt32, roles: [String] = [], session: ID? = nil) {
            self.principal = principal
            self.method = method
            self.uid = uid
            self.roles = Set(roles).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            self.session = session
        }
    }

    /// On what.
    package struct Object: Hashable, Sendable {
        package var type: String
        package var id: String
        package var version: String?
        package var digest: Digest?

        package init(_ type: String, _ id: String, version: String? = nil, digest: Digest? = nil) {
            self.type = type
            self.id = id
            self.version = version
            self.digest = digest
        }

        package init(_ entity: EntityID, version: String? = nil, digest: Digest? = nil) { self.init(entity.type, entity.id, version: version, digest: digest) }
    }

    package struct Policy: Hashable, Sendable {
        package var digest: Digest
        package var epoch: UInt64
        package var rules: [String]
        package var errors: [String]

        package init(digest: Digest, epoch: UInt64, rules: [String], errors: [String] = []) {
            self.digest = digest
            self.epoch = epoch
            self.rules = rules
            self.errors = errors
        }
    }

    package enum Outcome: Hashable, Sendable {
        case ok
        /// A code such as `Fault.code`.
        case failed(code: String)
        case unknown(code: String)
    }

    package var action: AuditAction
    package var phase: Phase
    package var request: ID
    package var who: Subject
    package var object: Object?
    package var decision: Verdict.Outcome?
    package var policy: Policy?
    package var outcome: Outcome?
    /// A person's reason; redacted in the leaf.
    package var why: String?
    package var approvers: [String]
    /// Facts by name; docs/formats/audit-leaf.md §5 says which stay clear.
    package var data: JSON.Object
    /// Text that may have to be erased one day: the leaf holds its salted digest alone. Never in a leaf's own JSON.
    package var detail: [UInt8]?

    package init(
        _ action: AuditAction, _ phase: Phase, request: ID, who: Subject, object: Object? = nil, decision: Verdict.Outcome? = nil, policy: Policy? = nil,
        outcome: Outcome? = nil, why: String? = nil, approvers: [String] = [], data: JSON.Object = .init(), detail: [UInt8]? = nil
    ) {
        self.action = action
        self.phase = phase
        self.request = request
        self.who = who
        self.object = object
        self.decision = decision
        self.policy = policy
        self.outcome = outcome
        self.why = why
        self.approvers = approvers
        self.data = data
        self.detail = detail
    }
}

extension AuditEntry {
    /// The record of a decision: an intent when the action has an effect, otherwise an event.
    package static func decision(
        _ action: AuditAction, _ verdict: Verdict, request: ID, who: Subject, object: Object, approvers: [String] = [], why: String? = nil,
        data: JSON.Object = .init()
    ) -> AuditEntry {
        AuditEntry(
            action, action.hasEffect ? .intent : .event, request: request, who: who, object: object, decision: verdict.outcome,
            policy: Policy(digest: verdict.policyDigest, epoch: verdict.entityEpoch, rules: verdict.reasons.map(\.id), errors: verdict.errors.map(\.id)),
            why: why, approvers: approvers, data: data)
    }

    /// What became of an allowed intent.
    package static func outcome(
        _ action: AuditAction, _ outcome: Outcome, request: ID, who: Subject, object: Object? = nil, approvers: [String] = [], data: JSON.Object = .init()
    ) -> AuditEntry {
        AuditEntry(action, .outcome, request: request, who: who, object: object, outcome: outcome, approvers: approvers, data: data)
    }
}

extension AuditEntry.Subject {
    /// A daemon acting for itself.
    package static func service(_ name: DaemonName, method: AuthMethod, uid: UInt32) -> Self { .init(.service(name), method: method, uid: uid) }

    /// Nobody could be established.
    package static func nobody(uid: UInt32) -> Self { .init(nil, method: nil, uid: uid) }
}
