/// What forge-admin's state directory says of the log it watches: the `witness.json` of docs/formats/admin-state.md, or the files of any
/// other witness (docs/formats/checkpoint.md §5).
struct AdminState {
    let log: Key
    /// The head signed last; nil before the first. From `witness.json` it is the witness's own memory, which needs no signature.
    let head: (place: String, size: UInt64, root: Hash)?

    init(_ directory: String, _ sha: SHA256) throws {
        let path = directory + "/witness.json"
        guard Files.isThere(path) else {
            func key(_ name: String) throws -> Key {
                let path = directory + "/witness/" + name
                return try Place.name(path) { try Key(String(decoding: try Files.read(path, limit: 4096), as: UTF8.self), sha) }
            }
            let (log, own, note) = (try key("log.vkey"), try key("vkey"), directory + "/witness/checkpoint")
            let checkpoint = try Place.name(note) { try Checkpoint(try Files.read(note, limit: 1 << 17), log: log, witnesses: [own]) }
            guard !checkpoint.witnesses.isEmpty else { throw Bad("\(note): its own witness did not sign it") }
            self.log = log
            head = (note, checkpoint.size, checkpoint.root)
            return
        }
        (log, head) = try Place.name(path) {
            let value = try StrictJSON.parse(try AdminState.content(path, sha))
            guard value["v"]?.int == 1, let line = value["log"]?.string else { throw Bad("it names no log") }
            let log = try Key(line, sha)
            guard let text = value["head"]?.string else { return (log, nil) }
            let lines = text.utf8.split(separator: 0x0a, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
            guard lines.count == 4, lines[3].isEmpty, lines[0].utf8.elementsEqual(log.name.utf8), let size = Text.decimal(lines[1]), let root = Text.unbase64(lines[2]), root.count == 32 else {
                throw Bad("its head does not read")
            }
            return (log, (path, size, Hash(bytes: root)))
        }
        for name in ["site.json", "policy.json", "epoch"] where Files.isThere(directory + "/" + name) {
            try Place.name(directory + "/" + name) { _ = try AdminState.content(directory + "/" + name, sha) }
        }
        for name in ["approvals.journal", "appkeys.journal"] where Files.isThere(directory + "/" + name) { try AdminState.checkJournal(directory + "/" + name, sha) }
    }

    /// The daemon's keys are those that the registry knows it by.
    /// - Parameters:
    ///   - witnesses: the log's.
    ///   - pin: the registry's `admin.key`, if it is at hand.
    func checkKeys(_ directory: String, witnesses: [Key], pin: String?) throws {
        func publicKey(_ name: String) throws -> [UInt8]? {
            let path = directory + "/" + name
            guard Files.isThere(path) else { return nil }
            guard let key = Ed25519.publicKey(of: try Files.read(path, limit: 4096)) else { throw Bad("\(path): not a key") }
            return key
        }
        if head != nil, let own = try publicKey("witness.key"), !witnesses.contains(where: { $0.publicKey == own }) {
            throw Bad("\(directory)/witness.key: not the key of any witness of this log")
        }
        if let pin, Files.isThere(pin), let own = try publicKey("snapshot.key") {
            guard try Files.read(pin, limit: 4096).elementsEqual(Text.base64(own).utf8) else {
                throw Bad("\(pin) and \(directory)/snapshot.key: not two halves of one key, so one of them was changed")
            }
        }
    }

    /// What a *summed* file says, if its first line is its sum.
    private static func content(_ path: String, _ sha: SHA256) throws -> [UInt8] {
        let bytes = try Files.read(path, limit: 16 << 20)
        guard let end = bytes.firstIndex(of: 0x0a) else { throw Bad("its first line is not its checksum") }
        let content = Array(bytes[(end + 1)...])
        guard bytes[..<end].elementsEqual("forge-admin-v1 \(sha.hash(content).spelled)".utf8) else { throw Bad("its checksum does not match its content") }
        return content
    }

    /// Each line is bound to the one before it.
    private static func checkJournal(_ path: String, _ sha: SHA256) throws {
        let bytes = try Files.read(path, limit: 256 << 20)
        guard bytes.isEmpty || bytes.last == 0x0a else { throw Bad("\(path): its last line is cut (after a power cut start forge-admin once, then verify again)") }
        var last = ""
        for (index, line) in bytes.split(separator: 0x0a, omittingEmptySubsequences: false).dropLast().enumerated() {
            try Place.name("\(path), line \(index + 1)") {
                let value = try StrictJSON.parse(Array(line))
                let rest = Value.object((value.members ?? []).filter { $0.name != "h" })
                let sum = sha.hash(Array(last.utf8) + rest.canonical).hex
                guard value["h"]?.string == sum else { throw Bad("its checksum does not match what it says, or what stands before it") }
                last = sum
            }
        }
    }
}
