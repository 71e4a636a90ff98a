internal import ForgeCore
internal import ForgeOS

/// The credential of a sign-in, kept in a file that only this uid can read. It names nobody: forge-admin knows whose it is.
struct SessionFile: Sendable {
    let path: String

    /// - Returns: nil when nobody signed in here.
    /// - Throws: `.environment` when the file belongs to somebody else or others may read it.
    func read() throws(Fault) -> String? {
        guard let information = try Path.information(path) else { return nil }
        guard information.kind == .file, information.uid == ThisProcess.uid, information.mode & 0o077 == 0 else {
            throw Fault(
                .environment, "session.unsafe", "cannot use the sign-in at `\(path)`", why: "others can read or replace that file",
                remedy: "remove it and sign in again with `forge login`")
        }
        let bytes = try File(path, .read).readAll(limit: .kib(4))
        return String(validating: bytes, as: UTF8.self).map { String($0.prefix { !$0.isNewline }) }
    }

    func write(_ credential: String) throws(Fault) { try Durable.replace(path, with: Array((credential + "\n").utf8), mode: 0o600) }

    func remove() throws(Fault) {
        if Path.exists(path) { try Durable.remove(path) }
    }
}
