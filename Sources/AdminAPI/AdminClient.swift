package import ForgeCore
package import ForgeGate
package import ForgeHTTP

/// Asks forge-admin, as the daemon or the person whose credential the client carries.
package struct AdminClient: Sendable {
    package let http: HTTPClient

    package init(_ http: HTTPClient) { self.http = http }

    package func status() async throws(Fault) -> AdminStatus { try await http.get("/v1/status") }

    // MARK: Setting up and signing in

    package func initialise(_ site: SiteDescription) async throws(Fault) -> InitReply { try await http.call(.post, "/v1/init", body: site) }

    package func challenge() async throws(Fault) -> LoginChallenge { try await http.call(.post, "/v1/login/challenge") }
    package func login(_ request: LoginRequest) async throws(Fault) -> LoginReply { try await http.call(.post, "/v1/login", body: request) }
    package func logout() async throws(Fault) { _ = try await http.send(.post, "/v1/logout") }

    package func whoAmI() async throws(Fault) -> WhoAmI { try await http.get("/v1/whoami") }

    package func canI(_ action: String, _ resource: EntityID, as principal: String? = nil) async throws(Fault) -> CanI {
        var query = [("action", action), ("resource_type", resource.type), ("resource_id", resource.id)]
        if let principal { query.append(("as", principal)) }
        return try await http.get("/v1/can-i", query: query)
    }

    // MARK: For daemons

    /// The snapshot after `epoch`, waiting up to `wait` for one; nil when nothing changed meanwhile.
    package func snapshot(after epoch: UInt64?, wait: Duration = .zero) async throws(Fault) -> SignedSnapshot? {
        var query: [(String, String)] = [("wait", String(wait.components.seconds))]
        if let epoch { query.append(("after", String(epoch))) }
        let reply = try await http.send(.get, "/v1/snapshot", query: query, timeout: wait + .seconds(10))
        return reply.status == 204 ? nil : try Wire.decode(from: reply.body, "the answer of forge-admin")
    }

    package func bundle() async throws(Fault) -> BundleMessage { try await http.get("/v1/bundle") }

    package func decide(_ request: AccessRequest) async throws(Fault) -> Decision {
        try await http.call(.post, "/v1/decision", body: DecisionRequest(request))
    }

    package func report(_ report: ExecutionReport, of approval: ID) async throws(Fault) {
        _ = try await http.send(
            .post, HTTPClient.path("v1", "approvals", approval.description, "executed"), headers: ["content-type": "application/json"], body: Wire.encode(report))
    }

    /// Tells that these sign-ins (SHA-256 of their credentials) were used here, so that they are not idle.
    package func touch(_ digests: [Digest]) async throws(Fault) {
        _ = try await http.send(.post, "/v1/sessions/touch", headers: ["content-type": "application/json"], body: Wire.encode(SessionsTouched(digests: digests)))
    }

    // MARK: Approvals

    package func approvals(state: String? = nil) async throws(Fault) -> [ApprovalView] {
        try await http.get("/v1/approvals", query: state.map { [("state", $0)] } ?? [], returning: ApprovalList.self).approvals
    }

    package func approval(_ id: ID) async throws(Fault) -> ApprovalView { try await http.get(HTTPClient.path("v1", "approvals", id.description)) }

    package func vote(_ vote: VoteRequest, on id: ID) async throws(Fault) -> ApprovalView {
        try await http.call(.post, HTTPClient.path("v1", "approvals", id.description, "votes"), body: vote)
    }

    package func withdraw(_ id: ID) async throws(Fault) -> ApprovalView { try await http.call(.post, HTTPClient.path("v1", "approvals", id.description, "withdraw")) }

    // MARK: People, applications, policy

    package func users() async throws(Fault) -> [UserView] { try await http.get("/v1/users") }

    package func appKeys() async throws(Fault) -> [AppKeyView] { try await http.get("/v1/appkeys") }
    package func createAppKey(_ request: AppKeyRequest) async throws(Fault) -> AppKeyCreated { try await http.call(.post, "/v1/appkeys", body: request) }
    package func revokeAppKey(_ id: String) async throws(Fault) -> AppKeyView { try await http.call(.delete, HTTPClient.path("v1", "appkeys", id)) }

    package func policy() async throws(Fault) -> BundleMessage { try await http.get("/v1/policy") }

    package func activate(_ bundle: BundleMessage) async throws(Fault) -> BundleMessage { try await http.call(.post, "/v1/policy/activate", body: bundle) }
}
