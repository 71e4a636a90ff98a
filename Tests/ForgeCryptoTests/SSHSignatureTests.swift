import ForgeCore
import ForgeCrypto
import ForgeOS
import Glibc
import Testing

@Suite struct SSHSignatureTests {
    @Test func `signatures of every key kind that OpenSSH accepts are accepted, and no other`() throws {
        let vectors = try Fixture.json("ssh.json")
        let message = Array(vectors.text("message").utf8)
        let namespace = vectors.text("namespace")
        for test in vectors.rows("cases") {
            let key = try SSHPublicKey(parsing: test.text("publicKey"))
            #expect(key.fingerprint == test.text("fingerprint"))
            #expect(key.line == test.text("publicKey"))
            let signature = try SSHSignature(armored: test.text("signature"))
            guard test["valid"]!.bool! else {
                #expect(throws: Fault.self) { try signature.verify(message: message, namespace: namespace, key: key) }
                continue
            }
            try signature.verify(message: message, namespace: namespace, key: key)
            #expect(key.isHardware == (signature.presence != nil))
            #expect(throws: Fault.self) { try signature.verify(message: message + [0], namespace: namespace, key: key) }
            #expect(throws: Fault.self) { try signature.verify(message: message, namespace: "forge-login", key: key) }
            for other in vectors.rows("cases") where other.text("publicKey") != test.text("publicKey") {
                let other = try SSHPublicKey(parsing: other.text("publicKey"))
                #expect(throws: Fault.self) { try signature.verify(message: message, namespace: namespace, key: other) }
            }
        }
    }

    @Test func `every byte of a signature counts`() throws {
        let vectors = try Fixture.json("ssh.json")
        let message = Array(vectors.text("message").utf8)
        for test in vectors.rows("cases") where test["valid"]!.bool! && !test.text("name").contains("rsa") {
            let key = try SSHPublicKey(parsing: test.text("publicKey"))
            let body = test.text("signature").split(separator: "\n").dropFirst().dropLast().joined()
            let blob = Base64.decode(body)!
            for place in blob.indices {
                var changed = blob
                changed[place] ^= 1
                #expect(throws: Fault.self, "\(test.text("name")), byte \(place)") {
                    try SSHSignature(changed).verify(message: message, namespace: vectors.text("namespace"), key: key)
                }
            }
            for count in 0..<blob.count { #expect(throws: Fault.self) { _ = try SSHSignature(Array(blob.prefix(count))) } }
        }
    }

    @Test(arguments: [
        "", "ssh-ed25519", "ssh-ed25519 !!!!", "ssh-dss AAAAB3NzaC1kc3M=", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIDuF",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDuF", "two\nlines AAAA",
    ])
    func `a key that is none is refused with a reason`(line: String) {
        let fault = #expect(throws: Fault.self) { _ = try SSHPublicKey(parsing: line) }
        #expect(fault?.kind == .request && fault?.why.isEmpty == false)
    }

    @Test(.enabled(if: Path.isExecutable("/usr/bin/ssh-keygen")), arguments: ["ed25519", "ecdsa", "rsa"])
    func `what ssh-keygen on this machine signs verifies`(type: String) throws {
        let scratch = try Fixture.Scratch()
        try Durable.create(scratch("message"), with: Array("hello".utf8))
        try #require(shell("ssh-keygen -q -t \(type) -N '' -C me -f \(scratch("key")) && ssh-keygen -q -Y sign -n test -f \(scratch("key")) \(scratch("message"))"))
        let key = try SSHPublicKey(parsing: String(decoding: File(scratch("key.pub"), .read).readAll(limit: .kib(16)), as: UTF8.self))
        let signature = try SSHSignature(armored: String(decoding: File(scratch("message.sig"), .read).readAll(limit: .kib(16)), as: UTF8.self))
        try signature.verify(message: Array("hello".utf8), namespace: "test", key: key)
        #expect(key.comment == "me")
        #expect(throws: Fault.self) { try signature.verify(message: Array("hullo".utf8), namespace: "test", key: key) }
    }

    private func shell(_ line: String) -> Bool { unsafe system(line + " >/dev/null 2>&1") == 0 }
}
