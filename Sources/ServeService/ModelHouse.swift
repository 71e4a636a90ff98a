package import ForgeCore
import ForgeInference
package import ServeAPI

/// Which model answers, and how it comes and goes: loading, following an alias, swapping without a dropped request, dropping when the lease ends.
package actor ModelHouse {
    private let source: any ModelSource
    private let settings: EngineSettings
    /// Notes what to load after a restart; nil forgets it.
    private let remember: @Sendable (String?) -> Void

    private var current: LoadedModel?
    private var wanted: String?
    private var isLoading = false
    /// Loads that wait for the one under way, at most `turnsMax`.
    private var turns: [CheckedContinuation<Void, Never>] = []
    private static let turnsMax = 4
    private var isDraining = false
    /// Somebody wanted nothing loaded; only a load ends that.
    private var wasUnloaded = false
    private var reason: String?

    package init(source: any ModelSource, settings: EngineSettings, wanted: String? = nil, remember: @escaping @Sendable (String?) -> Void = { _ in }) {
        self.source = source
        self.settings = settings
        self.wanted = wanted
        self.remember = remember
    }

    package var state: LoadedState {
        LoadedState(
            state: isDraining ? .draining : isLoading && current == nil ? .loading : current == nil ? .empty : .ready, reference: wanted, name: current?.name,
            version: current?.version, digest: current?.digest, backend: current?.backend, reason: current == nil ? reason : nil)
    }

    package var loaded: LoadedModel? { current }

    /// The model a caller means.
    /// - Throws: `model.not_found` (404) for a name that is not served; `.environment`, worth trying again, when nothing is loaded.
    package func model(named wanted: String) throws(Fault) -> LoadedModel {
        guard !isDraining else {
            throw Fault(.environment, "serve.draining", "no new requests are taken", why: "the server is going down", remedy: "try again in a moment", retryable: true)
        }
        guard let current else {
            throw Fault(
                .environment, "serve.no_model", "no model is loaded", why: reason ?? "none was asked for yet", remedy: "an operator loads one with `forge model promote` or `POST /v1/load`",
                retryable: true)
        }
        guard current.answers(to: wanted) else {
            throw Fault(.request, "model.not_found", "the model `\(wanted.prefix(80))` is not served here", why: "`\(current.name)` is", remedy: "`GET /v1/models` lists what is served")
        }
        return current
    }

    /// Loads a model and answers with it from then on. Requests under way finish on the model they began with.
    package func load(_ reference: String) async throws(Fault) -> LoadedModel {
        try await takeTurn()
        defer { endTurn() }
        // Much may have happened while this one waited.
        guard !isDraining else { throw Fault(.environment, "serve.draining", "no model is loaded now", why: "the server is going down", retryable: true) }
        let model = try await make(reference)
        // Others may have asked for state meanwhile; nobody else loads (isLoading), and a drain may have begun.
        guard !isDraining else {
            model.lease.close()
            throw Fault(.environment, "serve.draining", "no model is loaded now", why: "the server is going down", retryable: true)
        }
        wanted = reference
        wasUnloaded = false
        remember(reference)
        let former = current
        current = model
        reason = nil
        watch(model)
        if let former { retire(former) }
        return model
    }

    /// One load at a time: an operator who loads what was promoted a moment ago may meet the daemon doing the same.
    private func takeTurn() async throws(Fault) {
        guard isLoading else {
            isLoading = true
            return
        }
        guard turns.count < ModelHouse.turnsMax else {
            throw Fault(.environment, "serve.busy", "models are being loaded already", why: "\(turns.count) loads wait for the one under way", remedy: "try again in a moment", retryable: true)
        }
        await withCheckedContinuation { turns.append($0) }
    }

    /// Whoever waits takes over; `isLoading` stays true in between, so nobody comes in from the side.
    private func endTurn() {
        if turns.isEmpty { isLoading = false } else { turns.removeFirst().resume() }
    }

    private func make(_ reference: String) async throws(Fault) -> LoadedModel {
        let handed = try await source.obtain(reference)
        let settings = settings
        do throws(Fault) {
            return try await offPool("forge-load") { () throws(Fault) in try LoadedModel(handed, settings) }
        } catch {
            handed.lease.close()
            throw error
        }
    }

    /// Stops answering with the model, for good: it is not loaded again until somebody asks.
    package func unload() async {
        wanted = nil
        wasUnloaded = true
        remember(nil)
        reason = "it was unloaded"
        if let former = current {
            current = nil
            retire(former)
        }
    }

    /// The lease of `model` has ended: answers under way end now, and its memory is given back.
    private func drop(_ model: LoadedModel, _ word: String) async {
        await model.engine.cut()
        await model.engine.drain()
        model.lease.close()
        guard current === model else { return }
        current = nil
        reason = word == "sealed" ? "the registry was sealed, and the weights were dropped" : "the registry took the weights back (`\(word)`)"
    }

    private func watch(_ model: LoadedModel) {
        // Lives as long as the lease, which this house closes at the latest when it goes.
        Task { [weak self] in
            let word = await model.lease.ended()
            await self?.drop(model, word)
        }
    }

    private func retire(_ model: LoadedModel) {
        // Lives as long as the longest answer under way on that model.
        Task {
            await model.engine.drain()
            model.lease.close()
        }
    }

    /// Keeps what is wanted loaded: after a start, after an unseal, and when the alias moves. Runs until it is cancelled.
    ///
    /// Looking leaves a decision on record, so it looks only when the registry's state has changed, and not more often than `pause`.
    package func follow(every pause: Duration = .seconds(2)) async {
        var seen: UInt64?
        var looked = ContinuousClock.now
        while !Task.isCancelled {
            // What should be there and is not is tried again now and then, whether or not the registry moved.
            let isOverdue = wanted != nil && current == nil && looked.duration(to: .now) > .seconds(15)
            if let mark = try? await source.mark(), mark != seen || isOverdue {
                looked = .now
                await look()
                // What looking itself recorded is no news.
                seen = (try? await source.mark()) ?? mark
            }
            guard (try? await Task.sleep(for: pause)) != nil else { return }
        }
    }

    /// One look at what the wanted reference names now; where nothing is wanted, at what is promoted.
    package func look() async {
        guard !isLoading, !isDraining, !wasUnloaded else { return }
        do throws(Fault) {
            guard let reference = try await target() else { return }
            let digest = try await source.resolve(reference)
            // While asking, somebody may have loaded or unloaded something.
            guard wanted == nil || wanted == reference, !isLoading, !isDraining, !wasUnloaded, digest == nil || current?.digest != digest else { return }
            guard digest != nil else {
                if current == nil { reason = "`\(reference)` names no model" }
                return
            }
            _ = try await load(reference)
        } catch {
            if current == nil { reason = error.message }
        }
    }

    private func target() async throws(Fault) -> String? {
        if let wanted { return wanted }
        return try await source.promoted()
    }

    /// No new requests from here on; returns when those under way have ended, at the latest after `grace`, when they are cut.
    package func drain(within grace: Duration) async {
        isDraining = true
        guard let model = current else { return }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await model.engine.drain() }
            group.addTask {
                guard (try? await Task.sleep(for: grace)) != nil else { return }
                await model.engine.cut()
            }
            await group.next()
            group.cancelAll()
        }
        await model.engine.drain()
        model.lease.close()
    }
}
