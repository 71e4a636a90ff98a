internal import ArgumentParser
internal import ForgeCore
internal import ForgeOS

/// `forge up`: the whole appliance in one directory, unprivileged, in the foreground.
struct Up: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Run the whole appliance in one directory, until Ctrl-C.",
        discussion: """
            Examples:
              forge up --root ./site                      start the four daemons; the line `ready` follows once all of them answer
              forge up --root ./site >up.log 2>&1 &       the same in the background
              sudo forge up --root /srv/forge             as root it first becomes the owner of the directory (below)

            Everything stays under the directory: `run/` has the sockets, `state/` what the daemons keep, `log/` what they say. A daemon that
            crashes is started again. Ctrl-C or SIGTERM stops all of them in an orderly way.

            Started as root, it first becomes another user, for good: the one given with --user, else the owner of the directory if that is
            not root, else the person behind sudo, else uid \(Up.ownUid), which no account has.
            """)

    /// Outside every range Debian gives to people or packages (policy 9.2.2: 60000–64999 is "globally allocated", 64000+ on request),
    /// so nothing else runs under it, unlike `nobody`.
    static let ownUid: UInt32 = 64_747

    @Option(name: .long, help: "Where everything is kept. Default: $FORGE_ROOT, else `site` here.", completion: .directory)
    var root: String?

    @Option(name: .long, help: "Started as root: the user to become.")
    var user: String?

    @Option(name: .customLong("log-level"), help: "What the daemons write to their logs: trace, debug, info, notice, warning, error or critical.")
    var logLevel: String = "info"

    @Flag(name: [.short, .long], help: "Say nothing but `ready` and errors.")
    var quiet = false

    func validate() throws {
        guard ["trace", "debug", "info", "notice", "warning", "error", "critical"].contains(logLevel) else {
            throw ValidationError("there is no log level `\(logLevel)`")
        }
    }

    func run() async throws {
        let talk = Talk(isQuiet: quiet)
        let directory = try Path.absolute(root ?? Place(root: nil).root ?? "site")
        try become(directory, talk)
        let supervisor = try Supervisor(root: directory, logLevel: logLevel, talk: talk)
        try await supervisor.run()
    }

    /// Root hands the directory to an unprivileged user and becomes that user; anybody else stays who they are.
    private func become(_ directory: String, _ talk: Talk) throws(Fault) {
        guard ThisProcess.uid == 0 else {
            if let user {
                throw Fault(.request, "up.user", "cannot become `\(user)`", why: "only root may become another user", remedy: "leave out `--user`")
            }
            return
        }
        let target = try unprivileged(directory)
        ThisProcess.narrowUmask()
        try Durable.makeDirectory(directory, mode: 0o700)
        if let info = try Path.information(directory), info.uid != target.uid {
            guard try Path.list(directory).isEmpty else {
                throw Fault(
                    .environment, "up.owner", "cannot use `\(directory)`", why: "it belongs to uid \(info.uid) and holds files, and the daemons would run as uid \(target.uid)",
                    remedy: "`--user` names another user; or give it an empty directory")
            }
            try Path.setOwner(directory, uid: target.uid, gid: target.gid)
        }
        talk.say("started as root; going on as \(target.why) (uid \(target.uid))")
        try ThisProcess.become(uid: target.uid, gid: target.gid)
        guard Path.isExecutable(directory) else {
            throw Fault(
                .environment, "up.reach", "cannot enter `\(directory)`", why: "uid \(target.uid) may not pass one of the directories above it",
                remedy: "choose a directory elsewhere, such as /srv/forge")
        }
    }

    private func unprivileged(_ directory: String) throws(Fault) -> (uid: UInt32, gid: UInt32, why: String) {
        if let user {
            guard let account = try Accounts.named(user) else { throw Fault(.request, "up.user", "cannot become `\(user)`", why: "there is no such user") }
            guard account.uid != 0 else { throw Fault(.request, "up.user", "cannot become `\(user)`", why: "that is root again") }
            return (account.uid, account.gid, "`\(user)`")
        }
        if let info = try Path.information(directory), info.uid != 0 { return (info.uid, info.gid, "the owner of `\(directory)`") }
        if let uid = Environment["SUDO_UID"].flatMap(UInt32.init), let gid = Environment["SUDO_GID"].flatMap(UInt32.init), uid != 0, gid != 0 {
            return (uid, gid, "the person behind sudo")
        }
        return (Up.ownUid, Up.ownUid, "a user of its own")
    }
}
