package import ForgeCore
package import ForgeGate

/// One immutable version of a model, as lists show it.
package struct ModelView: Codable, Sendable, Hashable {
    package struct File: Codable, Sendable, Hashable {
        package var name: String
        package var digest: Digest
        package var bytes: Int64
        package init(name: String, digest: Digest, bytes: Int64) {
            self.name = name
            self.digest = digest
            self.bytes = bytes
        }
    }

    package var name: String
    package var version: Int64
    package var digest: Digest
    package var run: String?
    package var trainedBy: String
    /// Microseconds since 1970.
    package var created: Int64
    package var record: AuditIndex
    /// Aliases that point here now.
    package var aliases: [String]
    package var files: [File]
    /// Newest first.
    package var evaluations: [EvaluationView]
    /// Brought in from outside and not measured yet: it can be neither promoted nor served.
    package var quarantined: Bool

    package init(
        name: String, version: Int64, digest: Digest, run: String?, trainedBy: String, created: Int64, record: AuditIndex, aliases: [String], files: [File],
        evaluations: [EvaluationView], quarantined: Bool = false
    ) {
        self.name = name
        self.version = version
        self.digest = digest
        self.run = run
        self.trainedBy = trainedBy
        self.created = created
        self.record = record
        self.aliases = aliases
        self.files = files
        self.evaluations = evaluations
        self.quarantined = quarantined
    }

    package var bytes: ByteCount { ByteCount(files.reduce(0) { $0 + $1.bytes }) }

    package enum CodingKeys: String, CodingKey {
        case name, version, digest, run, created, record, aliases, files, evaluations, quarantined
        case trainedBy = "trained_by"
    }
}

package struct ModelList: Codable, Sendable, Hashable {
    package var models: [ModelView]
    package init(models: [ModelView]) { self.models = models }
}

package struct EvaluationView: Codable, Sendable, Hashable {
    package var id: ID
    /// `heldout` is the one that promotion asks for, `import` the one that ends a quarantine.
    package var suite: String
    package var dataset: Digest
    package var microbitsPerByte: Int64
    package var baselineMicrobitsPerByte: Int64?
    package var created: Int64
    package var record: AuditIndex

    package init(id: ID, suite: String, dataset: Digest, microbitsPerByte: Int64, baselineMicrobitsPerByte: Int64?, created: Int64, record: AuditIndex) {
        self.id = id
        self.suite = suite
        self.dataset = dataset
        self.microbitsPerByte = microbitsPerByte
        self.baselineMicrobitsPerByte = baselineMicrobitsPerByte
        self.created = created
        self.record = record
    }

    package enum CodingKeys: String, CodingKey {
        case id, suite, dataset, created, record
        case microbitsPerByte = "microbits_per_byte"
        case baselineMicrobitsPerByte = "baseline_microbits_per_byte"
    }
}

/// A score that the trainer measured.
package struct EvaluationRequest: Codable, Sendable, Hashable {
    package static let heldout = "heldout"
    /// The fixed text on which every imported model is scored.
    package static let importing = "import"

    package var suite: String
    package var dataset: Digest
    package var microbitsPerByte: Int64
    package var baselineMicrobitsPerByte: Int64?
    /// The whole report; kept byte for byte and bound by its digest.
    package var report: String

    package init(suite: String, dataset: Digest, microbitsPerByte: Int64, baselineMicrobitsPerByte: Int64? = nil, report: String) {
        self.suite = suite
        self.dataset = dataset
        self.microbitsPerByte = microbitsPerByte
        self.baselineMicrobitsPerByte = baselineMicrobitsPerByte
        self.report = report
    }

    package enum CodingKeys: String, CodingKey {
        case suite, dataset, report
        case microbitsPerByte = "microbits_per_byte"
        case baselineMicrobitsPerByte = "baseline_microbits_per_byte"
    }
}

/// Points an alias at a version (promotion) or back at the one before (rollback).
package struct AliasRequest: Codable, Sendable, Hashable {
    /// `production` when left out.
    package var alias: String?
    /// Why, in the person's words: voters read it.
    package var reason: String?

    package init(alias: String? = nil, reason: String? = nil) {
        self.alias = alias
        self.reason = reason
    }

    package static let production = "production"
}

package struct AliasReply: Codable, Sendable, Hashable {
    package var name: String
    package var alias: String
    package var from: Int64?
    package var to: Int64
    package var digest: Digest
    package var record: AuditIndex

    package init(name: String, alias: String, from: Int64?, to: Int64, digest: Digest, record: AuditIndex) {
        self.name = name
        self.alias = alias
        self.from = from
        self.to = to
        self.digest = digest
        self.record = record
    }
}

/// Where a model comes from and what happened to it since; each line names the record that stands for it.
package struct Lineage: Codable, Sendable, Hashable {
    package struct Step: Codable, Sendable, Hashable {
        /// Such as `run.submit`, `model.put`, `model.evaluate`, `model.promote`.
        package var what: String
        package var detail: String
        package var record: AuditIndex
        package init(what: String, detail: String, record: AuditIndex) {
            self.what = what
            self.detail = detail
            self.record = record
        }
    }

    package struct Source: Codable, Sendable, Hashable {
        /// Such as `dataset:policies`.
        package var name: String
        package var digest: Digest
        package init(name: String, digest: Digest) {
            self.name = name
            self.digest = digest
        }
    }

    package var name: String
    package var version: Int64
    package var digest: Digest
    package var run: String?
    package var recipe: Digest?
    package var sources: [Source]
    package var steps: [Step]

    package init(name: String, version: Int64, digest: Digest, run: String?, recipe: Digest?, sources: [Source], steps: [Step]) {
        self.name = name
        self.version = version
        self.digest = digest
        self.run = run
        self.recipe = recipe
        self.sources = sources
        self.steps = steps
    }
}
