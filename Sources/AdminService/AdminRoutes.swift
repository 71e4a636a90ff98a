import AdminAPI
package import ForgeAudit
import ForgeCore
import ForgeCrypto
import ForgeGate
package import ForgeHTTP

/// What forge-admin answers to. Each route says who may use it; each handler is decode → gate → domain → encode.
package struct AdminRoutes: Sendable {
    /// Who a route is for, said beside it.
    package enum Access: Sendable, Hashable {
        /// Anybody who may connect: it tells nothing, or it is how one signs in.
        case open
        /// The owner of the process or root, before the people are enrolled.
        case setup
        /// Forge's own daemons.
        case daemon
        /// Anybody who signed in, about themselves.
        case signedIn
        /// Whom the policies permit this action.
        case action(AuditAction)
    }

    private let steward: Steward
    private let recognition: Recognition
    private let witness: LocalWitness?
    private let uid: UInt32

    /// - Parameter uid: of this process; with root, the one that may enrol the people.
    package init(_ steward: Steward, recognition: Recognition, witness: LocalWitness?, uid: UInt32) {
        self.steward = steward
        self.recognition = recognition
        self.witness = witness
        self.uid = uid
    }

    package var routes: [Route] { declared.map(\.route) }

    package var declared: [(access: Access, route: Route)] { openRoutes + daemonRoutes + personalRoutes + approvalRoutes + governingRoutes }

    private func route(
        _ access: Access, _ method: Method, _ pattern: String, _ summary: String, deadline: Duration? = .seconds(30), yieldsToDrain: Bool = false,
        _ handler: @escaping @Sendable (HTTPRequest) async throws -> HTTPResponse
    ) -> (access: Access, route: Route) {
        (access, Route(method, pattern, deadline: deadline, yieldsToDrain: yieldsToDrain, summary: summary, handler: handler))
    }

    // MARK: anybody

    private var openRoutes: [(access: Access, route: Route)] {
        [
            route(.open, .get, "/v1/status", "how this daemon is") { _ in
                try .json(await steward.status(witnessed: await witness?.witnessed ?? 0))
            },
            route(.setup, .post, "/v1/init", "enrols the people, once") { request in
                guard request.caller.uid == 0 || request.caller.uid == uid else {
                    throw Fault(.denied, "admin.init", "only root or the owner of this appliance enrols its people", why: "uid \(request.caller.uid) is neither")
                }
                return try .json(await steward.initialise(try request.decode(), id: request.id), status: 201)
            },
            route(.open, .post, "/v1/login/challenge", "what to sign to sign in") { request in
                try .json(await steward.challenge(uid: request.caller.uid))
            },
            route(.open, .post, "/v1/login", "signs in") { request in
                try .json(await steward.login(try request.decode(), caller: request.caller, id: request.id))
            },
        ]
    }

    // MARK: daemons

    private var daemonRoutes: [(access: Access, route: Route)] {
        [
            route(.daemon, .get, "/v1/snapshot", "who exists, signed; waits for the next epoch", deadline: nil, yieldsToDrain: true) { request in
                _ = try await caller(request).daemon()
                try request.allowQuery("after", "wait")
                let wait = try request.queryInt("wait", default: 0, in: 0...60)
                let after: UInt64? = request.query["after"] == nil ? nil : UInt64(try request.queryInt("after", default: 0, in: 0...Int.max))
                guard let snapshot = try await steward.snapshot(after: after, wait: .seconds(wait)) else { return .done }
                return try .json(snapshot)
            },
            route(.daemon, .get, "/v1/bundle", "the active policy bundle") { request in
                _ = try await caller(request).daemon()
                return try .json(await steward.bundle())
            },
            route(.daemon, .post, "/v1/decision", "decides a privileged action in a person's name") { request in
                let daemon = try await caller(request).daemon()
                let asked: DecisionRequest = try request.decode()
                return try .json(await steward.decidePrivileged(try asked.accessRequest(), for: daemon, id: request.id))
            },
            route(.daemon, .post, "/v1/approvals/{id}/executed", "how an approved action ended") { request in
                _ = try await caller(request).daemon()
                try await steward.report(try request.decode(), of: try id(request))
                return .done
            },
            route(.daemon, .post, "/v1/sessions/touch", "sign-ins that were used with another daemon") { request in
                _ = try await caller(request).daemon()
                let touched: SessionsTouched = try request.decode()
                guard touched.digests.count <= 1024 else { throw Fault(.request, "admin.touch", "more than 1024 sign-ins in one message") }
                try await steward.touch(touched.digests)
                return .done
            },
        ]
    }

    // MARK: oneself

    private var personalRoutes: [(access: Access, route: Route)] {
        [
            route(.signedIn, .post, "/v1/logout", "ends the sign-in") { request in
                try await steward.logout(try await caller(request), id: request.id)
                return .done
            },
            route(.signedIn, .get, "/v1/whoami", "who is calling") { request in
                try .json(await steward.whoAmI(try await caller(request)))
            },
            route(.signedIn, .get, "/v1/can-i", "what the policies would say; `as` needs `user.read`") { request in
                let who = try await caller(request)
                try request.allowQuery("action", "resource_type", "resource_id", "as")
                guard let action = request.query["action"], let type = request.query["resource_type"], let id = request.query["resource_id"] else {
                    throw Fault(.request, "admin.can_i", "the question is not complete", why: "it names an action, a resource's type and its id")
                }
                var principal = who.principal
                if let other = request.query["as"] {
                    _ = try await permit(request, who, .userRead, on: EntityID("Forge::User", other))
                    principal = .user(other)
                }
                return try .json(
                    await steward.canI(AccessRequest(principal, method: who.method, uid: who.uid, action: action, resource: EntityID(type, id))))
            },
        ]
    }

    // MARK: approvals

    private var approvalRoutes: [(access: Access, route: Route)] {
        [
            route(.action(.approvalRead), .get, "/v1/approvals", "all approvals, or those in one state") { request in
                let who = try await caller(request)
                try request.allowQuery("state")
                _ = try await permit(request, who, .approvalRead, on: EntityID("Forge::Approval", "all"))
                return try .json(ApprovalList(approvals: await steward.approvalViews(state: request.query["state"])))
            },
            route(.action(.approvalRead), .get, "/v1/approvals/{id}", "one approval, with its votes") { request in
                let who = try await caller(request)
                let id = try id(request)
                let attributes = try await steward.approvalAttributes(id)
                _ = try await permit(request, who, .approvalRead, on: EntityID("Forge::Approval", id.description), attributes: attributes)
                return try .json(await steward.approvalView(id))
            },
            route(.action(.approvalVote), .post, "/v1/approvals/{id}/votes", "votes for it, or vetoes it, with a signature") { request in
                let who = try await caller(request)
                let id = try id(request)
                let vote: VoteRequest = try request.decode()
                let attributes = try await steward.approvalAttributes(id)
                try await steward.checkSignature(vote, on: id, by: who, request: request.id)
                let permit = try await permit(
                    request, who, vote.ballot == .approve ? .approvalVote : .approvalVeto, on: EntityID("Forge::Approval", id.description), attributes: attributes,
                    data: await steward.voteFacts(vote, on: id))
                return try .json(await steward.vote(vote, on: id, with: permit))
            },
            route(.action(.approvalWithdraw), .post, "/v1/approvals/{id}/withdraw", "takes one's own request back") { request in
                let who = try await caller(request)
                let id = try id(request)
                let permit = try await permit(
                    request, who, .approvalWithdraw, on: EntityID("Forge::Approval", id.description), attributes: await steward.approvalAttributes(id))
                return try .json(await steward.withdraw(id, with: permit))
            },
        ]
    }

    // MARK: people, keys, policy

    private var governingRoutes: [(access: Access, route: Route)] {
        [
            route(.action(.userRead), .get, "/v1/users", "who is enrolled") { request in
                let who = try await caller(request)
                _ = try await permit(request, who, .userRead, on: EntityID("Forge::Role", "everyone"))
                return try .json(await steward.users())
            },
            route(.action(.appkeyList), .get, "/v1/appkeys", "applications' keys, without the keys") { request in
                let who = try await caller(request)
                _ = try await permit(request, who, .appkeyList, on: AdminRoutes.appliance)
                return try .json(await steward.appKeyViews())
            },
            route(.action(.appkeyCreate), .post, "/v1/appkeys", "makes a key; shown once") { request in
                let who = try await caller(request)
                let wanted: AppKeyRequest = try request.decode()
                try steward.check(wanted)
                let permit = try await permit(request, who, .appkeyCreate, on: AdminRoutes.appliance, why: wanted.reason, data: ["name": .string(wanted.app)])
                return try .json(await steward.createAppKey(wanted, with: permit), status: 201)
            },
            route(.action(.appkeyRevoke), .delete, "/v1/appkeys/{id}", "revokes a key at once") { request in
                let who = try await caller(request)
                let key = try await steward.appKey(request.parameter("id"))
                let permit = try await permit(request, who, .appkeyRevoke, on: EntityID("Forge::App", key.app))
                return try .json(await steward.revokeAppKey(key.id, with: permit))
            },
            route(.action(.policyRead), .get, "/v1/policy", "the rules in force") { request in
                let who = try await caller(request)
                let bundle = try await steward.bundle()
                _ = try await permit(request, who, .policyRead, on: EntityID("Forge::Policy", bundle.digest.short), attributes: ["digest": .string(bundle.digest.description)])
                return try .json(bundle)
            },
            route(.action(.policyActivate), .post, "/v1/policy/activate", "activates a bundle that officers signed") { request in
                let who = try await caller(request)
                return try .json(await steward.activate(try request.decode(), by: who, id: request.id))
            },
        ]
    }

    private static let appliance = EntityID("Forge::Registry", "appliance")

    // MARK: the gate

    private func caller(_ request: HTTPRequest) async throws(Fault) -> AdminCaller { try await steward.identify(request.caller, recognition) }

    private func permit(
        _ request: HTTPRequest, _ who: AdminCaller, _ action: AuditAction, on resource: EntityID, attributes: JSON.Object = .init(), why: String? = nil,
        data: JSON.Object = .init()
    ) async throws(Fault) -> Permit {
        let authority = StewardAuthority(steward: steward, id: request.id, session: who.session?.id, data: data, why: why)
        let context: JSON.Object = ["door": .string(request.caller.door.name)]
        return try await Gate(authority).permit(
            AccessRequest(who.principal, method: who.method, uid: who.uid, action: action.rawValue, resource: resource, attributes: attributes, context: context))
    }

    private func id(_ request: HTTPRequest) throws(Fault) -> ID {
        guard let id = ID(parsing: request.parameter("id")) else {
            throw Fault(.request, "approval.not_found", "there is no approval `\(request.parameter("id").prefix(64))`", remedy: "`forge approval ls` lists them")
        }
        return id
    }
}
