internal import ArgumentParser
internal import ForgeCore
internal import ForgeOS
internal import TrainerAPI

struct RecipeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recipe", abstract: "Recipes: what to train and how.", subcommands: [List.self, Show.self, Check.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "List the recipes of this appliance.")
        @OptionGroup var global: Global

        func run() async throws {
            let recipes = try await TrainerClient(try global.http("trainer")).recipes()
            if recipes.isEmpty { global.talk.say("no recipes are here: `recipes:` in the trainer's configuration names their directory") }
            try global.output.list("RecipeList", recipes, name: \.name, columns: [.init("NAME", \.name), .init("DIGEST") { $0.digest.short }, .init("FOR", \.about)])
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print a recipe, to keep, change and hand to `forge train`.")
        @OptionGroup var global: Global
        @Argument(help: "The recipe's name.") var name: String

        func run() async throws { print(try await RecipeCommand.text(name, global), terminator: "") }
    }

    struct Check: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Find mistakes in a recipe before a machine does, and say what it would need.",
            discussion: "forge recipe check my.yaml --data policies")
        @OptionGroup var global: Global
        @Argument(help: "A recipe file, or the name of one that is here.") var recipe: String
        @Option(name: .long, help: "The data set it would be trained on.") var data: [String]

        func run() async throws {
            let estimate = try await TrainerClient(try global.http("trainer")).estimate(
                RunSubmission(recipe: try await RecipeCommand.text(recipe, global), datasets: data))
            try RecipeCommand.show(estimate, global)
            if !estimate.obstacles.isEmpty { throw ExitCodes.checkFailed }
        }
    }

    /// A file if there is one of that name, else a recipe of the appliance.
    static func text(_ reference: String, _ global: Global) async throws -> String {
        if reference.contains("/") || reference.hasSuffix(".yaml") || reference.hasSuffix(".yml") {
            let bytes = try File(try Path.absolute(reference), .read).readAll(limit: .mib(1))
            guard let text = String(validating: bytes, as: UTF8.self) else { throw Fault(.request, "recipe.encoding", "cannot read `\(reference)`", why: "it is not UTF-8 text") }
            return text
        }
        let recipes = try await TrainerClient(try global.http("trainer")).recipes()
        guard let recipe = recipes.first(where: { $0.name == reference }) else {
            throw Fault(.request, "recipe.unknown", "there is no recipe `\(reference)`", why: "here are \(recipes.map { "`\($0.name)`" }.joined(separator: ", "))", remedy: "name one of them, or a file that ends in .yaml")
        }
        return recipe.yaml
    }

    static func show(_ estimate: RunEstimate, _ global: Global) throws {
        try global.output.show(
            "RunEstimate", estimate, name: estimate.obstacles.isEmpty ? "fits" : "does not fit",
            fields: [
                ("parameters", Text.grouped(estimate.parameters)), ("tokens to see", Text.grouped(estimate.tokens)),
                ("time", "about \(Text.duration(seconds: estimate.seconds))"), ("memory", "\(estimate.memory) of \(estimate.memoryFree) free"),
                ("disk", "\(estimate.disk) of \(estimate.diskFree) free"), ("obstacles", estimate.obstacles.isEmpty ? "none" : estimate.obstacles.joined(separator: "\n")),
            ])
    }
}

