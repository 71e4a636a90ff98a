import ForgeArtifact
import ForgeAudit
import ForgeCatalog
import ForgeCore
import ForgeGate
import ForgeHTTP
import ForgeOS
import ForgeVault
import Glibc
import Synchronization

/// weights.sock: models leave here, as sealed memory, to daemons that may load them (docs/formats/weights-handover.md).
package final class WeightsDoor: Sendable {
    private let registry: Registry
    /// Every open connection, so that a stop ends them all at once.
    private let open = Mutex<Set<Int32>>([])
    private static let lineMax = 4096
    /// What weights are for, and which daemon may say so.
    private static let takers: [String: DaemonName] = ["serve": .serve, "evaluate": .trainer, "train": .trainer, "describe": .trainer]

    package init(_ registry: Registry) { self.registry = registry }

    /// Answers connections until cancelled. The listener is closed at the end.
    package func run(listener: Int32) async {
        let accepting = SocketThread(listener, "forge-weights")
        await withTaskGroup { group in
            while !Task.isCancelled {
                // Waits at most a second at a time, so that a stop is noticed.
                guard let socket = await accepting.accept(patience: .seconds(1)) else { continue }
                group.addTask { await self.serve(socket) }
            }
            open.withLock { sockets in for socket in sockets { shutdown(socket, Int32(SHUT_RDWR)) } }
        }
        await accepting.close()
    }

    /// One hand-over and the lease after it, on a thread of its own: it mostly waits.
    private func serve(_ socket: Int32) async {
        let peer = SocketThread(socket, "forge-lease")
        open.withLock { _ = $0.insert(socket) }
        do throws(Fault) {
            try await peer.setTimeout(.seconds(30))
            try await handOver(to: peer, try PeerCredentials(ofSocket: socket))
        } catch {
            var answer: JSON.Object = ["code": .string(error.code), "what": .string(error.what), "why": .string(error.why), "remedy": .string(error.remedy)]
            answer["kind"] = .string(error.kind.rawValue)
            if let record = error.record { answer["record"] = .int(Int64(record)) }
            try? await peer.send(["error": .object(answer), "v": 1])
        }
        open.withLock { _ = $0.remove(socket) }
        await peer.close()
    }

    private func handOver(to peer: SocketThread, _ credentials: PeerCredentials) async throws(Fault) {
        guard let line = try await peer.line(max: WeightsDoor.lineMax) else { return }
        let message: JSON
        do { message = try JSON.parse(line) } catch { throw WeightsDoor.malformed("the request is not JSON") }
        guard message["v"]?.int == 1, let purpose = message["purpose"]?.string, let taker = WeightsDoor.takers[purpose], let text = message["model"]?.string,
            let pointer = ModelPointer(text)
        else { throw WeightsDoor.malformed("`v` is 1, `purpose` is `serve`, `evaluate`, `train` or `describe` and `model` is `name@version`, `name@alias` or a digest") }
        let who = try await registry.identify(Caller(credentials, bearer: message["bearer"]?.string, door: "weights"))
        guard who.principal == .service(taker) else {
            throw Fault(
                .unauthenticated, "auth.services_only", "weights are handed to daemons alone", why: "for `\(purpose)` they go to `\(taker.rawValue)`, and who is asking is not that daemon")
        }
        let found = try await registry.ledger.reader.snapshot { (database) throws(Fault) -> (row: ModelVersionRow, alias: String?, model: SealedModel, manifest: [UInt8]?)? in
            guard let found = try database.find(pointer) else { return nil }
            // Measuring it is what ends a quarantine, and nothing else is done with a model before.
            if purpose == "serve" || purpose == "train", try database.isQuarantined(found.row) { throw Fault.quarantined(found.row, purpose == "serve" ? "serve" : "train from") }
            return (found.row, found.alias, try database.sealedModel(found.row), try database.attestation(found.row.name, found.row.version, kind: "manifest"))
        }
        guard let found else { throw Fault.noModel(text) }
        let object = Registry.object(found.row)
        let permit = try await registry.permit(.modelLoad, on: Registry.model(found.row), digest: found.row.digest, for: who)
        let decision = permit.decision
        do throws(Fault) {
            // Whoever asks what a model is gets all but its weights.
            let withheld: Set<String> = purpose == "describe" ? [ModelFile.weights.rawValue] : []
            let model = try await registry.strongroom.unseal(SealedModel(digest: found.model.digest, files: found.model.files.filter { !withheld.contains($0.name) }), with: permit)
            let lease = registry.leases.begin(peer.socket)
            defer { registry.leases.end(lease) }
            guard !registry.vault.isSealed else { throw Vault.sealed("hand a model over") }
            var header: JSON.Object = [
                "v": 1, "req": .string(decision.request.description), "record": .int(Int64(decision.record)), "policy": .string(decision.verdict.policyDigest.description),
                "model": ["name": .string(found.row.name), "version": .int(found.row.version), "digest": .string(found.row.digest.description)],
                "files": .array(
                    found.model.files.map { file in
                        var members: JSON.Object = ["name": .string(file.name), "size": .int(file.count), "sha256": .string(file.digest.hex)]
                        if withheld.contains(file.name) { members["withheld"] = true }
                        return .object(members)
                    }),
            ]
            if let alias = found.alias { header["alias"] = .string(alias) }
            if let manifest = found.manifest { header["manifest"] = .string(Base64.encode(manifest)) }
            try await peer.send(.object(header))
            try await peer.send(model)
            try await conclude(peer, decision, for: who, object, purpose)
        } catch {
            await registry.recordFailure(of: .modelLoad, request: decision.request, for: who, object: object, error)
            throw error
        }
    }

    /// The receiver's word, the outcome's record, then the lease.
    private func conclude(_ peer: SocketThread, _ decision: Decision, for who: AuditEntry.Subject, _ object: AuditEntry.Object, _ purpose: String) async throws(Fault) {
        try await peer.setTimeout(.seconds(300))
        guard let line = try await peer.line(max: WeightsDoor.lineMax), let answer = try? JSON.parse(line), let accepted = answer["accepted"]?.bool else {
            throw Fault(.environment, "handover.lost", "the weights were handed over to nobody", why: "the receiver went away before it accepted them")
        }
        guard accepted else {
            throw Fault(.environment, "handover.refused", "the receiver refused the weights", why: "it says: \(answer["why"]?.string?.prefix(200) ?? "nothing")")
        }
        _ = try await registry.ledger.append([.outcome(.modelLoad, .ok, request: decision.request, who: who, object: object, data: ["purpose": .string(purpose)])])
        try await peer.setTimeout(.zero)
        // Nothing more is said but the end; an answer to a recall is the end too.
        while try await peer.line(max: WeightsDoor.lineMax) != nil {}
    }

    private static func malformed(_ why: String) -> Fault { Fault(.request, "handover.malformed", "the hand-over request does not read", why: why) }
}

