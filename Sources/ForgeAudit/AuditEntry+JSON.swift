package import ForgeCore
import ForgeGate

extension AuditEntry {
    /// The members an entry has on the wire, with the names of the leaf; `detail` is base64.
    package var json: JSON {
        var members = JSON.Object()
        write(to: &members)
        if let detail { members["detail"] = .string(Base64.encode(detail)) }
        return .object(members)
    }

    /// Reads what a daemon sends.
    /// - Throws: `.request` saying which member is wrong.
    package init(json: JSON) throws(Fault) {
        let fields = try Fields(json, "an audit entry")
        try self.init(fields)
        if let text = try fields.text("detail", bytesMax: 1 << 16) {
            guard let bytes = Base64.decode(text) else { throw fields.fault("detail", "is not base64") }
            detail = bytes
        }
        try fields.finish()
        try validate()
    }

    /// Everything but `detail`; shared by the wire and the leaf.
    func write(to members: inout JSON.Object) {
        members["act"] = .string(action.rawValue)
        members["phase"] = .string(phase.rawValue)
        members["req"] = .string(request.description)
        var subject: JSON.Object = .init()
        subject["auth"] = .string(who.method?.rawValue ?? "none")
        subject["id"] = .string(who.principal?.entity.id ?? "")
        subject["roles"] = .array(who.roles.map { .string($0) })
        if let session = who.session { subject["session"] = .string(session.description) }
        subject["type"] = .string(who.principal?.entity.type ?? "none")
        subject["uid"] = .int(Int64(who.uid))
        members["who"] = .object(subject)
        if let object {
            var value: JSON.Object = .init()
            if let digest = object.digest { value["digest"] = .string(digest.description) }
            value["id"] = .string(object.id)
            value["type"] = .string(object.type)
            if let version = object.version { value["version"] = .string(version) }
            members["obj"] = .object(value)
        }
        if let decision { members["dec"] = .string(decision.rawValue) }
        if let policy {
            members["pol"] = [
                "digest": .string(policy.digest.description), "epoch": .int(Int64(clamping: policy.epoch)), "errors": .array(policy.errors.map { .string($0) }),
                "rules": .array(policy.rules.map { .string($0) }),
            ]
        }
        switch outcome {
        case nil: break
        case .ok: members["out"] = ["status": "ok"]
        case .failed(let code): members["out"] = ["code": .string(code), "status": "err"]
        case .unknown(let code): members["out"] = ["code": .string(code), "status": "unknown"]
        }
        if let why { members["why"] = .string(why) }
        if !approvers.isEmpty { members["approvers"] = .array(approvers.map { .string($0) }) }
        if !data.isEmpty { members["data"] = .object(data) }
    }

    init(_ fields: Fields) throws(Fault) {
        guard let action = AuditAction(rawValue: try fields.required("act")) else { throw fields.fault("act", "is not an action this log knows") }
        guard let phase = Phase(rawValue: try fields.required("phase")) else { throw fields.fault("phase", "is not `intent`, `outcome` or `event`") }
        guard let request = ID(parsing: try fields.required("req")) else { throw fields.fault("req", "is not an id") }
        self.init(action, phase, request: request, who: try Subject(try fields.object("who")))
        if let object = try fields.objectIfPresent("obj") { self.object = try Object(object) }
        if let text = try fields.text("dec") {
            guard let decision = Verdict.Outcome(rawValue: text) else { throw fields.fault("dec", "is not a decision") }
            self.decision = decision
        }
        if let policy = try fields.objectIfPresent("pol") { self.policy = try Policy(policy) }
        if let out = try fields.objectIfPresent("out") {
            let status = try out.required("status")
            let code = try out.text("code", bytesMax: 64)
            try out.finish()
            switch (status, code) {
            case ("ok", nil): outcome = .ok
            case ("err", let code?) where Fields.isWord(code): outcome = .failed(code: code)
            case ("unknown", let code?) where Fields.isWord(code): outcome = .unknown(code: code)
            default: throw fields.fault("out", "is `ok` without a code, or `err` or `unknown` with one")
            }
        }
        why = try fields.text("why")
        if let names = try fields.texts("approvers", max: 16) {
            guard !names.isEmpty else { throw fields.fault("approvers", "is empty") }
            approvers = names
        }
        if let data = try fields.value("data") {
            guard let object = data.object, (1...32).contains(object.count) else { throw fields.fault("data", "is not an object of 1 to 32 facts") }
            self.data = object
        }
    }

