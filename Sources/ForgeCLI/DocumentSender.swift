internal import ForgeCore
internal import ForgeCrypto
internal import ForgeOS
internal import Synchronization
internal import TrainerAPI

/// The files under a folder, in one order on every machine. Links are not followed; hidden files stay behind.
struct DocumentTree: Sendable {
    struct Item: Sendable, Hashable {
        /// Relative to the folder, as the data set will name it.
        let name: String
        let path: String
        let bytes: Int64
    }

    let items: [Item]
    /// Links and other things that are no files, by name.
    let skipped: [(name: String, reason: String)]

    static let countLimit = 1_000_000

    /// - Throws: `.request` when there is nothing at the path.
    init(_ path: String) throws(Fault) {
        let root = try Path.absolute(path)
        guard let top = try Path.information(root) else { throw Fault(.request, "data.path", "cannot read `\(path)`", why: "there is nothing there") }
        var items: [Item] = [], skipped: [(String, String)] = []
        if top.kind == .file {
            items = [Item(name: Path.name(root), path: root, bytes: top.size)]
        } else {
            var open = [""]
            while let folder = open.popLast() {
                let absolute = folder.isEmpty ? root : Path.join(root, folder)
                for entry in try Path.list(absolute) where !entry.hasPrefix(".") {
                    let name = folder.isEmpty ? entry : "\(folder)/\(entry)"
                    guard let information = try Path.information(Path.join(root, name)) else { continue }
                    switch information.kind {
                    case .file: items.append(Item(name: name, path: Path.join(root, name), bytes: information.size))
                    case .directory: open.append(name)
                    case .link: skipped.append((name, "a link; links are not followed"))
                    case .socket, .other: skipped.append((name, "not a file"))
                    }
                }
                guard items.count <= DocumentTree.countLimit else {
                    throw Fault(.request, "data.count", "cannot read `\(path)`", why: "it holds more than \(DocumentTree.countLimit) files", remedy: "add it in parts")
                }
            }
        }
        self.items = items.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        self.skipped = skipped.sorted { $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }
    }

    var bytes: Int64 { items.reduce(0) { $0 + $1.bytes } }
}

/// The pieces of an ingest stream, made as the daemon takes them (docs/formats/ingest-stream.md).
struct DocumentSender: AsyncSequence, Sendable {
    typealias Element = [UInt8]
    let tree: DocumentTree
    let sent: Sent

    /// How far it is, for the progress bar beside it.
    final class Sent: Sendable {
        private let bytes = Mutex<Int64>(0)
        func add(_ count: Int64) { bytes.withLock { $0 += count } }
        var count: Int64 { bytes.withLock { $0 } }
    }

    func makeAsyncIterator() -> Iterator { Iterator(tree: tree, sent: sent) }

    struct Iterator: AsyncIteratorProtocol {
        private enum Stage { case start, skipped(Int), documents(Int), finished }
        private let tree: DocumentTree
        private let sent: Sent
        private var encoder = IngestEncoder()
        private var hasher = RunningDigest()
        private var stage = Stage.start

        init(tree: DocumentTree, sent: Sent) {
            self.tree = tree
            self.sent = sent
        }

        mutating func next() async throws -> [UInt8]? {
            switch stage {
            case .start:
                stage = .skipped(0)
                return covered(encoder.start)
            case .skipped(let i) where i < tree.skipped.count:
                stage = .skipped(i + 1)
                return covered(encoder.skipped(tree.skipped[i].name, tree.skipped[i].reason))
            case .skipped:
                stage = .documents(0)
                return try await next()
            case .documents(let i) where i < tree.items.count:
                stage = .documents(i + 1)
                let item = tree.items[i]
                sent.add(item.bytes)
                return covered(frame(item))
            case .documents:
                stage = .finished
                let end = encoder.end
                return end + hasher.finish(with: end).bytes
            case .finished: return nil
            }
        }

        /// A file that cannot be read or is too large is counted as refused; it does not end the stream.
        private mutating func frame(_ item: DocumentTree.Item) -> [UInt8] {
            guard item.bytes <= IngestStream.documentLimit else { return encoder.skipped(item.name, "larger than \(ByteCount(IngestStream.documentLimit))") }
            do throws(Fault) {
                let bytes = try File(item.path, .read).readAll(limit: ByteCount(IngestStream.documentLimit))
                return encoder.document(item.name, bytes) ?? encoder.skipped(item.name, "its path is too long")
            } catch {
                return encoder.skipped(item.name, error.message)
            }
        }

        private mutating func covered(_ piece: [UInt8]) -> [UInt8] {
            hasher.add(piece)
            return piece
        }
    }
}

/// SHA-256 over pieces, in a value that an iterator can hold.
private final class RunningDigest {
    private var hasher: SHA256Hasher? = SHA256Hasher()

    func add(_ bytes: [UInt8]) { hasher?.update(bytes) }

    func finish(with last: [UInt8]) -> Digest {
        guard var open = hasher.take() else { preconditionFailure("a digest is finished once") }
        open.update(last)
        return open.finish()
    }
}
