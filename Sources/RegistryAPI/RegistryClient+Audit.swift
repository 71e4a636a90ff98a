package import ForgeAudit
package import ForgeCore
package import ForgeGate
import ForgeHTTP

/// What to look for in the log; what is nil matches all.
package struct RecordQuery: Hashable, Sendable {
    package var from: AuditIndex
    package var limit: Int
    package var action: String?
    package var who: String?
    package var objectType: String?
    package var objectID: String?
    package var decision: String?
    package var request: ID?

    package init(
        from: AuditIndex = 0, limit: Int = 100, action: String? = nil, who: String? = nil, objectType: String? = nil, objectID: String? = nil, decision: String? = nil,
        request: ID? = nil
    ) {
        self.from = from
        self.limit = limit
        self.action = action
        self.who = who
        self.objectType = objectType
        self.objectID = objectID
        self.decision = decision
        self.request = request
    }

    package static let limitMax = 1000
    package static let names = ["from", "limit", "act", "who", "obj_type", "obj_id", "dec", "req"]

    package var query: [(String, String)] {
        let parts: [(String, String?)] = [
            ("from", String(from)), ("limit", String(limit)), ("act", action), ("who", who), ("obj_type", objectType), ("obj_id", objectID), ("dec", decision),
            ("req", request?.description),
        ]
        return parts.compactMap { name, value in value.map { (name, $0) } }
    }
}

/// A page of the log. Each record is the leaf's own bytes.
package struct RecordPage: Sendable {
    package let records: [AuditRecord]
    /// Where the next page starts; nil at the end.
    package let next: AuditIndex?
    /// Records in the log when this was read.
    package let size: UInt64

    package init(records: [AuditRecord], next: AuditIndex?, size: UInt64) {
        self.records = records
        self.next = next
        self.size = size
    }
}

extension RegistryClient {
    package func records(_ query: RecordQuery = .init()) async throws(Fault) -> RecordPage {
        let answer = try answer(try await http.send(.get, "/v1/audit/records", query: query.query).body)
        var records: [AuditRecord] = []
        for leaf in answer["leaves"]?.array ?? [] {
            guard let bytes = leaf.string.flatMap({ Base64.decode($0) }) else { throw RegistryClient.nonsense("a leaf is not base64") }
            records.append(try AuditRecord(parsing: bytes))
        }
        guard let size = answer["size"]?.int.flatMap({ UInt64(exactly: $0) }) else { throw RegistryClient.nonsense("it does not say how large the log is") }
        return RecordPage(records: records, next: answer["next"]?.int.flatMap { UInt64(exactly: $0) }, size: size)
    }

    /// The latest signed checkpoint with its cosignatures; covers everything on record unless the registry is sealed.
    package func checkpoint() async throws(Fault) -> SignedNote { try SignedNote(parsing: try await http.send(.get, "/v1/audit/checkpoint").body) }

    /// A self-contained proof of one record.
    package func proof(of index: AuditIndex) async throws(Fault) -> LogProof {
        try LogProof(parsing: try await http.send(.get, "/v1/audit/proof/inclusion", query: [("index", String(index))]).body)
    }

    package func consistency(from first: UInt64, to second: UInt64) async throws(Fault) -> ConsistencyProof {
        let answer = try answer(try await http.send(.get, "/v1/audit/proof/consistency", query: [("from", String(first)), ("to", String(second))]).body)
        let hashes = (answer["hashes"]?.array ?? []).map { $0.string.flatMap { Base64.decode($0) }.flatMap { Digest($0) } }
        guard !hashes.contains(nil) else { throw RegistryClient.nonsense("a hash of the proof does not read") }
        return ConsistencyProof(from: first, to: second, hashes: hashes.compactMap { $0 })
    }

    /// What a witness that last signed `old` is asked to sign now.
    package func witnessRequest(old: UInt64) async throws(Fault) -> WitnessRequest {
        try WitnessRequest(parsing: try await http.send(.get, "/v1/audit/witness-request", query: [("old", String(old))]).body)
    }

    /// Makes this daemon's key known as a witness. Saying it twice is fine; another key under a known name is refused.
    package func enrol(witness key: NoteKey) async throws(Fault) {
        let message: JSON = ["vkey": .string(key.description)]
        _ = try await http.send(.post, "/v1/audit/witnesses", headers: ["content-type": "application/json"], body: message.canonical)
    }

    /// Hands a witness's line in.
    package func addCosignature(_ line: NoteSignature, size: UInt64) async throws(Fault) {
        let body: JSON = ["size": .int(Int64(clamping: size)), "line": .string(line.line)]
        _ = try await http.send(.post, "/v1/audit/cosignatures", headers: ["content-type": "application/json"], body: body.canonical)
    }

    /// Has the registry read its whole log again.
    package func verify() async throws(Fault) -> JSON { try answer(try await http.send(.post, "/v1/audit/verify", timeout: .seconds(3600)).body) }
}
