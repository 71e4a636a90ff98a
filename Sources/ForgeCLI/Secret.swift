internal import ForgeCore
internal import ForgeOS

/// A passphrase on its way in: from a file that others cannot read, a descriptor, or the terminal. Never an argument, never a variable.
enum Secret {
    /// The first line of a file of this uid's.
    static func read(path: String) throws(Fault) -> String {
        guard let information = try Path.information(path) else {
            throw Fault(.request, "secret.missing", "cannot read the passphrase", why: "there is no file `\(path)`")
        }
        guard information.kind == .file, information.mode & 0o077 == 0 else {
            throw Fault(.request, "secret.exposed", "will not read the passphrase from `\(path)`", why: "others can read that file", remedy: "chmod 600 \(path)")
        }
        return try line(of: try File(path, .read).readAll(limit: .kib(4)), source: path)
    }

    /// The first line that comes from an inherited descriptor.
    static func read(descriptor: Int32) throws(Fault) -> String {
        guard descriptor > 2 else { throw Fault(.request, "secret.descriptor", "cannot read the passphrase", why: "descriptors 0 to 2 are taken") }
        return try line(of: try File(adopting: descriptor, path: "descriptor \(descriptor)").readAll(limit: .kib(4)), source: "descriptor \(descriptor)")
    }

    /// Asks at the terminal; twice for a new one.
    static func ask(_ prompt: String, twice: Bool = false) throws(Fault) -> String {
        let first = try line(of: try Terminal.readSecret("\(prompt): "), source: "the terminal")
        guard twice else { return first }
        guard try line(of: try Terminal.readSecret("\(prompt) again: "), source: "the terminal") == first else {
            throw Fault(.request, "secret.differs", "the two passphrases differ", remedy: "start again")
        }
        return first
    }

    private static func line(of bytes: [UInt8], source: String) throws(Fault) -> String {
        guard let text = String(validating: bytes.prefix { $0 != 0x0a && $0 != 0x0d }, as: UTF8.self), !text.isEmpty else {
            throw Fault(.request, "secret.empty", "cannot read the passphrase", why: "the first line of \(source) is empty or not text")
        }
        return text
    }
}
