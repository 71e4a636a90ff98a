import ForgeArtifact
import ForgeAudit
import ForgeCatalog
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeHTTP
import ForgeOS
import ForgeVault
import RegistryAPI

extension Registry {
    var uploadRoutes: [Route] {
        [
            Route(.post, "/v1/uploads", summary: "Announce a model (forged, or people who bring one in)") { [self] in try await beginUpload($0) },
            Route(.get, "/v1/uploads/{id}", summary: "How far an upload is") { [self] in try await readUpload($0) },
            Route(.delete, "/v1/uploads/{id}", summary: "Give an upload up") { [self] in try await abandonUpload($0) },
            Route(.post, "/v1/uploads/{id}/commit", deadline: nil, summary: "Make the upload a version (forged)") { [self] in try await commitUpload($0) },
            Route(.post, "/v1/uploads/{id}/import", deadline: nil, summary: "Make the upload a version that was made elsewhere (people)") { [self] in try await importUpload($0) },
        ]
    }

    /// Ids and wrapped keys of the blobs an upload fills, as its row keeps them: a restart in between loses nothing.
    struct Declared: Sendable {
        struct File: Sendable {
            let name: String
            /// Nil until the sender has said it.
            var digest: Digest?
            let bytes: Int64
            let blob: ID
        }
        var files: [File]

        init(_ files: [File]) { self.files = files }

        init(parsing bytes: [UInt8]) throws(Fault) {
            var files: [File] = []
            for item in (try? JSON.parse(bytes))?.array ?? [] {
                let digest = item["digest"]?.string.flatMap { Digest(parsing: $0) }
                guard let name = item["name"]?.string, item["digest"] == nil || digest != nil, let bytes = item["bytes"]?.int, let blob = item["blob"]?.string.flatMap({ ID(parsing: $0) })
                else { throw Database.corrupt("an upload's files do not read") }
                files.append(File(name: name, digest: digest, bytes: bytes, blob: blob))
            }
            self.files = files
        }

        var bytes: [UInt8] {
            JSON.array(
                files.map { file in
                    var item: JSON.Object = ["blob": .string(file.blob.description), "bytes": .int(file.bytes), "name": .string(file.name)]
                    if let digest = file.digest { item["digest"] = .string(digest.description) }
                    return .object(item)
                }
            ).canonical
        }

        /// The model it would be; nil while a file has no digest.
        func model() throws(Fault) -> ModelFiles? {
            var entries: [ModelFiles.Entry] = []
            for file in files {
                guard let kind = ModelFile(rawValue: file.name) else { throw Database.corrupt("an upload's files do not read") }
                guard let digest = file.digest else { return nil }
                entries.append(.init(kind, digest, bytes: file.bytes))
            }
            return try ModelFiles(entries)
        }
    }

    // MARK: begin

