import ForgeCore
import ForgeOS
import Testing

@testable import ForgeCLI

@Suite(.enabled(if: Path.isExecutable("/usr/bin/ssh-keygen"))) struct SSHSignerTests {
    private func withKey(_ body: (String) async throws -> Void) async throws {
        let folder = "/tmp/forge-signer-\(ID())"
        try Durable.makeDirectory(folder)
        let request = ChildProcess.Request("/usr/bin/ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", "\(folder)/key"])
        try #require(try await ChildProcess(request).wait().isSuccess)
        do { try await body("\(folder)/key") } catch {
            try Path.removeTree(folder)
            throw error
        }
        try Path.removeTree(folder)
    }

    private func check(_ message: [UInt8], _ signature: String, key: String, namespace: String) async throws -> Bool {
        let input = try Memfd("message", size: message.count)
        try input.fill(message, at: 0)
        try Durable.replace("\(key).sig", with: Array(signature.utf8))
        let request = ChildProcess.Request(
            "/usr/bin/ssh-keygen", ["-Y", "check-novalidate", "-n", namespace, "-s", "\(key).sig"], descriptors: [0: input.descriptor])
        return try await ChildProcess(request).wait().isSuccess
    }

    @Test func `a signature verifies for its message and its purpose alone`() async throws {
        try await withKey { key in
            let message = Array("approve 7".utf8)
            let signature = try await SSHSigner(keyPath: key).sign(message, namespace: "forge-approval")
            #expect(try await check(message, signature, key: key, namespace: "forge-approval"))
            #expect(try await !check(message, signature, key: key, namespace: "forge-login"))
            #expect(try await !check(message + [0x20], signature, key: key, namespace: "forge-approval"))
        }
    }

    @Test func `a key that is not there is said to be missing`() async {
        let fault = await #expect(throws: Fault.self) { try await SSHSigner(keyPath: "/nonexistent/key").sign([1], namespace: "forge-login") }
        #expect(fault?.code == "ssh.key")
    }
}
