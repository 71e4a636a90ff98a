internal import ArgumentParser
internal import ForgeAudit
internal import ForgeCore
internal import ForgeGate
internal import ForgeOS
internal import RegistryAPI

struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "Read the log of everything that was decided and done, and prove that nobody changed it.",
        subcommands: [Tail.self, Query.self, Verify.self, Proof.self, Export.self])

    struct Tail: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show the latest records.")
        @OptionGroup var global: Global
        @Option(name: [.customShort("n"), .long], help: "How many.") var count: Int = 20

        func run() async throws {
            let registry = try global.registry()
            let size = try await registry.status().records
            let from = size > UInt64(clamping: count) ? size - UInt64(clamping: count) : 0
            try AuditCommand.show(try await registry.records(RecordQuery(from: from, limit: min(max(count, 1), RecordQuery.limitMax))).records, global)
        }
    }

    struct Query: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Look records up by who, what, on what, and how it was decided.",
            discussion: "forge audit query --who dana --decision deny\nforge audit query --action model.promote -o jsonl")
        @OptionGroup var global: Global
        @Option(name: .long, help: "An action, such as model.promote.") var action: String?
        @Option(name: .long, help: "A person, daemon or application.") var who: String?
        @Option(name: .long, help: "A resource's type, such as Model.") var type: String?
        @Option(name: .long, help: "A resource's id.") var object: String?
        @Option(name: .long, help: "allow, deny or needs_approval.") var decision: String?
        @Option(name: .long, help: "The first record to look at.") var from: UInt64 = 0
        @Option(name: .long, help: "At most this many.") var limit: Int = 100

        func run() async throws {
            let registry = try global.registry()
            var query = RecordQuery(
                from: from, limit: min(max(limit, 1), RecordQuery.limitMax), action: action, who: who, objectType: type.map { "Forge::\($0)" }, objectID: object, decision: decision)
            var found: [AuditRecord] = []
            while found.count < limit {
                let page = try await registry.records(query)
                found += page.records
                guard let next = page.next else { break }
                query.from = next
            }
            try AuditCommand.show(Array(found.prefix(limit)), global)
        }
    }

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have the registry read its whole log again.",
            discussion: "For a check that trusts nothing here: `forge audit export DIR`, then `forge-verify DIR` on any machine, or docs/examples/verify.py.")
        @OptionGroup var global: Global

        func run() async throws {
            let report = try await global.registry().verify()
            print(report.text)
            if report["ok"]?.bool == false { throw ExitCodes.checkFailed }
        }
    }

    struct Proof: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print the proof that one record is in the log: one text file, checkable offline.")
        @OptionGroup var global: Global
        @Argument(help: "The record's index.") var index: UInt64

        func run() async throws { print(try await global.registry().proof(of: index).description, terminator: "") }
    }

    struct Export: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Write the whole log as a folder that any C2SP tool, forge-verify or verify.py can check.")
        @OptionGroup var global: Global
        @Argument(help: "A folder that does not exist yet.") var directory: String

        func run() async throws {
            let count = try await global.registry().exportArchive(to: try Path.absolute(directory))
            global.talk.say("\(count) files in \(directory)")
        }
    }

    // MARK: Shared by the verbs

    private static func show(_ records: [AuditRecord], _ global: Global) throws {
        switch global.format {
        case .jsonl: for record in records { print(String(decoding: record.bytes, as: UTF8.self)) }
        case .json: print("[" + records.map { String(decoding: $0.bytes, as: UTF8.self) }.joined(separator: ",\n ") + "]")
        case .name: for record in records { print(record.index) }
        case .table:
            var rows = records.map { record -> [String] in
                let entry = record.entry
                let outcome: String
                switch (entry.decision, entry.outcome) {
                case (.some(let decision), _): outcome = decision.rawValue
                case (_, .some(.ok)): outcome = "ok"
                case (_, .some(.failed(let code))): outcome = "failed \(code)"
                case (_, .some(.unknown(let code))): outcome = "unknown \(code)"
                case (nil, nil): outcome = ""
                }
                return [
                    String(record.index), Timestamp(microseconds: record.stamp.time).brief, entry.who.principal?.entity.id ?? "nobody", entry.action.rawValue,
                    entry.phase.rawValue, entry.object.map { "\($0.id)\($0.version.map { "@\($0)" } ?? "")" } ?? "", outcome, entry.policy?.rules.joined(separator: " ") ?? "",
                ]
            }
            if global.output.hasHeaders { rows.insert(["RECORD", "TIME", "WHO", "ACTION", "PHASE", "ON", "RESULT", "POLICIES"], at: 0) }
            for line in Table.lines(rows, numbers: [true, false, false, false, false, false, false, false]) { print(line) }
        }
    }
}
