package import ForgeAudit
package import ForgeCore
package import ForgeGate

/// Everything that leads from one answer to where it came from (docs/formats/receipt.md). Read, it is a claim; `ReceiptVerifier` checks it.
package struct ReceiptBundle: Hashable, Sendable {
    package struct Model: Hashable, Sendable {
        package var name: String
        package var version: Int64
        package var record: AuditIndex
        package var manifest: [UInt8]
        package var provenance: [UInt8]
        /// The small files that say what it was made from.
        package var files: [String: [UInt8]]

        package init(name: String, version: Int64, record: AuditIndex, manifest: [UInt8], provenance: [UInt8], files: [String: [UInt8]]) {
            self.name = name
            self.version = version
            self.record = record
            self.manifest = manifest
            self.provenance = provenance
            self.files = files
        }
    }

    package struct Dataset: Hashable, Sendable {
        package var name: String
        package var digest: Digest
        package var record: AuditIndex
        package init(name: String, digest: Digest, record: AuditIndex) {
            self.name = name
            self.digest = digest
            self.record = record
        }
    }

    package struct Evaluation: Hashable, Sendable {
        package var record: AuditIndex
        package var report: String
        package init(record: AuditIndex, report: String) {
            self.record = record
            self.report = report
        }
    }

    package struct Promotion: Hashable, Sendable {
        package var record: AuditIndex
        /// The votes, and the salt that binds them to the record; nil when they were erased or never recorded.
        package var evidence: (bytes: [UInt8], salt: [UInt8])? { storedEvidence.map { ($0.bytes, $0.salt) } }
        /// The records by which the voters and their keys were enrolled.
        package var enrolments: [AuditIndex]
        private var storedEvidence: Evidence?

        private struct Evidence: Hashable, Sendable {
            var bytes: [UInt8]
            var salt: [UInt8]
        }

        package init(record: AuditIndex, evidence: (bytes: [UInt8], salt: [UInt8])?, enrolments: [AuditIndex] = []) {
            self.record = record
            self.enrolments = enrolments
            storedEvidence = evidence.map { Evidence(bytes: $0.bytes, salt: $0.salt) }
        }
    }

    package var id: ID
    package var logKey: String
    package var manifestKey: String
    package var witnessKeys: [String]
    package var intent: AuditIndex
    package var outcome: AuditIndex
    package var model: Model
    package var datasets: [Dataset]
    package var evaluations: [Evaluation]
    package var promotion: Promotion?
    package var proofs: [LogProof]

    package init(
        id: ID, logKey: String, manifestKey: String, witnessKeys: [String], intent: AuditIndex, outcome: AuditIndex, model: Model, datasets: [Dataset],
        evaluations: [Evaluation], promotion: Promotion?, proofs: [LogProof]
    ) {
        self.id = id
        self.logKey = logKey
        self.manifestKey = manifestKey
        self.witnessKeys = witnessKeys
        self.intent = intent
        self.outcome = outcome
        self.model = model
        self.datasets = datasets
        self.evaluations = evaluations
        self.promotion = promotion
        self.proofs = proofs
    }

    package static let format = "forge.receipt.v1"
    package static let bytesMax = 64 << 20
}

// MARK: the file

extension ReceiptBundle {
    package var encoded: [UInt8] {
        func index(_ value: AuditIndex) -> JSON { .int(Int64(clamping: value)) }
        var files = JSON.Object()
        for (name, bytes) in model.files.sorted(by: { $0.key < $1.key }) { files[name] = .string(Base64.encode(bytes)) }
        var root: JSON.Object = [
            "format": .string(ReceiptBundle.format), "id": .string(id.description),
            "anchors": ["log_key": .string(logKey), "manifest_key": .string(manifestKey), "witness_keys": .array(witnessKeys.map { .string($0) })],
            "answer": ["intent": index(intent), "outcome": index(outcome)],
            "model": [
                "name": .string(model.name), "version": .int(model.version), "record": index(model.record), "manifest": .string(Base64.encode(model.manifest)),
                "provenance": .string(Base64.encode(model.provenance)), "files": .object(files),
            ],
            "datasets": .array(datasets.map { ["name": .string($0.name), "digest": .string($0.digest.description), "record": index($0.record)] }),
            "evaluations": .array(evaluations.map { ["record": index($0.record), "report": .string($0.report)] }),
            "records": .array(proofs.map { .string($0.description) }),
        ]
        if let promotion {
            var object: JSON.Object = ["record": index(promotion.record)]
            if let evidence = promotion.evidence {
                object["evidence"] = .string(Base64.encode(evidence.bytes))
                object["salt"] = .string(Hex.encode(evidence.salt))
            }
            if !promotion.enrolments.isEmpty { object["enrolments"] = .array(promotion.enrolments.map(index)) }
            root["promotion"] = .object(object)
        }
        return JSON.object(root).canonical
    }

