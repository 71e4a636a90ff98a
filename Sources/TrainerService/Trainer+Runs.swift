import ForgeArtifact
import ForgeAudit
import ForgeAuthority
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeHTTP
import ForgeModel
import ForgeOS
import ForgeTokenizer
import ForgeTraining
import RegistryAPI
import TrainerAPI

extension Trainer {
    var runRoutes: [Route] {
        [
            Route(.post, "/v1/runs", deadline: .seconds(120), summary: "Submit a run") { [self] in try await submit($0) },
            Route(.get, "/v1/runs", summary: "All runs, newest first") { [self] in try await listRuns($0) },
            Route(.get, "/v1/runs/{id}", summary: "One run") { [self] in try .json(try await view(try await readRun($0))) },
            Route(.get, "/v1/runs/{id}/metrics", deadline: .seconds(90), yieldsToDrain: true, summary: "Its steps; waits for news if asked to") { [self] in try await readMetrics($0) },
            Route(.get, "/v1/runs/{id}/loss.svg", summary: "Its loss curve") { [self] in try await drawLoss($0) },
            Route(.post, "/v1/runs/{id}/cancel", deadline: .seconds(120), summary: "Stop it; it keeps its checkpoints") { [self] in try await cancelRun($0) },
            Route(.post, "/v1/runs/{id}/resume", summary: "Take a failed or cancelled run up where it stopped") { [self] in try await resumeRun($0) },
            Route(.post, "/v1/estimates", deadline: .seconds(120), summary: "What a run would need") { [self] in try await estimateRun($0) },
            Route(.get, "/v1/recipes", summary: "Recipes at hand") { [self] in try await listRecipes($0) },
        ]
    }

    private struct Plan: Sendable {
        let recipe: Recipe
        let model: String
        let datasets: [DatasetRecord]
        let base: RunRecord.Base?
        let estimate: RunEstimate
    }

    /// Everything that can be wrong with a submission is said here, before anything is kept.
    private func plan(_ submission: RunSubmission, for who: KnownCaller) async throws(Fault) -> Plan {
        guard submission.recipe.utf8.count <= 1 << 20 else { throw Fault(.request, "recipe.too_large", "cannot use the recipe", why: "it is larger than 1 MiB") }
        let recipe = try Recipe(parsing: Array(submission.recipe.utf8))
        if let template = recipe.chatTemplate, ChatTemplate(rawValue: template) == nil {
            throw Fault(
                .request, "recipe.template", "cannot use the recipe", why: "the chat template `\(template.prefix(64))` is not known",
                remedy: "use " + ChatTemplate.allCases.map { "`\($0.rawValue)`" }.joined(separator: ", ") + ", or leave `chat` out")
        }
        let model = submission.model ?? recipe.name
        guard Trainer.isName(model) else {
            throw Fault(
                .request, "run.model_name", "a model cannot be called `\(model.prefix(64))`", why: "a name has 1 to 64 small letters, digits, dots and hyphens and starts with a letter or digit",
                remedy: "name the model when you submit, or change the recipe's `name`")
        }
        guard (1...64).contains(submission.datasets.count) else {
            throw Fault(.request, "run.no_data", "a run needs data", why: "it names \(submission.datasets.count) data sets; 1 to 64 are allowed", remedy: "`forge data ls` shows what there is")
        }
        var datasets: [DatasetRecord] = []
        for reference in submission.datasets {
            let found = try await store.dataset(reference)
            guard !datasets.contains(where: { $0.view.digest == found.view.digest }) else {
                throw Fault(.request, "run.data_twice", "the data set `\(found.view.name)` is named twice", why: "its documents would count double", remedy: "name it once")
            }
            datasets.append(found)
        }
        // The order of naming plays no part in the model.
        datasets.sort { $0.view.digest < $1.view.digest }
        let bytes = datasets.reduce(0) { $0 + $1.view.train.bytes }, base = try await base(recipe, for: who)
        let estimate = try await estimator.estimate(recipe, from: base?.config, textBytes: bytes, directory: site.stateDirectory)
        return Plan(recipe: recipe, model: model, datasets: datasets, base: base?.base, estimate: estimate)
    }

    /// What the recipe starts from, as the registry has it; whoever submits must be allowed to read it.
    private func base(_ recipe: Recipe, for who: KnownCaller) async throws(Fault) -> (base: RunRecord.Base, config: MistralConfig)? {
        guard case .base(let reference) = recipe.start, let at = reference.firstIndex(of: "@") else { return nil }
        _ = try await permit(.modelRead, on: EntityID("Forge::Model", String(reference[..<at])), for: who)
        let loan = try await site.borrow(reference, for: .describe)
        let config: JSON
        do { config = try JSON.parse(try loan.bytes(.config)) } catch let fault as Fault { throw fault } catch {
            throw Fault(.request, "model.config", "cannot read `config.json` of `\(reference)`", why: "\(error)")
        }
        return (RunRecord.Base(name: loan.name, version: loan.version, digest: loan.digest), try MistralConfig(json: config))
    }

