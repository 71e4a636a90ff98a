/// One record, read as docs/formats/audit-leaf.md says and no other way.
struct Leaf {
    let value: Value
    let seq: UInt64
    let time: Int64
    let boottime: Int64
    let boot: String
    let action: String
    let phase: String
    let request: String
    let unit: String
    let decision: String?
    let status: String?

    static let effects: Set<String> = [
        "policy.activate", "appkey.create", "appkey.revoke", "registry.init", "registry.unseal", "registry.seal", "audit.export", "model.put", "model.evaluate",
        "model.promote", "model.rollback", "model.delete", "model.export", "model.load", "key.release", "store.scrub", "data.add", "run.submit", "run.start", "run.cancel", "run.resume",
        "infer", "receipt.replay", "serve.load", "serve.unload",
    ]
    static let events: Set<String> = [
        "log.init", "clock.step", "daemon.start", "daemon.stop", "daemon.drain", "login", "login.refused", "logout", "user.read", "user.enrol", "policy.read",
        "approval.read", "approval.request", "approval.vote", "approval.veto", "approval.withdraw", "appkey.list", "audit.read", "audit.verify", "audit.witness", "data.read",
        "model.read", "models.list", "receipt.read", "run.read", "run.checkpoint", "recipe.read",
    ]

    private enum Kind { case digest, digests, id, integer, bool, text, hashed, never }
    private static let facts: [String: Kind] = {
        var table: [String: Kind] = [:]
        func put(_ names: String, _ kind: Kind) { for name in names.split(separator: " ") { table[String(name)] = kind } }
        put("digest manifest recipe tokenizer dataset model_digest provenance policy vote payload request_commitment answer_commitment root report heldout entities code_digest rows keyslots", .digest)
        put("datasets digests", .digests)
        put("run receipt approval key app upload blob evaluation request", .id)
        put("bytes files documents accepted refused duplicates findings tokens prompt_tokens completion_tokens step steps epoch size from to count votes threshold", .integer)
        put("microbits_per_byte baseline_microbits_per_byte milliseconds signal exit leaves keys persons expires open", .integer)
        put("streamed resumed sealed", .bool)
        put("model name version alias purpose backend code method finish seed fingerprint origin person state suite door format sampling", .text)
        put("prompt answer text document passphrase secret credential", .never)
        return table
    }()

    init(_ bytes: [UInt8]) throws {
        guard bytes.count <= 8192 else { throw Bad("longer than 8192 bytes") }
        value = try StrictJSON.parse(bytes)
        let top = try Shape(value, "the record", required: ["act", "boot", "bt", "clk", "phase", "req", "seq", "svc", "t", "v", "who"], optional: ["approvers", "data", "dc", "dec", "drop", "hk", "obj", "out", "pol", "why"])
        guard try top.count("v") == 1 else { throw Bad("`v` is not 1") }
        seq = UInt64(try top.count("seq"))
        time = try top.count("t")
        boottime = try top.count("bt")
        boot = try top.id("boot")
        action = try top.text("act")
        phase = try top.text("phase")
        request = try top.id("req")
        let clock = try Shape(value["clk"], "`clk`", required: ["err", "src", "synced"])
        _ = try clock.count("err")
        guard Leaf.isWord(try clock.text("src")), clock["synced"]?.bool != nil else { throw Bad("`clk` does not read") }
        let service = try Shape(value["svc"], "`svc`", required: ["build", "pid", "uid", "unit"])
        unit = try service.text("unit")
        guard ["trainer", "registry", "serve", "admin"].contains(unit), try !service.text("build").isEmpty, try service.count("pid") >= 0, try service.count("uid") < 1 << 32 else {
            throw Bad("`svc` names no daemon")
        }
        decision = try top.optionalText("dec")
        if let decision, !["allow", "deny", "needs_approval"].contains(decision) { throw Bad("`dec` is no decision") }
        var status: String?
        if value["out"] != nil {
            let out = try Shape(value["out"], "`out`", required: ["status"], optional: ["code"])
            status = try out.text("status")
            let code = try out.optionalText("code")
            guard status == "ok" ? code == nil : ["err", "unknown"].contains(status) && code.map(Leaf.isWord) == true else { throw Bad("`out` does not read") }
        }
        self.status = status
        try checkPhase()
        try checkWho()
        try checkRest(top)
        try checkFacts(top)
    }

