package import ArgumentParser
internal import ForgeCore
internal import ForgeOS

/// `forge`: the root of the verbs.
package struct ForgeCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "forge",
        abstract: "Make language models out of your own documents, on your own machine, and prove everything about them.",
        usage: "forge <verb> …",
        discussion: """
            A first session, in one directory and without installing anything:
              forge up --root ./site &                    start the four daemons
              export FORGE_ROOT=./site
              forge init --file site.yaml                 make the keys, enrol the people
              forge login dana --key ~/.ssh/id_ed25519    sign in as a person
              forge data add ./documents --name policies  read documents in
              forge train small --data policies           train a model on them
            Help on a verb: `forge help data add`. Exit codes: 0 done, 1 failed, 2 denied by policy, 3 a check failed,
            4 sign in first, 8 waiting for votes, 64 wrong usage, 69 a daemon does not answer, 75 try again, 130 interrupted.
            """,
        version: "forge \(ForgeVersion.current)",
        groupedSubcommands: ForgeCommand.groups
    )

    package init() {}

    /// Parses, runs, and turns whatever happens into words on stderr and an exit code.
    package static func start() async -> Never {
        Signals.ignoreBrokenPipes()
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            exit()
        } catch let fault as Fault {
            Talk.complain(fault)
            exit(withError: ExitCode(ExitCodes.code(of: fault)))
        } catch {
            exit(withError: error)
        }
    }
}

/// Exit codes beyond those of a fault's kind (manual, "Exit codes").
enum ExitCodes {
    /// A verification or validation answered no.
    static let checkFailed = ExitCode(3)

    static func code(of fault: Fault) -> Int32 {
        // A daemon that does not answer is told apart from one that answers "not now".
        fault.code == "peer.not_running" ? 69 : fault.kind.exitCode
    }
}