    private func submit(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let submission: RunSubmission = try request.decode()
        let who = try await visitor(request)
        let id = ID()
        guard let person = who.user else { throw Fault(.denied, "run.person", "a run is submitted by a person", why: "\(who.principal) is none", remedy: "sign in with `forge login`") }
        try site.disk.requireRoom(below: .alert, to: "take a new run", on: "trainer")
        var owner = JSON.Object()
        owner["owner"] = ["__entity": ["type": "Forge::User", "id": .string(person)]]
        let permit = try await permit(.runSubmit, on: EntityID("Forge::Run", id.description), attributes: owner, for: who)
        let decided = permit.record
        let record = try await carryOut(permit, for: who) { () async throws(Fault) in
            let plan = try await plan(submission, for: who)
            guard plan.estimate.obstacles.isEmpty else {
                throw Fault(
                    .request, "run.does_not_fit", "the run does not fit this machine", why: plan.estimate.obstacles.joined(separator: "; "), remedy: "make room, or use a smaller recipe")
            }
            let yaml = plan.recipe.yaml
            var record = RunRecord(
                id: id, model: plan.model, state: .queued, why: "submitted", submittedBy: person, recipe: yaml, recipeDigest: .sha256(yaml), seed: plan.recipe.seed, steps: plan.recipe.steps,
                datasets: plan.datasets.map { .init(id: $0.view.id, name: $0.view.name, digest: $0.view.digest) }, created: Trainer.now, submitted: decided)
            record.base = plan.base
            record.estimate = plan.estimate
            record.events = [.init(time: record.created, state: .queued, why: "submitted")]
            try await store.insert(record)
            let data: JSON.Object = [
                "model": .string(record.model), "recipe": .string(record.recipeDigest.description), "seed": .string(String(record.seed)),
                "datasets": .array(record.datasets.map { .string($0.digest.description) }),
            ]
            return (record, AuditEntry.Object(record.entity, digest: record.recipeDigest), data)
        }
        supervisor.nudge()
        return try .json(try await view(record), status: 201)
    }

    private func estimateRun(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let submission: RunSubmission = try request.decode()
        let who = try await visitor(request)
        _ = try await permit(.runRead, on: EntityID("Forge::Run", "*"), for: who)
        return try .json(try await plan(submission, for: who).estimate)
    }

    private func view(_ record: RunRecord) async throws(Fault) -> RunView { record.view(try await store.progress(of: record.id)) }

    private func listRuns(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let who = try await visitor(request)
        _ = try await permit(.runRead, on: EntityID("Forge::Run", "*"), for: who)
        var views: [RunView] = []
        for record in await store.allRuns() { views.append(try await view(record)) }
        return try .json(RunViews(runs: views))
    }

    private func readRun(_ request: HTTPRequest) async throws(Fault) -> RunRecord {
        let who = try await visitor(request)
        let record = try await store.run(request.parameter("id"))
        _ = try await permit(.runRead, on: record.entity, attributes: record.attributes, for: who)
        return record
    }

    private func readMetrics(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        try request.allowQuery("after", "wait")
        let after = try request.queryInt("after", default: 0, in: 0...Int(Int32.max)), wait = try request.queryInt("wait", default: 0, in: 0...60)
        var record = try await readRun(request)
        let deadline = ContinuousClock.now + .seconds(wait)
        var version = await store.version(of: record.id)
        record = try await store.run(record.id.description)
        var all = try await store.metrics(of: record.id)
        while all.last.map({ $0.step <= after }) ?? true, !record.state.isOver, ContinuousClock.now < deadline {
            let id = record.id, seen = version
            await withTaskGroup(of: Void.self) { [store] group in
                group.addTask { await store.change(of: id, since: seen) }
                group.addTask { try? await Task.sleep(until: deadline) }
                await group.next()
                group.cancelAll()
            }
            if Task.isCancelled { break }
            version = await store.version(of: id)
            record = try await store.run(id.description)
            all = try await store.metrics(of: id)
        }
        return try .json(
            MetricsPage(run: record.id, state: record.state, steps: record.steps, metrics: all.filter { $0.step > after }, sparkline: LossCurve.means(all.map(\.loss), count: 60)))
    }

    private func drawLoss(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let record = try await readRun(request)
        let svg = LossCurve(title: "\(record.model), run \(record.id.description.prefix(8))", steps: record.steps, points: try await store.metrics(of: record.id).map { ($0.step, $0.loss) }).svg
        return .bytes(Array(svg.utf8), type: "image/svg+xml")
    }

    private func cancelRun(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let who = try await visitor(request)
        let record = try await store.run(request.parameter("id"))
        let permit = try await permit(.runCancel, on: record.entity, attributes: record.attributes, for: who)
        let after = try await carryOut(permit, for: who) { () async throws(Fault) in
            guard !record.state.isOver else { throw Fault(.request, "run.over", "the run is over already", why: "it is \(record.state.rawValue)") }
            try await supervisor.cancel(record.id, by: who.principal.description)
            return (try await store.run(record.id.description), AuditEntry.Object(record.entity), .init())
        }
        return try .json(try await view(after))
    }

    private func resumeRun(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let who = try await visitor(request)
        let record = try await store.run(request.parameter("id"))
        let permit = try await permit(.runResume, on: record.entity, attributes: record.attributes, for: who)
        let after = try await carryOut(permit, for: who) { () async throws(Fault) in
            guard RunRecord.mayGo(record.state, .queued), record.state.isOver || record.state == .paused else {
                throw Fault(.request, "run.not_stopped", "the run cannot be resumed", why: "it is \(record.state.rawValue)", remedy: "only failed, cancelled and paused runs can")
            }
            let now = Trainer.now
            let after = try await store.update(record.id) { run in
                run.fruitless = 0
                if run.state.isOver || run.state == .paused { run.go(.queued, "resumed by \(who.principal.description)", at: now) }
            }
            return (after, AuditEntry.Object(record.entity), .init())
        }
        supervisor.nudge()
        return try .json(try await view(after))
    }

    private func listRecipes(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let who = try await visitor(request)
        _ = try await permit(.recipeRead, on: EntityID("Forge::Registry", "registry"), for: who)
        return try .json(RecipeViews(recipes: try RecipeShelf.list(site.recipesDirectory)))
    }
}
