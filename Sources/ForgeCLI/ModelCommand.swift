internal import ArgumentParser
internal import ForgeArtifact
internal import ForgeCore
internal import ForgeOS
internal import RegistryAPI

struct ModelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model", abstract: "Models in the registry: where they come from, and which one is in production.",
        subcommands: [List.self, Show.self, Inspect.self, Import.self, Export.self, LineageCommand.self, Promote.self, Rollback.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "List models and their versions.")
        @OptionGroup var global: Global
        @Argument(help: "Only the versions of this model.") var name: String?

        func run() async throws {
            let registry = try global.registry()
            let models: [ModelView]
            if let name { models = try await registry.models(named: name) } else { models = try await registry.models() }
            try global.output.list(
                "ModelList", models, name: { "\($0.name)@\($0.version)" },
                columns: [
                    .init("MODEL") { "\($0.name)@\($0.version)" }, .init("DIGEST") { $0.digest.short }, .init("SIZE", number: true) { $0.bytes.description },
                    .init("BITS/BYTE", number: true) { ModelCommand.heldout($0) }, .init("ALIASES") { $0.aliases.joined(separator: ", ") },
                    .init("TRAINED BY", \.trainedBy), .init("CREATED") { Timestamp(microseconds: $0.created).brief },
                ])
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show one version; `--signature DIR` writes what PyPI's model-signing verifies.")
        @OptionGroup var global: Global
        @Argument(help: "name@version or name@alias.") var model: String
        @Option(name: .long, help: "A folder to write model.sig and provenance.sig into.") var signature: String?

        func run() async throws {
            let (name, version) = try ModelCommand.split(model)
            let registry = try global.registry()
            let view = try await registry.model(name, version)
            if let signature {
                try Durable.makeDirectory(try Path.absolute(signature), mode: 0o755)
                try Durable.replace(Path.join(signature, "model.sig"), with: try await registry.manifest(name, version).bundle, mode: 0o644)
                try Durable.replace(Path.join(signature, "provenance.sig"), with: try await registry.provenance(name, version).bundle, mode: 0o644)
            }
            try ModelCommand.show(view, global)
        }
    }

    struct LineageCommand: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "lineage", abstract: "Show what a version was made from and what happened to it, record by record.")
        @OptionGroup var global: Global
        @Argument(help: "name@version or name@alias.") var model: String

        func run() async throws {
            let (name, version) = try ModelCommand.split(model)
            let lineage = try await global.registry().lineage(name, version)
            try global.output.show(
                "Lineage", lineage, name: "\(lineage.name)@\(lineage.version)",
                fields: [
                    ("model", "\(lineage.name)@\(lineage.version)"), ("digest", lineage.digest.description), ("run", lineage.run ?? "none"),
                    ("recipe", lineage.recipe?.description ?? "none"), ("made from", lineage.sources.map { "\($0.name) \($0.digest)" }.joined(separator: "\n")),
                    ("history", lineage.steps.map { "record \($0.record)  \($0.what)  \($0.detail)" }.joined(separator: "\n")),
                ])
        }
    }

    struct Promote: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put a version into production, once it has a held-out report and the votes it needs.",
            discussion: """
                forge model promote policies@2 --reason "scores better on the handbook"
                The first call files a request and ends with exit code 8. When the votes are there, the same call carries it out.
                """)
        @OptionGroup var global: Global
        @Argument(help: "name@version.") var model: String
        @Option(name: .long, help: "Why; the voters read it.") var reason: String

        func run() async throws {
            let reply = try await global.registry().promote(model, AliasRequest(reason: reason))
            global.talk.say("\(reply.name)@\(reply.to) is in production\(reply.from.map { " in place of version \($0)" } ?? "") (audit record \(reply.record))")
        }
    }

    struct Rollback: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Bring the version back that was in production before.")
        @OptionGroup var global: Global
        @Argument(help: "The model's name.") var name: String
        @Option(name: .long, help: "Why; stands on record.") var reason: String

        func run() async throws {
            let reply = try await global.registry().rollback(name, AliasRequest(reason: reason))
            global.talk.say("\(reply.name)@\(reply.to) is in production again\(reply.from.map { "; version \($0) is not" } ?? "") (audit record \(reply.record))")
        }
    }

    // MARK: Shared by the verbs

    static func split(_ reference: String) throws(Fault) -> (name: String, version: String) {
        let parts = reference.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count == 2, ModelReference.isName(parts[0]), !parts[1].isEmpty else {
            throw Fault(.request, "model.reference", "`\(reference)` is not a model", why: "a model is written name@version or name@alias", remedy: "`forge model ls` lists them")
        }
        return (String(parts[0]), String(parts[1]))
    }

    static func show(_ view: ModelView, _ global: Global) throws {
        let scores = view.evaluations.map { score in
            let baseline = score.baselineMicrobitsPerByte.map { ", \(score.suite == EvaluationRequest.importing ? "other reading" : "5-gram baseline") \(ModelCommand.bits($0))" } ?? ""
            return "\(score.suite): \(ModelCommand.bits(score.microbitsPerByte)) bits per byte\(baseline) (record \(score.record))"
        }
        try global.output.show(
            "Model", view, name: "\(view.name)@\(view.version)",
            fields: [
                ("model", "\(view.name)@\(view.version)"), ("digest", view.digest.description), ("aliases", view.aliases.isEmpty ? "none" : view.aliases.joined(separator: ", ")),
                (view.run == nil ? "brought in by" : "trained by", view.trainedBy), ("run", view.run ?? "none"), ("created", Timestamp(microseconds: view.created).brief), ("record", String(view.record)),
                ("files", view.files.map { "\($0.digest.short)  \($0.name)  \(ByteCount($0.bytes))" }.joined(separator: "\n")),
                ("scores", scores.isEmpty ? "none" : scores.joined(separator: "\n")), ("quarantine", view.quarantined ? "until `forge eval \(view.name)@\(view.version) --import`" : "no"),
            ])
    }

    /// One of several words, or nil where none was given.
    static func chosen<Choice: RawRepresentable & CaseIterable>(_ text: String?, _ option: String) throws(Fault) -> Choice? where Choice.RawValue == String {
        guard let text else { return nil }
        guard let choice = Choice(rawValue: text) else {
            throw Fault(.request, "cli.choice", "`\(option) \(text.prefix(60))` is not known", why: "it is one of \(Choice.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return choice
    }

    static func bits(_ micro: Int64) -> String { Text.decimal(Double(micro) / 1_000_000, 4) }

    private static func heldout(_ model: ModelView) -> String { model.evaluations.first { $0.suite == "heldout" }.map { bits($0.microbitsPerByte) } ?? "–" }
}
