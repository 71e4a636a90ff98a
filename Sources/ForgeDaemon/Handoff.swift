package import ForgeCore
package import ForgeGate
import ForgeHTTP
import ForgeOS

/// What `forge up` gives a daemon over an inherited socket: who it is, and how it knows the other three.
///
/// One JSON message, then the end of the stream: `{"name":…,"credential":"forge_peer_…","peers":[{"name":…,"sha256":…},…]}`.
package struct Handoff: Sendable, Codable {
    package struct Peer: Sendable, Codable, Hashable {
        package let name: DaemonName
        /// SHA-256 of that daemon's credential; the credential itself is known to its owner alone.
        package let sha256: Digest

        package init(name: DaemonName, sha256: Digest) {
            self.name = name
            self.sha256 = sha256
        }
    }

    package let name: DaemonName
    /// A secret: sent as a bearer to the other daemons, and nowhere else.
    package let credential: String
    package let peers: [Peer]

    package init(name: DaemonName, credential: String, peers: [Peer]) {
        self.name = name
        self.credential = credential
        self.peers = peers
    }

    /// Reads it and closes the descriptor.
    static func receive(_ descriptor: Int32, for name: DaemonName) throws(Fault) -> Handoff {
        defer { UnixSocket.close(descriptor) }
        do throws(Fault) {
            try UnixSocket.setTimeout(descriptor, .seconds(10))
            let handoff: Handoff = try Wire.decode(from: try UnixSocket.receiveAll(descriptor, limit: 64 << 10), "the handoff")
            guard handoff.name == name, handoff.credential.hasPrefix("forge_peer_"), handoff.credential.utf8.count >= 43 else {
                throw Fault(.environment, "daemon.handoff", "cannot use the handoff", why: "it is not for this daemon")
            }
            return handoff
        } catch {
            throw Fault(
                .environment, "daemon.handoff", "cannot start without the credential that `forge up` promised", why: error.message,
                remedy: "start the appliance with `forge up`", detail: error.detail)
        }
    }
}

extension Handoff: CustomStringConvertible, CustomReflectable {
    package var description: String { "handoff for \(name.rawValue), \(peers.count) peers" }
    package var customMirror: Mirror { Mirror(self, children: ["name": name.rawValue, "peers": peers]) }
}
