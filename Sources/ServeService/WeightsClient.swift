import ForgeArtifact
package import ForgeCore
import ForgeCrypto
import ForgeOS
package import RegistryAPI
import Synchronization

/// Takes models over from the registry: sealed memory by `weights.sock`, names by its API.
package struct WeightsClient: ModelSource {
    private let socket: String
    private let bearer: String?
    private let registry: RegistryClient

    package init(socket: String, bearer: String?, registry: RegistryClient) {
        self.socket = socket
        self.bearer = bearer
        self.registry = registry
    }

    package func resolve(_ reference: String) async throws(Fault) -> Digest? {
        guard let at = reference.firstIndex(of: "@") else { return Digest(parsing: reference) }
        do throws(Fault) {
            return try await registry.model(String(reference[..<at]), String(reference[reference.index(after: at)...])).digest
        } catch {
            if error.code.hasSuffix("not_found") { return nil }
            throw error
        }
    }

    package func promoted() async throws(Fault) -> String? {
        let models = try await registry.models().filter { $0.aliases.contains(AliasRequest.production) }
        return models.max { $0.created < $1.created }.map { "\($0.name)@\(AliasRequest.production)" }
    }

    package func mark() async throws(Fault) -> UInt64? {
        let status = try await registry.status()
        return status.isSealed ? nil : status.records
    }

    package func obtain(_ reference: String) async throws(Fault) -> HandedModel {
        try await offPool("forge-weights") { () throws(Fault) in
            let descriptor = try UnixSocket.connectBlocking(socket)
            do throws(Fault) { return try receive(reference, descriptor) } catch {
                UnixSocket.close(descriptor)
                throw error
            }
        }
    }

    /// One hand-over on a fresh connection, which becomes the lease.
    private func receive(_ reference: String, _ descriptor: Int32) throws(Fault) -> HandedModel {
        try UnixSocket.setBlocking(descriptor, true)
        try UnixSocket.setTimeout(descriptor, .seconds(300))
        var request = JSON.Object()
        if let bearer { request["bearer"] = .string(bearer) }
        request["model"] = .string(reference)
        request["purpose"] = "serve"
        request["v"] = 1
        try UnixSocket.sendAll(descriptor, Array(JSON.object(request).text.utf8) + [0x0a])

        let incoming = Incoming(descriptor)
        let header = try Header(try incoming.line(limit: 65_536), reference)
        var files: [ModelFile: SealedMapping] = [:]
        var entries: [ModelFiles.Entry] = []
        for file in header.files {
            let memory = Memfd(adopting: try incoming.descriptor(), name: file.file.rawValue)
            let mapping = try memory.map()
            guard Int64(mapping.count) == file.bytes else { throw WeightsClient.broken("`\(file.file.rawValue)` has \(mapping.count) bytes where \(file.bytes) were announced") }
            let digest = mapping.withSpan { Digest.sha256($0) }
            guard digest == file.digest else { throw WeightsClient.broken("`\(file.file.rawValue)` is not what its digest says") }
            files[file.file] = mapping
            entries.append(file)
        }
        guard try ModelFiles(entries).digest == header.digest else { throw WeightsClient.broken("its files do not make the model that was announced") }
        if let wanted = Digest(parsing: reference), wanted != header.digest { throw WeightsClient.broken("another model was handed over than asked for") }
        try UnixSocket.sendAll(descriptor, Array(#"{"accepted":true}"#.utf8) + [0x0a])
        try UnixSocket.setTimeout(descriptor, .zero)
        return HandedModel(
            reference: reference, name: header.name, version: header.version, digest: header.digest, alias: header.alias, files: files, lease: SocketLease(descriptor))
    }

    static func broken(_ why: String) -> Fault {
        Fault(.environment, "weights.handover", "the registry's hand-over of weights is refused", why: why, remedy: "check that both daemons are of one release", retryable: true)
    }

    /// The first line of the answer.
    private struct Header {
        let name: String
        let version: Int
        let digest: Digest
        let alias: String?
        let files: [ModelFiles.Entry]

        init(_ line: [UInt8], _ reference: String) throws(Fault) {
            guard let json = try? JSON.parse(line) else { throw broken("its answer is not JSON") }
            if json["error"] != nil { throw Fault(refusal: json) }
            guard json["v"]?.int == 1, let model = json["model"], let name = model["name"]?.string, let version = model["version"]?.int.flatMap({ Int(exactly: $0) }),
                let digest = model["digest"]?.string.flatMap({ Digest(parsing: $0) }), let items = json["files"]?.array
            else { throw broken("its answer lacks what this version needs") }
            var files: [ModelFiles.Entry] = []
            for item in items {
                guard let file = item["name"]?.string.flatMap(ModelFile.init(rawValue:)), let digest = item["sha256"]?.string.flatMap({ Digest(parsing: $0) }),
                    let size = item["size"]?.int, size > 0
                else { throw broken("a file of its list does not read") }
                files.append(.init(file, digest, bytes: size))
            }
            self.name = name
            self.version = version
            self.digest = digest
            alias = json["alias"]?.string
            self.files = files
        }
    }
}

extension Fault {
    /// A refusal on the hand-over's socket: the members of the error object, without a status.
    fileprivate init(refusal json: JSON) {
        let error = json["error"]
        self.init(
            error?["kind"]?.string.flatMap(Kind.init(rawValue:)) ?? .environment, error?["code"]?.string ?? "weights.refused",
            error?["what"]?.string ?? "the registry refused to hand the model over", why: error?["why"]?.string ?? "", remedy: error?["remedy"]?.string ?? "",
            record: error?["record"]?.int.flatMap { UInt64(exactly: $0) }, retryable: error?["retryable"]?.bool ?? false)
    }
}

/// Bytes and descriptors in the order they came. Descriptors nobody took are closed.
private final class Incoming {
    private let socket: Int32
    private var bytes: [UInt8] = []
    private var descriptors: [Int32] = []

    init(_ socket: Int32) { self.socket = socket }

    deinit { for descriptor in descriptors { UnixSocket.close(descriptor) } }

    private func receive() throws(Fault) {
        let (more, fds) = try UnixSocket.receiveFDs(socket, count: 65_536, max: 1)
        descriptors += fds
        bytes += more
        guard !more.isEmpty else { throw WeightsClient.broken("the registry closed the connection in the middle") }
    }

    func line(limit: Int) throws(Fault) -> [UInt8] {
        while true {
            if let end = bytes.firstIndex(of: 0x0a) {
                defer { bytes.removeFirst(end + 1) }
                return Array(bytes[..<end])
            }
            guard bytes.count <= limit else { throw WeightsClient.broken("a line is longer than \(limit) bytes") }
            try receive()
        }
    }

    func descriptor() throws(Fault) -> Int32 {
        while descriptors.isEmpty || bytes.isEmpty { try receive() }
        guard bytes.removeFirst() == UInt8(ascii: "F") else { throw WeightsClient.broken("a descriptor came without its mark") }
        return descriptors.removeFirst()
    }
}

/// The connection a model came by. It ends with the registry's word, or with the connection.
package final class SocketLease: Lease {
    private struct State {
        var reason: String?
        var waiting: [CheckedContinuation<String, Never>] = []
    }
    private final class Box: Sendable {
        let state = Mutex(State())

        func end(_ reason: String) {
            let waiting = state.withLock { state in
                if state.reason == nil { state.reason = reason }
                defer { state.waiting = [] }
                return state.waiting
            }
            for continuation in waiting { continuation.resume(returning: reason) }
        }
    }
    private let box = Box()
    private let socket: Int32
    private let closed = Mutex(false)

    /// Takes the socket over.
    package init(_ socket: Int32) {
        self.socket = socket
        let box = box
        OSThread.start("forge-lease") {
            // Ends with a line, or with the connection; `close` brings the second about.
            var bytes: [UInt8] = []
            while bytes.count < 4096, !bytes.contains(0x0a), let more = try? UnixSocket.receiveFDs(socket, count: 512, max: 1) {
                for descriptor in more.descriptors { UnixSocket.close(descriptor) }
                if more.bytes.isEmpty { break }
                bytes += more.bytes
            }
            let word = (try? JSON.parse(bytes.prefix { $0 != 0x0a }))?["drop"]?.string
            box.end(word ?? "stopping")
            UnixSocket.shutDownWriting(socket)
            // The peer closes its end now; whatever else it says does not matter.
            while let more = try? UnixSocket.receiveFDs(socket, count: 512, max: 1), !more.bytes.isEmpty {}
            UnixSocket.close(socket)
        }
    }

    package func ended() async -> String {
        await withCheckedContinuation { continuation in
            let reason = box.state.withLock { state in
                if state.reason == nil { state.waiting.append(continuation) }
                return state.reason
            }
            if let reason { continuation.resume(returning: reason) }
        }
    }

    package func close() {
        let first = closed.withLock { closed in
            defer { closed = true }
            return !closed
        }
        // Only while the reading thread still has the socket: afterwards its number may be another file's.
        if first, box.state.withLock({ $0.reason == nil }) { UnixSocket.shutDownWriting(socket) }
    }
}
