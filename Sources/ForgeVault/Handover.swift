package import ForgeCore
import ForgeCrypto
package import ForgeGate
package import ForgeOS

/// A model in the store: its digest and the blobs of its files, in the order of their names.
package struct SealedModel: Sendable, Hashable {
    package struct File: Sendable, Hashable {
        package let name: String
        package let digest: Digest
        package let count: Int64
        package let key: WrappedKey

        package init(name: String, digest: Digest, count: Int64, key: WrappedKey) {
            self.name = name
            self.digest = digest
            self.count = count
            self.key = key
        }
    }

    package let digest: Digest
    package let files: [File]

    package init(digest: Digest, files: [File]) {
        self.digest = digest
        self.files = files.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }
}

/// A model on its way into another process: memory files that nobody can change any more.
package final class UnsealedModel: Sendable {
    package let digest: Digest
    package let names: [String]
    /// In the order of the names; closed when the value goes.
    package let memory: [Memory]

    package final class Memory: Sendable {
        package let memfd: Memfd
        init(_ memfd: consuming Memfd) { self.memfd = memfd }
    }

    init(digest: Digest, names: [String], memory: [Memory]) {
        self.digest = digest
        self.names = names
        self.memory = memory
    }
}

extension BlobStore {
    /// Decrypts a model into sealed memory. Every byte was authenticated; nothing is kept here once the caller lets go.
    ///
    /// - Precondition: the permit is for loading exactly this digest.
    /// - Throws: `.environment` when the store is sealed, a blob is damaged or memory is short. What was decrypted by then is gone.
    package func unseal(_ model: SealedModel, with permit: consuming Permit) throws(Fault) -> UnsealedModel {
        precondition(permit.request.action == "model.load" && permit.request.resourceDigest == model.digest, "a permit loads the model it was given for")
        var memory: [UnsealedModel.Memory] = []
        for file in model.files {
            do throws(Fault) { memory.append(try unseal(file)) } catch {
                // Which file of the store is damaged stands in the fault; which of the model, is known only here.
                guard error.code.hasPrefix("seal.") else { throw error }
                var fault = error
                fault.why = "`\(file.name)`: \(fault.why)"
                throw fault
            }
        }
        return UnsealedModel(digest: model.digest, names: model.files.map(\.name), memory: memory)
    }

    static func otherFile(_ file: SealedModel.File, _ count: Int64) -> Fault {
        Fault(
            .environment, "blob.identity", "the stored file `\(file.name)` is not the one that was committed", why: "it holds \(count) bytes, its row says \(file.count)",
            remedy: "restore the store from a backup")
    }

    private func unseal(_ file: SealedModel.File) throws(Fault) -> UnsealedModel.Memory {
        let reader = try open(file.key)
        guard reader.count == file.count else { throw BlobStore.otherFile(file, reader.count) }
        let memfd = try Memfd("forge-\(file.name)", size: Int(file.count))
        var at: Int64 = 0
        while at < reader.count {
            let piece = try reader.read(4 << 20, at: at)
            try memfd.fill(piece, at: Int(at))
            at += Int64(piece.count)
        }
        try memfd.seal()
        return .init(memfd)
    }
}
