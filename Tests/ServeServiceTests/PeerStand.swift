import ForgeCore
import ForgeOS
import Testing

/// A server for other people's clients: Tests/Peers/test_openai_client.py starts this test, talks to it, and ends it.
@Suite struct PeerStand {
    @Test(.enabled(if: Environment["FORGE_PEERS_SERVE"] != nil, "runs for a peer: Tests/Peers/test_openai_client.py"))
    func `stands until the peer is done`() async throws {
        let directory = try #require(Environment["FORGE_PEERS_SERVE"])
        func serve(_ name: String, _ template: String?, _ body: () async throws -> Void) async throws {
            try await withStand(chatTemplate: template) { stand in
                try Durable.replace(Path.join(directory, name), with: Array(Path.join(stand.directory, "serve.sock").utf8), mode: 0o600)
                try await body()
            }
        }
        try await serve("chat", "mistral-v3-tekken") {
            try await serve("plain", nil) {
                let end = ContinuousClock.now + .seconds(240)
                // The peer says when by a file; there is no other channel to a test.
                while ContinuousClock.now < end, try Path.information(Path.join(directory, "done")) == nil { try await Task.sleep(for: .milliseconds(50)) }
            }
        }
    }
}
