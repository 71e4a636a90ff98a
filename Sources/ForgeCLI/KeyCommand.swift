internal import AdminAPI
internal import ArgumentParser
internal import ForgeCore
internal import ForgeOS

struct KeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key", abstract: "Keys with which applications call forge-serve.", subcommands: [Create.self, List.self, Revoke.self])

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a key for an application.",
            discussion: "forge key create crm --days 90 --file crm.key\nThe key is written once, to a new file or the terminal; only its digest is kept.")
        @OptionGroup var global: Global
        @Argument(help: "The application's name.") var app: String
        @Option(name: .long, help: "How many days it is valid, 1 to 365.") var days: Int = 90
        @Option(name: .long, help: "A new file for the key, readable by you alone. Without it the terminal shows it once.") var file: String?
        @Option(name: .long, help: "Why; stands on record.") var reason: String?

        func run() async throws {
            if let file, Path.exists(file) { throw Fault(.request, "key.file", "will not overwrite `\(file)`", why: "it exists already", remedy: "name a new file") }
            let made = try await global.admin().createAppKey(AppKeyRequest(app: app, days: days, reason: reason))
            if let file {
                try Durable.create(try Path.absolute(file), with: Array((made.credential + "\n").utf8), mode: 0o600)
                global.talk.say("key \(made.key.id) of `\(app)` is in \(file)")
            } else {
                let terminal = try File("/dev/tty", .update)
                try terminal.write(Array("key of `\(app)`, shown once:\n\n  \(made.credential)\n\n".utf8))
            }
            global.talk.say("valid until \(Timestamp(microseconds: made.key.expires).brief)")
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "List the keys of applications.")
        @OptionGroup var global: Global

        func run() async throws {
            try global.output.list(
                "AppKeyList", try await global.admin().appKeys(), name: \.id,
                columns: [
                    .init("ID", \.id), .init("APPLICATION", \.app), .init("OWNER", \.owner), .init("CREATED") { Timestamp(microseconds: $0.created).brief },
                    .init("EXPIRES") { Timestamp(microseconds: $0.expires).brief }, .init("STATE") { $0.revoked ? "revoked" : "valid" },
                ])
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "End a key at once.")
        @OptionGroup var global: Global
        @Argument(help: "The key's id, from `forge key ls`.") var id: String

        func run() async throws {
            let key = try await global.admin().revokeAppKey(id)
            global.talk.say("key \(key.id) of `\(key.app)` is revoked")
        }
    }
}

struct UserCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "user", abstract: "The people of this appliance.", subcommands: [List.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "List the people, their roles and keys.")
        @OptionGroup var global: Global

        func run() async throws {
            try global.output.list(
                "UserList", try await global.admin().users(), name: \.name,
                columns: [
                    .init("NAME", \.name), .init("PERSON", \.person), .init("ROLES") { $0.roles.joined(separator: ", ") },
                    .init("KEYS") { $0.fingerprints.joined(separator: " ") }, .init("STATE") { $0.disabled ? "disabled" : "enrolled" },
                ])
        }
    }
}