    package init(parsing bytes: [UInt8]) throws(Fault) {
        func wrong(_ why: String) -> Fault { Fault(.request, "receipt.form", "this is not a receipt bundle", why: why, remedy: "`forge receipt show ID -o json` writes one") }
        let json: JSON
        do { json = try JSON.parse(bytes, limits: .init(bytes: ReceiptBundle.bytesMax, depth: 8)) } catch { throw wrong("it is not JSON: \(error)") }
        guard json["format"]?.string == ReceiptBundle.format else { throw wrong("its format is not `\(ReceiptBundle.format)`") }
        func index(_ value: JSON?) throws(Fault) -> AuditIndex {
            guard let index = value?.int.flatMap({ UInt64(exactly: $0) }) else { throw wrong("an index is missing") }
            return index
        }
        func base64(_ value: JSON?) throws(Fault) -> [UInt8] {
            guard let bytes = value?.string.flatMap({ Base64.decode($0) }) else { throw wrong("a member is not base64") }
            return bytes
        }
        guard let id = json["id"]?.string.flatMap({ ID(parsing: $0) }), let logKey = json["anchors"]?["log_key"]?.string, let manifestKey = json["anchors"]?["manifest_key"]?.string,
            let witnesses = json["anchors"]?["witness_keys"]?.array, let model = json["model"], let name = model["name"]?.string, let version = model["version"]?.int, version > 0
        else { throw wrong("a member is missing") }
        var files: [String: [UInt8]] = [:]
        for (name, value) in model["files"]?.object?.members.map({ ($0.key, $0.value) }) ?? [] { files[name] = try base64(value) }
        var datasets: [Dataset] = []
        for item in json["datasets"]?.array ?? [] {
            guard let name = item["name"]?.string, let digest = item["digest"]?.string.flatMap({ Digest(parsing: $0) }) else { throw wrong("a data set has no name or digest") }
            datasets.append(Dataset(name: name, digest: digest, record: try index(item["record"])))
        }
        var evaluations: [Evaluation] = []
        for item in json["evaluations"]?.array ?? [] {
            guard let report = item["report"]?.string else { throw wrong("an evaluation has no report") }
            evaluations.append(Evaluation(record: try index(item["record"]), report: report))
        }
        var promotion: Promotion?
        if let item = json["promotion"] {
            var evidence: (bytes: [UInt8], salt: [UInt8])?
            if item["evidence"] != nil || item["salt"] != nil {
                guard let salt = item["salt"]?.string.flatMap({ Hex.decode($0) }) else { throw wrong("the evidence of the promotion has no salt") }
                evidence = (try base64(item["evidence"]), salt)
            }
            var enrolments: [AuditIndex] = []
            for record in item["enrolments"]?.array ?? [] { enrolments.append(try index(record)) }
            promotion = Promotion(record: try index(item["record"]), evidence: evidence, enrolments: enrolments)
        }
        var proofs: [LogProof] = []
        for item in json["records"]?.array ?? [] { proofs.append(try LogProof(parsing: (item.string ?? "").utf8)) }
        self.init(
            id: id, logKey: logKey, manifestKey: manifestKey, witnessKeys: witnesses.compactMap(\.string), intent: try index(json["answer"]?["intent"]),
            outcome: try index(json["answer"]?["outcome"]),
            model: Model(name: name, version: version, record: try index(model["record"]), manifest: try base64(model["manifest"]), provenance: try base64(model["provenance"]), files: files),
            datasets: datasets, evaluations: evaluations, promotion: promotion, proofs: proofs)
        // What the form does not account for would be carried along unseen.
        guard json.isCanonicalisable, encoded == bytes else { throw wrong("it is not canonical, or has members that do not belong to it") }
    }
}
