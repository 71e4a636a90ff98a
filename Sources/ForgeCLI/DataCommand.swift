internal import ArgumentParser
internal import ForgeCore
internal import TrainerAPI

struct DataCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data", abstract: "Documents that models are made from.", subcommands: [Add.self, List.self, Show.self])

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read a folder of documents in as a data set.",
            discussion: """
                forge data add ./documents --name policies
                Reads text, Markdown, HTML and roff (plain or gzip'd); other kinds are refused file by file, saying why. Near-duplicates are
                grouped and one of each is kept; a share of the groups is held out for scoring. Nothing that goes wrong with one
                file touches the others.
                """)
        @OptionGroup var global: Global
        @Argument(help: "A folder, or one file.") var path: String
        @Option(name: .long, help: "The data set's name: a-z 0-9 . _ -") var name: String
        @Option(name: .long, help: "How many in a thousand are held out for scoring.") var heldOutPermille: Int?
        @Flag(name: .long, help: "Replace personal data that was found by a mark of its kind.") var redact = false

        func run() async throws {
            let tree = try DocumentTree(path)
            let sent = DocumentSender.Sent()
            let client = TrainerClient(try global.http("trainer"))
            let talk = global.talk
            let bar = Task {
                var progress = Progress(talk)
                while !Task.isCancelled {
                    let share = tree.bytes > 0 ? Double(sent.count) / Double(tree.bytes) : 1
                    progress.update("reading \(tree.items.count) files", fraction: share, detail: ByteCount(sent.count).description)
                    try? await Task.sleep(for: .milliseconds(100))
                }
                progress.finish("sent \(tree.items.count) files, \(ByteCount(tree.bytes))")
            }
            let reply: IngestReply
            do {
                reply = try await client.ingest(name: name, heldOutPermille: heldOutPermille, redact: redact, pieces: DocumentSender(tree: tree, sent: sent))
            } catch {
                bar.cancel()
                await bar.value
                throw error
            }
            bar.cancel()
            await bar.value
            try DataCommand.show(reply.dataset, reply.report, global)
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "List data sets.")
        @OptionGroup var global: Global

        func run() async throws {
            try global.output.list(
                "DatasetList", try await TrainerClient(try global.http("trainer")).datasets(), name: \.name,
                columns: [
                    .init("NAME", \.name), .init("DIGEST") { $0.digest.short }, .init("DOCUMENTS", number: true) { Text.grouped($0.documents) },
                    .init("TEXT", number: true) { ByteCount($0.bytes).description }, .init("HELD OUT", number: true) { Text.grouped($0.heldout.documents) },
                    .init("ADDED BY", \.addedBy), .init("CREATED") { Timestamp(microseconds: $0.created).brief },
                ])
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show one data set and the report of how it was read in.")
        @OptionGroup var global: Global
        @Argument(help: "A name, a digest or an id.") var dataset: String
        @Flag(name: .long, help: "List each refused file with its reason.") var refused = false

        func run() async throws {
            let client = TrainerClient(try global.http("trainer"))
            let report = try await client.report(of: dataset)
            if refused {
                try global.output.list(
                    "RefusalList", report.refusals, name: \.path, columns: [.init("REASON", \.reason), .init("PATH", \.path), .init("WHY", \.why)])
                return
            }
            try DataCommand.show(try await client.dataset(dataset), report, global)
        }
    }

    // MARK: Shared by the verbs

    private struct Both: Encodable {
        let dataset: DatasetView
        let report: DatasetReport
    }

    private static func show(_ dataset: DatasetView, _ report: DatasetReport, _ global: Global) throws {
        func counts(_ table: [String: Int]) -> String { table.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ") }
        let personal = report.personal
        try global.output.show(
            "Dataset", Both(dataset: dataset, report: report), name: dataset.name,
            fields: [
                ("data set", dataset.name), ("digest", dataset.digest.description), ("record", String(dataset.record)),
                ("received", "\(report.received) files"), ("accepted", "\(report.accepted) (\(counts(report.kinds))), \(ByteCount(report.bytes)) of text"),
                ("refused", report.refused == 0 ? "none" : "\(report.refused) (\(counts(report.reasons)))"),
                ("duplicated", "\(report.duplicates.exact) exactly, \(report.duplicates.near) nearly; \(report.groups) groups, one of each kept"),
                ("training", "\(report.train.documents) documents, \(ByteCount(report.train.bytes))"),
                ("held out", "\(report.heldout.documents) documents, \(ByteCount(report.heldout.bytes))"),
                ("personal data", personal.documents == 0 ? "none found" : "in \(personal.documents) documents: \(counts(personal.found))\(personal.redacted ? "; redacted" : "")"),
            ])
    }
}
