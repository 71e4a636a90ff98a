internal import AdminAPI
internal import ArgumentParser
internal import ForgeCore
internal import ForgeGate
internal import ForgeOS

struct PolicyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy", abstract: "The rules that decide who may do what.", subcommands: [Show.self, Activate.self])

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the active bundle: its digest, who signed it, and its text.",
            discussion: "The text is plain Cedar: with -o json other Cedar tools can read and test it.")
        @OptionGroup var global: Global
        @Flag(name: .long, help: "Print the policies themselves.") var text = false

        func run() async throws {
            let bundle = try await global.admin().policy()
            if text {
                for file in bundle.files { print("// \(file.name)\n\(file.content)") }
                return
            }
            try global.output.show(
                "PolicyBundle", bundle, name: bundle.digest.description,
                fields: [
                    ("digest", bundle.digest.description), ("active since", Timestamp(microseconds: bundle.activated).brief),
                    ("files", bundle.files.map { "\($0.name) (\($0.content.utf8.count) bytes)" }.joined(separator: "\n")),
                    ("signed by", bundle.signatures.isEmpty ? "shipped with this release" : bundle.signatures.map { "\($0.user) with \($0.fingerprint)" }.joined(separator: "\n")),
                ])
        }
    }

    struct Activate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Activate a policy bundle under an officer's signature.",
            discussion: """
                forge policy activate --directory policy/ --key ~/.ssh/id_ed25519
                This release activates only the bundle it shipped: without a validator for the schema, another text could
                silently permit what nobody meant.
                """)
        @OptionGroup var global: Global
        @Option(name: .long, help: "The folder with schema.cedarschema and the policies.") var directory: String
        @Option(name: .long, help: "Your SSH key.") var key: String

        func run() async throws {
            let admin = try global.admin()
            let me = try await admin.whoAmI()
            var files: [BundleMessage.File] = []
            for name in try Path.list(directory).sorted() where name == "schema.cedarschema" || (name.hasSuffix(".cedar") && name.utf8.dropFirst(2).first == UInt8(ascii: "-")) {
                let bytes = try File(Path.join(directory, name), .read).readAll(limit: .mib(1))
                guard let content = String(validating: bytes, as: UTF8.self) else { throw Fault(.request, "policy.encoding", "cannot read `\(name)`", why: "it is not UTF-8 text") }
                files.append(.init(name: name, content: content))
            }
            guard !files.isEmpty else { throw Fault(.request, "policy.empty", "there is no policy in `\(directory)`", remedy: "name the folder that holds schema.cedarschema") }
            let digest = PolicyBundleDigest.of(files)
            let signature = try await SSHSigner(keyPath: key).sign(Array("forge-policy-bundle-v1 \(digest)\n".utf8), namespace: "forge-policy")
            let active = try await admin.activate(
                BundleMessage(digest: digest, files: files, signatures: [.init(user: me.principal.id, fingerprint: "", signature: signature)], activated: 0))
            global.talk.say("active: \(active.digest)")
        }
    }
}
