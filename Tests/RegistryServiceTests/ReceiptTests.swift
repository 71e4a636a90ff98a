import AdminAPI
import ForgeArtifact
import ForgeAudit
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeOS
import RegistryAPI
import RegistryService
import Testing

@Suite struct ReceiptTests {
    /// A store with one promoted model, one answer by it, and the receipt of that answer.
    private struct Answered {
        let store: StoreFixture
        let receipt: ID
        let bundle: ReceiptBundle
        let bytes: [UInt8]
        let manifest: [UInt8]
        let people: [String: Set<String>]
        let enrolmentReplaced: AuditIndex
    }

    static let documents = ["leave.txt": "Leave is granted on request.", "safety/fire.txt": "In case of fire leave the building.", "travel.txt": "Travel second class."]

    private func answered() async throws -> Answered {
        let store = try await StoreFixture.open()
        try await store.initialise()
        let data = try await store.dataset(ReceiptTests.documents)
        let view = try await store.put("policies", seed: 1, dataset: data.digest)
        _ = try await store.client("trainer").evaluate("policies@1", .init(suite: "heldout", dataset: data.digest, microbitsPerByte: 2_000_000, report: #"{"documents":3}"#))
        let (approval, people) = try votes(for: view)
        let admin = AuditEntry.Subject.service(.admin, method: .handed, uid: 1)
        func enrolment(_ user: String, _ fingerprint: String, person: String? = nil) -> AuditEntry {
            let key = Digest(Base64.decode(fingerprint.dropFirst(7) + "=")!)!
            return AuditEntry(
                .userEnrol, .event, request: ID(), who: admin, object: .init("Forge::User", user), outcome: .ok,
                data: ["person": .string(person ?? user), "keys": 1, "digests": .array([.string(key.description)])])
        }
        // Lee had another key first, and Sam gets another one when everything is over.
        let old = try await store.client("admin").append(enrolment("lee", SSHSigner().fingerprint))
        for (user, keys) in people.sorted(by: { $0.key < $1.key }) { _ = try await store.client("admin").append(enrolment(user, keys.first!)) }
        store.rules.grant(approval)
        _ = try await store.client("olga").promote("policies@1")
        _ = try await store.client("admin").append(enrolment("sam", SSHSigner().fingerprint))
        let receipt = ID()
        let who = AuditEntry.Subject(.app("intranet"), method: .apikey, uid: 1000)
        let object = AuditEntry.Object("Forge::Model", "policies", version: "1", digest: view.digest)
        let verdict = Verdict(.allow, reasons: [PolicyReason(id: "app.ask", text: "applications ask the models")], policyDigest: .sha256("rules"), entityEpoch: 1)
        _ = try await store.client("serve").append(AuditEntry.decision(.infer, verdict, request: receipt, who: who, object: object))
        let facts: JSON.Object = ["receipt": .string(receipt.description), "model_digest": .string(view.digest.description), "seed": "7", "finish": "stop", "completion_tokens": 5]
        _ = try await store.client("serve").append(.outcome(.infer, .ok, request: receipt, who: who, object: object, data: facts))
        let bytes = try await store.client("olga").receiptBytes(receipt)
        return Answered(store: store, receipt: receipt, bundle: try ReceiptBundle(parsing: bytes), bytes: bytes, manifest: data.manifest, people: people, enrolmentReplaced: old)
    }

    /// Two people vote with keys of their own, as `ssh-keygen -Y sign` would.
    private func votes(for view: ModelView) throws -> (ApprovalView, [String: Set<String>]) {
        let id = ID()
        let document: JSON = [
            "v": 1, "id": .string(id.description), "action": "model.promote", "resource": ["type": "Forge::Model", "id": "policies@1"], "content": .string(view.digest.description),
            "parameters": [:], "requester": "olga", "person": "olga", "reason": "better", "created": 1, "vote_by": 2, "execute_within": 3, "policy": .string(Digest.sha256("rules").description),
            "quorum": ["persons": 2, "roles": ["ml_lead", "security_officer"]],
        ]
        let text = String(decoding: document.canonical, as: UTF8.self)
        var people: [String: Set<String>] = [:]
        var list: [ApprovalView.Vote] = []
        for (user, role) in [("sam", "security_officer"), ("lee", "ml_lead")] {
            let signer = SSHSigner()
            people[user] = [signer.fingerprint]
            let signature = signer.sign(Ballot.approve.signedMessage(.sha256(text)), namespace: Ballot.namespace)
            list.append(.init(user: user, person: user, roles: [role], fingerprint: signer.fingerprint, signature: signature))
        }
        return (ApprovalView(id: id, state: "approved", document: text, votes: list, vetoes: [], missingPersons: 0, missingRoles: [], note: ""), people)
    }

    private func anchors(_ answered: Answered) throws -> ReceiptVerifier.Anchors {
        var anchors = try ReceiptVerifier.Anchors(claimedBy: answered.bundle)
        anchors.people = answered.people
        return anchors
    }

    @Test func `an answer leads to model, votes, run, recipe and documents`() async throws {
        let it = try await answered()
        let checks = ReceiptVerifier(it.bundle, anchors: try anchors(it)).verify()
        #expect(checks.map(\.step) == ["log", "answer", "model", "provenance", "run", "data", "evaluation", "promotion", "votes"])
        for check in checks { #expect(check.holds, "\(check.step): \(check.found)") }
        let enrolments = try #require(it.bundle.promotion?.enrolments)
        #expect(enrolments == [it.enrolmentReplaced + 1, it.enrolmentReplaced + 2])
        #expect(checks.last?.found == "sam (security_officer) and lee (ml_lead) signed, with keys enrolled in records \(enrolments[0]), \(enrolments[1])")
        // The log alone is enough to know whose keys they were.
        var checksAlone = try ReceiptVerifier.Anchors(claimedBy: it.bundle)
        checksAlone.people = [:]
        #expect(ReceiptVerifier(it.bundle, anchors: checksAlone).verify() == checks)
        #expect(checks[7].found.contains("approved by sam and lee"))
        #expect(it.store.rules.reports.map(\.report.ok) == [true])

        let documents = try ReceiptDocuments(manifest: it.manifest, of: it.bundle.datasets[0].digest)
        #expect(try documents.compare { path throws(Fault) in ReceiptTests.documents[path].map { Array($0.utf8) } } == [])
        let changed = try documents.compare { path throws(Fault) in
            path == "travel.txt" ? nil : ReceiptTests.documents[path].map { Array($0.utf8) + (path == "safety/fire.txt" ? [0x21] : []) }
        }
        #expect(changed == [.changed("safety/fire.txt"), .missing("travel.txt")])
        var manifest = it.manifest
        manifest[manifest.count - 10] ^= 1
        #expect(throws: Fault.self) { _ = try ReceiptDocuments(manifest: manifest, of: it.bundle.datasets[0].digest) }
        await it.store.remove()
    }

    @Test func `whatever is changed, the step that notices says so`() async throws {
        let it = try await answered()
        let good = try anchors(it)
        func firstFailure(_ bundle: ReceiptBundle, _ anchors: ReceiptVerifier.Anchors? = nil) -> String? {
            let checks = ReceiptVerifier(bundle, anchors: anchors ?? good).verify()
            return checks.last?.holds == false ? checks.last?.step : nil
        }
        func changed(_ change: (inout ReceiptBundle) throws -> Void) rethrows -> ReceiptBundle {
            var bundle = it.bundle
            try change(&bundle)
            return bundle
        }
        #expect(firstFailure(it.bundle) == nil)
        #expect(firstFailure(changed { $0.id = ID() }) == "answer")
        #expect(firstFailure(changed { $0.outcome = $0.model.record }) == "answer")
        #expect(firstFailure(changed { $0.model.name = "other" }) == "model")
        #expect(firstFailure(changed { $0.model.record = $0.datasets[0].record }) == "model")
        #expect(firstFailure(changed { $0.model.files["recipe.yaml"] = Array("steps: 2\n".utf8) }) == "model")
        #expect(firstFailure(changed { $0.model.manifest = $0.model.provenance }) == "model")
        #expect(firstFailure(changed { $0.model.provenance = $0.model.manifest }) == "provenance")
        #expect(firstFailure(changed { $0.datasets[0].digest = .sha256("other") }) == "data")
        #expect(firstFailure(changed { $0.datasets = [] }) == "data")
        #expect(firstFailure(changed { $0.evaluations[0].report = "{}" }) == "evaluation")
        #expect(firstFailure(changed { $0.promotion = .init(record: $0.evaluations[0].record, evidence: nil) }) == "promotion")
        #expect(firstFailure(changed { $0.promotion = .init(record: $0.promotion!.record, evidence: nil) }) == "votes")
        #expect(firstFailure(changed { $0.promotion = .init(record: $0.promotion!.record, evidence: ($0.promotion!.evidence!.bytes + [0x20], $0.promotion!.evidence!.salt)) }) == "votes")
        func enrolled(_ records: [AuditIndex]) -> ReceiptBundle { changed { $0.promotion!.enrolments = records } }
        let enrolments = it.bundle.promotion!.enrolments
        #expect(firstFailure(enrolled([])) == "votes")
        #expect(firstFailure(enrolled([enrolments[0]])) == "votes")
        #expect(firstFailure(enrolled(enrolments + [it.enrolmentReplaced])) == "votes", "without a proof")
        #expect(firstFailure(enrolled(enrolments + [it.bundle.model.record])) == "votes", "that is no enrolment")
        #expect(firstFailure(changed { $0.proofs.removeLast() }) != nil)
        #expect(firstFailure(changed { $0.proofs = [] }) == "log")
        let proof = it.bundle.proofs[3]
        var leaf = proof.leaf!
        leaf[leaf.count / 2] ^= 1
        #expect(firstFailure(changed { $0.proofs[3] = LogProof(leaf: leaf, index: proof.index, hashes: proof.hashes, checkpoint: proof.checkpoint) }) == "log")

        var stranger = good
        stranger.manifest = P256.PrivateKey().publicKey
        #expect(firstFailure(it.bundle, stranger) == "model")
        stranger = good
        stranger.people = ["sam": good.people["lee"]!, "lee": good.people["sam"]!]
        #expect(firstFailure(it.bundle, stranger) == "votes")
        stranger = good
        stranger.log = NoteKey("example/one/audit", .ed25519, publicKey: Ed25519.PrivateKey().publicKey.raw)!
        #expect(firstFailure(it.bundle, stranger) == "log")

        // The file itself: no flipped byte reads as the same bundle.
        for place in stride(from: 0, to: it.bytes.count, by: 97) {
            var bytes = it.bytes
            bytes[place] ^= 1
            guard let read = try? ReceiptBundle(parsing: bytes) else { continue }
            let isOwnCopyOfAnAnchor = read.logKey != it.bundle.logKey || read.manifestKey != it.bundle.manifestKey || read.witnessKeys != it.bundle.witnessKeys
            #expect(firstFailure(read) != nil || isOwnCopyOfAnAnchor, "byte \(place)")
        }
        await it.store.remove()
    }

    @Test func `who may read a receipt is asked with whose answer it was`() async throws {
        let it = try await answered()
        #expect(it.store.rules.asked("receipt.read")?.attributes["app"] == ["__entity": ["type": "Forge::App", "id": "intranet"]])
        let missing = await #expect(throws: Fault.self) { _ = try await it.store.client("olga").receipt(ID()) }
        #expect(missing?.code == "receipt.not_found")
        _ = try await it.store.client("olga").seal()
        let sealed = await #expect(throws: Fault.self) { _ = try await it.store.client("olga").receipt(it.receipt) }
        #expect(sealed?.code == "registry.sealed")
        await it.store.remove()
    }

    @Test(.enabled(if: Path.isExecutable("/usr/bin/python3") && Path.isExecutable("/usr/bin/openssl") && Path.isExecutable("/usr/bin/ssh-keygen")))
    func `a program written from the format's text comes to the same verdict`() async throws {
        let it = try await answered()
        let scratch = Path.join(it.store.directory, "auditor")
        try Durable.makeDirectory(scratch)
        for (path, text) in ReceiptTests.documents {
            try Durable.makeDirectory(Path.parent(Path.join(scratch, "documents", path)))
            try Durable.create(Path.join(scratch, "documents", path), with: Array(text.utf8))
        }
        try Durable.create(Path.join(scratch, "receipt.json"), with: it.bytes)
        try Durable.create(Path.join(scratch, "policies.jsonl"), with: it.manifest)
        let script = Path.parent(Path.parent(Path.parent(#filePath))) + "/docs/examples/verify_receipt.py"
        func run() async throws -> (exit: ChildProcess.Exit, text: String) {
            let output = try File(Path.join(scratch, "output"), .replace)
            let child = try ChildProcess(
                .init(
                    "/usr/bin/python3",
                    [script, Path.join(scratch, "receipt.json"), "--documents", Path.join(scratch, "documents"), "--manifest", Path.join(scratch, "policies.jsonl")],
                    environment: ["PATH": "/usr/bin:/bin"], descriptors: [1: output.descriptor, 2: output.descriptor]))
            let exit = await child.wait()
            return (exit, String(decoding: try output.readAll(limit: .mib(1)), as: UTF8.self))
        }
        let good = try await run()
        #expect(good.exit.isSuccess, "\(good.text)")
        #expect(good.text.contains("lee (ml_lead), enrolled in record \(it.bundle.promotion!.enrolments[0])"), "\(good.text)")
        var nobody = it.bundle
        nobody.promotion!.enrolments = []
        try Durable.replace(Path.join(scratch, "receipt.json"), with: nobody.encoded)
        let unknown = try await run()
        #expect(unknown.exit == .code(1) && unknown.text.contains("NOT VERIFIED at `votes`: no record in the bundle enrols sam"), "\(unknown.text)")
        try Durable.replace(Path.join(scratch, "receipt.json"), with: it.bytes)
        try Durable.replace(Path.join(scratch, "documents/leave.txt"), with: Array("Leave is never granted.".utf8))
        let bad = try await run()
        #expect(bad.exit == .code(1) && bad.text.contains("leave.txt"), "\(bad.text)")
        await it.store.remove()
    }
}

/// Signs as `ssh-keygen -Y sign` does (OpenSSH, PROTOCOL.sshsig), with an Ed25519 key made here.
private struct SSHSigner {
    private let key = Ed25519.PrivateKey()
    private var blob: [UInt8] { string("ssh-ed25519") + string(key.publicKey.raw) }
    var fingerprint: String { "SHA256:" + Base64.encode(Digest.sha256(blob).bytes).prefix { $0 != "=" } }

    func sign(_ message: [UInt8], namespace: String) -> String {
        let covered = Array("SSHSIG".utf8) + string(namespace) + string("") + string("sha512") + string(sha512(message))
        let inner = string("ssh-ed25519") + string(key.sign(covered))
        let whole = Array("SSHSIG".utf8) + [0, 0, 0, 1] + string(blob) + string(namespace) + string("") + string("sha512") + string(inner)
        return PEM.encode(whole, label: "SSH SIGNATURE", width: 70)
    }

    private func string(_ bytes: [UInt8]) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: bytes.count >> $0) } + bytes }
    private func string(_ text: String) -> [UInt8] { string(Array(text.utf8)) }
}
