internal import AdminAPI
internal import ArgumentParser
internal import ForgeCore
internal import ForgeGate
internal import ForgeHTTP

struct Login: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Sign in as a person, with an SSH key.",
        discussion: """
            forge login dana --key ~/.ssh/id_ed25519
            The key signs a challenge by way of ssh-keygen, so agents, passphrases and FIDO keys work. The sign-in counts for this
            uid only, ends by itself, and is kept in $FORGE_SESSION or beside the appliance's sockets.
            """)

    @OptionGroup var global: Global
    @Argument(help: "The account that was enrolled.")
    var name: String
    @Option(name: .long, help: "The SSH key; a public key if an agent or device holds the private one.")
    var key: String

    func run() async throws {
        var admin = try global.admin()
        var http = admin.http
        http.bearer = nil
        admin = AdminClient(http)
        let challenge = try await admin.challenge()
        let signature = try await SSHSigner(keyPath: key).sign(challenge.signedMessage(user: name), namespace: LoginChallenge.namespace)
        let reply = try await admin.login(LoginRequest(user: name, challenge: challenge.challenge, signature: signature))
        try SessionFile(path: global.place.sessionPath).write(reply.credential)
        global.talk.say("signed in as \(reply.user) (\(reply.roles.joined(separator: ", "))) until \(Timestamp(microseconds: reply.expires).brief)")
    }
}

struct Logout: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "End the sign-in of this uid.")
    @OptionGroup var global: Global

    func run() async throws {
        let session = SessionFile(path: global.place.sessionPath)
        guard try session.read() != nil else {
            global.talk.say("nobody is signed in here")
            return
        }
        // The file goes whatever the daemon answers: who asks to be signed out is signed out.
        let admin = try global.admin()
        try session.remove()
        try await admin.logout()
        global.talk.say("signed out")
    }
}

struct WhoAmICommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "whoami", abstract: "Show who you are to the appliance, and how it knows.")
    @OptionGroup var global: Global

    func run() async throws {
        let me = try await global.admin().whoAmI()
        try global.output.show(
            "Principal", me, name: me.principal.id,
            fields: [
                ("principal", me.principal.description), ("roles", me.roles.isEmpty ? "none" : me.roles.joined(separator: ", ")),
                ("known by", Login.method(me.method)), ("uid", String(me.uid)),
                ("until", me.expires.map { Timestamp(microseconds: $0).brief } ?? "as long as the uid is enrolled"),
            ])
    }
}

extension Login {
    static func method(_ method: AuthMethod) -> String {
        switch method {
        case .peercred: "the kernel's word for the uid"
        case .sshsig: "a sign-in with an SSH key"
        case .apikey: "an application's key"
        case .handed: "a credential handed over at start"
        }
    }
}

struct CanICommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "can-i", abstract: "Ask what the policies would say, without doing anything.",
        discussion: """
            forge can-i model.promote Model policies@2
            forge can-i audit.read Log audit --as dana        (security officers)
            Answers yes with exit code 0, no with 2, and needs-approval with 8, and names the policies.
            """)

    @OptionGroup var global: Global
    @Argument(help: "An action, such as run.submit.")
    var action: String
    @Argument(help: "The resource's type: Model, Dataset, Run, Log, Registry, …")
    var type: String
    @Argument(help: "The resource's id.")
    var id: String
    @Option(name: .customLong("as"), help: "Ask for another person.")
    var other: String?

    func run() async throws {
        let answer = try await global.admin().canI(action, EntityID("Forge::\(type)", id), as: other)
        let reasons = answer.verdict.reasons.map { "\($0.id): \($0.text)" } + answer.verdict.errors.map { "\($0.id): \($0.text)" }
        try global.output.show(
            "Verdict", answer, name: answer.verdict.outcome.rawValue,
            fields: [
                ("answer", answer.verdict.outcome == .allow ? "yes" : answer.verdict.outcome == .deny ? "no" : "needs approval"),
                ("policies", reasons.isEmpty ? "no policy permits it" : reasons.joined(separator: "\n")),
                ("bundle", answer.verdict.policyDigest.description), ("epoch", String(answer.verdict.entityEpoch)),
            ])
        switch answer.verdict.outcome {
        case .allow: break
        case .deny: throw ExitCode(2)
        case .needsApproval: throw ExitCode(8)
        }
    }
}
