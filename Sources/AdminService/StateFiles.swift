import AdminAPI
import ForgeCore
import ForgeCrypto
import ForgeHTTP
import ForgeOS

/// What forge-admin keeps in its state directory, file by file (docs/formats/admin-state.md).
struct StateFiles: Sendable {
    let folder: String

    init(_ folder: String) throws(Fault) {
        try Durable.makeDirectory(folder, mode: 0o700)
        self.folder = folder
    }

    var approvals: String { Path.join(folder, "approvals.journal") }
    var appKeys: String { Path.join(folder, "appkeys.journal") }

    // MARK: people and policy

    func site() throws(Fault) -> SiteDescription? { try decoded("site.json") }
    func save(_ site: SiteDescription) throws(Fault) { try Durable.create(Path.join(folder, "site.json"), with: StateFiles.summed(try Wire.encode(site))) }

    func policy() throws(Fault) -> BundleMessage? { try decoded("policy.json") }
    func save(_ policy: BundleMessage) throws(Fault) { try Durable.replace(Path.join(folder, "policy.json"), with: StateFiles.summed(try Wire.encode(policy))) }

    private func decoded<Value: Decodable>(_ name: String) throws(Fault) -> Value? {
        guard let bytes = try content(name) else { return nil }
        do throws(Fault) { return try Wire.decode(from: bytes, "`\(name)`") } catch { throw broken(name, error.why) }
    }

    // MARK: content under its sum

    private static func summed(_ content: [UInt8]) -> [UInt8] { Array("forge-admin-v1 \(Digest.sha256(content))\n".utf8) + content }

    /// What stands after the first line, if the first line is its sum; nil when there is no file.
    private func content(_ name: String) throws(Fault) -> [UInt8]? {
        let path = Path.join(folder, name)
        guard try Path.information(path) != nil else { return nil }
        let bytes = try File(path, .read).readAll(limit: .mib(16))
        guard let end = bytes.firstIndex(of: 0x0a) else { throw broken(name, "its first line is missing") }
        let content = Array(bytes[(end + 1)...])
        guard StateFiles.summed(content) == bytes else { throw broken(name, "its checksum does not match its content") }
        return content
    }

    private func broken(_ name: String, _ why: String) -> Fault {
        Fault(
            .environment, "admin.state", "cannot start: `\(Path.join(folder, name))` does not read", why: why,
            remedy: "nothing was changed; restore the file from a backup, and have a security officer look at the disk")
    }

    // MARK: keys

    /// An Ed25519 key of this daemon, made when it is first needed.
    func key(_ name: String) throws(Fault) -> Ed25519.PrivateKey {
        let path = Path.join(folder, name)
        if try Path.information(path) == nil {
            let fresh = Ed25519.PrivateKey()
            try Durable.create(path, with: fresh.seed.reveal())
            return fresh
        }
        var bytes = try File(path, .read).readAll(limit: .kib(4))
        let seed = SecretBytes(taking: &bytes)
        guard let key = Ed25519.PrivateKey(seed: seed) else {
            throw Fault(.environment, "admin.state", "cannot start: `\(path)` is not a key", remedy: "restore it from a backup")
        }
        return key
    }

    // MARK: numbers that never fall

    /// The epoch's reserve: numbers below it may have been used. Reserved in blocks, so that a change costs no write.
    func reserveEpochs(_ count: UInt64) throws(Fault) -> UInt64 {
        var start: UInt64 = 1
        if let bytes = try content("epoch") {
            guard let value = UInt64(String(decoding: bytes, as: UTF8.self)) else { throw broken("epoch", "it is not a number") }
            start = value
        }
        try Durable.replace(Path.join(folder, "epoch"), with: StateFiles.summed(Array(String(start + count).utf8)))
        return start
    }

    // MARK: the witness

    func witness() throws(Fault) -> JSON? {
        guard let bytes = try content("witness.json") else { return nil }
        do { return try JSON.parse(bytes) } catch { throw broken("witness.json", error.description) }
    }

    func save(witness: JSON) throws(Fault) { try Durable.replace(Path.join(folder, "witness.json"), with: StateFiles.summed(witness.canonical)) }
}
