package import ForgeCore

/// A signature made by `ssh-keygen -Y sign` (OpenSSH, PROTOCOL.sshsig).
package struct SSHSignature: Hashable, Sendable {
    package enum HashAlgorithm: String, Sendable, Hashable {
        case sha256
        case sha512
    }

    /// What an authenticator adds to its signature.
    package struct Presence: Hashable, Sendable {
        package let flags: UInt8
        package let counter: UInt32
        /// The holder touched the authenticator.
        package var isUserPresent: Bool { flags & 1 != 0 }
        /// The holder gave a PIN or a finger.
        package var isUserVerified: Bool { flags & 4 != 0 }
    }

    package let key: SSHPublicKey
    package let namespace: String
    package let hash: HashAlgorithm
    package let presence: Presence?
    private let reserved: [UInt8]
    private let algorithm: String
    private let signature: [UInt8]

    static let label = "SSH SIGNATURE"
    private static let magic = Array("SSHSIG".utf8)

    package init(armored text: String) throws(Fault) {
        guard let bytes = PEM.decode(text, label: SSHSignature.label, countMax: 64 << 10) else {
            throw SSHSignature.fault("it is not one armoured `\(SSHSignature.label)` block")
        }
        try self.init(bytes)
    }

    package init(_ bytes: [UInt8]) throws(Fault) {
        var reader = SSHReader(bytes)
        guard reader.raw(6) == SSHSignature.magic, reader.uint32() == 1 else { throw SSHSignature.fault("it is not a version 1 SSHSIG") }
        guard let blob = reader.string(), let namespace = reader.text(), let reserved = reader.string(), let hash = reader.text(),
            let inner = reader.string(), reader.isAtEnd
        else { throw SSHSignature.fault("it is cut short or something follows it") }
        guard !namespace.isEmpty else { throw SSHSignature.fault("its namespace is empty") }
        guard let hash = HashAlgorithm(rawValue: hash) else { throw SSHSignature.fault("its hash `\(hash.prefix(20))` is not supported") }
        key = try SSHPublicKey(blob: blob)
        self.namespace = namespace
        self.reserved = reserved
        self.hash = hash

        var parts = SSHReader(inner)
        guard let algorithm = parts.text(), let signature = parts.string() else { throw SSHSignature.fault("its inner signature is cut short") }
        guard SSHSignature.algorithms(of: key.kind).contains(algorithm) else {
            throw SSHSignature.fault("a `\(key.kind.rawValue)` key cannot sign with `\(algorithm.prefix(40))`")
        }
        self.algorithm = algorithm
        self.signature = signature
        if key.isHardware {
            guard let flags = parts.byte(), let counter = parts.uint32() else { throw SSHSignature.fault("its inner signature is cut short") }
            presence = Presence(flags: flags, counter: counter)
        } else {
            presence = nil
        }
        guard parts.isAtEnd else { throw SSHSignature.fault("something follows its inner signature") }
    }

    /// RSA with SHA-1 (`ssh-rsa`) is not on the list, as PROTOCOL.sshsig demands.
    private static func algorithms(of kind: SSHPublicKey.Kind) -> [String] {
        kind == .rsa ? ["rsa-sha2-512", "rsa-sha2-256"] : [kind.rawValue]
    }

    /// Whether `key` signed exactly this message for exactly this purpose.
    ///
    /// - Parameters:
    ///   - namespace: what the signature is for, such as `forge-approval`: a signature for one purpose never serves another.
    ///   - key: the key on file for the person; the key inside the signature is only a claim.
    /// - Throws: `.request` that says which of the three did not match.
    package func verify(message: [UInt8], namespace: String, key: SSHPublicKey) throws(Fault) {
        guard self.key == key else {
            throw SSHSignature.fault("it was made by key `\(self.key.fingerprint)`, and `\(key.fingerprint)` was expected")
        }
        guard self.namespace == namespace else {
            throw SSHSignature.fault("it was made for `\(self.namespace.prefix(60))`, and `\(namespace)` was expected")
        }
        let hashed = hash == .sha256 ? Digest.sha256(message).bytes : sha512(message)
        let signed =
            SSHSignature.magic + SSHWire.string(namespace) + SSHWire.string(reserved) + SSHWire.string(hash.rawValue) + SSHWire.string(hashed)
        if let presence, !presence.isUserPresent { throw SSHSignature.fault("the authenticator was not touched") }
        guard isGenuine(signed) else { throw SSHSignature.fault("it does not fit the message") }
    }

    private func isGenuine(_ signed: [UInt8]) -> Bool {
        var covered = signed
        if let presence {
            // FIDO: the authenticator signs the relying party, its flags and counter, and the digest of the message (PROTOCOL.u2f).
            covered = Digest.sha256(key.application).bytes + [presence.flags] + SSHWire.uint32(Int(presence.counter)) + Digest.sha256(signed).bytes
        }
        switch key.material {
        case .ed25519(let key): return key.verify(signature, of: covered)
        case .p256(let key):
            var reader = SSHReader(signature)
            guard let r = reader.positive(), let s = reader.positive(), reader.isAtEnd, r.count <= 33, s.count <= 33 else { return false }
            return key.verify(DER.sequence(DER.integer(r), DER.integer(s)), of: covered)
        case .rsa(let n, let e):
            // rsaEncryption with a null parameter (RFC 3279): 1.2.840.113549.1.1.1
            let algorithmID: [UInt8] = [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00]
            let der = DER.sequence(algorithmID, DER.bits(DER.sequence(DER.integer(n), DER.integer(e))))
            guard let key = EVPKey(publicKeyDER: der) else { return false }
            // RSASSA-PKCS1-v1_5 is libcrypto's default padding for this key type.
            return key.verify(signature, of: covered, digest: algorithm == "rsa-sha2-512" ? "SHA512" : "SHA256")
        }
    }

    private static func fault(_ why: String) -> Fault {
        Fault(.request, "ssh.signature", "the SSH signature is not accepted", why: why, remedy: "sign again with `ssh-keygen -Y sign`")
    }
}
