import ForgeAudit
import ForgeCore
import ForgeCrypto
import ForgeOS
import RegistryAPI

/// A witness as docs/formats/checkpoint.md §5 describes one, for tests.
final class Witness {
    let key: NoteKey
    private let directory: String
    private let signer: NoteSigner
    private var state: WitnessState

    init(_ admin: String, log: NoteKey, name: String = "bank.example/forge-1/admin") throws(Fault) {
        directory = Path.join(admin, "witness")
        try Durable.makeDirectory(directory)
        let secret = Ed25519.PrivateKey()
        guard let key = NoteKey(name, .cosignature, publicKey: secret.publicKey.raw) else { preconditionFailure("a witness has a name") }
        self.key = key
        signer = NoteSigner(key) { secret.sign($0) }
        state = WitnessState(log: log)
        try Durable.replace(Path.join(admin, "witness.key"), with: secret.seed.reveal())
        try Durable.replace(Path.join(directory, "vkey"), with: Array((key.description + "\n").utf8))
        try Durable.replace(Path.join(directory, "log.vkey"), with: Array((log.description + "\n").utf8))
    }

    /// Asks for what is new, makes it durable, signs it and hands the line in.
    func follow(_ registry: RegistryClient) async throws(Fault) {
        let request = try await registry.witnessRequest(old: state.size)
        let next = try state.accepting(request)
        guard let head = next.latest else { return }
        let line = Cosignature.make(of: head, time: Clock.now().seconds, by: signer)
        var note = request.checkpoint
        note.add(line)
        try Durable.replace(Path.join(directory, "checkpoint"), with: note.bytes)
        state = next
        try await registry.addCosignature(line, size: head.size)
    }
}
