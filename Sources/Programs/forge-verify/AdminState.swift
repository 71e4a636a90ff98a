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
            let bytes = try Files.read(path, limit: 1 << 16)
            guard let end = bytes.firstIndex(of: 0x0a) else { throw Bad("its first line is not its checksum") }
            let content = Array(bytes[(end + 1)...])
            guard bytes[..<end].elementsEqual("forge-admin-v1 \(sha.hash(content).spelled)".utf8) else { throw Bad("its checksum does not match its content") }
            let value = try StrictJSON.parse(content)
            guard value["v"]?.int == 1, let line = value["log"]?.string else { throw Bad("it names no log") }
            let log = try Key(line, sha)
            guard let text = value["head"]?.string else { return (log, nil) }
            let lines = text.utf8.split(separator: 0x0a, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
            guard lines.count == 4, lines[3].isEmpty, lines[0].utf8.elementsEqual(log.name.utf8), let size = Text.decimal(lines[1]), let root = Text.unbase64(lines[2]), root.count == 32 else {
                throw Bad("its head does not read")
            }
            return (log, (path, size, Hash(bytes: root)))
        }
    }
}