struct Train: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Train a model.",
        discussion: """
            forge train small --data policies
            forge train my.yaml --data policies --data handbook --name policies --detach
            Shows the run until it is over; interrupting the command leaves the run alone (`forge run watch`, `forge run cancel`).
            """)

    @OptionGroup var global: Global
    @Argument(help: "A recipe file, or the name of one that is here.") var recipe: String
    @Option(name: .long, help: "A data set; may be given several times.") var data: [String]
    @Option(name: .long, help: "The model's name in the registry; the recipe's when left out.") var name: String?
    @Flag(name: .long, help: "Do not wait for the end.") var detach = false

    func run() async throws {
        let client = TrainerClient(try global.http("trainer"))
        let run = try await client.submit(RunSubmission(recipe: try await RecipeCommand.text(recipe, global), datasets: data, model: name))
        if let estimate = run.estimate {
            global.talk.say(
                "run \(run.id): \(Text.grouped(estimate.parameters)) parameters, \(Text.grouped(estimate.tokens)) tokens, about \(Text.duration(seconds: estimate.seconds)), \(estimate.memory) of memory")
        }
        if detach {
            try RunCommand.show(run, global)
            return
        }
        try RunCommand.show(try await RunWatcher(client: client, talk: global.talk).watch(run.id.description), global)
    }
}

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Runs: what is training, what has, and how it went.",
        subcommands: [List.self, Show.self, Watch.self, Cancel.self, Resume.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "List runs, newest first.")
        @OptionGroup var global: Global

        func run() async throws {
            try global.output.list(
                "RunList", try await TrainerClient(try global.http("trainer")).runs(), name: { $0.id.description },
                columns: [
                    .init("RUN") { String($0.id.description.prefix(12)) }, .init("MODEL", \.model), .init("STATE") { $0.state.rawValue },
                    .init("STEP", number: true) { "\($0.progress?.step ?? 0)/\($0.steps)" },
                    .init("LOSS", number: true) { $0.progress.map { Text.decimal($0.loss, 4) } ?? "–" }, .init("BY", \.submittedBy),
                    .init("CREATED") { Timestamp(microseconds: $0.created).brief },
                ])
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show one run; `--curve FILE` writes its loss curve as SVG.")
        @OptionGroup var global: Global
        @Argument(help: "A run's id, or enough of its first digits.") var run: String
        @Option(name: .long, help: "A file for the loss curve.") var curve: String?

        func run() async throws {
            let client = TrainerClient(try global.http("trainer"))
            if let curve { try Durable.replace(try Path.absolute(curve), with: try await client.lossCurve(of: run), mode: 0o644) }
            let page = try await client.metrics(of: run, after: Int(Int32.max))
            if global.format == .table, !page.sparkline.isEmpty { global.talk.say("loss \(Sparkline.draw(page.sparkline, width: 60))") }
            try RunCommand.show(try await client.run(run), global)
        }
    }

    struct Watch: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Follow a run until it is over.")
        @OptionGroup var global: Global
        @Argument(help: "A run's id, or enough of its first digits.") var run: String

        func run() async throws {
            let client = TrainerClient(try global.http("trainer"))
            try RunCommand.show(try await RunWatcher(client: client, talk: global.talk).watch(run), global)
        }
    }

    struct Cancel: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Stop a run for good.")
        @OptionGroup var global: Global
        @Argument(help: "A run's id, or enough of its first digits.") var run: String

        func run() async throws {
            let run = try await TrainerClient(try global.http("trainer")).cancel(run)
            global.talk.say("run \(run.id) is \(run.state.rawValue)")
        }
    }

    struct Resume: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Take a failed or cancelled run up where its last checkpoint stands.")
        @OptionGroup var global: Global
        @Argument(help: "A run's id, or enough of its first digits.") var run: String

        func run() async throws {
            let run = try await TrainerClient(try global.http("trainer")).resume(run)
            global.talk.say("run \(run.id) is \(run.state.rawValue)")
        }
    }

    static func show(_ run: RunView, _ global: Global) throws {
        var fields: [(String, String)] = [
            ("run", run.id.description), ("model", run.result.map { "\($0.name)@\($0.version) \($0.digest)" } ?? run.model),
            ("state", run.why.isEmpty ? run.state.rawValue : "\(run.state.rawValue): \(run.why)"),
            ("recipe", "\(run.recipe), seed \(run.seed)"), ("data", run.datasets.map { "\($0.name) \($0.digest)" }.joined(separator: "\n")),
            ("by", "\(run.submittedBy), audit record \(run.record)"), ("workers started", String(run.attempts)),
        ]
        if let progress = run.progress {
            fields.append(("progress", "step \(progress.step) of \(run.steps), loss \(Text.decimal(progress.loss, 4)), \(Text.grouped(Int(progress.tokensPerSecond))) tokens/s, \(Text.percent(progress.shareOfPeak)) of the machine's peak"))
        }
        fields.append(("history", run.events.map { "\(Timestamp(microseconds: $0.time).brief)  \($0.state.rawValue)\($0.why.isEmpty ? "" : ": \($0.why)")" }.joined(separator: "\n")))
        try global.output.show("Run", run, name: run.id.description, fields: fields)
    }
}

/// Draws a run while it goes on.
struct RunWatcher: Sendable {
    let client: TrainerClient
    let talk: Talk

