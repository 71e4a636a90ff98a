import ForgeAudit
import ForgeAuthority
import ForgeCore
import ForgeCrypto
import ForgeData
import ForgeGate
import ForgeHTTP
import ForgeOS
import RegistryAPI
import TrainerAPI

extension Trainer {
    var datasetRoutes: [Route] {
        [
            Route(.post, "/v1/datasets", body: .streaming(.gib(1 << 10)), deadline: nil, summary: "Add documents (docs/formats/ingest-stream.md)") { [self] in try await addDataset($0) },
            Route(.get, "/v1/datasets", summary: "All data sets") { [self] in try await listDatasets($0) },
            Route(.get, "/v1/datasets/{ref}", summary: "One data set") { [self] in try .json(try await readDataset($0).view) },
            Route(.get, "/v1/datasets/{ref}/report", summary: "What came in and what became of it") { [self] in try .json(try await readDataset($0).report) },
        ]
    }

    private func addDataset(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        try request.allowQuery("name", "heldout", "redact")
        guard let name = request.query["name"], Trainer.isName(name) else {
            throw Fault(
                .request, "data.name", "cannot add a data set without a good name", why: "a name has 1 to 64 small letters, digits, dots and hyphens and starts with a letter or digit",
                remedy: "`forge data add NAME PATH…`")
        }
        guard request.headers["content-type"] == IngestStream.contentType else {
            throw Fault(.request, "data.type", "cannot read the documents", why: "the body must be of type `\(IngestStream.contentType)`", remedy: "use `forge data add`")
        }
        let permille = try request.queryInt("heldout", default: 50, in: 0...500)
        let redacts = request.query["redact"] == "true"
        let who = try await visitor(request)
        try site.disk.requireRoom(below: .alert, to: "take a new data set", on: "trainer")
        let permit = try await permit(.dataAdd, on: EntityID("Forge::Dataset", name), for: who)
        let record = permit.record
        let stream = request.stream
        let reply = try await carryOut(permit, for: who) { () async throws(Fault) in
            let reply = try await ingest(name, stream, permille: permille, redacts: redacts, by: who.user ?? who.principal.description, record: record)
            let data: JSON.Object = [
                "dataset": .string(reply.dataset.digest.description), "documents": .int(Int64(reply.report.accepted)), "refused": .int(Int64(reply.report.refused)), "bytes": .int(reply.report.bytes),
            ]
            return (reply, AuditEntry.Object("Forge::Dataset", name, digest: reply.dataset.digest), data)
        }
        return try .json(reply, status: 201)
    }

    private func ingest(
        _ name: String, _ stream: BodyStream, permille: Int, redacts: Bool, by person: String, record: AuditIndex
    ) async throws(Fault) -> IngestReply {
        let id = ID()
        let directory = store.incoming(id)
        do throws(Fault) {
            let key = try await registry.releaseKey(.dataset, id)
            let work = try Ingest(directory, key: key, permille: permille, redacts: redacts)
            for try await piece in stream { try await work.feed(piece) }
            let (manifest, found) = try await work.finish()
            let report = DatasetReport(found, redacted: redacts)
            do throws(Fault) { _ = try await registry.register(dataset: name, manifest: manifest.lines, bytes: report.bytes, person: person) } catch {
                // Registered before: if it is here too, this copy is dropped; if not, it was lost between the two, and this one takes its place.
                if error.code != "data.exists" { throw error }
                if (try? await store.dataset(manifest.root.description)) != nil { throw error }
            }
            let view = DatasetView(
                id: id, name: name, digest: manifest.root, addedBy: person, created: Trainer.now, record: record, documents: manifest.leaves.count, bytes: report.bytes, train: report.train,
                heldout: report.heldout)
            try await store.insert(DatasetRecord(view: view, report: report))
            return IngestReply(dataset: view, report: report)
        } catch {
            try? Path.removeTree(directory)
            throw error
        }
    }

    private func listDatasets(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let who = try await visitor(request)
        _ = try await permit(.dataRead, on: EntityID("Forge::Dataset", "*"), for: who)
        return try .json(DatasetViews(datasets: await store.allDatasets().map(\.view)))
    }

