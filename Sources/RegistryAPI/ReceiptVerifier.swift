import ForgeArtifact
package import ForgeAudit
package import ForgeCore
package import ForgeCrypto
import ForgeGate

/// One line of a verification: what was looked at, whether it holds, and what was found.
package struct ReceiptCheck: Codable, Hashable, Sendable {
    package var step: String
    package var holds: Bool
    package var found: String

    package init(_ step: String, _ holds: Bool, _ found: String) {
        self.step = step
        self.holds = holds
        self.found = found
    }
}

/// Checks a bundle offline, step by step as docs/formats/receipt.md §2 lists them. It stops trusting at the first step that fails, and says so.
package struct ReceiptVerifier: Sendable {
    /// What the verifier knows from elsewhere.
    package struct Anchors: Sendable {
        package var log: NoteKey
        package var manifest: P256.PublicKey
        package var witnesses: [NoteKey]
        /// Fingerprints of the keys of each account, where the verifier knows them from elsewhere than the log; empty otherwise.
        package var people: [String: Set<String>]

        package init(log: NoteKey, manifest: P256.PublicKey, witnesses: [NoteKey] = [], people: [String: Set<String>] = [:]) {
            self.log = log
            self.manifest = manifest
            self.witnesses = witnesses
            self.people = people
        }

        /// The bundle's own copies, for a first look: everything then rests on the file itself, and the caller must say so.
        package init(claimedBy bundle: ReceiptBundle) throws(Fault) {
            guard let key = P256.PublicKey(pem: bundle.manifestKey) else { throw ReceiptVerifier.fault("anchors", "the manifest key is not a P-256 key in PEM") }
            var witnesses: [NoteKey] = []
            for text in bundle.witnessKeys { witnesses.append(try NoteKey(parsing: text)) }
            self.init(log: try NoteKey(parsing: bundle.logKey), manifest: key, witnesses: witnesses)
        }
    }

    private let bundle: ReceiptBundle
    private let anchors: Anchors

    package init(_ bundle: ReceiptBundle, anchors: Anchors) {
        self.bundle = bundle
        self.anchors = anchors
    }

    /// - Returns: the steps in order. All hold, or the last one does not and nothing after it was looked at.
    package func verify() -> [ReceiptCheck] {
        var checks: [ReceiptCheck] = []
        var facts = Facts()
        let steps: [(String, (inout Facts) throws(Fault) -> String)] = [
            ("log", log), ("answer", answer), ("model", model), ("provenance", provenance), ("run", run), ("data", data), ("evaluation", evaluation),
            ("promotion", promotion), ("votes", votes),
        ]
        for (name, step) in steps {
            do throws(Fault) { checks.append(ReceiptCheck(name, true, try step(&facts))) } catch {
                checks.append(ReceiptCheck(name, false, error.message))
                break
            }
        }
        return checks
    }

    /// What earlier steps proved for later ones.
    private struct Facts {
        var leaves: [AuditIndex: AuditRecord] = [:]
        var digest: Digest?
        var listed: [ModelFile: Digest] = [:]
        var provenance: Provenance.Summary?
    }

    // MARK: the steps

    private func log(_ facts: inout Facts) throws(Fault) -> String {
        guard !bundle.proofs.isEmpty else { throw fault("log", "it holds no proof") }
        var size: UInt64 = 0
        var cosigned: [(key: NoteKey, time: Int64?)] = []
        for proof in bundle.proofs {
            let proven = try proof.verify(log: anchors.log, witnesses: anchors.witnesses)
            let record = try AuditRecord(parsing: proven.leaf)
            guard record.index == proof.index else { throw fault("log", "record \(proof.index) says that it is record \(record.index)") }
            guard facts.leaves.updateValue(record, forKey: record.index) == nil else { throw fault("log", "record \(record.index) is there twice") }
            size = proven.head.size
            cosigned = proven.cosigned
        }
        let witnesses = cosigned.isEmpty ? "no witness this verifier knows" : cosigned.map(\.key.name).joined(separator: ", ")
        return "\(bundle.proofs.count) records stand in the log `\(anchors.log.name)` of \(size) records, cosigned by \(witnesses)"
    }

    private func record(_ index: AuditIndex, _ facts: Facts, _ action: AuditAction, _ phase: AuditEntry.Phase, _ step: String) throws(Fault) -> AuditEntry {
        guard let record = facts.leaves[index] else { throw fault(step, "record \(index) has no proof in the bundle") }
        guard record.entry.action == action, record.entry.phase == phase else {
            throw fault(step, "record \(index) is `\(record.entry.action.rawValue)`, \(record.entry.phase.rawValue), and `\(action.rawValue)`, \(phase.rawValue), was expected")
        }
        if phase == .outcome, record.entry.outcome != .ok { throw fault(step, "record \(index) says that it failed") }
        return record.entry
    }

    /// An outcome about exactly this model.
    private func modelRecord(_ index: AuditIndex, _ facts: Facts, _ action: AuditAction, _ step: String) throws(Fault) -> AuditEntry {
        let entry = try record(index, facts, action, .outcome, step)
        guard entry.object?.id == bundle.model.name, entry.object?.version == String(bundle.model.version), entry.object?.digest == facts.digest else {
            throw fault(step, "record \(index) is about another model")
        }
        return entry
    }

    private func answer(_ facts: inout Facts) throws(Fault) -> String {
        let intent = try record(bundle.intent, facts, .infer, .intent, "answer")
        guard let stamped = facts.leaves[bundle.outcome], stamped.entry.action == .infer, stamped.entry.phase == .outcome else {
            throw fault("answer", "record \(bundle.outcome) is not the outcome of an answer")
        }
        let outcome = stamped.entry
        guard intent.request == bundle.id, outcome.request == bundle.id, outcome.data["receipt"]?.string == bundle.id.description else {
            throw fault("answer", "the records are of another receipt")
        }
        guard intent.decision == .allow, bundle.intent < bundle.outcome else { throw fault("answer", "the answer was not allowed before it was given") }
        guard let digest = outcome.object?.digest, intent.object?.digest == digest, outcome.data["model_digest"]?.string == digest.description else {
            throw fault("answer", "the records do not agree on the model")
        }
        facts.digest = digest
        let rules = intent.policy?.rules.joined(separator: ", ") ?? ""
        return "answered at \(Timestamp(nanoseconds: stamped.stamp.time * 1000)) for \(outcome.who.principal?.description ?? "nobody") with \(digest), allowed by \(rules)"
    }

    private func model(_ facts: inout Facts) throws(Fault) -> String {
        let signed = try SignedStatement(parsing: bundle.model.manifest, source: "manifest")
        let manifest = try ModelManifest(verifying: signed, with: anchors.manifest, source: "manifest")
        guard manifest.digest == facts.digest else { throw fault("model", "the manifest is of \(manifest.digest), the answer came from \(facts.digest?.description ?? "nothing")") }
        guard manifest.reference == reference else { throw fault("model", "the manifest is of `\(manifest.reference)`, the bundle says `\(reference)`") }
        let put = try modelRecord(bundle.model.record, facts, .modelPut, "model")
        guard put.data["manifest"]?.string == Digest.sha256(bundle.model.manifest).description else { throw fault("model", "record \(bundle.model.record) names another manifest") }
        facts.listed = manifest.digests
        for (name, bytes) in bundle.model.files.sorted(by: { $0.key < $1.key }) {
            guard let file = ModelFile(rawValue: name), manifest.digests[file] == .sha256(bytes) else { throw fault("model", "`\(name)` is not the file that the manifest lists") }
        }
        return "`\(reference)` is signed by the registry and stands in record \(bundle.model.record)"
    }

    private var reference: ModelReference { ModelReference(name: bundle.model.name, version: Int(clamping: bundle.model.version)) }

    private func provenance(_ facts: inout Facts) throws(Fault) -> String {
        let signed = try SignedStatement(parsing: bundle.model.provenance, source: "provenance")
        let summary = try Provenance.summary(verifying: signed, with: anchors.manifest, source: "provenance")
        guard summary.digest == facts.digest, summary.reference == reference else { throw fault("provenance", "it is of another model") }
        guard summary.recipe == facts.listed[.recipe] else { throw fault("provenance", "its recipe is not the model's") }
        facts.provenance = summary
        return switch summary.kind {
        case .training: "made by run \(summary.run) with recipe \(summary.recipe)"
        case .importing: "brought in from \(summary.dependencies.count) files, as \(summary.recipe) says"
        }
    }

    private func run(_ facts: inout Facts) throws(Fault) -> String {
        guard let summary = facts.provenance else { throw fault("run", "there is no provenance") }
        for item in summary.records {
            guard let record = facts.leaves[item.index] else { throw fault("run", "record \(item.index) (`\(item.name)`) has no proof in the bundle") }
            guard item.index <= bundle.model.record else { throw fault("run", "record \(item.index) came after the model") }
            let entry = record.entry
            guard item.name == "record:" + entry.action.rawValue else { throw fault("run", "record \(item.index) is `\(entry.action.rawValue)`, the provenance says `\(item.name)`") }
            if entry.action.rawValue.hasPrefix("run."), entry.object?.id != summary.run.description, entry.data["run"]?.string != summary.run.description {
                throw fault("run", "record \(item.index) is of another run")
            }
        }
        return summary.records.map { "\($0.name.dropFirst(7)) \($0.index)" }.joined(separator: ", ")
    }

    private func data(_ facts: inout Facts) throws(Fault) -> String {
        guard let file = bundle.model.files[ModelFile.datasets.rawValue] else { throw fault("data", "`datasets.json` is missing") }
        let named = Set(try DatasetsRecord(parsing: file).items.map(\.digest))
        let made = Set(facts.provenance?.dependencies.filter { $0.name.hasPrefix("dataset:") }.map(\.digest) ?? [])
        guard named == made, named == Set(bundle.datasets.map(\.digest)) else { throw fault("data", "the model, its provenance and the bundle name different data sets") }
        // What a model that was made elsewhere learnt from, nobody here can say; its files are what is vouched for.
        if let summary = facts.provenance, summary.kind == .importing {
            guard !summary.dependencies.isEmpty, named.isEmpty else { throw fault("data", "an imported model names the files it came from, and no data set") }
            return summary.dependencies.map { "`\($0.name)` \($0.digest)" }.joined(separator: "; ")
        }
        guard !named.isEmpty else { throw fault("data", "the model names no data set") }
        for item in bundle.datasets {
            let entry = try record(item.record, facts, .dataAdd, .outcome, "data")
            guard entry.object?.digest == item.digest, entry.object?.id == item.name else { throw fault("data", "record \(item.record) is of another data set") }
        }
        return bundle.datasets.map { "`\($0.name)` \($0.digest) in record \($0.record)" }.joined(separator: "; ")
    }

    private func evaluation(_ facts: inout Facts) throws(Fault) -> String {
        for item in bundle.evaluations {
            let entry = try modelRecord(item.record, facts, .modelEvaluate, "evaluation")
            guard entry.data["report"]?.string == Digest.sha256(item.report).description else { throw fault("evaluation", "the report is not the one of record \(item.record)") }
        }
        return bundle.evaluations.isEmpty ? "no evaluation is on record" : "\(bundle.evaluations.count) reports, the latest in record \(bundle.evaluations.map(\.record).max() ?? 0)"
    }

    private func promotion(_ facts: inout Facts) throws(Fault) -> String {
        guard let promotion = bundle.promotion else { return "no promotion came before this answer" }
        let entry = try modelRecord(promotion.record, facts, .modelPromote, "promotion")
        guard promotion.record < bundle.intent else { throw fault("promotion", "record \(promotion.record) came after the answer") }
        return "to `\(entry.data["alias"]?.string ?? "?")` in record \(promotion.record), approved by \(entry.approvers.isEmpty ? "nobody on record" : entry.approvers.joined(separator: " and "))"
    }

    private func votes(_ facts: inout Facts) throws(Fault) -> String {
        guard let promotion = bundle.promotion else { return "none were needed" }
        guard let record = facts.leaves[promotion.record] else { throw fault("votes", "the promotion has no proof") }
        guard let evidence = promotion.evidence else {
            guard record.detail == nil else { throw fault("votes", "the votes were left out, and the record says that there were some") }
            return "the record names none"
        }
        guard record.detail == .sha256(evidence.salt + evidence.bytes) else { throw fault("votes", "the votes are not those of record \(promotion.record)") }
        guard let digest = facts.digest else { throw fault("votes", "there is no model") }
        return try VoteEvidence(evidence.bytes).verify(model: digest, reference: reference, enrolments: enrolments(promotion, facts), people: anchors.people)
    }

    /// Who the log says had which keys, by account. A later enrolment of an account replaces an earlier one.
    private func enrolments(_ promotion: ReceiptBundle.Promotion, _ facts: Facts) throws(Fault) -> [String: Enrolment] {
        var found: [String: Enrolment] = [:]
        for index in promotion.enrolments.sorted() {
            let entry = try record(index, facts, .userEnrol, .event, "votes")
            guard index < promotion.record else { throw fault("votes", "record \(index) came after the promotion") }
            guard entry.who.principal == .service(.admin), entry.outcome == .ok, let object = entry.object, object.type == "Forge::User", let person = entry.data["person"]?.string,
                let keys = entry.data["digests"]?.array?.compactMap({ $0.string.flatMap { Digest(parsing: $0) } })
            else { throw fault("votes", "record \(index) enrols nobody") }
            found[object.id] = Enrolment(record: index, person: person, keys: Set(keys))
        }
        return found
    }

    static func fault(_ step: String, _ why: String) -> Fault { Fault(.request, "receipt.\(step)", "the receipt does not verify", why: why) }
    private func fault(_ step: String, _ why: String) -> Fault { ReceiptVerifier.fault(step, why) }
}

