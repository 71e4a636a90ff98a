internal import AdminAPI
internal import ArgumentParser
internal import ForgeCore
internal import ForgeOS
internal import RegistryAPI

struct Init: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make the keys of a new appliance and enrol its people.",
        discussion: """
            forge init --file site.yaml
            The site file names the appliance and the people (docs/formats/site.md). Works unattended when it names a passphrase
            file and a place for the recovery key; otherwise both go by the terminal. Interrupted half-way, run it again.
            """)

    @OptionGroup var global: Global
    @Option(name: .long, help: "The site file.")
    var file: String

    func run() async throws {
        let site = try SiteFile(path: file)
        let registry = try global.registry(), admin = try global.admin()
        if let path = site.recoveryPath, Path.exists(path) {
            throw Fault(.request, "init.recovery", "will not overwrite `\(path)`", why: "a recovery key may stand in it", remedy: "name a new file as `store.recovery_file`")
        }
        // Two daemons, two steps: a power cut between them leaves the first done and the second to do.
        if try await registry.status().health == .uninitialised {
            let passphrase = try site.passphrasePath.map { path throws(Fault) in try Secret.read(path: path) } ?? Secret.ask("new passphrase of the store", twice: true)
            let reply = try await registry.initialise(
                StoreInit(organisation: site.description.organisation, appliance: site.description.appliance, passphrase: passphrase))
            try keep(reply.recovery, at: site.recoveryPath)
            global.talk.say("store     \(reply.store)")
            global.talk.say("audit log \(reply.logKey)")
            global.talk.say("manifests are signed with\n\(reply.manifestKey)")
        } else {
            global.talk.say("the store has its keys already; enrolling the people")
        }
        let reply = try await admin.initialise(site.description)
        global.talk.say("witness   \(reply.witnessKey)")
        global.talk.say("policy    \(reply.policy)")
        global.talk.say("enrolled  \(reply.users.joined(separator: ", "))")
        global.talk.say("Write the two keys `audit log` and `witness` down on paper: they let anybody check the log without this machine.")
    }

    private func keep(_ recovery: String, at path: String?) throws(Fault) {
        if let path {
            try Durable.create(path, with: Array((recovery + "\n").utf8), mode: 0o600)
            global.talk.say("recovery key written to \(path): take it off this machine")
        } else {
            // To the terminal itself, so that no redirection or log keeps it.
            let terminal = try File("/dev/tty", .update)
            try terminal.write(Array("recovery key, shown once; write it down:\n\n  \(recovery)\n\n".utf8))
        }
    }
}