    private func readDataset(_ request: HTTPRequest) async throws(Fault) -> DatasetRecord {
        let who = try await visitor(request)
        let reference = request.parameter("ref")
        let found: DatasetRecord?
        var missing: Fault?
        do throws(Fault) { found = try await store.dataset(reference) } catch { (found, missing) = (nil, error) }
        _ = try await permit(.dataRead, on: EntityID("Forge::Dataset", found?.view.name ?? String(reference.prefix(100))), digest: found?.view.digest, for: who)
        guard let found else { throw missing ?? Fault(.request, "data.not_found", "there is no such data set") }
        return found
    }
}

/// One stream of documents on its way in, on a thread of its own: reading documents is work.
actor Ingest {
    private let thread = ThreadExecutor("ingest")
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }

    private let reader: DocumentReader
    private var decoder = IngestDecoder()
    private var ingestor: Ingestor?
    private var archive: DocumentArchive.Writer?
    private var hasher = SHA256Hasher()
    /// The last 32 bytes so far: at the end, the stream's own digest.
    private var tail: [UInt8] = []

    init(_ directory: String, key: borrowing ReleasedKey, permille: Int, redacts: Bool) throws(Fault) {
        reader = DocumentReader(.init(redacts: redacts))
        ingestor = try Ingestor(heldOutPermille: permille)
        archive = try DocumentArchive.Writer(directory, header: key.header(), key: key.key)
    }

    func feed(_ piece: [UInt8]) throws(Fault) {
        tail += piece
        if tail.count > Digest.count {
            hasher.update(Array(tail[..<(tail.count - Digest.count)]))
            tail.removeFirst(tail.count - Digest.count)
        }
        for frame in try decoder.feed(piece) {
            switch frame {
            case .document(let path, let bytes): try take(path, bytes)
            case .skipped(let path, let reason): ingestor?.refuse(path, Refusal(.notSent, reason))
            }
        }
    }

    private func take(_ path: String, _ bytes: [UInt8]) throws(Fault) {
        let document: ReadDocument
        do throws(Refusal) { document = try reader.read(path: path, bytes: bytes) } catch {
            ingestor?.refuse(path, error)
            return
        }
        // A path that came before is refused and counted by the ingestor.
        do throws(Refusal) { try ingestor?.accept(document) } catch { return }
        try archive?.append(document)
    }

    func finish() throws(Fault) -> (manifest: DatasetManifest, report: IngestReport) {
        try decoder.finish()
        guard let claimed = decoder.claimedDigest, hasher.digestSoFar() == claimed else {
            throw Fault(.request, "ingest.stream", "the documents did not arrive whole", why: "their digest does not fit", remedy: "send them again; nothing was kept")
        }
        guard let ingestor = ingestor.take(), let archive = archive.take() else { preconditionFailure("a stream is finished once") }
        let done = try ingestor.finish()
        try archive.finish(done.manifest)
        return done
    }
}

extension DatasetReport {
    init(_ report: IngestReport, redacted: Bool) {
        func counts<K: RawRepresentable>(_ table: [K: Int]) -> [String: Int] where K.RawValue == String { Dictionary(uniqueKeysWithValues: table.map { ($0.key.rawValue, $0.value) }) }
        self.init(
            received: report.received, accepted: report.accepted, refused: report.refused, kinds: counts(report.kinds), bytes: Int64(report.bytes), groups: report.groups,
            duplicates: .init(exact: report.exactDuplicates, near: report.nearDuplicates), train: .init(documents: report.trainDocuments, bytes: Int64(report.trainBytes)),
            heldout: .init(documents: report.heldOutDocuments, bytes: Int64(report.heldOutBytes)),
            personal: .init(documents: report.documentsWithPersonalData, found: counts(report.personal), redacted: redacted), reasons: counts(report.reasons),
            refusals: report.refusals.map { .init(path: $0.path, reason: $0.reason.rawValue, why: $0.why) })
    }
}
