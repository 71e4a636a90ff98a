package import ForgeCore
package import ForgeGate

/// Announces a model: its name and every file with its size, and its digest where that is known already. The registry sets the room aside and answers with an upload.
package struct UploadRequest: Codable, Sendable, Hashable {
    package struct File: Codable, Sendable, Hashable {
        package var name: String
        package var bytes: Int64
        /// Nil: whoever brings the model in says it in the end, for he makes the file while he sends it.
        package var digest: Digest?
        package init(name: String, bytes: Int64, digest: Digest?) {
            self.name = name
            self.bytes = bytes
            self.digest = digest
        }
    }

    package var name: String
    package var files: [File]
    package init(name: String, files: [File]) {
        self.name = name
        self.files = files
    }
}

/// How far an upload is. A sender that was interrupted asks, and sends what is missing.
package struct UploadView: Codable, Sendable, Hashable {
    package struct File: Codable, Sendable, Hashable {
        package var name: String
        package var bytes: Int64
        /// Segments that are stored, durably.
        package var stored: [Int64]
        package init(name: String, bytes: Int64, stored: [Int64]) {
            self.name = name
            self.bytes = bytes
            self.stored = stored
        }

        /// Runs of segments that are not stored yet, in order.
        package func missing(segmentBytes size: Int64) -> [Range<Int64>] {
            let count = (bytes + size - 1) / size
            var runs: [Range<Int64>] = [], from: Int64 = 0
            for index in Set(stored).filter({ 0..<count ~= $0 }).sorted() + [count] {
                if from < index { runs.append(from..<index) }
                from = index + 1
            }
            return runs
        }
    }

    package var id: ID
    package var name: String
    /// `open`, `committed` or `abandoned`.
    package var state: String
    /// Every segment but a file's last has exactly this many bytes.
    package var segmentBytes: Int64
    package var files: [File]

    package init(id: ID, name: String, state: String, segmentBytes: Int64, files: [File]) {
        self.id = id
        self.name = name
        self.state = state
        self.segmentBytes = segmentBytes
        self.files = files
    }

    package enum CodingKeys: String, CodingKey {
        case id, name, state, files
        case segmentBytes = "segment_bytes"
    }
}

/// Makes the upload of a person a version that was made elsewhere: it stays in quarantine until it has been measured.
package struct ImportRequest: Codable, Sendable, Hashable {
    /// The files it was converted from, such as `file:consolidated.safetensors`.
    package var sources: [CommitRequest.Source]
    /// Of the model's files that were announced without one.
    package var digests: [CommitRequest.Source]?

    package init(sources: [CommitRequest.Source], digests: [CommitRequest.Source]? = nil) {
        self.sources = sources
        self.digests = digests
    }

    package static let sourcesMax = 10_000
}

/// Makes the upload a version. What the trainer knows of its making becomes the signed provenance (docs/formats/provenance.md).
package struct CommitRequest: Codable, Sendable, Hashable {
    package struct Source: Codable, Sendable, Hashable {
        package var name: String
        package var digest: Digest
        package init(name: String, digest: Digest) {
            self.name = name
            self.digest = digest
        }
    }

    package struct Record: Codable, Sendable, Hashable {
        package var name: String
        package var index: AuditIndex
        package init(name: String, index: AuditIndex) {
            self.name = name
            self.index = index
        }
    }

    package var run: ID
    /// The person whose run it was.
    package var trainedBy: String
    package var seed: Int64
    package var kernelPath: String
    package var recipe: Digest
    package var sources: [Source]
    /// Microseconds since 1970.
    package var started: Int64
    package var finished: Int64
    /// The run's audit records, such as `record:run.submit`.
    package var records: [Record]

    package init(
        run: ID, trainedBy: String, seed: Int64, kernelPath: String, recipe: Digest, sources: [Source], started: Int64, finished: Int64, records: [Record]
    ) {
        self.run = run
        self.trainedBy = trainedBy
        self.seed = seed
        self.kernelPath = kernelPath
        self.recipe = recipe
        self.sources = sources
        self.started = started
        self.finished = finished
        self.records = records
    }

    package enum CodingKeys: String, CodingKey {
        case run, seed, recipe, sources, started, finished, records
        case trainedBy = "trained_by"
        case kernelPath = "kernel_path"
    }
}
