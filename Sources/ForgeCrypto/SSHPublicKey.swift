package import ForgeCore

/// A person's public key as OpenSSH writes it: Ed25519, ECDSA P-256, RSA, and the first two held in a FIDO authenticator (`sk-`).
package struct SSHPublicKey: Hashable, Sendable {
    package enum Kind: String, Sendable, Hashable {
        case ed25519 = "ssh-ed25519"
        case ecdsaP256 = "ecdsa-sha2-nistp256"
        case rsa = "ssh-rsa"
        case skEd25519 = "sk-ssh-ed25519@openssh.com"
        case skECDSAP256 = "sk-ecdsa-sha2-nistp256@openssh.com"
    }

    enum Material: Hashable, Sendable {
        case ed25519(Ed25519.PublicKey)
        case p256(P256.PublicKey)
        /// Modulus and exponent, positive big-endian integers as on the wire.
        case rsa(n: [UInt8], e: [UInt8])
    }

    package let kind: Kind
    /// The key's wire form (RFC 4253, section 6.6): what fingerprints and signatures carry. Two keys are equal when these are.
    package let blob: [UInt8]
    package let comment: String
    let material: Material
    /// The relying party of an authenticator's key, such as `ssh:`; empty for the others.
    let application: String

    package static func == (a: SSHPublicKey, b: SSHPublicKey) -> Bool { a.blob == b.blob }
    package func hash(into hasher: inout Hasher) { hasher.combine(blob) }

    /// Whether the key lives in a FIDO authenticator, which asks its holder for a touch at every signature.
    package var isHardware: Bool { kind == .skEd25519 || kind == .skECDSAP256 }

    package var digest: Digest { .sha256(blob) }

    /// `SHA256:` and unpadded base64, as `ssh-keygen -l` prints it.
    package var fingerprint: String { "SHA256:" + Base64.encode(digest.bytes).trimmingPadding }

    /// One line: type, base64, comment.
    package var line: String { "\(kind.rawValue) \(Base64.encode(blob))" + (comment.isEmpty ? "" : " \(comment)") }

    /// Reads one line of a `.pub` file or of `authorized_keys` without options.
    package init(parsing line: String) throws(Fault) {
        let fields = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: true)
        guard line.utf8.count <= 16 << 10, fields.count >= 2, !line.dropLast().contains(where: \.isNewline) else {
            throw SSHPublicKey.fault("it is not one line of type, base64 and comment")
        }
        guard let blob = Base64.decode(fields[1].filter { !$0.isNewline }) else { throw SSHPublicKey.fault("its second field is not base64") }
        try self.init(blob: blob, comment: fields.count > 2 ? String(fields[2].filter { !$0.isNewline }) : "")
        guard kind.rawValue == fields[0] else { throw SSHPublicKey.fault("the line says `\(fields[0])` and the key says `\(kind.rawValue)`") }
    }

    package init(blob: [UInt8], comment: String = "") throws(Fault) {
        guard blob.count <= 8 << 10 else { throw SSHPublicKey.fault("it is longer than 8 KiB") }
        var reader = SSHReader(blob)
        guard let name = reader.text() else { throw SSHPublicKey.fault("it is cut short") }
        guard let kind = Kind(rawValue: name) else { throw SSHPublicKey.fault("its type `\(name.prefix(40))` is not supported") }
        let material: Material?
        var application = ""
        switch kind {
        case .ed25519, .skEd25519:
            material = reader.string().flatMap { Ed25519.PublicKey($0) }.map { .ed25519($0) }
        case .ecdsaP256, .skECDSAP256:
            material = reader.text() == "nistp256" ? reader.string().flatMap { P256.PublicKey(point: $0) }.map { .p256($0) } : nil
        case .rsa:
            material = SSHPublicKey.readRSA(&reader)
        }
        guard let material else { throw SSHPublicKey.fault("its `\(name)` key is malformed or too weak") }
        if kind == .skEd25519 || kind == .skECDSAP256 {
            guard let text = reader.text(), !text.isEmpty else { throw SSHPublicKey.fault("it names no application") }
            application = text
        }
        guard reader.isAtEnd else { throw SSHPublicKey.fault("something follows the key") }
        self.kind = kind
        self.blob = blob
        self.comment = comment
        self.material = material
        self.application = application
    }

    /// 2048 to 16384 bits, an odd exponent below 2^64: what OpenSSH makes; the rest is either weak or a way to burn our time.
    private static func readRSA(_ reader: inout SSHReader) -> Material? {
        guard let e = reader.positive(), let n = reader.positive(), e.count <= 9, e.last! & 1 == 1 else { return nil }
        let bits = n.drop { $0 == 0 }.count * 8
        guard (2048...16384) ~= bits else { return nil }
        return .rsa(n: n, e: e)
    }

    private static func fault(_ why: String) -> Fault {
        Fault(.request, "ssh.key", "cannot read the SSH public key", why: why, remedy: "give the content of a `.pub` file made by ssh-keygen")
    }
}

extension String {
    fileprivate var trimmingPadding: String { String(prefix { $0 != "=" }) }
}
