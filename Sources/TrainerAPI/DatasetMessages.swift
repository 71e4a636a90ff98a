package import ForgeCore
package import ForgeGate

/// What came in and what became of it (docs/formats/dataset.md). Every file received is in exactly one count.
package struct DatasetReport: Codable, Sendable, Hashable {
    package struct Side: Codable, Sendable, Hashable {
        package var documents: Int
        package var bytes: Int64
        package init(documents: Int, bytes: Int64) {
            self.documents = documents
            self.bytes = bytes
        }
    }

    package struct Duplicates: Codable, Sendable, Hashable {
        package var exact: Int
        package var near: Int
        package init(exact: Int, near: Int) {
            self.exact = exact
            self.near = near
        }
    }

    package struct Personal: Codable, Sendable, Hashable {
        /// Documents that hold any.
        package var documents: Int
        /// Counts by kind: `email`, `phone`, `iban`, `card`, `ipv4`, `national-id`.
        package var found: [String: Int]
        package var redacted: Bool
        package init(documents: Int, found: [String: Int], redacted: Bool) {
            self.documents = documents
            self.found = found
            self.redacted = redacted
        }
    }

    package struct Refusal: Codable, Sendable, Hashable {
        package var path: String
        package var reason: String
        package var why: String
        package init(path: String, reason: String, why: String) {
            self.path = path
            self.reason = reason
            self.why = why
        }
    }

    package var received: Int
    package var accepted: Int
    package var refused: Int
    /// Accepted documents by kind.
    package var kinds: [String: Int]
    /// Of accepted texts.
    package var bytes: Int64
    package var groups: Int
    package var duplicates: Duplicates
    package var train: Side
    package var heldout: Side
    package var personal: Personal
    /// Refused documents by reason.
    package var reasons: [String: Int]
    /// Refusals one by one, the first 2000.
    package var refusals: [Refusal]

    package init(
        received: Int, accepted: Int, refused: Int, kinds: [String: Int], bytes: Int64, groups: Int, duplicates: Duplicates, train: Side, heldout: Side, personal: Personal,
        reasons: [String: Int], refusals: [Refusal]
    ) {
        self.received = received
        self.accepted = accepted
        self.refused = refused
        self.kinds = kinds
        self.bytes = bytes
        self.groups = groups
        self.duplicates = duplicates
        self.train = train
        self.heldout = heldout
        self.personal = personal
        self.reasons = reasons
        self.refusals = refusals
    }
}

package struct DatasetView: Codable, Sendable, Hashable {
    /// As the trainer numbers it; its key has the same id.
    package var id: ID
    package var name: String
    package var digest: Digest
    package var addedBy: String
    /// Microseconds since 1970.
    package var created: Int64
    /// The audit record of the decision that let it in.
    package var record: AuditIndex
    package var documents: Int
    package var bytes: Int64
    package var train: DatasetReport.Side
    package var heldout: DatasetReport.Side

    package init(
        id: ID, name: String, digest: Digest, addedBy: String, created: Int64, record: AuditIndex, documents: Int, bytes: Int64, train: DatasetReport.Side, heldout: DatasetReport.Side
    ) {
        self.id = id
        self.name = name
        self.digest = digest
        self.addedBy = addedBy
        self.created = created
        self.record = record
        self.documents = documents
        self.bytes = bytes
        self.train = train
        self.heldout = heldout
    }

    package enum CodingKeys: String, CodingKey {
        case id, name, digest, created, record, documents, bytes, train, heldout
        case addedBy = "added_by"
    }
}

package struct DatasetViews: Codable, Sendable, Hashable {
    package var datasets: [DatasetView]
    package init(datasets: [DatasetView]) { self.datasets = datasets }
}

/// The answer to an ingest stream.
package struct IngestReply: Codable, Sendable, Hashable {
    package var dataset: DatasetView
    package var report: DatasetReport
    package init(dataset: DatasetView, report: DatasetReport) {
        self.dataset = dataset
        self.report = report
    }
}