    private func checkPhase() throws {
        let hasEffect = Leaf.effects.contains(action)
        guard hasEffect || Leaf.events.contains(action) else { throw Bad("unknown action `\(action)`") }
        switch phase {
        case "intent": guard hasEffect, decision != nil, status == nil else { throw Bad("not an intent") }
        case "outcome": guard hasEffect, decision == nil, status != nil else { throw Bad("not an outcome") }
        case "event": break
        default: throw Bad("unknown phase")
        }
        guard value["pol"] == nil || decision != nil else { throw Bad("a policy without a decision") }
    }

    private func checkWho() throws {
        let who = try Shape(value["who"], "`who`", required: ["auth", "id", "roles", "type", "uid"], optional: ["session"])
        let (type, id, auth) = (try who.text("type"), try who.text("id"), try who.text("auth"))
        let isNobody = type == "none" && id.isEmpty && auth == "none"
        let isSomebody = ["Forge::User", "Forge::Service", "Forge::App"].contains(type) && !id.isEmpty && ["peercred", "sshsig", "apikey", "handed"].contains(auth)
        guard isNobody || isSomebody, try who.count("uid") < 1 << 32 else { throw Bad("`who` names nobody") }
        if type == "Forge::Service", !["trainer", "registry", "serve", "admin"].contains(id) { throw Bad("`who` names no daemon") }
        if who["session"] != nil { _ = try who.id("session") }
        let roles = try who.names("roles", max: 32)
        guard zip(roles, roles.dropFirst()).allSatisfy({ $0.utf8.lexicographicallyPrecedes($1.utf8) }) else { throw Bad("roles are not sorted") }
    }

    private func checkRest(_ top: Shape) throws {
        if value["obj"] != nil {
            let object = try Shape(value["obj"], "`obj`", required: ["id", "type"], optional: ["digest", "version"])
            _ = try object.text("id")
            guard try !object.text("type").isEmpty, try object.optionalText("version")?.isEmpty != true else { throw Bad("`obj` has an empty name") }
            if object["digest"] != nil { try object.digest("digest") }
        }
        if value["pol"] != nil {
            let policy = try Shape(value["pol"], "`pol`", required: ["digest", "epoch", "errors", "rules"])
            try policy.digest("digest")
            _ = try policy.count("epoch")
            _ = try policy.names("errors", max: 64)
            _ = try policy.names("rules", max: 64)
        }
        if value["approvers"] != nil, try top.names("approvers", max: 16).isEmpty { throw Bad("`approvers` is empty") }
        if value["dc"] != nil { try top.digest("dc") }
    }

    private func checkFacts(_ top: Shape) throws {
        var isHashed = false
        if let why = value["why"] {
            guard Leaf.isHashed(why) else { throw Bad("a reason in clear") }
            isHashed = true
        }
        let members = value["data"]?.members
        if value["data"] != nil {
            guard let members, (1...32).contains(members.count) else { throw Bad("`data` has no facts, or too many") }
            for member in members {
                guard Leaf.isField(member.name) else { throw Bad("a fact cannot be called `\(member.name)`") }
                switch Leaf.facts[member.name] ?? .hashed {
                case .hashed:
                    guard Leaf.isHashed(member.value) else { throw Bad("`data.\(member.name)` is in clear") }
                    isHashed = true
                case .never: throw Bad("`data.\(member.name)` is never recorded")
                case .digest: guard member.value.string.map(Leaf.isDigest) == true else { throw Bad("`data.\(member.name)` is not a digest") }
                case .digests: guard let items = member.value.array, items.count <= 64, items.allSatisfy({ $0.string.map(Leaf.isDigest) == true }) else { throw Bad("`data.\(member.name)` is not a list of digests") }
                case .id: guard member.value.string.map(Leaf.isID) == true else { throw Bad("`data.\(member.name)` is not an id") }
                case .integer: guard member.value.int.map({ $0 >= 0 }) == true else { throw Bad("`data.\(member.name)` is not a count") }
                case .bool: guard member.value.bool != nil else { throw Bad("`data.\(member.name)` is not true or false") }
                case .text: guard member.value.string.map({ $0.utf8.count <= 256 && $0.utf8.allSatisfy { $0 >= 0x20 } }) == true else { throw Bad("`data.\(member.name)` is not a short text") }
                }
            }
        }
        let epoch = value["hk"] == nil ? nil : try top.count("hk")
        guard isHashed == (epoch != nil), epoch != 0 else { throw Bad("`hk` stands exactly where a value is hashed") }
        guard value["drop"] != nil else { return }
        let dropped = try top.names("drop", max: 33)
        guard !dropped.isEmpty, zip(dropped, dropped.dropFirst()).allSatisfy({ $0.utf8.lexicographicallyPrecedes($1.utf8) }) else { throw Bad("`drop` is empty or not sorted") }
        for path in dropped {
            let name = path.hasPrefix("data.") ? String(path.dropFirst(5)) : ""
            let kind = Leaf.facts[name] ?? .hashed
            let canBe = path == "why" ? value["why"] == nil : Leaf.isField(name) && (kind == .hashed || kind == .never) && members?.contains { $0.name == name } != true
            guard canBe else { throw Bad("`drop` names `\(path)`") }
        }
    }

