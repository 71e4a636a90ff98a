import ForgeCatalog
import ForgeCore
import ForgeCrypto
import ForgeHTTP
import ForgeVault
import Synchronization

extension Registry {
    var segmentRoutes: [Route] {
        [
            Route(
                .put, "/v1/uploads/{id}/files/{name}/segments/{n}", body: .streaming(.gib(1 << 14)), deadline: nil,
                summary: "Send segments from one on, one or several; they are durable when answered"
            ) { [self] in try await putSegments($0) },
        ]
    }

    /// Seals and stores segments as they come, from one on. A segment's row follows its bytes, and the answer follows the last row; what breaks off leaves the whole segments before it.
    private func putSegments(_ request: HTTPRequest) async throws -> HTTPResponse {
        let (row, declared, _) = try await ownUpload(request)
        try Registry.open(row)
        guard let file = declared.files.first(where: { $0.name == request.parameter("name") }), let first = Int(request.parameter("n")), (0..<1 << 24).contains(first),
            Int64(first) * Int64(strongroom.blobs.segmentCount) < file.bytes
        else { throw Fault(.request, "upload.segment", "this segment is not part of the upload", why: "no announced file has it") }
        try requireWhole(request.headers["content-length"].flatMap { Int64($0) }, file, from: first)
        let key = try await uploadKey(file.blob)
        let lane = try await intake.enter(file.blob, from: first), seen = Mutex<(segments: Int, mark: DigestLane.Mark)?>(nil)
        do {
            try Registry.open(try await ownUpload(request).row)  // a commit may have been before us
            let known = try await ledger.reader.read { database throws(Fault) in try database.segments(ofUpload: row.id, file: file.name) }
            let again = Set(known.map(\.index))
            try await SegmentLanes(strongroom.blobs, key, count: file.bytes, plaintext: lane).run(BodyReader(request.stream), from: first) { [self] index in
                try ledger.requireSpace()
                // A row never speaks of bytes that are being replaced.
                if again.contains(Int64(index)) { try await writeSegment(of: row.id) { database throws(Fault) in try database.removeSegment(Int64(index), upload: row.id, file: file.name) } }
            } stored: { [self] stored in
                let segment = stored.segment
                try await writeSegment(of: row.id) { database throws(Fault) in
                    try database.putSegment(
                        SegmentRow(index: Int64(segment.index), digest: segment.digest, bytes: Int64(segment.count), stored: Int64(segment.sealedCount)), upload: row.id, file: file.name)
                }
                if let mark = stored.mark { seen.withLock { $0 = (segment.index + 1, mark) } }
            }
        } catch {
            await leave(file.blob, of: row.id, seen: seen.withLock { $0 })
            throw error
        }
        await leave(file.blob, of: row.id, seen: seen.withLock { $0 })
        return .done
    }

    private func leave(_ blob: ID, of upload: ID, seen: (segments: Int, mark: DigestLane.Mark)?) async {
        await intake.leave(blob, seen: seen)
        // Given up meanwhile: without its key the file is noise, and if it cannot be removed now, the next start does it.
        if let state = try? await ledger.reader.read({ database throws(Fault) in try database.upload(upload)?.state }), state == .abandoned { try? await remove(blob) }
    }

    /// A body whose length is announced is refused before a byte of it is stored if it does not end where a segment does.
    private func requireWhole(_ announced: Int64?, _ file: Declared.File, from first: Int) throws(Fault) {
        let size = Int64(strongroom.blobs.segmentCount), left = file.bytes - Int64(first) * size
        guard let announced, announced == 0 || announced > left || announced < left && announced % size != 0 else { return }
        throw Fault(
            .request, "upload.segment", "segment \(first) of `\(file.name)` is not accepted", why: "it has \(announced) bytes where \(min(size, left)) belong\(left > size ? ", or several whole segments" : "")")
    }

    private func writeSegment(of upload: ID, _ change: @escaping @Sendable (Database) throws(Fault) -> Void) async throws(Fault) {
        try await ledger.write { database, _ throws(Fault) in
            guard try database.upload(upload)?.state == .open else { throw Fault(.request, "upload.closed", "upload `\(upload)` takes nothing more") }
            try change(database)
        }
    }
}
