// RegistryAPI: what forge-registry is asked, and how to ask it.
//
// owns      the messages of docs/api/registry.yaml, the typed client, the port through which daemons put things on record
// promises  a message that does not read as described is a `.request` fault; the client throws the registry's own faults
// never     holds a key, decides, or talks to anything but the registry's socket
// flow      RegistryClient(HTTPClient) → path + message → Fault or message

package import ForgeAudit
package import ForgeCore
package import ForgeGate

/// Where a daemon puts its records. The registry's own is in process, everybody else's is the client; neither answers before the
/// records are durable.
package protocol AuditPort: Sendable {
    /// - Returns: the index of each entry, in order; all of them are on record, or none.
    /// - Throws: `.environment` when they cannot be recorded (the operation must then be denied), `.request` when an entry does not read.
    func append(_ entries: [AuditEntry]) async throws(Fault) -> [AuditIndex]
}

extension AuditPort {
    package func append(_ entry: AuditEntry) async throws(Fault) -> AuditIndex {
        guard let index = try await append([entry]).first else {
            throw Fault(.environment, "audit.unavailable", "the record was not acknowledged", remedy: "the operation is refused; try again", retryable: true)
        }
        return index
    }
}