    static func isWord(_ text: String) -> Bool {
        guard (1...64).contains(text.utf8.count), let first = text.utf8.first, 0x61...0x7a ~= first else { return false }
        return text.utf8.allSatisfy { 0x61...0x7a ~= $0 || 0x30...0x39 ~= $0 || $0 == 0x5f || $0 == 0x2e || $0 == 0x2d }
    }

    static func isField(_ text: String) -> Bool { text.utf8.count <= 40 && isWord(text) && text.utf8.allSatisfy { $0 != 0x2e && $0 != 0x2d } }
    static func isID(_ text: String) -> Bool { text.utf8.count == 32 && Text.unhex(text) != nil }
    static func isDigest(_ text: String) -> Bool { text.hasPrefix("sha256:") && text.utf8.count == 71 && Text.unhex(text.dropFirst(7)) != nil }
    static func isHashed(_ value: Value) -> Bool { value.string.map { $0.hasPrefix("hmac:") && isID(String($0.dropFirst(5))) } == true }
}

/// An object with these members and no others.
struct Shape {
    private let value: Value
    private let what: String

    init(_ value: Value?, _ what: String, required: Set<String>, optional: Set<String> = []) throws {
        guard let value, let members = value.members else { throw Bad("\(what) is not an object") }
        let names = Set(members.map(\.name))
        if let missing = required.subtracting(names).min() { throw Bad("\(what) lacks `\(missing)`") }
        if let unknown = names.subtracting(required).subtracting(optional).min() { throw Bad("\(what) has `\(unknown)`") }
        (self.value, self.what) = (value, what)
    }

    subscript(name: String) -> Value? { value[name] }

    func text(_ name: String) throws -> String {
        guard let text = value[name]?.string, text.utf8.count <= 512, text.utf8.allSatisfy({ $0 >= 0x20 }) else { throw Bad("`\(name)` of \(what) is not a text") }
        return text
    }

    func optionalText(_ name: String) throws -> String? { value[name] == nil ? nil : try text(name) }

    func count(_ name: String) throws -> Int64 {
        guard let count = value[name]?.int, count >= 0 else { throw Bad("`\(name)` of \(what) is not a count") }
        return count
    }

    func id(_ name: String) throws -> String {
        guard let text = value[name]?.string, Leaf.isID(text) else { throw Bad("`\(name)` of \(what) is not an id") }
        return text
    }

    func digest(_ name: String) throws {
        guard let text = value[name]?.string, Leaf.isDigest(text) else { throw Bad("`\(name)` of \(what) is not a digest") }
    }

    func names(_ name: String, max: Int) throws -> [String] {
        guard let items = value[name]?.array, items.count <= max else { throw Bad("`\(name)` of \(what) is not a list of at most \(max)") }
        return try items.map { item in
            guard let text = item.string, !text.isEmpty, text.utf8.count <= 512, text.utf8.allSatisfy({ $0 >= 0x20 }) else { throw Bad("`\(name)` of \(what) holds no name") }
            return text
        }
    }
}
