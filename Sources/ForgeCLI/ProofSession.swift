internal import ForgeCore
internal import ForgeOS

/// The main job in small, for `forge doctor --prove-offline`: people, documents, a model, its score, votes, an answer, its receipt, the log.
struct ProofSession: Sendable {
    struct Step: Sendable {
        let words: [String]
        var person = "nobody"
        var program = "forge"
        /// The exit code of a step that went well.
        var code: Int32 = 0
        /// Whether what it said is kept for a later step.
        var keeps = false
    }

    /// Stands for what an earlier step said.
    static let kept = "{kept}"

    let steps: [Step]

    /// - Parameter people: an empty directory for keys, documents and everything else that people have.
    init(_ people: String) async throws {
        func path(_ name: String) -> String { Path.join(people, name) }
        var persons = ""
        let roles = [("dana", "data_scientist"), ("rene", "release_manager"), ("mila", "ml_lead"), ("otto", "security_officer")]
        for (name, role) in roles {
            let keygen = ChildProcess.Request("/usr/bin/ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path(name)])
            guard try await ChildProcess(keygen).wait().isSuccess else { throw Fault(.environment, "doctor.keygen", "cannot make a key for the session", why: "ssh-keygen failed") }
            persons += "  - name: \(name)\n    roles: [\(role)]\n    key_files: [\(name).pub]\n"
        }
        try Durable.create(path("passphrase"), with: Array("\(ID())\n".utf8))
        let site = "organisation: proof\nappliance: proof\nstore:\n  passphrase_file: passphrase\n  recovery_file: recovery.key\npersons:\n\(persons)"
        try Durable.create(path("site.yaml"), with: Array(site.utf8))
        let documents = path("documents")
        try Durable.makeDirectory(documents)
        for i in 0..<24 { try Durable.create(Path.join(documents, "\(i).txt"), with: Array("Document \(i).\n\nIt says \(ID()) and \(ID()).\n".utf8)) }
        try Durable.create(path("proof.yaml"), with: Array(ProofSession.recipe.utf8))

        func approve(_ person: String) -> Step { Step(words: ["approval", "approve", ProofSession.kept, "--key", path(person)], person: person) }
        let promote = ["model", "promote", "proof@1", "--reason", "proof"]
        steps =
            [Step(words: ["init", "--file", path("site.yaml")])] + roles.map { Step(words: ["login", $0.0, "--key", path($0.0)], person: $0.0) }
            + [
                Step(words: ["whoami"], person: "dana"), Step(words: ["data", "add", documents, "--name", "proof", "--held-out-permille", "200"], person: "dana"),
                Step(words: ["train", path("proof.yaml"), "--data", "proof"], person: "dana"), Step(words: ["eval", "proof@1"], person: "dana"),
                // 8: it waits for votes.
                Step(words: promote, person: "rene", code: 8), Step(words: ["approval", "ls", "-o", "name"], person: "rene", keeps: true), approve("otto"), approve("mila"),
                Step(words: promote, person: "rene"), Step(words: ["serve", "load", "proof@production"], person: "rene"),
                Step(words: ["complete", "Document", "--max-tokens", "8", "--keep", path("answer.json")], person: "dana", keeps: true),
                Step(words: ["receipt", "verify", ProofSession.kept, "--documents", documents], person: "dana"),
                Step(words: ["receipt", "replay", ProofSession.kept, "--request", path("answer.json")], person: "dana"),
                Step(words: ["status"], person: "otto"), Step(words: ["seal"], person: "otto"), Step(words: ["unseal", "--file", path("passphrase")], person: "otto"),
                Step(words: ["audit", "verify"], person: "otto"), Step(words: ["audit", "export", path("archive")], person: "otto"),
                Step(words: [path("archive")], program: "forge-verify"), Step(words: ["logout"], person: "dana"),
            ]
    }

    /// What a step said: the word after `receipt`, else the last word of all.
    static func word(in said: String) -> String {
        let words = said.split(whereSeparator: \.isWhitespace)
        if let at = words.lastIndex(of: "receipt"), at + 1 < words.count { return String(words[at + 1]) }
        return words.last.map(String.init) ?? ""
    }

    /// Small enough to be trained within seconds under a trace.
    private static let recipe = """
        format: forge-recipe/v1
        name: proof
        seed: 1
        model:
          width: 32
          layers: 1
          query_heads: 2
          kv_heads: 1
          feed_forward: 64
          context: 64
        tokenizer:
          vocabulary: 280
        training:
          steps: 8
          sequences_per_step: 2
          checkpoint_every: 4
        optimizer:
          learning_rate: 0.003
        schedule:
          warmup_steps: 1

        """
}
