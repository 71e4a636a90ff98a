package import ForgeCore
package import ForgeCrypto

/// One making of a model: which run, when, from what, recorded where (docs/formats/provenance.md; SLSA v1 provenance).
package struct Provenance: Sendable, Hashable {
    package enum Kind: String, Sendable, Hashable {
        /// By a run on this appliance.
        case training = "https://forge.invalid/train/v1"
        /// Brought in from outside: its files, not their making, are vouched for.
        case importing = "https://forge.invalid/import/v1"
    }

    /// Something the model was made from, such as `dataset:policies` or `model:base@1`.
    package struct Dependency: Sendable, Hashable {
        package let name: String
        package let digest: Digest
        package init(name: String, digest: Digest) {
            self.name = name
            self.digest = digest
        }
    }

    /// An audit record of the run, such as `record:run.submit`.
    package struct Record: Sendable, Hashable {
        package let name: String
        package let index: UInt64
        package init(name: String, index: UInt64) {
            self.name = name
            self.index = index
        }
    }

    package var kind: Kind
    package var reference: ModelReference
    package var digest: Digest
    package var recipe: Digest
    /// Of a training.
    package var seed: Int64?
    package var kernelPath: String?
    package var dependencies: [Dependency]
    /// Of an import, the upload.
    package var run: ID
    package var started: Timestamp
    package var finished: Timestamp
    package var forgeVersion: String
    package var records: [Record]

    package init(
        kind: Kind = .training, reference: ModelReference, digest: Digest, recipe: Digest, seed: Int64? = nil, kernelPath: String? = nil, dependencies: [Dependency], run: ID,
        started: Timestamp, finished: Timestamp, forgeVersion: String = ForgeVersion.current, records: [Record]
    ) {
        self.kind = kind
        self.reference = reference
        self.digest = digest
        self.recipe = recipe
        self.seed = seed
        self.kernelPath = kernelPath
        self.dependencies = dependencies.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        self.run = run
        self.started = started
        self.finished = finished
        self.forgeVersion = forgeVersion
        self.records = records.sorted { $0.index < $1.index }
    }

    package func signed(by key: P256.PrivateKey) -> SignedStatement { SignedStatement(statement, signedBy: key) }

    package var statement: JSON {
        var external: JSON.Object = ["recipe": ["sha256": .string(recipe.hex)]]
        if let seed { external["seed"] = .int(seed) }
        var inner = JSON.Object()
        if let kernelPath { inner["kernelPath"] = .string(kernelPath) }
        return [
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [["name": .string(reference.description), "digest": ["sha256": .string(digest.hex)]]],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": [
                "buildDefinition": [
                    "buildType": .string(kind.rawValue),
                    "externalParameters": .object(external),
                    "internalParameters": .object(inner),
                    "resolvedDependencies": .array(dependencies.map { ["name": .string($0.name), "digest": ["sha256": .string($0.digest.hex)]] }),
                ],
                "runDetails": [
                    "builder": ["id": "https://forge.invalid/forged", "version": ["forge": .string(forgeVersion)]],
                    "metadata": [
                        "invocationId": .string(run.description), "startedOn": .string(started.description), "finishedOn": .string(finished.description),
                    ],
                    "byproducts": .array(records.map { ["name": .string($0.name), "annotations": ["auditIndex": .int(Int64($0.index))]] }),
                ],
            ],
        ]
    }
}

extension Provenance {
    /// What a verifier needs of somebody else's statement: the subject, what it was made from, and where that is on record.
    package struct Summary: Sendable, Hashable {
        package let kind: Kind
        package let reference: ModelReference
        package let digest: Digest
        package let recipe: Digest
        package let run: ID
        package let dependencies: [Dependency]
        package let records: [Record]
    }

    /// - Throws: `.request` naming the first check that failed.
    package static func summary(verifying signed: SignedStatement, with key: P256.PublicKey, source: String) throws(Fault) -> Summary {
        let statement = try signed.verified(by: key, source: source)
        func wrong(_ why: String) -> Fault { Fault(.request, "provenance.form", "the provenance `\(source)` is not one of a model", why: why) }
        guard statement["predicateType"]?.string == "https://slsa.dev/provenance/v1" else { throw wrong("it is another kind of statement") }
        guard let subject = statement["subject"]?.array, subject.count == 1, let reference = subject[0]["name"]?.string.flatMap({ ModelReference(parsing: $0) }),
            let digest = sha256(subject[0]["digest"])
        else { throw wrong("its subject is not a model and a version") }
        let definition = statement["predicate"]?["buildDefinition"], details = statement["predicate"]?["runDetails"]
        guard let kind = definition?["buildType"]?.string.flatMap(Kind.init) else { throw wrong("it is of another kind of making") }
        guard let recipe = sha256(definition?["externalParameters"]?["recipe"]) else { throw wrong("it names no recipe") }
        guard let run = details?["metadata"]?["invocationId"]?.string.flatMap({ ID(parsing: $0) }) else { throw wrong("it names no run") }
        var dependencies: [Dependency] = []
        for item in definition?["resolvedDependencies"]?.array ?? [] {
            guard let name = item["name"]?.string, let digest = sha256(item["digest"]) else { throw wrong("a dependency has no name or digest") }
            dependencies.append(Dependency(name: name, digest: digest))
        }
        var records: [Record] = []
        for item in details?["byproducts"]?.array ?? [] {
            guard let name = item["name"]?.string, let index = item["annotations"]?["auditIndex"]?.int, index >= 0 else { throw wrong("a record has no name or index") }
            records.append(Record(name: name, index: UInt64(index)))
        }
        return Summary(kind: kind, reference: reference, digest: digest, recipe: recipe, run: run, dependencies: dependencies, records: records)
    }

    private static func sha256(_ json: JSON?) -> Digest? { json?["sha256"]?.string.flatMap { Digest(parsing: $0) } }
}