    private func beginUpload(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let message: UploadRequest = try request.decode()
        let who = try await visitor(request)
        switch who.principal {
        // A person brings in what was made elsewhere; what was made here comes from the trainer alone.
        case .user: break
        default: _ = try await requireService(request, .trainer)
        }
        guard Names.isName(message.name) else {
            throw Fault(.request, "model.name", "cannot name a model `\(message.name.prefix(80))`", why: "a name has 1 to 64 small letters, digits, dots and hyphens and starts with a letter or digit")
        }
        try ledger.requireRoom(to: "take a new model")
        try Registry.check(message.files)
        let total = message.files.reduce(0) { $0 + $1.bytes } + Int64(message.files.count) << 20
        let open = try keyring.current(to: "store a model")
        var keys: [WrappedKey] = []
        var declared: [Declared.File] = []
        for file in message.files.sorted(by: { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }) {
            let key = try vault.makeKey(.blob, subject: ID(), project: open.project, version: open.version)
            keys.append(key)
            declared.append(.init(name: file.name, digest: file.digest, bytes: file.bytes, blob: key.subject))
        }
        let (allKeys, row) = (keys, Declared(declared)), digest = try row.model()?.digest
        let free = try await strongroom.freeSpace(directory)
        let permit = try await permit(.modelPut, on: EntityID("Forge::Model", message.name), digest: digest, for: who)
        let (intent, id) = (permit.record, ID())
        let principal = who.principal?.description ?? ""
        let view = UploadView(
            id: id, name: message.name, state: UploadRow.State.open.rawValue, segmentBytes: Int64(strongroom.blobs.segmentCount),
            files: row.files.map { .init(name: $0.name, bytes: $0.bytes, stored: []) })
        return try await carryOut(permit, for: who, object: .init("Forge::Model", message.name, digest: digest)) { database, _, now throws(Fault) in
            // Room is set aside here, so that a full disk is met before the first byte and not after the last.
            let reserved = try database.reservedBytes()
            guard total + reserved < free.count else {
                throw Fault(
                    .environment, "store.full", "`\(message.name)` does not fit", why: "it needs \(ByteCount(total)), \(ByteCount(max(0, free.count - reserved))) are free",
                    remedy: "free space on the registry's file system and try again", retryable: true)
            }
            for key in allKeys { try database.insert(key, record: intent, now: now) }
            try database.insert(
                UploadRow(
                    id: id, principal: principal, name: message.name, reserved: total, declared: row.bytes, created: now, expires: now + 7 * 86_400_000_000, record: intent))
            return (view, ["upload": .string(id.description), "files": .int(Int64(allKeys.count)), "bytes": .int(total)])
        }.response(201)
    }

    /// A name, size or set of files that no model has is refused here.
    private static func check(_ announced: [UploadRequest.File]) throws(Fault) {
        var files: [(ModelFile, Int64)] = []
        for item in announced {
            guard let file = ModelFile(rawValue: item.name) else {
                throw Fault(
                    .request, "model.file_kind", "cannot store `\(item.name.prefix(80))`", why: "a model has \(ModelFile.allCases.map { "`\($0.rawValue)`" }.joined(separator: ", ")) and nothing else",
                    remedy: "formats that can run code are never stored")
            }
            guard item.bytes > 0 else { throw Fault(.request, "model.empty_file", "cannot store `\(item.name)`", why: "it is empty") }
            files.append((file, item.bytes))
        }
        try ModelFiles.requireWhole(files)
    }

    // MARK: look, send, give up

    /// The upload, if it is the caller's own: nobody else may continue it.
    func ownUpload(_ request: HTTPRequest) async throws(Fault) -> (row: UploadRow, declared: Declared, who: AuditEntry.Subject) {
        let who = try await visitor(request)
        let text = request.parameter("id")
        let row = try await ledger.reader.read { (database) throws(Fault) -> UploadRow? in
            guard let id = ID(parsing: text) else { return nil }
            return try database.upload(id)
        }
        guard let row, row.principal == who.principal?.description else {
            throw Fault(.request, "upload.not_found", "there is no upload `\(text.prefix(40))` of yours", remedy: "begin a new one")
        }
        return (row, try Declared(parsing: row.declared), who)
    }

    static func open(_ row: UploadRow) throws(Fault) {
        guard row.state == .open else { throw Fault(.request, "upload.\(row.state.rawValue)", "upload `\(row.id)` takes nothing more", why: "it is \(row.state.rawValue)") }
    }

    private func readUpload(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let (row, declared, _) = try await ownUpload(request)
        let segmentBytes = Int64(strongroom.blobs.segmentCount)
        return try .json(
            try await ledger.reader.read { database throws(Fault) in
                var files: [UploadView.File] = []
                for file in declared.files { files.append(.init(name: file.name, bytes: file.bytes, stored: try database.segments(ofUpload: row.id, file: file.name).map(\.index))) }
                return UploadView(id: row.id, name: row.name, state: row.state.rawValue, segmentBytes: segmentBytes, files: files)
            })
    }

