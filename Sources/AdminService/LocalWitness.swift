import ForgeAudit
package import ForgeCore
import ForgeCrypto
import ForgeOS
package import RegistryAPI

/// The appliance's own witness: signs a head of the log only if it continues the one it signed before, and remembers that first.
///
/// It guards against a restored older database and a rewritten tail, whoever holds the registry's keys; a witness elsewhere
/// guards against whoever holds this machine.
package actor LocalWitness {
    private let steward: Steward
    private let files: StateFiles
    private let registry: RegistryClient
    private let signer: NoteSigner
    private var state: WitnessState?
    private var isEnrolled = false
    private var isAnnounced = false
    /// The size whose cosignature the registry has taken from this process.
    private var delivered: UInt64 = 0
    /// Why it stopped signing, when the log contradicted itself.
    package private(set) var alarm: Fault?

    package init(_ steward: Steward, registry: RegistryClient) throws(Fault) {
        self.steward = steward
        self.registry = registry
        files = steward.files
        let key = steward.witnessKey
        signer = NoteSigner(steward.witnessNoteKey) { key.sign($0) }
        if let saved = try files.witness() { state = try LocalWitness.read(saved) }
    }

    /// Records this witness has cosigned.
    package var witnessed: UInt64 { state?.size ?? 0 }

    /// Looks at the log every so often until it is cancelled. An unreachable or sealed registry is waited out.
    package func run(every pause: Duration = .seconds(2)) async {
        while !Task.isCancelled {
            do throws(Fault) { try await step() } catch { if error.code == "witness.fork" { alarm = error } }
            await settle()
            try? await Task.sleep(for: pause)
        }
    }

    /// Reads in the log how executions ended that nobody reported.
    private func settle() async {
        let registry = registry
        await steward.settle { (request) async throws(Fault) in
            try await registry.records(RecordQuery(request: request)).records.first { $0.entry.phase == .outcome }?.entry.outcome
        }
    }

    /// One look: asks for a head and a proof, remembers, signs.
    /// - Throws: `witness.fork` when the log does not continue what was signed; then nothing is signed, now or later.
    package func step() async throws(Fault) {
        if let alarm { throw alarm }
        if !isAnnounced {
            // Closes what this daemon left open when it last stopped.
            _ = try await registry.append(AuditEntry(.daemonStart, .event, request: ID(), who: steward.subject, outcome: .ok))
            isAnnounced = true
        }
        if !isEnrolled {
            try await registry.enrol(witness: signer.key)
            isEnrolled = true
        }
        let status = try await registry.status()
        guard let logKey = status.logKey, status.signed > 0 else { return }
        let known: WitnessState
        if let state {
            known = state
        } else {
            known = WitnessState(log: try NoteKey(parsing: logKey))
        }
        guard status.signed != delivered || status.witnessed < status.signed else { return }
        let request = try await registry.witnessRequest(old: known.size)
        let next = try known.accepting(request)
        guard let head = next.latest else { return }
        // Remember before signing: a witness that forgets could sign two histories.
        if next != state {
            try files.save(witness: LocalWitness.write(next))
            state = next
        }
        try await registry.addCosignature(Cosignature.make(of: head, time: Clock.now().seconds, by: signer), size: head.size)
        delivered = head.size
    }

    private static func write(_ state: WitnessState) -> JSON {
        var json: JSON.Object = ["v": 1, "log": .string(state.log.description)]
        if let head = state.latest { json["head"] = .string(head.text) }
        return .object(json)
    }

    private static func read(_ json: JSON) throws(Fault) -> WitnessState {
        guard json["v"]?.int == 1, let log = json["log"]?.string else {
            throw Fault(.environment, "admin.state", "cannot start: the witness's memory does not read", remedy: "restore `witness.json` from a backup; without it the witness could sign two histories")
        }
        return WitnessState(log: try NoteKey(parsing: log), latest: try json["head"]?.string.map { text throws(Fault) in try TreeHead(parsing: text) })
    }
}

extension Steward {
    /// As the log's cosignature lines name it.
    nonisolated var witnessNoteKey: NoteKey {
        guard let key = NoteKey("forge-admin/local-witness", .cosignature, publicKey: witnessKey.publicKey.raw) else {
            preconditionFailure("the witness's name is a name and its key has 32 bytes")
        }
        return key
    }
}
