package import ForgeCore
package import ForgeGate
import ForgeHTTP

/// A data set as the registry lists it.
package struct DatasetSummary: Codable, Sendable, Hashable {
    package var digest: Digest
    package var name: String
    package var documents: Int64
    package var bytes: Int64
    /// Microseconds since 1970.
    package var created: Int64
    /// The audit record that registered it.
    package var record: AuditIndex

    package init(digest: Digest, name: String, documents: Int64, bytes: Int64, created: Int64, record: AuditIndex) {
        self.digest = digest
        self.name = name
        self.documents = documents
        self.bytes = bytes
        self.created = created
        self.record = record
    }
}

package struct DatasetList: Codable, Sendable, Hashable {
    package var datasets: [DatasetSummary]
    package init(datasets: [DatasetSummary]) { self.datasets = datasets }
}

extension RegistryClient {
    /// Registers a data set by its manifest (docs/formats/dataset.md §5). The registry recomputes the root.
    /// - Parameters:
    ///   - bytes: of the accepted texts together.
    ///   - person: for whom it is registered.
    package func register(dataset name: String, manifest: [UInt8], bytes: Int64, person: String? = nil) async throws(Fault) -> DatasetSummary {
        var query = [("name", name), ("bytes", String(bytes))]
        if let person { query.append(("person", person)) }
        let reply = try await http.send(.post, "/v1/datasets", query: query, headers: ["content-type": "application/jsonl"], body: manifest, timeout: .seconds(120))
        return try decode(reply)
    }

    package func datasets() async throws(Fault) -> [DatasetSummary] { try await http.get("/v1/datasets", returning: DatasetList.self).datasets }

    /// - Parameter reference: a digest, or a name (the latest of that name).
    package func dataset(_ reference: String) async throws(Fault) -> DatasetSummary { try await http.get(HTTPClient.path("v1", "datasets", reference)) }

    /// The manifest, byte for byte.
    package func manifest(of reference: String) async throws(Fault) -> [UInt8] {
        try await http.send(.get, HTTPClient.path("v1", "datasets", reference, "manifest"), limit: .gib(1), timeout: .seconds(120)).body
    }

    private func decode<Value: Decodable>(_ reply: HTTPClient.Reply) throws(Fault) -> Value { try Wire.decode(Value.self, from: reply.body, "the answer of forge-registry") }
}
