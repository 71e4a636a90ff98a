internal import AdminAPI
internal import ArgumentParser
internal import ForgeCore
internal import ForgeCrypto

struct ApprovalCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "approval", abstract: "See what waits for votes, and vote with an SSH key.",
        subcommands: [List.self, Show.self, Approve.self, Veto.self, Withdraw.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "List approvals, newest first.")
        @OptionGroup var global: Global
        @Option(name: .long, help: "Only those in this state: pending, approved, executed, vetoed, …")
        var state: String?

        func run() async throws {
            let approvals = try await global.admin().approvals(state: state)
            let documents = try approvals.map { (view: $0, document: try ApprovalDocument($0)) }
            try global.output.list(
                "ApprovalList", approvals, name: { $0.id.description },
                columns: [
                    .init("ID") { $0.id.description }, .init("STATE") { $0.state },
                    .init("ACTION") { view in documents.first { $0.view.id == view.id }?.document.action ?? "" },
                    .init("RESOURCE") { view in documents.first { $0.view.id == view.id }?.document.resource ?? "" },
                    .init("BY") { view in documents.first { $0.view.id == view.id }?.document.requester ?? "" },
                    .init("VOTES", number: true) { String($0.votes.count) },
                    .init("MISSING") { $0.missingRoles.isEmpty ? ($0.missingPersons > 0 ? "\($0.missingPersons) more" : "") : $0.missingRoles.joined(separator: ", ") },
                ])
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show one approval: exactly what a vote would sign, and who has voted.")
        @OptionGroup var global: Global
        @Argument(help: "The approval's id.") var id: String

        func run() async throws {
            let view = try await global.admin().approval(try ApprovalCommand.id(id))
            try ApprovalCommand.show(view, global)
        }
    }

    struct Approve: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Vote for a request.",
            discussion: "Reads the request, checks that its digest is that of what is shown, and signs it with `ssh-keygen -Y sign -n forge-approval`.")
        @OptionGroup var global: Global
        @Argument(help: "The approval's id.") var id: String
        @Option(name: .long, help: "Your SSH key.") var key: String

        func run() async throws { try await ApprovalCommand.vote(.approve, id, key, global) }
    }

    struct Veto: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Vote against a request: one veto ends it.")
        @OptionGroup var global: Global
        @Argument(help: "The approval's id.") var id: String
        @Option(name: .long, help: "Your SSH key.") var key: String

        func run() async throws { try await ApprovalCommand.vote(.veto, id, key, global) }
    }

    struct Withdraw: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Take your own request back.")
        @OptionGroup var global: Global
        @Argument(help: "The approval's id.") var id: String

        func run() async throws {
            let view = try await global.admin().withdraw(try ApprovalCommand.id(id))
            global.talk.say("approval \(view.id) is \(view.state)")
        }
    }

    // MARK: Shared by the verbs

    static func id(_ text: String) throws(Fault) -> ID {
        guard let id = ID(parsing: text) else {
            throw Fault(.request, "approval.id", "`\(text)` is not an approval's id", why: "an id has 32 digits of 0-9 a-f", remedy: "`forge approval ls` lists them")
        }
        return id
    }

    private static func vote(_ ballot: Ballot, _ id: String, _ key: String, _ global: Global) async throws {
        let admin = try global.admin()
        let view = try await admin.approval(try ApprovalCommand.id(id))
        let document = try ApprovalDocument(view)
        global.talk.say("\(ballot == .approve ? "approving" : "vetoing") `\(document.action)` on `\(document.resource)`, asked for by \(document.requester): \(document.reason)")
        let signature = try await SSHSigner(keyPath: key).sign(ballot.signedMessage(document.digest), namespace: Ballot.namespace)
        let after = try await admin.vote(VoteRequest(ballot: ballot, digest: document.digest, signature: signature), on: view.id)
        let missing = after.missingRoles.isEmpty ? "" : "; still needed: \(after.missingRoles.joined(separator: ", "))"
        global.talk.say("approval \(after.id) is \(after.state)\(missing)")
    }

    private static func show(_ view: ApprovalView, _ global: Global) throws {
        let document = try ApprovalDocument(view)
        let votes = view.votes.map { "\($0.user) (\($0.roles.joined(separator: ", "))) with \($0.fingerprint)" }
        var fields = [
            ("approval", view.id.description), ("state", view.state), ("action", document.action), ("resource", document.resource),
            ("content", document.content ?? "none"), ("asked by", document.requester), ("because", document.reason),
            ("votes", votes.isEmpty ? "none yet" : votes.joined(separator: "\n")), ("vetoes", view.vetoes.isEmpty ? "none" : view.vetoes.map(\.user).joined(separator: ", ")),
            ("missing", view.missingRoles.isEmpty && view.missingPersons == 0 ? "nothing" : "\(view.missingPersons) persons; \(view.missingRoles.joined(separator: ", "))"),
            ("signed is", document.digest.description),
        ]
        if !view.note.isEmpty { fields.append(("note", view.note)) }
        try global.output.show("Approval", view, name: view.id.description, fields: fields)
    }
}

/// What a vote signs, read from the very bytes (docs/formats/approval.md), so that what is shown is what is signed.
struct ApprovalDocument {
    let digest: Digest
    let action: String
    let resource: String
    let content: String?
    let requester: String
    let reason: String

    init(_ view: ApprovalView) throws(Fault) {
        let bytes = Array(view.document.utf8)
        guard let json = try? JSON.parse(bytes), json.isCanonicalisable, json.canonical == bytes, json["id"]?.string == view.id.description,
            let action = json["action"]?.string, let resource = json["resource"]?["id"]?.string, let requester = json["requester"]?.string,
            let reason = json["reason"]?.string
        else {
            throw Fault(.environment, "approval.document", "cannot show approval \(view.id)", why: "its document does not read", remedy: "do not vote on it; tell a security officer")
        }
        digest = .sha256(bytes)
        self.action = action
        self.resource = resource
        self.content = json["content"]?.string
        self.requester = requester
        self.reason = reason
    }
}
