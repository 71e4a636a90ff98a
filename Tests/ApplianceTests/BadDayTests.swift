import ForgeCore
import ForgeHTTP
import ForgeOS
import Testing

/// Bad days of the appliance, each on the real daemons. After each the log verifies, and what was acknowledged is in it.
@Suite(.serialized, .enabled(if: Appliance.isBuilt)) struct BadDayTests {
    private func code(_ reply: HTTPClient.Reply) throws -> String? { try JSON.parse(reply.body)["error"]?["code"]?.string }

    @Test func `a daemon that is gone is named, what does not need it goes on, and its return mends everything`() async throws {
        try await Appliance.running { site in
            let key = try await site.serve()
            #expect(try await site.ask(key).status == 200)

            try await site.without("registry") {
                // Nothing happens without a record, so nothing is decided; the weights went with the registry's word.
                for command in [["data", "ls"], ["model", "ls"], ["train", try site.write(Appliance.recipe()), "--data", "papers"], ["status"]] {
                    let said = try await site.forge(command, as: "dana")
                    #expect(said.code == 69 && (said.err + said.out).contains("cannot reach forge-registry"), "\(command): \(said)")
                }
                #expect(await eventually { (try? await site.ask(key).status) == 503 })
                #expect(try await site.forge("whoami", as: "dana").code == 0)
            }
            #expect(await eventually { await site.answers("registry") })
            #expect(try await site.forge("serve", "load", "tiny@production", as: "rene").code == 75, "a registry starts sealed")
            try await site.unseal()
            #expect(await eventually { (try? await site.ask(key).status) == 200 }, "\(site.lastWords())")

            try await site.without("admin") {
                for command in [["whoami"], ["model", "promote", "tiny@1", "--reason", "again"], ["key", "ls"]] {
                    let said = try await site.forge(command, as: command[0] == "model" ? "rene" : "otto")
                    #expect(said.code == 69 && said.err.contains("forge-admin"), "\(command): \(said)")
                }
                // Ordinary actions are decided from the signed snapshot that every daemon holds.
                #expect(try await site.ask(key).status == 200)
                #expect(try await site.forge("data", "ls", as: "dana").code == 0)
            }
            #expect(await eventually { await site.answers("admin") })
            #expect(try await site.forge("whoami", as: "dana").code == 4, "sign-ins end with forge-admin")
            try await site.signIn()

            try await site.without("trainer") {
                let said = try await site.forge("data", "ls", as: "dana")
                #expect(said.code == 69 && said.err.contains("cannot reach forged"), "\(said)")
                #expect(try await site.ask(key).status == 200)
            }
            try await site.without("serve") {
                let said = try await site.forge("complete", "the", as: "dana")
                #expect(said.code == 69 && said.err.contains("cannot reach forge-serve"), "\(said)")
                #expect(try await site.forge("model", "ls", as: "dana").code == 0)
            }
            #expect(await eventually { await site.answers("trainer") })
            try await site.train(Appliance.recipe(steps: 3))
            #expect(try await site.forge("serve", "load", "tiny@production", as: "rene").code == 0)
            #expect(try await site.ask(key).status == 200)
            try await site.judge()
        }
    }

    @Test func `while the registry is sealed nothing is opened and the record goes on; unsealed, waiting work does too`() async throws {
        try await Appliance.running { site in
            let key = try await site.serve(Appliance.talkative)
            // Sealed in the middle of an answer: what was said so far is ended as a whole answer, and the weights are gone.
            let answer = site.stream(key, tokens: 4000)
            try await answer.begun()
            #expect(try await site.forge("seal", as: "otto").code == 0)
            let lines = try await answer.end()
            #expect(lines.last == "[DONE]")
            let closing = try JSON.parse(try #require(lines.dropLast().last))
            #expect(closing["choices"]?.array?.first?["finish_reason"]?.string == "length")
            let receipt = try #require(closing["receipt"]?["id"]?.string)
            site.acknowledge(receipt: receipt)
            let refused = try await site.ask(key)
            #expect(refused.status == 503 && refused.headers["retry-after"] != nil)
            #expect(text(refused.body).contains("sealed"))
            let load = try await site.forge("serve", "load", "tiny@production", as: "rene")
            #expect(load.code == 75 && load.err.contains("sealed"), "\(load)")
            // A run is taken, and waits for its keys.
            let run = try await site.submit(Appliance.recipe(steps: 4))
            #expect(try await site.wait(for: "waiting", of: run)["why"]?.string?.contains("sealed") == true)
            // Records are kept meanwhile, and their checkpoint is signed once there is a key again.
            let status = try #require(try await site.forge("status", "-o", "json", as: "otto").json?["item"]?["registry"])
            #expect(status["sealed"]?.bool == true && status["records"]?.int ?? 0 > status["signed"]?.int ?? 0, "\(status)")
            // What is exported meanwhile ends with the last checkpoint that was signed, and verifies.
            let archive = site.path("sealed")
            #expect(try await site.forge("audit", "export", archive, as: "otto").code == 0)
            #expect(try await site.verify(archive, "--log-key", site.path("people/log.vkey")).code == 0)

            try await site.unseal()
            try await site.wait(for: "finished", of: run)
            #expect(await eventually { (try? await site.ask(key).status) == 200 }, "the model came back by itself")
            let records = try await site.judge()
            let outcome = try #require(records.first { $0["phase"]?.string == "outcome" && $0["req"]?.string == receipt })
            #expect(outcome["data"]?["finish"]?.string == "cut" && outcome["data"]?["completion_tokens"]?.int ?? 4000 < 4000, "\(outcome)")
        }
    }

    @Test func `a damaged chunk of a sealed model is named by whoever opens it, and by a scrub that needs no key`() async throws {
        try await Appliance.running { site in
            try await site.enrol()
            try await site.addPapers()
            try await site.train(Appliance.recipe(width: 128))
            // The weights are the largest of the model's files.
            let blobs = try site.files(Path.join(site.root, "state/registry/blobs"))
            let blob = try #require(try blobs.max { try Path.information($0)?.size ?? 0 < Path.information($1)?.size ?? 0 })
            let whole = try File(blob, .read).readAll(limit: .mib(64)), info = try #require(try Path.information(blob))
            func replace(_ bytes: [UInt8]) throws {
                try Durable.replace(blob, with: bytes, mode: info.mode)
                try Path.setOwner(blob, uid: info.uid, gid: info.gid)
            }
            var damaged = whole
            damaged[whole.count / 2] ^= 0x10
            try replace(damaged)
            for (command, person) in [(["serve", "load", "tiny@1"], "rene"), (["eval", "tiny@1"], "dana")] {
                let said = try await site.forge(command, as: person)
                #expect(said.code != 0 && said.err.contains(Path.name(blob)) && said.err.contains("`model.safetensors`: segment 0: chunk "), "\(command): \(said)")
            }
            let client = site.client("registry", bearer: try site.bearer(of: "oda"))
            func scrub() async throws -> JSON { try JSON.parse(try await client.raw(.post, "/v1/scrub").body) }
            let found = try await scrub()
            site.acknowledge(found["record"], "store.scrub")
            #expect(found["damaged"]?.array?.count == 1 && found["damaged"]?.array?.first?.string?.contains(Path.name(blob)) == true, "\(found)")
            try await site.judge()
            // The bytes from a backup are the model again.
            try replace(whole)
            #expect(try await site.forge("serve", "load", "tiny@1", as: "rene").code == 0, "\(site.lastWords())")
            let clean = try await scrub()
            site.acknowledge(clean["record"], "store.scrub")
            #expect(clean["damaged"]?.array?.isEmpty == true)
            try await site.judge()
        }
    }

    @Test(.enabled(if: Path.isExecutable("/usr/bin/sqlite3"), "the sqlite3 tool is not here"))
    func `a log with a cut tail is named by the verifier, and by the daemons that are started on it`() async throws {
        try await Appliance.running { site in
            func witnessed(_ size: Int64) async -> Bool {
                await eventually {
                    let registry = try? await site.forge("status", "-o", "json", as: "otto").json?["item"]?["registry"]
                    return registry?["witnessed"]?.int ?? 0 >= size
                }
            }
            let key = try await site.serve()
            // The record of the witness itself must not be in the tail that is cut: its row would refer to nothing.
            try #require(await witnessed(1), "nobody witnesses the log\n\(site.lastWords())")
            for _ in 0..<3 { #expect(try await site.ask(key).status == 200) }
            let records = try await site.judge()
            // The local witness signs what it saw; only then is there anything to measure a cut tail by.
            try #require(await witnessed(Int64(records.count)), "nobody witnesses the log\n\(site.lastWords())")
            #expect(await site.stop() == .code(0))
            let state = Path.join(site.root, "state/registry"), database = Path.join(state, "registry.sqlite"), admin = Path.join(site.root, "state/admin")
            let whole = try await site.verify(state, "--log-key", site.path("people/log.vkey"), "--state-of-admin", admin)
            #expect(whole.code == 0, "\(whole)")

            // As somebody with the file and a tool does it: rows, their index, tree nodes and the signed roots over them.
            let keep = records.count - 4
            let tables = ["leaf", "node", "receipt", "detail", "tree_head"].map { "DROP TRIGGER IF EXISTS \($0)_no_update; DROP TRIGGER IF EXISTS \($0)_no_delete; " }.joined()
            func sqlite(_ sql: String) async throws { try #require(try await site.call("/usr/bin/sqlite3", [database, "PRAGMA foreign_keys=OFF; " + sql]).code == 0) }
            try await sqlite(
                tables + """
                    DELETE FROM receipt WHERE record >= \(keep); DELETE FROM detail WHERE seq >= \(keep); DELETE FROM record_index WHERE seq >= \(keep); DELETE FROM leaf WHERE seq >= \(keep);
                    DELETE FROM node WHERE (idx + 1) * (1 << level) > \(keep);
                    """)
            let cut = try await site.verify(state)
            #expect(cut.code == 1 && cut.out.contains("it signs"), "\(cut)")
            let owner = try #require(try Path.information(state))
            func own() throws { for file in try site.files(state) { try Path.setOwner(file, uid: owner.uid, gid: owner.gid) } }
            try own()
            try await site.start()
            let damaged = try #require(try await site.forge("status", "-o", "json").json?["item"]?["registry"])
            #expect(damaged["health"]?.string == "damaged" && damaged["reason"]?.string?.isEmpty == false, "\(damaged)")
            #expect(try await site.forge("doctor").out.contains("NO  forge-registry"))
            // Not even a sign-in can be put on record.
            let refused = try await site.forge("login", "otto", "--key", site.path("people/otto"), as: "otto")
            #expect(refused.code == 75 && refused.err.contains("the log was cut: it has \(keep) records"), "\(refused)")
            #expect(await site.stop() == .code(0))

            // Without the signed roots the copy agrees with itself, and only the witness knows better.
            try await sqlite("DELETE FROM cosignature WHERE size > \(keep); DELETE FROM tree_head WHERE size > \(keep);")
            #expect(try await site.verify(state).code == 0)
            let known = try await site.verify(state, "--state-of-admin", admin)
            #expect(known.code == 1 && known.out.contains("truncated"), "\(known)")
        }
    }

    @Test func `a policy bundle with a bad signature changes nothing, and the attempt is on record`() async throws {
        try await Appliance.running { site in
            try await site.enrol()
            let before = try #require(try await site.forge("policy", "show", "-o", "json", as: "otto").json?["item"])
            let folder = Path.join(Path.parent(Path.parent(Path.parent(#filePath))), "policy")
            // The officer's name over another person's signature.
            let forged = try await site.forge("policy", "activate", "--directory", folder, "--key", site.path("people/dana"), as: "otto")
            #expect(forged.code == 2 && forged.err.contains("signature"), "\(forged)")
            #expect(forged.err.contains("(audit record "))
            // The right key over another text, which this release cannot check: one more space in one rule.
            let other = site.path("policy")
            try Durable.makeDirectory(other)
            for name in try Path.list(folder) where name.hasSuffix(".cedar") || name.hasSuffix(".cedarschema") {
                let bytes = try File(Path.join(folder, name), .read).readAll(limit: .mib(1))
                try Durable.replace(Path.join(other, name), with: name.hasPrefix("80-") ? bytes + [0x20] : bytes)
            }
            let changed = try await site.forge("policy", "activate", "--directory", other, "--key", site.path("people/otto"), as: "otto")
            #expect(changed.code == 1 && changed.err.contains("(audit record "), "\(changed)")
            let after = try #require(try await site.forge("policy", "show", "-o", "json", as: "otto").json?["item"])
            #expect(after["digest"]?.string == before["digest"]?.string)
            let records = try await site.judge()
            let attempts = records.filter { $0["act"]?.string == "policy.activate" && $0["who"]?["id"]?.string == "otto" }
            #expect(attempts.count == 2 && attempts.allSatisfy { $0["dec"]?.string == "deny" }, "\(attempts)")
        }
    }

    @Test func `a typo in a recipe and a document that is no text are named, and touch nothing else`() async throws {
        try await Appliance.running { site in
            try await site.enrol()
            let folder = site.path("papers")
            try Durable.makeDirectory(folder)
            try Durable.replace(Path.join(folder, "noise.txt"), with: (0..<4000).map { UInt8(truncatingIfNeeded: $0 &* 167) })
            try Durable.replace(Path.join(folder, "half.txt"), with: Array("a sentence that breaks off in the middle of a ".utf8) + [0xc3])
            try Durable.replace(Path.join(folder, "scan.png"), with: [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13])
            let nothing = try await site.forge("data", "add", folder, "--name", "scraps", "-q", as: "dana")
            #expect(nothing.code != 0 && nothing.err.contains("no document was accepted"), "\(nothing)")
            // Beside them the others are read.
            try await site.addPapers()
            let report = try #require(try await site.forge("data", "show", "papers", "-o", "json", as: "dana").json?["item"]?["report"])
            #expect(report["accepted"]?.int == 24 && report["refused"]?.int == 3, "\(report)")
            let refused = report["refusals"]?.array ?? []
            for name in ["noise.txt", "half.txt", "scan.png"] {
                #expect(refused.contains { $0["path"]?.string == name && $0["why"]?.string?.isEmpty == false }, "\(name): \(refused)")
            }

            let typo = Appliance.recipe().replacing("learning_rate:", with: "learning_rat:")
            for command in [["train"], ["recipe", "check"]] {
                let said = try await site.forge(command + [try site.write(typo), "--data", "papers"], as: "dana")
                #expect(said.code == 1)
                #expect(said.err.contains("unknown key `optimizer.learning_rat` (line 18, column 3)"), "\(said.err)")
                #expect(said.err.contains("did you mean `optimizer.learning_rate`?"), "\(said.err)")
            }
            #expect(try await site.forge("run", "ls", "-o", "json", as: "dana").json?["items"]?.array?.isEmpty == true)
            try await site.train(Appliance.recipe(steps: 3))
            let records = try await site.judge()
            let failures = records.filter { $0["phase"]?.string == "outcome" && $0["out"]?["status"]?.string == "err" }.compactMap { $0["act"]?.string }
            #expect(failures.contains("data.add") && failures.contains("run.submit"), "\(failures)")
        }
    }

    @Test func `a request over the context length is refused with the numbers, and a client that goes away frees its blocks`() async throws {
        try await Appliance.running { site in
            let key = try await site.serve(Appliance.talkative)
            for (tokens, prompt) in [(4096, "the"), (8, String(repeating: "the record ", count: 1500))] {
                let refused = try await site.ask(key, tokens: tokens, prompt: prompt)
                #expect(refused.status == 400)
                #expect(try code(refused) == "context_length_exceeded")
                #expect(text(refused.body).contains("4096 tokens"), "\(text(refused.body))")
            }
            #expect(try await site.ask(key).status == 200)

            func metric(_ name: String) async throws -> Double {
                let lines = text(try await site.client("serve", bearer: key).raw(.get, "/metrics").body).split(separator: "\n")
                return try #require(lines.first { $0.hasPrefix(name + "{") }?.split(separator: " ").last.flatMap { Double($0) }, "\(name)")
            }
            let answer = site.stream(key, tokens: 4000)
            try await answer.begun()
            #expect(try await metric("forge:num_requests_running") == 1)
            #expect(try await metric("forge:kv_cache_usage_perc") > 0)
            answer.leave()
            let drawn = try await answer.end()
            #expect(drawn.last != "[DONE]")
            #expect(await eventually { (try? await metric("forge:num_requests_running")) == 0 })
            #expect(try await metric("forge:kv_cache_usage_perc") == 0)
            let receipt = try #require(try JSON.parse(drawn[0])["id"]?.string?.split(separator: "-").last).description
            let records = try await site.judge()
            let outcome = try #require(records.first { $0["phase"]?.string == "outcome" && $0["req"]?.string == receipt }, "the answer that nobody read has an outcome")
            #expect(outcome["data"]?["finish"]?.string == "cancelled" && outcome["data"]?["completion_tokens"]?.int ?? 4000 < 4000, "\(outcome)")
        }
    }
}
