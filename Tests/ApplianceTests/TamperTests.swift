import ForgeCore
import ForgeHTTP
import ForgeOS
import Glibc
import Testing

/// One flip anywhere in what a real appliance keeps, and the three forgeries, by the script that the demo uses (packaging/demo/tamper_state.py).
@Suite(.enabled(if: Appliance.isBuilt && Path.isExecutable("/usr/bin/python3"), "the programs or Python are not here")) struct TamperTests {
    private static let python = "/usr/bin/python3"
    private static let script = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/packaging/demo/tamper_state.py"

    private static let recipe = """
        format: forge-recipe/v1
        name: tiny
        seed: 1
        model:
          width: 32
          layers: 1
          query_heads: 2
          kv_heads: 1
          feed_forward: 64
          context: 64
        tokenizer:
          vocabulary: 320
        training:
          steps: 4
          sequences_per_step: 2
          checkpoint_every: 2
        optimizer:
          learning_rate: 0.003
        schedule:
          warmup_steps: 1
        """

    @Test func `a flip in any file or column of the daemons' state is caught and named`() async throws {
        try await Appliance.running { site in
            try await site.enrol()
            try await Self.fill(site)
            let older = try await Self.copied(site, "older")
            // What comes after the older copy, up to a signature of the witness.
            let before = try await Self.witnessed(site)
            #expect(try await site.forge("audit", "verify", as: "otto").code == 0)
            #expect(await eventually(within: .seconds(60)) { (try? await Self.witnessed(site)) ?? 0 > before })
            let now = try await Self.copied(site, "now")
            let verify = Path.join(Appliance.programs, "forge-verify")
            let said = try await Self.call(
                Self.python,
                ["-B", Self.script, now + "/registry", now + "/admin", "--older", older + "/registry", "--", verify, "{registry}", "--quiet", "--state-of-admin", "{admin}"])
            #expect(said.code == 0 && !said.out.contains("MISSED"), "\(said.out)\(said.err)")
            // The count says that nothing was left out: a new table or file of the state has to be in here.
            #expect(said.out.contains("39 of 39 as they should be"), "\(said.out)")
        }
    }

    /// A row in every table: documents, a run, a model, its score, a promotion with its votes, an answer, an app's key.
    private static func fill(_ site: Appliance) async throws {
        let words = "the store of a machine keeps what people write and gives every key to no one but who may read it when a record says so".split(separator: " ")
        try Durable.makeDirectory(site.path("documents"), mode: 0o755)
        for number in 0..<40 {
            let text = (0..<160).map { String(words[($0 * (number + 3) + number * number) % words.count]) }.joined(separator: " ")
            try Durable.replace(site.path("documents/\(number).txt"), with: Array("Page \(number). \(text).\n".utf8), mode: 0o644)
        }
        try Durable.replace(site.path("tiny.yaml"), with: Array(recipe.utf8), mode: 0o644)
        func must(_ person: String, _ code: Int32 = 0, _ words: String...) async throws -> Appliance.Said {
            let said = try await site.forge(words, as: person)
            try #require(said.code == code, "forge \(words.joined(separator: " ")): \(said.code) \(said.err)\n\(site.lastWords())")
            return said
        }
        _ = try await must("dana", 0, "data", "add", site.path("documents"), "--name", "pages")
        _ = try await must("dana", 0, "train", site.path("tiny.yaml"), "--data", "pages", "--name", "tiny")
        _ = try await must("dana", 0, "eval", "tiny@1")
        // A refusal, which the forger turns into a permission.
        _ = try await must("dana", 2, "model", "promote", "tiny@1", "--reason", "mine")
        _ = try await must("rene", 8, "model", "promote", "tiny@1", "--reason", "first")
        let listed = try await must("rene", 0, "approval", "ls", "-o", "json")
        let approval = try #require(listed.json?["items"]?.array?.first?["id"]?.string)
        for voter in ["otto", "mila"] { _ = try await must(voter, 0, "approval", "approve", approval, "--key", site.path("people/\(voter)")) }
        _ = try await must("rene", 0, "model", "promote", "tiny@1", "--reason", "first")
        _ = try await must("otto", 0, "key", "create", "app", "--file", site.path("people/app.key"))
        _ = try await must("rene", 0, "serve", "load", "tiny@production")
        let bearer = text(try File(site.path("people/app.key"), .read).readAll(limit: .kib(4))).split(separator: "\n").first.map(String.init)
        let answer = try await site.client("serve", bearer: bearer).raw(.post, "/v1/completions", body: .bytes(Array(#"{"model":"tiny","prompt":"the","max_tokens":2}"#.utf8)))
        try #require(answer.status == 200, "\(text(answer.body))")
    }

    /// Runs a program to its end.
    private static func call(_ program: String, _ arguments: [String]) async throws -> Appliance.Said {
        let out = try Memfd("out", size: 0), err = try Memfd("err", size: 0)
        let exit = try await ChildProcess(.init(program, arguments, environment: ["PATH": "/usr/bin:/bin"], descriptors: [1: out.descriptor, 2: err.descriptor])).wait()
        guard case .code(let code) = exit else { throw Fault(.environment, "test.call", "\(program) ended with \(exit)") }
        func all(_ memory: borrowing Memfd) throws -> String { text(try File(adopting: dup(memory.descriptor), path: "output").readAll(limit: .mib(16))) }
        return .init(code: code, out: try all(out), err: try all(err))
    }

    private static func witnessed(_ site: Appliance) async throws -> Int64 {
        try await site.forge("status", "-o", "json", as: "otto").json?["item"]?["registry"]?["witnessed"]?.int ?? 0
    }

    /// The two state directories as they lie there while the daemons run; taken again if a record was being written meanwhile. The witness first:
    /// what it remembers is then in the log that is copied after it.
    private static func copied(_ site: Appliance, _ name: String) async throws -> String {
        let target = site.path(name)
        var last = ""
        let isWhole = await eventually(within: .seconds(30)) {
            try? Path.removeTree(target)
            do {
                try Durable.makeDirectory(target)
                let copy = try await Self.call("/usr/bin/cp", ["-r", "--sparse=always", site.root + "/state/admin", site.root + "/state/registry", target])
                let said = try await Self.call(Path.join(Appliance.programs, "forge-verify"), [target + "/registry", "--quiet", "--state-of-admin", target + "/admin"])
                last = copy.err + said.out + said.err
                return copy.code == 0 && said.code == 0
            } catch {
                last = "\(error)"
                return false
            }
        }
        try #require(isWhole, "no copy of the state verifies: \(last)")
        return target
    }
}