    func uploadKey(_ blob: ID) async throws(Fault) -> WrappedKey {
        guard let key = try await ledger.reader.read({ database throws(Fault) in try database.key(.blob, subject: blob) }) else { throw Database.corrupt("a blob has no key") }
        return key
    }

    private func abandonUpload(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let (row, _, _) = try await ownUpload(request)
        guard row.state != .committed else { throw Fault(.request, "upload.committed", "upload `\(row.id)` is a version already") }
        try await abandon(row)
        return .done
    }

    static func blobs(of row: UploadRow) throws(Fault) -> [ID] { try Declared(parsing: row.declared).files.map(\.blob) }

    /// Keys first: without them the bytes are noise, whatever happens next.
    func abandon(_ row: UploadRow) async throws(Fault) {
        let blobs = try Registry.blobs(of: row)
        try await ledger.write { database, _ throws(Fault) in
            try database.setUpload(row.id, .abandoned)
            for blob in blobs { if let key = try database.key(.blob, subject: blob) { try database.deleteWrappedKey(key.id) } }
        }
        for blob in blobs { try await remove(blob) }
    }

    /// Removes a blob's file, unless its segments are arriving: whoever receives them finds the upload given up, and removes it.
    func remove(_ blob: ID) async throws(Fault) {
        guard await intake.holdIfIdle(blob) else { return }
        do throws(Fault) { try await strongroom.remove(blob) } catch {
            await intake.letGo([blob], forgetting: true)
            throw error
        }
        await intake.letGo([blob], forgetting: true)
    }

    // MARK: commit

    /// What becomes the provenance of an upload.
    private struct Making: Sendable {
        let kind: Provenance.Kind
        let run: ID
        let person: String
        var seed: Int64?
        var kernelPath: String?
        /// Nil: that of the uploaded `recipe.yaml`.
        var recipe: Digest?
        let sources: [CommitRequest.Source]
        let started: Int64
        var finished: Int64?
        var records: [CommitRequest.Record] = []
    }

    private func commitUpload(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let message: CommitRequest = try request.decode()
        _ = try await requireService(request, .trainer)
        let (row, declared, who) = try await ownUpload(request)
        return try await conclude(
            row, declared, who,
            Making(
                kind: .training, run: message.run, person: message.trainedBy, seed: message.seed, kernelPath: message.kernelPath, recipe: message.recipe, sources: message.sources,
                started: message.started, finished: message.finished, records: message.records))
    }

    /// A person may say what files a model was converted from, and nothing of a run: there was none here.
    private func importUpload(_ request: HTTPRequest) async throws(Fault) -> HTTPResponse {
        let message: ImportRequest = try request.decode()
        var (row, declared, who) = try await ownUpload(request)
        guard case .user(let person) = who.principal else {
            throw Fault(.denied, "import.people_only", "only a person brings a model in", why: "\(who.principal?.description ?? "nobody") asked", remedy: "a daemon commits what it made")
        }
        let sources = Dictionary(message.sources.map { ($0.name, $0.digest) }) { first, _ in first }
        guard (1...ImportRequest.sourcesMax).contains(sources.count), sources.count == message.sources.count,
            sources.keys.allSatisfy({ $0.hasPrefix("file:") && (6...512).contains($0.utf8.count) && $0.utf8.allSatisfy { (0x20...0x7e).contains($0) } })
        else {
            throw Fault(
                .request, "import.sources", "the sources of this import are not accepted", why: "they are 1 to \(ImportRequest.sourcesMax) distinct names `file:…` of printable ASCII")
        }
        for said in message.digests ?? [] {
            // One that was announced stands.
            guard let at = declared.files.firstIndex(where: { $0.name == said.name }), declared.files[at].digest ?? said.digest == said.digest else {
                throw Fault(.request, "upload.digest", "the digest of `\(said.name.prefix(80))` is not accepted", why: "no such file was announced, or another digest of it")
            }
            declared.files[at].digest = said.digest
        }
        // What it learnt from is not ours to state: no receipt of it could be followed to documents.
        guard declared.files.first(where: { $0.name == ModelFile.datasets.rawValue })?.digest == .sha256(DatasetsRecord([]).encoded) else {
            throw Fault(.request, "import.datasets", "this import is not accepted", why: "its `datasets.json` names data sets of this appliance", remedy: "`forge model import` writes it as it should be")
        }
        return try await conclude(row, declared, who, Making(kind: .importing, run: row.id, person: person, sources: message.sources, started: row.created))
    }

