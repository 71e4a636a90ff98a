package import ForgeArtifact
package import ForgeCore
package import ForgeCrypto
import ForgeHTTP

extension RegistryClient {
    package func models() async throws(Fault) -> [ModelView] { try await http.get("/v1/models", returning: ModelList.self).models }

    /// All versions of one model, oldest first.
    package func models(named name: String) async throws(Fault) -> [ModelView] {
        try await http.get(HTTPClient.path("v1", "models", name), returning: ModelList.self).models
    }

    /// - Parameter version: a number or an alias.
    package func model(_ name: String, _ version: String) async throws(Fault) -> ModelView { try await http.get(HTTPClient.path("v1", "models", name, version)) }

    package func lineage(_ name: String, _ version: String) async throws(Fault) -> Lineage { try await http.get(HTTPClient.path("v1", "models", name, version, "lineage")) }

    package func manifest(_ name: String, _ version: String) async throws(Fault) -> SignedStatement {
        try SignedStatement(parsing: try await http.send(.get, HTTPClient.path("v1", "models", name, version, "manifest")).body, source: "\(name)@\(version)")
    }

    package func provenance(_ name: String, _ version: String) async throws(Fault) -> SignedStatement {
        try SignedStatement(parsing: try await http.send(.get, HTTPClient.path("v1", "models", name, version, "provenance")).body, source: "\(name)@\(version)")
    }

    /// - Parameter reference: `name@version` or `name@alias`.
    package func evaluate(_ reference: String, _ evaluation: EvaluationRequest) async throws(Fault) -> EvaluationView {
        try await http.call(.post, HTTPClient.path("v1", "models", reference, "evaluations"), body: evaluation)
    }

    package func promote(_ reference: String, _ request: AliasRequest = .init()) async throws(Fault) -> AliasReply {
        try await http.call(.post, HTTPClient.path("v1", "models", reference, "promote"), body: request)
    }

    package func rollback(_ name: String, _ request: AliasRequest = .init()) async throws(Fault) -> AliasReply {
        try await http.call(.post, HTTPClient.path("v1", "models", name, "rollback"), body: request)
    }

    // MARK: uploads

    package func beginUpload(_ request: UploadRequest) async throws(Fault) -> UploadView { try await http.call(.post, "/v1/uploads", body: request) }
    package func upload(_ id: ID) async throws(Fault) -> UploadView { try await http.get(HTTPClient.path("v1", "uploads", id.description)) }
    package func abandonUpload(_ id: ID) async throws(Fault) { _ = try await http.send(.delete, HTTPClient.path("v1", "uploads", id.description)) }

    /// Sends one segment; stored durably when this returns. Sent again, it replaces what was there.
    package func put(_ bytes: [UInt8], segment index: Int, of file: String, in upload: ID) async throws(Fault) {
        _ = try await http.send(
            .put, RegistryClient.path(upload, file, index), headers: ["content-type": "application/octet-stream"], body: bytes, timeout: .seconds(300))
    }

    private static func path(_ upload: ID, _ file: String, _ segment: Int) -> String {
        HTTPClient.path("v1", "uploads", upload.description, "files", file, "segments", String(segment))
    }

    package func commit(_ upload: ID, _ request: CommitRequest) async throws(Fault) -> ModelView {
        try await http.call(.post, HTTPClient.path("v1", "uploads", upload.description, "commit"), body: request, timeout: .seconds(3600))
    }

    /// The same for a model that was made elsewhere.
    package func importModel(_ upload: ID, _ request: ImportRequest) async throws(Fault) -> ModelView {
        try await http.call(.post, HTTPClient.path("v1", "uploads", upload.description, "import"), body: request, timeout: .seconds(3600))
    }

    /// Sends what an upload still lacks of one file, in one stream for all segments that follow one another. Stored durably when this returns.
    /// - Parameter read: gives `count` bytes at an offset; asked in order, for the next piece while the one before is on its way.
    package func send(_ file: UploadView.File, of upload: UploadView, read: @escaping @Sendable (Int, Int64) async throws(Fault) -> [UInt8]) async throws(Fault) {
        let size = upload.segmentBytes
        for run in file.missing(segmentBytes: size) {
            let end = min(run.upperBound * size, file.bytes)
            @Sendable func next(_ at: Int64) async throws(Fault) -> [UInt8] { at < end ? try await read(Int(min(Int64(RegistryClient.piece), end - at)), at) : [] }
            _ = try await http.upload(
                .put, RegistryClient.path(upload.id, file.name, Int(run.lowerBound)),
                headers: ["content-type": "application/octet-stream", "content-length": String(end - run.lowerBound * size)]
            ) { write in
                var at = run.lowerBound * size, piece = try await next(at)
                while !piece.isEmpty {
                    at += Int64(piece.count)
                    let from = at
                    async let coming = next(from)
                    try await write(piece)
                    piece = try await coming
                }
            }
        }
    }

    /// Bytes of a model that travel together: few enough for a cache.
    static let piece = 1 << 20

    // MARK: keys and ceremonies

    package func initialise(_ request: StoreInit) async throws(Fault) -> StoreInitReply { try await http.call(.post, "/v1/init", body: request, timeout: .seconds(120)) }
    package func unseal(_ request: UnsealRequest) async throws(Fault) -> RegistryStatus { try await http.call(.post, "/v1/unseal", body: request, timeout: .seconds(120)) }
    package func seal() async throws(Fault) -> RegistryStatus { try await http.call(.post, "/v1/seal", timeout: .seconds(60)) }

    /// The key of a data set or run, for as long as the caller holds it. Asking the first time makes it.
    package func releaseKey(_ purpose: KeyRequest.Purpose, _ id: ID) async throws(Fault) -> ReleasedKey {
        let reply: KeyReply = try await http.call(.post, "/v1/keys/release", body: KeyRequest(purpose: purpose, id: id))
        guard var bytes = Base64.decode(reply.key), bytes.count == 32 else { throw RegistryClient.nonsense("a released key is not 32 bytes") }
        return ReleasedKey(store: reply.store, project: reply.project, key: SecretBytes(taking: &bytes))
    }
}

/// A key of a data set or run, and what the headers of its sealed files say.
package struct ReleasedKey: ~Copyable, Sendable {
    package let store: ID
    package let project: ID
    package let key: SecretBytes

    package init(store: ID, project: ID, key: consuming SecretBytes) {
        self.store = store
        self.project = project
        self.key = key
    }

    /// The header of a new sealed file under this key.
    package func header(_ blob: ID = ID()) -> SealedHeader { SealedHeader(blob: blob, project: project, store: store) }
}
