import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeOS
import ForgeVault

/// A directory of its own, removed when the value goes.
final class Scratch: Sendable {
    let path: String
    init() throws {
        path = "/tmp/forge-test-\(ID())"
        try Durable.makeDirectory(path)
    }
    deinit { try? Path.removeTree(path) }
    func callAsFunction(_ name: String) -> String { Path.join(path, name) }
}

/// Says yes to everything, as a recorded decision would: the tests here are about what a permit opens, not about who gets one.
struct Willing: Authority {
    func decide(_ request: AccessRequest) async throws(Fault) -> Decision {
        Decision(Verdict(.allow, reasons: [], policyDigest: .sha256("policy"), entityEpoch: 1), record: 7, request: ID())
    }

    static func permit(_ action: String, _ type: String, _ id: String, digest: Digest? = nil) async throws(Fault) -> Permit {
        try await Gate(Willing()).permit(
            AccessRequest(.user("olga"), method: .sshsig, uid: 1000, action: action, resource: EntityID(type, id), resourceDigest: digest))
    }
}

enum Pattern {
    static func bytes(_ count: Int, seed: Int = 0) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 31 &+ seed) ^ $0 >> 7) } }
}

func secret(_ text: String) -> SecretBytes { SecretBytes(copying: Array(text.utf8)) }