/// What one record says about an account.
struct Enrolment {
    let record: AuditIndex
    let person: String
    let keys: Set<Digest>
}

/// The votes behind a promotion (docs/formats/receipt.md §4).
struct VoteEvidence {
    private let document: [UInt8]
    private let votes: [(user: String, person: String, roles: [String], fingerprint: String, signature: String)]

    init(_ bytes: [UInt8]) throws(Fault) {
        func wrong(_ why: String) -> Fault { ReceiptVerifier.fault("votes", why) }
        guard let json = try? JSON.parse(bytes), let document = json["document"]?.string, let list = json["votes"]?.array else { throw wrong("the evidence does not read") }
        var votes: [(user: String, person: String, roles: [String], fingerprint: String, signature: String)] = []
        for item in list {
            guard let user = item["user"]?.string, let person = item["person"]?.string, let roles = item["roles"]?.array?.compactMap(\.string), let fingerprint = item["fingerprint"]?.string,
                let signature = item["signature"]?.string
            else { throw wrong("a vote does not read") }
            votes.append((user, person, roles, fingerprint, signature))
        }
        self.document = Array(document.utf8)
        self.votes = votes
    }

    func verify(model: Digest, reference: ModelReference, enrolments: [String: Enrolment], people: [String: Set<String>]) throws(Fault) -> String {
        func wrong(_ why: String) -> Fault { ReceiptVerifier.fault("votes", why) }
        guard let request = try? JSON.parse(document), request.isCanonicalisable, request.canonical == document else { throw wrong("the approval's document is not canonical JSON") }
        guard request["action"]?.string == "model.promote", request["content"]?.string == model.description, request["resource"]?["id"]?.string == reference.description else {
            throw wrong("the approval is for another action, model or content")
        }
        guard let requester = request["person"]?.string, let needed = request["quorum"]?["persons"]?.int, needed >= 1, let roles = request["quorum"]?["roles"]?.array else {
            throw wrong("the approval's document names no requester or quorum")
        }
        let message = Array("forge-approval-v1 approve \(Digest.sha256(document))\n".utf8)
        var persons: Set<String> = []
        var held: Set<String> = []
        for vote in votes {
            let signature = try SSHSignature(armored: vote.signature)
            guard signature.key.fingerprint == vote.fingerprint else { throw wrong("the vote of `\(vote.user)` was signed with another key than it says") }
            try signature.verify(message: message, namespace: "forge-approval", key: signature.key)
            guard let enrolment = enrolments[vote.user] else { throw wrong("no record in the bundle enrols `\(vote.user)`") }
            guard enrolment.keys.contains(signature.key.digest), enrolment.person == vote.person else {
                throw wrong("record \(enrolment.record) does not enrol key `\(vote.fingerprint)` for `\(vote.user)`, the person `\(vote.person)`")
            }
            if !people.isEmpty, people[vote.user]?.contains(vote.fingerprint) != true { throw wrong("key `\(vote.fingerprint)` is not `\(vote.user)`'s, as this verifier knows them") }
            guard vote.person != requester else { throw wrong("`\(vote.person)` asked for it and voted on it") }
            guard persons.insert(vote.person).inserted else { throw wrong("`\(vote.person)` voted twice") }
            held.formUnion(vote.roles)
        }
        guard persons.count >= needed, roles.allSatisfy({ $0.string.map(held.contains) ?? false }) else { throw wrong("\(persons.count) votes do not meet the quorum the document names") }
        let records = Set(votes.compactMap { enrolments[$0.user]?.record }).sorted().map(String.init).joined(separator: ", ")
        return votes.map { "\($0.user) (\($0.roles.joined(separator: ", ")))" }.joined(separator: " and ") + " signed, with keys enrolled in records \(records)"
    }
}