/// A blocking socket on its own thread.
private actor SocketThread {
    private let thread: ThreadExecutor
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe thread.asUnownedSerialExecutor() }
    nonisolated let socket: Int32
    private var waiting: [UInt8] = []

    init(_ socket: Int32, _ name: String) {
        self.socket = socket
        thread = ThreadExecutor(name)
    }

    func accept(patience: Duration) -> Int32? {
        do throws(Fault) {
            try UnixSocket.setBlocking(socket, true)
            try UnixSocket.setTimeout(socket, patience)
            let connection = try UnixSocket.accept(socket)
            try UnixSocket.setBlocking(connection, true)
            return connection
        } catch { return nil }
    }

    func setTimeout(_ duration: Duration) throws(Fault) { try UnixSocket.setTimeout(socket, duration) }

    /// The next line without its end; nil when the other side has closed.
    func line(max: Int) throws(Fault) -> [UInt8]? {
        while true {
            if let end = waiting.firstIndex(of: 0x0a) {
                let line = Array(waiting[..<end])
                waiting.removeFirst(end + 1)
                return line
            }
            guard waiting.count <= max else { throw Fault(.request, "handover.malformed", "a line is too long", why: "it has more than \(max) bytes") }
            let (bytes, _) = try UnixSocket.receiveFDs(socket, count: max, max: 0)
            guard !bytes.isEmpty else { return nil }
            waiting += bytes
        }
    }

    func send(_ message: JSON) throws(Fault) { try UnixSocket.sendAll(socket, Array(message.text.utf8) + [0x0a]) }

    /// One byte a file, each with its descriptor.
    func send(_ model: UnsealedModel) throws(Fault) {
        for memory in model.memory { try UnixSocket.sendFDs(socket, [0x46], descriptors: [memory.memfd.descriptor]) }
    }

    func close() { UnixSocket.close(socket) }
}
