import ForgeAudit
import ForgeAuthority
package import ForgeCore
import ForgeGate
package import ForgeHTTP
import ForgeInference
import RegistryAPI
import ServeAPI

/// What the two doors answer to. Every route is decode → gate → domain → encode.
package struct ServeRoutes: Sendable {
    package static let appDoor: Door = "serve"
    package static let operatorDoor: Door = "serve-operator"

    private let ports: ServePorts
    private let house: ModelHouse
    private let metrics: ServeMetrics
    private let inference: Inference
    private let replay: Replay

    package init(_ ports: ServePorts, house: ModelHouse, metrics: ServeMetrics = ServeMetrics()) {
        self.ports = ports
        self.house = house
        self.metrics = metrics
        inference = Inference(ports, house: house, metrics: metrics)
        replay = Replay(ports, house: house)
    }

    /// For applications and people: OpenAI's surface.
    package var app: [Route] {
        [
            Route(.get, "/v1/models", summary: "The models that are served.") { try await models($0) },
            Route(.get, "/v1/models/{id}", summary: "One of them.") { try await model($0) },
            Route(.post, "/v1/completions", body: .whole(.mib(8)), deadline: nil, summary: "Goes on from a text.") { try await inference.answer($0, .completions) },
            Route(.post, "/v1/chat/completions", body: .whole(.mib(8)), deadline: nil, summary: "Answers in a conversation.") { try await inference.answer($0, .chat) },
            Route(.get, "/metrics", summary: "Counters and times, for Prometheus.") { try await exposition($0) },
        ]
    }

    /// For operators: loading, and the proof of old answers.
    package var operators: [Route] {
        [
            Route(.post, "/v1/load", deadline: nil, summary: "Loads a model and answers with it.") { try await load($0) },
            Route(.post, "/v1/unload", deadline: nil, summary: "Stops answering with the model.") { try await unload($0) },
            Route(.get, "/v1/loaded", summary: "What is loaded.") { try await loaded($0) },
            Route(.post, "/v1/replay", body: .whole(.mib(8)), deadline: nil, summary: "Computes a recorded answer again.") { try await replay.answer($0) },
            Route(.get, "/metrics", summary: "Counters and times, for Prometheus.") { try await exposition($0) },
        ]
    }

    /// For the body of `/readyz`.
    package var facts: JSON.Object {
        get async {
            let state = await house.state
            var facts = JSON.Object()
            facts["model"] = state.name.map { name in .string("\(name)@\(state.version ?? 0)") } ?? .null
            facts["state"] = .string(state.state.rawValue)
            if let reason = state.reason { facts["reason"] = .string(reason) }
            return facts
        }
    }

    private func models(_ http: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let caller = try await ports.identify(http.caller)
        _ = try await ports.gate.permit(caller.request(.modelsList, on: EntityID("Forge::Registry", "registry")))
        let items = await house.loaded.map { [$0.served.json] } ?? []
        return .json(["object": "list", "data": .array(items)] as JSON)
    }

    private func model(_ http: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let caller = try await ports.identify(http.caller)
        _ = try await ports.gate.permit(caller.request(.modelsList, on: EntityID("Forge::Registry", "registry")))
        let wanted = http.parameter("id")
        guard let model = await house.loaded, model.answers(to: wanted) else {
            throw Fault(.request, "model.not_found", "the model `\(wanted.prefix(80))` is not served here", why: "nothing of that name is loaded", remedy: "`GET /v1/models` lists what is served")
        }
        return .json(model.served.json)
    }

    private func exposition(_ http: HTTPRequest) async throws(Fault) -> HTTPResponse {
        // Counts only: whoever can be named may read them.
        _ = try await ports.identify(http.caller)
        let model = await house.loaded
        let text = metrics.text(
            model: model?.name ?? "", engine: model?.engine.counters.now, blockSize: model?.engine.blockSize ?? 0, blocks: model?.engine.blocks ?? 0)
        return .text(text, type: "text/plain; version=0.0.4; charset=utf-8")
    }

    private func loaded(_ http: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let caller = try await ports.identify(http.caller)
        _ = try await ports.gate.permit(caller.request(.modelsList, on: EntityID("Forge::Registry", "registry")))
        return try .json(await house.state)
    }

    private func load(_ http: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let caller = try await ports.identify(http.caller)
        let wanted = try http.decode(LoadRequest.self)
        guard (1...300).contains(wanted.model.utf8.count) else { throw Fault(.request, "invalid_value.model", "`model` cannot be used", why: "it is not a reference of at most 300 bytes") }
        let entity = EntityID("Forge::Model", wanted.model)
        let permit = try await ports.gate.permit(caller.request(.serveLoad, on: entity))
        return try await effect(.serveLoad, caller, entity, permit) { () throws(Fault) in _ = try await house.load(wanted.model) }
    }

    private func unload(_ http: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let caller = try await ports.identify(http.caller)
        guard let model = await house.loaded else { throw Fault(.request, "serve.no_model", "no model is loaded", why: "there is nothing to unload") }
        let permit = try await ports.gate.permit(caller.request(.serveUnload, on: model.entity, digest: model.digest, attributes: model.attributes))
        return try await effect(.serveUnload, caller, model.entity, permit) { () throws(Fault) in await house.unload() }
    }

    /// Does what was permitted, records how it went, and answers with the state.
    private func effect(
        _ action: AuditAction, _ caller: KnownCaller, _ entity: EntityID, _ permit: consuming Permit, _ body: () async throws(Fault) -> Void
    ) async throws(Fault) -> HTTPResponse {
        let request = permit.decision.request
        var failure: Fault?
        do throws(Fault) { try await body() } catch { failure = error }
        let model = await house.loaded
        let object = AuditEntry.Object(entity, version: model.map { String($0.version) }, digest: failure == nil ? model?.digest : nil)
        _ = try await ports.log.append(
            .outcome(action, failure.map { .failed(code: $0.code) } ?? .ok, request: request, who: caller.subject, object: object))
        if let failure { throw failure }
        return try .json(await house.state)
    }
}
