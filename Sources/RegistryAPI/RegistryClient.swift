package import ForgeAudit
package import ForgeCore
package import ForgeGate
package import ForgeHTTP

/// Asks forge-registry. Methods for models and keys stand in the files named for them.
package struct RegistryClient: Sendable {
    package let http: HTTPClient

    /// - Parameter http: a client for the registry's socket, with this daemon's or person's credential.
    package init(_ http: HTTPClient) { self.http = http }

    package func status() async throws(Fault) -> RegistryStatus { try await http.get("/v1/status") }
}

extension RegistryClient: AuditPort {
    package func append(_ entries: [AuditEntry]) async throws(Fault) -> [AuditIndex] {
        let message: JSON = ["entries": .array(entries.map(\.json))]
        let reply = try await http.send(.post, "/v1/audit/records", headers: ["content-type": "application/json"], body: Array(message.text.utf8))
        let answer = try answer(reply.body)
        let indexes = (answer["records"]?.array ?? []).compactMap { $0.int.flatMap { UInt64(exactly: $0) } }
        guard indexes.count == entries.count else { throw RegistryClient.nonsense("it acknowledged \(indexes.count) of \(entries.count) records") }
        return indexes
    }

    func answer(_ bytes: [UInt8]) throws(Fault) -> JSON {
        do { return try JSON.parse(bytes, limits: .init(bytes: 64 << 20)) } catch { throw RegistryClient.nonsense(error.description) }
    }

    static func nonsense(_ why: String) -> Fault {
        Fault(.environment, "registry.malformed_answer", "forge-registry answered something that does not read", why: why, remedy: "check that both daemons are of one release")
    }
}
