import ForgeCore
import ForgeHTTP
import ForgeOS
import Glibc
import Testing

@Suite(.serialized, .enabled(if: Appliance.isBuilt)) struct UpTests {
    private let doors = ["registry", "admin", "trainer", "serve", "serve-operator"]

    @Test func `up says ready once all four answer, and stops all of them in an orderly way`() async throws {
        try await Appliance.running { site in
            for door in doors {
                #expect(await site.answers(door), "\(door)")
                #expect(try Path.information(site.socket(door))?.mode == 0o600, "\(door)")
            }
            for name in ["registry", "admin", "trainer", "serve"] {
                let state = try #require(try Path.information(Path.join(site.root, "state/\(name)")))
                #expect(state.mode == 0o700)
                #expect(state.uid != 0, "as root it first becomes another user")
            }
            let pids = try doors.map(site.pid)
            #expect(await site.stop() == .code(0), "\(site.lastWords())")
            for pid in pids { #expect(kill(pid, 0) == -1, "process \(pid) is still there") }
            // Orderly means that each of them said so itself.
            for name in ["registry", "admin", "trainer", "serve"] {
                let log = text(try File(Path.join(site.root, "log/\(name).log"), .read).readAll(limit: .mib(16)))
                #expect(log.contains(": stopped"), "\(name): \(log.suffix(400))")
            }
            // What a stop leaves is where a start begins.
            try await site.start()
            #expect(await site.stop(with: SIGINT) == .code(0))
        }
    }

    @Test func `the same uid without a sign-in gets nothing but health`() async throws {
        try await Appliance.running { site in
            try await site.enrol()
            for door in doors {
                for path in ["/healthz", "/readyz"] { #expect(try await site.client(door).raw(.get, path).status == 200, "\(door) \(path)") }
            }
            let asked: [(String, Method, String)] = [
                ("admin", .get, "/v1/whoami"), ("admin", .get, "/v1/users"), ("admin", .get, "/v1/snapshot"), ("admin", .get, "/v1/bundle"), ("admin", .get, "/v1/appkeys"),
                ("admin", .get, "/v1/approvals"), ("admin", .post, "/v1/decision"), ("admin", .post, "/v1/policy/activate"),
                ("registry", .get, "/v1/models"), ("registry", .get, "/v1/audit/records"), ("registry", .post, "/v1/audit/records"), ("registry", .post, "/v1/seal"),
                ("registry", .post, "/v1/keys/release"), ("registry", .post, "/v1/uploads"), ("registry", .get, "/v1/datasets"),
                ("trainer", .get, "/v1/runs"), ("trainer", .post, "/v1/runs"), ("trainer", .get, "/v1/datasets"), ("trainer", .post, "/v1/evaluations"),
                ("serve", .get, "/v1/models"), ("serve", .post, "/v1/completions"), ("serve", .post, "/v1/chat/completions"),
                ("serve-operator", .get, "/v1/loaded"), ("serve-operator", .post, "/v1/load"), ("serve-operator", .post, "/v1/unload"),
            ]
            // Bodies of the right shape, so that nothing but who is asking can be the reason.
            let bodies = [
                "/v1/keys/release": #"{"purpose":"run","id":"\#(ID())"}"#, "/v1/uploads": #"{"name":"policies","files":[]}"#,
                "/v1/runs": #"{"recipe":"name: small","datasets":["policies"]}"#, "/v1/evaluations": #"{"model":"policies@1"}"#,
                "/v1/audit/records": #"{"entries":[]}"#, "/v1/load": #"{"model":"policies@production"}"#,
                "/v1/completions": #"{"model":"policies","prompt":"a"}"#, "/v1/chat/completions": #"{"model":"policies","messages":[{"role":"user","content":"a"}]}"#,
            ]
            // Nothing a caller can write makes it somebody: not a header, not an invented credential.
            let pretences: [(String?, Headers)] = [
                (nil, [:]), (nil, ["x-forge-principal": "Forge::User::\"otto\"", "x-forwarded-user": "otto", "x-forge-uid": "0"]),
                ("forge_peer_" + String(repeating: "0", count: 64), [:]), ("forge_ses_" + String(repeating: "A", count: 43), [:]), ("", [:]),
            ]
            for (door, method, path) in asked {
                for (bearer, headers) in pretences {
                    let reply = try await site.client(door, bearer: bearer).raw(method, path, headers: headers, body: .bytes(method == .post ? Array((bodies[path] ?? "{}").utf8) : []))
                    #expect([401, 403].contains(reply.status), "\(door) \(method.rawValue) \(path) answered \(reply.status): \(text(reply.body).prefix(300))")
                }
            }
            // The command line says what to do about it.
            let said = try await site.forge("model", "ls")
            #expect(said.code == 4)
            #expect(said.out.isEmpty)
            #expect(said.err.contains("forge login"), "\(said.err)")
        }
    }

    @Test func `people sign in with their keys and are who they are, for that sign-in alone`() async throws {
        try await Appliance.running { site in
            try await site.enrol()
            for name in ["dana", "otto"] {
                let said = try await site.forge("whoami", "-o", "json", as: name)
                #expect(said.code == 0, "\(said.err)")
                #expect(said.json?["item"]?["principal"]?["id"]?.string == name)
            }
            let wrong = try await site.forge("login", "otto", "--key", site.path("people/dana"), as: "thief")
            #expect(wrong.code == 4, "\(wrong.err)")
            #expect(try await site.forge("logout", as: "dana").code == 0)
            #expect(try await site.forge("whoami", as: "dana").code == 4)
            #expect(try await site.forge("whoami", as: "otto").code == 0)
        }
    }

    @Test func `a daemon that is missing is named, with what to do`() async throws {
        try await Appliance.empty { site in
            let said = try await site.forge("whoami")
            #expect(said.code == 69)
            #expect(said.out.isEmpty)
            #expect(said.err.hasPrefix("forge: cannot reach forge-admin: nobody listens on `"), "\(said.err)")
            #expect(said.err.contains("\nhint: start it: "))
        }
    }

    @Test func `a daemon killed at once comes back, and the others still know it`() async throws {
        try await Appliance.running { site in
            try await site.enrol()
            for door in ["registry", "admin"] {
                let before = try site.pid(door)
                kill(before, SIGKILL)
                #expect(await eventually { ((try? site.pid(door)) ?? before) != before }, "\(door)")
                #expect(await eventually { await site.answers(door) }, "\(door): \(site.lastWords())")
            }
            // Sign-ins live in forge-admin's memory, so its end ends them.
            #expect(try await site.forge("whoami", as: "dana").code == 4)
            #expect(try await site.forge("login", "dana", "--key", site.path("people/dana"), as: "dana").code == 0, "\(site.lastWords())")
            // A decision takes admin's snapshot and a record at the registry: both know each other's credentials still.
            let said = try await site.forge("can-i", "model.read", "Model", "policies", as: "dana")
            #expect([0, 2].contains(said.code), "\(said.err)\n\(site.lastWords())")
            #expect(try site.upLog().contains("ended with signal 9; starting it again"))
            #expect(await site.stop() == .code(0))
        }
    }

    @Test func `daemons do not outlive their supervisor, and the next one starts where it stopped`() async throws {
        try await Appliance.running { site in
            let pids = try doors.map(site.pid)
            #expect(await site.stop(with: SIGKILL) == .signal(SIGKILL))
            #expect(await eventually(within: .seconds(60)) { pids.allSatisfy { kill($0, 0) == -1 } })
            try await site.start()
            for door in doors { #expect(await site.answers(door)) }
        }
    }

    @Test func `a directory is used by one supervisor at a time`() async throws {
        try await Appliance.running { site in
            let second = try await site.forge("up", "--root", site.root)
            #expect(second.code == 75)
            #expect(second.err.contains("another instance holds"), "\(second.err)")
            for door in doors { #expect(await site.answers(door)) }
        }
    }

    @Test func `no credential is in an argument, an environment or a log`() async throws {
        try await Appliance.running { site in
            try await site.enrol()
            for door in doors {
                let pid = try site.pid(door)
                for file in ["cmdline", "environ"] {
                    // The environment of a protected process is root's to read; without root there is nothing to see, which is the point.
                    guard let bytes = try? File("/proc/\(pid)/\(file)", .read).readAll(limit: .mib(1)) else { continue }
                    let shown = text(bytes)
                    for secret in ["forge_peer_", "forge_ses_", "forge_app_", "correct horse"] { #expect(!shown.contains(secret), "\(door) \(file)") }
                }
            }
            await site.stop()
            for name in try Path.list(Path.join(site.root, "log")) {
                let log = text(try File(Path.join(site.root, "log/\(name)"), .read).readAll(limit: .mib(64)))
                for secret in ["forge_peer_", "forge_ses_", "forge_app_"] {
                    // The redacted form ends with an ellipsis.
                    #expect(!log.replacing(secret + "…", with: "").contains(secret), "\(name)")
                }
                #expect(!log.contains("correct horse"))
            }
        }
    }
}