    /// Crash order of the store: blobs durable in place, then one transaction with every row, the signatures and the outcome.
    private func conclude(_ row: UploadRow, _ declared: Declared, _ who: AuditEntry.Subject, _ making: Making) async throws(Fault) -> HTTPResponse {
        // Until the version is in the catalog nobody writes to a blob of it.
        let blobs = declared.files.map(\.blob)
        await intake.hold(blobs)
        let answer: HTTPResponse
        do throws(Fault) { answer = try await decide(row, declared, who, making) } catch {
            await intake.letGo(blobs, forgetting: false)
            throw error
        }
        await intake.letGo(blobs, forgetting: true)
        return answer
    }

    private func decide(_ row: UploadRow, _ declared: Declared, _ who: AuditEntry.Subject, _ making: Making) async throws(Fault) -> HTTPResponse {
        try Registry.open(row)
        guard let files = try declared.model() else {
            throw Fault(.request, "upload.digest", "the upload is not a version yet", why: "a file of it was announced without a digest, and none was said", remedy: "say it with the call that makes the version")
        }
        let open = try keyring.current(to: "sign a model")
        let permit = try await permit(
            .modelPut, on: EntityID("Forge::Model", row.name), digest: files.digest, attributes: ["name": .string(row.name), "digest": .string(files.digest.description)], for: who)
        let id = permit.decision.request
        let blobs: [StoredBlob]
        do throws(Fault) { blobs = try await finish(row, declared, files) } catch {
            await recordFailure(of: .modelPut, request: id, for: who, object: .init("Forge::Model", row.name, digest: files.digest), error)
            throw error
        }
        do throws(Fault) {
            return try .json(try await enter(row, declared, files, blobs, making, open, request: id, for: who), status: 201)
        } catch {
            await recordFailure(of: .modelPut, request: id, for: who, object: .init("Forge::Model", row.name, digest: files.digest), error)
            throw error
        }
    }

