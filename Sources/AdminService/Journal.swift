import ForgeCore
import ForgeCrypto
import ForgeOS

/// Lines of JSON that only grow, each durable before it takes effect. State is what replaying them gives.
///
/// Each line carries `h`, the SHA-256 of the line before it (its `h`; empty for the first) and of its own other members: a flipped bit,
/// a missing line or an inserted one does not read.
struct Journal: ~Copyable, Sendable {
    private var file: AppendFile
    private var last = ""

    /// Opens the journal and replays it. A last line without its end (power was cut while it was written, so nobody was told)
    /// is set aside beside the journal; any other line that does not read stops the start.
    init(_ path: String, replay: (JSON) throws(Fault) -> Void) throws(Fault) {
        if let information = try Path.information(path), information.size > 0 {
            let bytes = try File(path, .read).readAll(limit: .mib(256))
            let end = (bytes.lastIndex(of: 0x0a) ?? -1) + 1
            if end < bytes.count { try Journal.setAside(path, bytes[end...], keeping: end) }
            var number = 0
            for line in bytes[..<end].split(separator: 0x0a, omittingEmptySubsequences: false).dropLast() {
                number += 1
                do {
                    var members = try JSON.parse(line).object ?? .init()
                    let sum = members["h"]?.string
                    members["h"] = nil
                    guard JSON.object(members).isCanonicalisable, sum == Journal.sum(after: last, members) else {
                        throw Fault(.environment, "admin.journal", "its checksum does not match what it says, or what stands before it")
                    }
                    last = sum ?? ""
                    try replay(.object(members))
                } catch let error as JSONError {
                    throw Journal.broken(path, number, error.description)
                } catch let fault as Fault {
                    throw Journal.broken(path, number, fault.message)
                } catch {
                    throw Journal.broken(path, number, "it does not read")
                }
            }
        }
        file = try AppendFile(path)
    }

    /// - Precondition: an object without `h`.
    mutating func append(_ event: JSON) throws(Fault) {
        guard var members = event.object, members["h"] == nil else { preconditionFailure("an event is an object, and its checksum is made here") }
        let sum = Journal.sum(after: last, members)
        members["h"] = .string(sum)
        try file.append(JSON.object(members).canonical + [0x0a])
        last = sum
    }

    private static func sum(after last: String, _ members: JSON.Object) -> String { Digest.sha256(Array(last.utf8) + JSON.object(members).canonical).hex }

    private static func setAside(_ path: String, _ tail: ArraySlice<UInt8>, keeping end: Int) throws(Fault) {
        try Durable.create("\(path).torn-\(Clock.now().seconds)-\(ID())", with: Array(tail))
        let file = try File(path, .update)
        try file.truncate(to: Int64(end))
        try file.sync()
        try file.close()
    }

    private static func broken(_ path: String, _ line: Int, _ why: String) -> Fault {
        Fault(
            .environment, "admin.journal", "cannot start: line \(line) of `\(path)` does not read", why: why,
            remedy: "nothing was changed; restore the file from a backup, and have a security officer look at the disk")
    }
}
