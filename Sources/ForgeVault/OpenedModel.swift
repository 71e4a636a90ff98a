package import ForgeCore
import ForgeCrypto
package import ForgeGate

/// A model that a person may take away, opened to be read piece by piece. Unlike an `UnsealedModel` it is never whole in memory.
package final class OpenedModel: Sendable {
    package let digest: Digest
    package let files: [SealedModel.File]
    private let readers: [SealedReader]

    fileprivate init(_ model: SealedModel, _ readers: [SealedReader]) {
        digest = model.digest
        files = model.files
        self.readers = readers
    }

    /// Up to `count` bytes of a file, authenticated. Blocks.
    /// - Precondition: `at` lies in the file.
    package func read(_ file: Int, _ count: Int, at offset: Int64) throws(Fault) -> [UInt8] {
        try readers[file].read(Int(min(Int64(count), files[file].count - offset)), at: offset)
    }
}

extension BlobStore {
    /// - Precondition: the permit is for exporting exactly this digest.
    /// - Throws: `.environment` when the store is sealed or a blob is not the one that was committed.
    package func open(_ model: SealedModel, with permit: consuming Permit) throws(Fault) -> OpenedModel {
        precondition(permit.request.action == "model.export" && permit.request.resourceDigest == model.digest, "a permit exports the model it was given for")
        var readers: [SealedReader] = []
        for file in model.files {
            let reader = try open(file.key)
            guard reader.count == file.count else { throw BlobStore.otherFile(file, reader.count) }
            readers.append(reader)
        }
        return OpenedModel(model, readers)
    }
}