    /// The rules between members (docs/formats/audit-leaf.md §4).
    package func validate() throws(Fault) {
        func check(_ holds: Bool, _ why: String) throws(Fault) {
            guard holds else { throw .malformed("an audit entry for `\(action.rawValue)` contradicts itself", why) }
        }
        try check(phase == .event || action.hasEffect, "an action without an effect is an event")
        try check(policy == nil || decision != nil, "a policy without a decision")
        try check(Int64(exactly: policy?.epoch ?? 0).map { $0 < 1 << 53 } ?? false, "an epoch beyond 53 bits")
        switch phase {
        case .intent: try check(decision != nil && outcome == nil, "an intent has a decision and no outcome")
        case .outcome: try check(decision == nil && outcome != nil, "an outcome has a status and no decision")
        case .event: break
        }
        try check(data.count <= 32, "more than 32 facts")
        for text in [why, object?.id, object?.type, object?.version, who.principal?.entity.id] + approvers.map(Optional.some) + who.roles.map(Optional.some) {
            if let text { try check(Fields.isText(text, bytesMax: 512), "a text is longer than 512 bytes or holds a control character") }
        }
        for text in [object?.type, object?.version] + approvers.map(Optional.some) + who.roles.map(Optional.some) + (policy.map { $0.rules + $0.errors } ?? []).map(Optional.some) {
            if let text { try check(!text.isEmpty, "a name is empty") }
        }
        switch outcome {
        case .failed(let code), .unknown(let code): try check(Fields.isWord(code), "an outcome's code is not a word")
        case .ok, nil: break
        }
        try check(approvers.count <= 16 && who.roles.count <= 32, "too many names")
        try check((who.principal == nil) == (who.method == nil), "who it was and how that was established go together")
        try check(who.principal?.entity.id.isEmpty != true, "a principal without a name")
    }
}

extension AuditEntry.Subject {
    fileprivate init(_ fields: Fields) throws(Fault) {
        let type = try fields.required("type")
        let id = try fields.text("id")
        let auth = try fields.required("auth")
        guard let id, let uid = UInt32(exactly: try fields.integer("uid")) else { throw fields.fault("uid", "or `id` is missing or out of range") }
        let roles = try fields.texts("roles", max: 32)
        var session: ID?
        if let text = try fields.text("session") {
            guard let value = ID(parsing: text) else { throw fields.fault("session", "is not an id") }
            session = value
        }
        try fields.finish()
        guard let roles else { throw fields.fault("roles", "is missing") }
        if type == "none" {
            guard id.isEmpty, auth == "none" else { throw fields.fault("type", "is `none`, so there is no id and no method") }
            self.init(nil, method: nil, uid: uid, roles: roles, session: session)
        } else {
            guard !id.isEmpty, let principal = Principal(EntityID(type, id)), let method = AuthMethod(rawValue: auth) else {
                throw fields.fault("type", "and `id` and `auth` name no principal")
            }
            self.init(principal, method: method, uid: uid, roles: roles, session: session)
        }
        guard self.roles == roles else { throw fields.fault("roles", "are not sorted, or one stands twice") }
    }
}

extension AuditEntry.Object {
    fileprivate init(_ fields: Fields) throws(Fault) {
        guard let id = try fields.text("id") else { throw fields.fault("id", "is missing") }
        self.init(try fields.required("type"), id, version: try fields.text("version"), digest: try fields.digest("digest"))
        try fields.finish()
    }
}

extension AuditEntry.Policy {
    fileprivate init(_ fields: Fields) throws(Fault) {
        guard let digest = try fields.digest("digest"), let rules = try fields.texts("rules", max: 64), let errors = try fields.texts("errors", max: 64) else {
            throw fields.fault("digest", "or `rules` or `errors` is missing")
        }
        let epoch = try fields.integer("epoch")
        try fields.finish()
        self.init(digest: digest, epoch: UInt64(epoch), rules: rules, errors: errors)
    }
}
