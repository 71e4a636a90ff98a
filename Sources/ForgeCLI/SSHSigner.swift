internal import ForgeCore
internal import ForgeOS

/// Signs with a person's SSH key by way of OpenSSH's own `ssh-keygen`: passphrases, agents and FIDO keys stay its business,
/// and no private key ever enters this process. The format is SSHSIG (OpenSSH, PROTOCOL.sshsig).
struct SSHSigner: Sendable {
    /// A private key, or a public key whose private half an agent or a FIDO device holds.
    let keyPath: String

    private static let program = "/usr/bin/ssh-keygen"

    /// - Parameters:
    ///   - namespace: what the signature is for, such as `forge-login`; a signature for one never counts for another.
    /// - Returns: the armoured signature.
    func sign(_ message: [UInt8], namespace: String) async throws(Fault) -> String {
        guard Path.isExecutable(SSHSigner.program) else {
            throw Fault(.environment, "ssh.missing", "cannot sign", why: "`\(SSHSigner.program)` is not there", remedy: "apt install openssh-client")
        }
        let key = try Path.absolute(keyPath)
        guard Path.exists(key) else { throw Fault(.request, "ssh.key", "cannot sign", why: "there is no key at `\(keyPath)`") }
        let input = try Memfd("message", size: message.count)
        try input.fill(message, at: 0)
        let output = try Memfd("signature", size: 0)
        var request = ChildProcess.Request(
            SSHSigner.program, ["-q", "-Y", "sign", "-n", namespace, "-f", key], environment: SSHSigner.environment,
            descriptors: [0: input.descriptor, 1: output.descriptor, 2: 2])
        request.parentDeathSignal = 15
        let exit = try await ChildProcess(request).wait()
        guard exit.isSuccess else {
            throw Fault(
                .environment, "ssh.sign", "cannot sign with `\(keyPath)`", why: "ssh-keygen ended with \(exit)",
                remedy: "`ssh-keygen -Y sign -n \(namespace) -f \(keyPath)` shows what it needs")
        }
        let size = try output.size()
        let file = File(adopting: output.release(), path: "the signature")
        let bytes = try file.readExactly(min(size, 64 << 10), at: 0)
        guard let text = String(validating: bytes, as: UTF8.self), text.hasPrefix("-----BEGIN SSH SIGNATURE-----") else {
            throw Fault(.environment, "ssh.sign", "cannot sign with `\(keyPath)`", why: "ssh-keygen gave something that is not a signature")
        }
        return text
    }

    /// What ssh-keygen needs to reach an agent, a terminal or a window for a passphrase; nothing else.
    private static var environment: [String: String] {
        var out: [String: String] = [:]
        for name in ["HOME", "PATH", "SSH_AUTH_SOCK", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "TERM"] {
            if let value = Environment[name] { out[name] = value }
        }
        return out
    }
}
