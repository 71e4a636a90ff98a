internal import ArgumentParser
internal import ForgeArtifact
internal import ForgeAudit
internal import ForgeCore
internal import ForgeCrypto
internal import ForgeOS
internal import RegistryAPI
internal import ServeAPI

struct ReceiptCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "receipt", abstract: "Follow an answer back to the model, the people, the run and the documents behind it.",
        subcommands: [Show.self, Verify.self, Replay.self])

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Fetch the evidence behind an answer: one JSON file that can be checked offline (docs/formats/receipt.md).")
        @OptionGroup var global: Global
        @Argument(help: "The receipt's id, from the answer.") var id: String
        @Option(name: .long, help: "A file for it; stdout without.") var file: String?

        func run() async throws {
            let bytes = try await global.registry().receiptBytes(try ReceiptCommand.id(id))
            if let file { try Durable.create(try Path.absolute(file), with: bytes, mode: 0o600) } else { print(String(decoding: bytes, as: UTF8.self)) }
        }
    }

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check every link from an answer to the documents.",
            discussion: """
                forge receipt verify 4f0c… --documents ./documents
                forge receipt verify receipt.json --log-key KEY --manifest-key key.pem     (offline, with keys from paper)
                Names the document if one byte of it was changed since it was read in.
                """)
        @OptionGroup var global: Global
        @Argument(help: "A receipt's id, or a file of `forge receipt show`.") var receipt: String
        @Option(name: .long, help: "The folder the documents were read from.") var documents: String?
        @Option(name: .long, help: "The audit log's key, as `forge init` printed it.") var logKey: String?
        @Option(name: .long, help: "A file with the manifests' public key in PEM.") var manifestKey: String?
        @Option(name: .long, help: "A JSON file with keys you know yourself: {\"lee\":[\"SHA256:…\"]}. Votes must then be by these, and not only by keys the log enrols.")
        var people: String?

        func run() async throws {
            let isFile = Path.exists(receipt)
            let bytes: [UInt8]
            if isFile { bytes = try File(try Path.absolute(receipt), .read).readAll(limit: .mib(64)) } else { bytes = try await global.registry().receiptBytes(try ReceiptCommand.id(receipt)) }
            let bundle = try ReceiptBundle(parsing: bytes)
            var anchors = try ReceiptVerifier.Anchors(claimedBy: bundle)
            if let logKey { anchors.log = try NoteKey(parsing: logKey) }
            if let manifestKey {
                let pem = try File(try Path.absolute(manifestKey), .read).readAll(limit: .kib(16))
                guard let key = P256.PublicKey(pem: String(decoding: pem, as: UTF8.self)) else { throw Fault(.request, "receipt.key", "`\(manifestKey)` is not a P-256 key in PEM") }
                anchors.manifest = key
            }
            if let people { anchors.people = try Verify.people(try File(try Path.absolute(people), .read).readAll(limit: .mib(1)), people) }
            if logKey == nil || manifestKey == nil {
                global.talk.say("note: keys not given are taken from the receipt itself; give --log-key and --manifest-key from paper to trust nothing here")
            }
            var checks = ReceiptVerifier(bundle, anchors: anchors).verify()
            if checks.allSatisfy(\.holds), let documents { checks += try await compare(bundle, documents) }
            try global.output.list(
                "ReceiptCheckList", checks, name: \.step, columns: [.init("STEP", \.step), .init("HOLDS") { $0.holds ? "yes" : "NO" }, .init("FOUND", \.found)])
            if !checks.allSatisfy(\.holds) { throw ExitCodes.checkFailed }
        }

        static func people(_ bytes: [UInt8], _ source: String) throws(Fault) -> [String: Set<String>] {
            guard let members = (try? JSON.parse(bytes))?.object?.members else { throw Fault(.request, "receipt.people", "`\(source)` does not read", why: "it is not a JSON object") }
            var people: [String: Set<String>] = [:]
            for member in members {
                guard let keys = member.value.array?.compactMap(\.string), !keys.isEmpty, keys.allSatisfy({ $0.hasPrefix("SHA256:") }) else {
                    throw Fault(.request, "receipt.people", "`\(source)` does not read", why: "`\(member.key)` has no list of `SHA256:` fingerprints", remedy: "`ssh-keygen -lf KEY.pub` prints one")
                }
                people[member.key] = Set(keys)
            }
            guard !people.isEmpty else { throw Fault(.request, "receipt.people", "`\(source)` names nobody") }
            return people
        }

        /// The documents at hand against each data set's manifest. Those of the manifest that are not in the folder are counted, not hidden.
        private func compare(_ bundle: ReceiptBundle, _ folder: String) async throws -> [ReceiptCheck] {
            var checks: [ReceiptCheck] = []
            let root = try Path.absolute(folder)
            for dataset in bundle.datasets {
                let manifest = try await global.registry().manifest(of: dataset.digest.description)
                let documents = try ReceiptDocuments(manifest: manifest, of: dataset.digest)
                let findings = try documents.compare { path throws(Fault) in
                    let file = Path.join(root, path)
                    guard try Path.information(file)?.kind == .file else { return nil }
                    return try File(file, .read).readAll(limit: .mib(64))
                }
                for case .changed(let path) in findings { checks.append(ReceiptCheck("documents", false, "`\(path)` was changed since it was read in")) }
                let found = documents.documents.count - findings.count
                checks.append(
                    ReceiptCheck(
                        "documents", findings.isEmpty, "\(found) of \(documents.documents.count) documents of `\(dataset.name)` are in the folder, unchanged and included in \(dataset.digest.short)"))
            }
            return checks
        }
    }

    struct Replay: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Compute an answer again and compare it, bit for bit, with what was committed to.",
            discussion: """
                forge receipt replay 4f0c… --request request.json
                The file is the request as it was sent, or what --keep wrote.
                """)
        @OptionGroup var global: Global
        @Argument(help: "The receipt's id.") var id: String
        @Option(name: .long, help: "The request, or a file that --keep wrote.") var request: String
        @Option(name: .long, help: "The salt that came with the answer, unless the file holds it.") var salt: String?

        func run() async throws {
            let id = try ReceiptCommand.id(id)
            let kept = try KeptReceipt.read(request)
            guard let salt = salt.flatMap({ Salt(parsing: $0) }) ?? kept.receipt?.salt else {
                throw Fault(
                    .request, "receipt.salt", "cannot replay receipt \(id)", why: "the salt of its commitments is missing",
                    remedy: "give --salt with the 64 digits from the answer's `receipt`, or a file that --keep wrote")
            }
            let bundle = try await global.registry().receipt(id)
            guard let proof = bundle.proofs.first(where: { $0.index == bundle.outcome })?.description else { throw Fault(.environment, "receipt.proof", "the receipt holds no proof of its own outcome") }
            let result = try await ServeClient(try global.http("serve-operator", timeout: .seconds(600))).replay(
                ReplayRequest(receipt: id, request: kept.request, salt: salt, proof: proof))
            for choice in result.choices { print(choice.text) }
            global.talk.say(
                result.isEqual
                    ? "equal: the answer computed again has the recorded commitment \(result.recorded) (model \(result.model.short), \(result.backend), \(result.code))"
                    : "NOT EQUAL: recorded \(result.recorded), computed \(result.computed)")
            if !result.isEqual { throw ExitCodes.checkFailed }
        }
    }

    static func id(_ text: String) throws(Fault) -> ID {
        guard let id = ID(parsing: text) else { throw Fault(.request, "receipt.id", "`\(text)` is neither a receipt's id nor a file", why: "an id has 32 digits of 0-9 a-f") }
        return id
    }
}