    /// All rows of a new version, its signatures and the outcome's record, in one transaction. The version's number is known only inside it, and the signatures name it.
    private func enter(
        _ row: UploadRow, _ declared: Declared, _ files: ModelFiles, _ blobs: [StoredBlob], _ making: Making, _ open: Keyring.Open, request id: ID,
        for who: AuditEntry.Subject
    ) async throws(Fault) -> ModelView {
        try await ledger.write { database, log throws(Fault) -> ModelView in
            guard try database.upload(row.id)?.state == .open else { throw Fault(.request, "upload.closed", "upload `\(row.id)` takes nothing more") }
            let version = try log.record(in: database) { index, now throws(Fault) in
                let version = try database.nextVersion(of: row.name)
                let reference = ModelReference(name: row.name, version: Int(version))
                let manifest = ModelManifest.sign(files, as: reference, with: open.manifest)
                let records = making.records.map { Provenance.Record(name: $0.name, index: $0.index) } + [.init(name: "record:model.put", index: index)]
                let recipe = making.recipe ?? files[.recipe].digest
                let provenance = Provenance(
                    kind: making.kind, reference: reference, digest: files.digest, recipe: recipe, seed: making.seed, kernelPath: making.kernelPath,
                    dependencies: making.sources.map { .init(name: $0.name, digest: $0.digest) }, run: making.run, started: Timestamp(nanoseconds: making.started * 1000),
                    finished: Timestamp(nanoseconds: (making.finished ?? now) * 1000), records: records
                ).signed(by: open.manifest)
                let run = making.kind == .training ? making.run.description : nil
                let rowOfVersion = ModelVersionRow(name: row.name, version: version, digest: files.digest, run: run, trainedBy: making.person, created: now, record: index)
                var fileRows: [ModelFileRow] = []
                for (file, blob) in zip(declared.files, blobs) {
                    try database.insert(
                        BlobRow(
                            id: blob.id, key: blob.key.id, digest: blob.digest, bytes: blob.count, stored: blob.sealedCount, segments: Int64(blob.segments.count), created: now, record: index),
                        segments: blob.segments.map { SegmentRow(index: Int64($0.index), digest: $0.digest, bytes: Int64($0.count), stored: Int64($0.sealedCount)) })
                    fileRows.append(ModelFileRow(file: file.name, digest: blob.digest, bytes: blob.count, blob: blob.id))
                }
                try database.insert(rowOfVersion, files: fileRows)
                try database.insertAttestation(row.name, version, kind: "manifest", envelope: manifest.bundle, record: index)
                try database.insertAttestation(row.name, version, kind: "provenance", envelope: provenance.bundle, record: index)
                if run != nil, try database.run(making.run) == nil, let dataset = making.sources.first(where: { $0.name.hasPrefix("dataset:") }) {
                    try database.insert(RunRow(run: making.run, dataset: dataset.digest, recipe: recipe, submittedBy: making.person, created: now, record: index))
                }
                try database.setUpload(row.id, .committed)
                var facts: JSON.Object = [
                    "manifest": .string(Digest.sha256(manifest.bundle).description), "recipe": .string(recipe.description),
                    "person": .string(making.person), "upload": .string(row.id.description), "bytes": .int(files.bytes.count), "files": .int(Int64(files.entries.count)),
                ]
                if let run {
                    facts["run"] = .string(run)
                } else {
                    facts["origin"] = "import"
                    facts["count"] = .int(Int64(making.sources.count))
                }
                return (AuditEntry.outcome(.modelPut, .ok, request: id, who: who, object: Registry.object(rowOfVersion), data: facts), rowOfVersion)
            }.value
            return try database.view(version)
        }
    }

    /// Every file whole, durable, and what was announced.
    private func finish(_ row: UploadRow, _ declared: Declared, _ files: ModelFiles) async throws(Fault) -> [StoredBlob] {
        var blobs: [StoredBlob] = []
        // Both are in the order of their names.
        for (file, expected) in zip(declared.files, files.entries) {
            let stored = try await ledger.reader.read { database throws(Fault) in try database.segments(ofUpload: row.id, file: file.name) }
            let size = Int64(strongroom.blobs.segmentCount)
            let count = Int((file.bytes + size - 1) / size)
            let missing = Set(0..<Int64(count)).subtracting(stored.map(\.index)).sorted()
            guard missing.isEmpty else {
                throw Fault(.request, "upload.incomplete", "`\(file.name)` is not all there", why: "segments \(missing.prefix(8).map(String.init).joined(separator: ", ")) are missing", remedy: "send them and commit again")
            }
            let segments = stored.map { SealedSegment(index: Int($0.index), count: Int($0.bytes), sealedCount: Int($0.stored), digest: $0.digest) }
            let blob = try await strongroom.finish(try await uploadKey(file.blob), segments, digest: await intake.digest(file.blob, segments: count))
            guard blob.digest == expected.digest, blob.count == file.bytes else {
                throw Fault(.request, "upload.digest", "`\(file.name)` is not what was announced", why: "its digest is \(blob.digest), announced was \(expected.digest)", remedy: "begin a new upload")
            }
            blobs.append(blob)
        }
        return blobs
    }
}

extension Encodable {
    /// As an answer with that status.
    fileprivate func response(_ status: Int) throws(Fault) -> HTTPResponse { try .json(self, status: status) }
}
