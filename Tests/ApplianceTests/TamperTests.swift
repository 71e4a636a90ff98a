import ForgeCore
import ForgeHTTP
import ForgeOS
import Glibc
import Testing

/// One flip anywhere in what a real appliance keeps, and the three forgeries, by the script that the demo uses (packaging/demo/tamper_state.py).
@Suite(.enabled(if: Appliance.isBuilt && Path.isExecutable("/usr/bin/python3"), "the programs or Python are not here")) struct TamperTests {
    private static let python = "/usr/bin/python3"
    private static let script = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/packaging/demo/tamper_state.py"

    @Test func `a flip in any file or column of the daemons' state is caught and named`() async throws {
        try await Appliance.running { site in
            try await Self.fill(site)
            let older = try await Self.copied(site, "older")
            // What comes after the older copy, up to a signature of the witness.
            let before = try await Self.witnessed(site)
            #expect(try await site.forge("audit", "verify", as: "otto").code == 0)
            #expect(await eventually(within: .seconds(60)) { (try? await Self.witnessed(site)) ?? 0 > before })
            let now = try await Self.copied(site, "now")
            let verify = Path.join(Appliance.programs, "forge-verify")
            let said = try await site.call(
                Self.python,
                ["-B", Self.script, now + "/registry", now + "/admin", "--older", older + "/registry", "--", verify, "{registry}", "--quiet", "--state-of-admin", "{admin}"])
            #expect(said.code == 0 && !said.out.contains("MISSED"), "\(said.out)\(said.err)")
            // The count says that nothing was left out: a new table or file of the state has to be in here.
            #expect(said.out.contains("39 of 39 as they should be"), "\(said.out)")
        }
    }

    /// A row in every table: documents, a run, a model, its score, a refusal, a promotion with its votes, an answer, an app's key.
    private static func fill(_ site: Appliance) async throws {
        let key = try await site.serve(Appliance.recipe(steps: 4, every: 2, layers: 1, sequences: 2))
        // The forger turns it into a permission.
        #expect(try await site.forge("model", "promote", "tiny@1", "--reason", "mine", as: "dana").code == 2)
        #expect(try await site.ask(key, tokens: 2).status == 200)
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
                let copy = try await site.call("/usr/bin/cp", ["-r", "--sparse=always", site.root + "/state/admin", site.root + "/state/registry", target])
                let said = try await site.call(Path.join(Appliance.programs, "forge-verify"), [target + "/registry", "--quiet", "--state-of-admin", target + "/admin"])
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
