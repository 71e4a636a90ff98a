package import ForgeCore
package import ForgeHTTP

/// Asks forged, as the person or daemon whose credential the client carries.
package struct TrainerClient: Sendable {
    package let http: HTTPClient

    package init(_ http: HTTPClient) { self.http = http }

    package func status() async throws(Fault) -> TrainerStatus { try await http.get("/v1/status") }

    // MARK: data sets

    /// Sends an ingest stream.
    /// - Parameters:
    ///   - heldOutPermille: groups held out, in thousandths; 50 when nil.
    ///   - pieces: made by `IngestEncoder`, end and digest included.
    package func ingest<Pieces: AsyncSequence & Sendable>(
        name: String, heldOutPermille: Int? = nil, redact: Bool = false, pieces: Pieces
    ) async throws(Fault) -> IngestReply where Pieces.Element == [UInt8] {
        var query = [("name", name)]
        if let heldOutPermille { query.append(("heldout", String(heldOutPermille))) }
        if redact { query.append(("redact", "true")) }
        let reply = try await http.upload(.post, "/v1/datasets", query: query, headers: ["content-type": IngestStream.contentType], pieces: pieces)
        return try Wire.decode(from: reply.body, "the answer of forged")
    }

    package func datasets() async throws(Fault) -> [DatasetView] { try await http.get("/v1/datasets", returning: DatasetViews.self).datasets }
    /// - Parameter reference: a name (the latest of it), a digest or an id.
    package func dataset(_ reference: String) async throws(Fault) -> DatasetView { try await http.get(HTTPClient.path("v1", "datasets", reference)) }
    package func report(of reference: String) async throws(Fault) -> DatasetReport { try await http.get(HTTPClient.path("v1", "datasets", reference, "report")) }

    // MARK: runs

    package func submit(_ submission: RunSubmission) async throws(Fault) -> RunView { try await http.call(.post, "/v1/runs", body: submission, timeout: .seconds(120)) }
    package func estimate(_ submission: RunSubmission) async throws(Fault) -> RunEstimate { try await http.call(.post, "/v1/estimates", body: submission, timeout: .seconds(120)) }
    package func runs() async throws(Fault) -> [RunView] { try await http.get("/v1/runs", returning: RunViews.self).runs }
    /// - Parameter reference: an id, or enough of its first digits to be the only one.
    package func run(_ reference: String) async throws(Fault) -> RunView { try await http.get(HTTPClient.path("v1", "runs", reference)) }
    package func cancel(_ reference: String) async throws(Fault) -> RunView { try await http.call(.post, HTTPClient.path("v1", "runs", reference, "cancel"), timeout: .seconds(120)) }
    package func resume(_ reference: String) async throws(Fault) -> RunView { try await http.call(.post, HTTPClient.path("v1", "runs", reference, "resume")) }

    /// Steps after `after`; waits up to `wait` for one if there is none yet and the run goes on.
    package func metrics(of reference: String, after: Int = 0, wait: Duration = .zero) async throws(Fault) -> MetricsPage {
        try await http.get(
            HTTPClient.path("v1", "runs", reference, "metrics"), query: [("after", String(after)), ("wait", String(wait.components.seconds))], timeout: wait + .seconds(30))
    }

    /// The loss curve, an SVG document.
    package func lossCurve(of reference: String) async throws(Fault) -> [UInt8] { try await http.send(.get, HTTPClient.path("v1", "runs", reference, "loss.svg")).body }

    // MARK: recipes and scores

    package func recipes() async throws(Fault) -> [RecipeView] { try await http.get("/v1/recipes", returning: RecipeViews.self).recipes }
    package func evaluate(_ order: EvaluationOrder) async throws(Fault) -> EvaluationReport { try await http.call(.post, "/v1/evaluations", body: order, timeout: .seconds(7200)) }
}