    /// - Returns: the run once it is over.
    /// - Throws: `.environment` when it failed, with the reason the run gives.
    func watch(_ reference: String) async throws -> RunView {
        var progress = Progress(talk)
        // Every look is on record, so the daemon is asked for the step about a second ahead, not for each one. It answers at the end in any case.
        var seen = 0, after = 0
        var state: RunState?
        while true {
            let page: MetricsPage
            do throws(Fault) { page = try await client.metrics(of: reference, after: after, wait: .seconds(2)) } catch {
                // The daemon may be restarting; the run outlives it.
                guard error.code == "daemon.unreachable" else { throw error }
                progress.update("waiting for forged", fraction: nil, detail: error.why)
                try await Task.sleep(for: .seconds(1))
                continue
            }
            if page.state != state {
                state = page.state
                if page.state != .running { progress.update(page.state.rawValue, fraction: nil, detail: "") }
            }
            after = seen
            if let last = page.metrics.last {
                seen = last.step
                let ahead = last.secondsLeft > 0 ? Double(page.steps - last.step) / last.secondsLeft : 0
                after = seen + Int(min(ahead, Double(max(page.steps - seen - 1, 0))))
                progress.update(
                    "training", fraction: Double(last.step) / Double(max(page.steps, 1)),
                    detail:
                        "step \(last.step)/\(page.steps)  \(RunWatcher.headline(last))  \(Text.grouped(Int(last.tokensPerSecond))) tok/s  \(Text.percent(last.shareOfPeak)) of peak  \(Text.duration(seconds: last.secondsLeft)) left")
            }
            guard page.state.isOver else { continue }
            let run = try await client.run(reference)
            if !page.sparkline.isEmpty { progress.finish("loss \(Sparkline.draw(page.sparkline, width: 60))") }
            if run.state == .failed {
                throw Fault(.environment, "run.failed", "run \(run.id) failed", why: run.why, remedy: "`forge run resume \(run.id)` takes it up at its last checkpoint")
            }
            return run
        }
    }
}

extension RunWatcher {
    /// What a method is about: the reward where it learns from one, else the loss.
    static func headline(_ metric: RunMetric) -> String {
        metric.measures?["reward"].map { "reward \(Text.decimal($0, 3))" } ?? "loss \(Text.decimal(metric.loss, 3))"
    }
}

struct Eval: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Score a model on what it never saw: documents in bits per byte, against a byte-level 5-gram model; tasks by what its answers earn.",
        discussion: """
            forge eval policies@1
            The report is signed into the registry; promotion asks for it. What answers to tasks earn is in the report and in the audit log.
            forge eval quant@2 --data held-out-tasks
            forge eval brought-in@1 --import
            Scores the fixed text on which imported models are measured, and ends their quarantine.
            """)
    @OptionGroup var global: Global
    @Argument(help: "name@version or name@alias.") var model: String
    @Option(name: .long, help: "A data set; the one the model was trained on when left out.") var data: String?
    @Flag(name: .customLong("import"), help: "Score the fixed text for models that were brought in.") var importing = false

    func run() async throws {
        global.talk.say("scoring `\(model)` on \(importing ? "the fixed text for imported models" : "held-out documents")")
        let report = try await TrainerClient(try global.http("trainer")).evaluate(EvaluationOrder(model: model, dataset: data, importing: importing ? true : nil))
        try global.output.show(
            "Evaluation", report, name: report.model,
            fields: [("model", "\(report.model) \(report.modelDigest)")]
                + (report.microbitsPerByte == nil ? [] : [(importing ? "fixed text" : "held out", "\(report.documents) documents, \(ByteCount(report.bytes))")])
                + Eval.comparison(report) + Eval.answers(report) + (report.record.map { [("record", String($0))] } ?? []))
    }

    private static func answers(_ report: EvaluationReport) -> [(String, String)] {
        guard let tasks = report.tasks else { return [] }
        return [("tasks", "\(tasks.right) of \(tasks.count) right (\(Text.percent(Double(tasks.right) / Double(max(tasks.count, 1))))), mean reward \(Text.decimal(tasks.reward, 3))")]
    }

    private static func comparison(_ report: EvaluationReport) -> [(String, String)] {
        guard let score = report.microbitsPerByte else { return [] }
        guard let baseline = report.baselineMicrobitsPerByte else { return [("bits per byte", ModelCommand.bits(score))] }
        let gain = 1 - Double(score) / Double(max(baseline, 1))
        return [("bits per byte", ModelCommand.bits(score)), ("baseline", "\(ModelCommand.bits(baseline)) (\(report.baseline ?? ""))"), ("better by", Text.percent(gain))]
    }
}
