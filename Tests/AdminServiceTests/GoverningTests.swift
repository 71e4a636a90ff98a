import AdminAPI
import AdminService
import ForgeAudit
import ForgeAuthority
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeHTTP
import ForgeOS
import ForgePolicy
import Testing

@Suite struct GoverningTests {
    @Test func `an application's key is shown once, known everywhere at once, and gone at once`() async throws {
        try await Institution.with { house in
            let otto = try await house.signIn("otto")
            let created = try await otto.createAppKey(.init(app: "helpdesk", days: 30, reason: "the help desk asks"))
            #expect(created.credential.utf8.count == 70 && AppKeyBook.isWellFormed(created.credential))
            var typo = created.credential
            typo.removeLast()
            #expect(!AppKeyBook.isWellFormed(typo + "!") && !AppKeyBook.isWellFormed(typo))
            #expect(try await otto.appKeys() == [created.key])
            #expect(house.log.entries.filter { $0.action == .appkeyCreate }.map(\.phase) == [.intent, .outcome])

            let mirror = EntityMirror(house.peer(.serve))
            try await mirror.refresh()
            let identifier = Identifier(mirror: mirror)
            let caller = Caller(uid: 4711, gid: 1, pid: 1, bearer: created.credential, door: "serve")
            #expect(try await identifier.identify(caller).principal == .app("helpdesk"))
            // What is on disk is no key.
            let journal = try File(Path.join(house.folder, "state/appkeys.journal"), .read).readAll(limit: .mib(1))
            #expect(!String(decoding: journal, as: UTF8.self).contains(created.credential.dropFirst(32)))

            #expect(try await otto.revokeAppKey(created.key.id).revoked)
            try await mirror.refresh()
            #expect(await refusal { _ = try await identifier.identify(caller) }?.kind == .unauthenticated)
            #expect(await refusal { _ = try await otto.revokeAppKey("nothing") }?.code == "appkey.not_found")
            #expect(await refusal { _ = try await otto.createAppKey(.init(app: "x", days: 400)) }?.kind == .request)
            #expect(await refusal { _ = try await otto.createAppKey(.init(app: "Not a name")) }?.kind == .request)
            let dana = try await house.signIn("dana")
            #expect(await refusal { _ = try await dana.createAppKey(.init(app: "mine")) }?.kind == .denied)
            #expect(await refusal { _ = try await dana.appKeys() }?.kind == .denied)
        }
    }

    @Test func `other daemons know a sign-in at once, and its end without asking`() async throws {
        try await Institution.with { house in
            let mirror = EntityMirror(house.peer(.serve))
            try await mirror.refresh()
            try await withThrowingTaskGroup { group in
                group.addTask { await mirror.run() }
                let credential = try await house.credential("dana")
                let identifier = Identifier(mirror: mirror)
                let caller = Caller(uid: ThisProcess.uid, gid: 1, pid: 1, bearer: credential, door: "serve")
                let known = try await identifier.identify(caller)
                #expect(known.principal == .user("dana") && known.method == .sshsig && known.roles == ["data_scientist"])
                #expect(await refusal { _ = try await identifier.identify(Caller(uid: ThisProcess.uid + 1, gid: 1, pid: 1, bearer: credential, door: "serve")) }?.kind == .unauthenticated)
                try await house.client(credential).logout()
                let end = ContinuousClock.now + .seconds(20)
                while await refusal({ _ = try await identifier.identify(caller) }) == nil, ContinuousClock.now < end { await Task.yield() }
                #expect(await refusal { _ = try await identifier.identify(caller) } != nil)
                group.cancelAll()
            }
        }
    }

    @Test func `the snapshot waits for the next epoch and tells nobody else`() async throws {
        try await Institution.with { house in
            let first = try #require(try await house.peer().snapshot(after: nil))
            let document = try SnapshotDocument.decode(try #require(Base64.decode(first.document)))
            #expect(document.policy == PolicyBundle.shipped.digest && document.users.map(\.name) == ["dana", "lee", "otto", "rene"])
            #expect(document.users.allSatisfy { $0.uid == nil }, "under one shared uid, a uid is nobody")
            #expect(try await house.peer().snapshot(after: document.epoch, wait: .seconds(1)) == nil)
            async let next = house.peer().snapshot(after: document.epoch, wait: .seconds(20))
            _ = try await house.credential("otto")
            let second = try #require(try await next)
            let newer = try SnapshotDocument.decode(try #require(Base64.decode(second.document)))
            #expect(newer.epoch > document.epoch && newer.sessions.map(\.user) == ["otto"])
            let otto = try await house.signIn("otto")
            #expect(await refusal { _ = try await otto.snapshot(after: nil) }?.kind == .denied)
        }
    }

    @Test func `an officer's signature activates the shipped bundle, and a bad one is refused and on record`() async throws {
        try await Institution.with { house in
            let otto = try await house.signIn("otto")
            let active = try await otto.policy()
            #expect(active.digest == PolicyBundle.shipped.digest && active.signatures.isEmpty)
            func bundle(_ user: String, signedBy: String? = nil, digest: Digest = PolicyBundle.shipped.digest) async throws -> BundleMessage {
                let signature = try await house.sign(PolicyBundle.signedMessage(digest), as: signedBy ?? user, namespace: PolicyBundle.signatureNamespace)
                return BundleMessage(digest: digest, files: active.files, signatures: [.init(user: user, fingerprint: "", signature: signature)], activated: 0)
            }
            let signed = try await otto.activate(try await bundle("otto"))
            #expect(signed.signatures.map(\.user) == ["otto"])
            #expect(house.log.entries.filter { $0.action == .policyActivate }.suffix(2).map(\.phase) == [.intent, .outcome])
            #expect(house.log.last(.policyActivate)?.who.principal == .user("otto"))

            let forged = await refusal { _ = try await otto.activate(try await bundle("otto", signedBy: "dana")) }
            #expect(forged?.code == "policy.signature" && forged?.record != nil)
            #expect(house.log.last(.policyActivate)?.decision == .deny)
            let unsigned = BundleMessage(digest: active.digest, files: active.files, signatures: [], activated: 0)
            #expect(await refusal { _ = try await otto.activate(unsigned) }?.code == "policy.unsigned")
            // An ML lead's signature is good, and not enough.
            #expect(await refusal { _ = try await otto.activate(try await bundle("lee")) }?.why.contains("guard.policy_is_signed") == true)
            let dana = try await house.signIn("dana")
            #expect(await refusal { _ = try await dana.activate(try await bundle("otto")) }?.kind == .denied)
            var tampered = try await bundle("otto")
            tampered.files[0].content += "// "
            #expect(await refusal { _ = try await otto.activate(tampered) }?.code == "policy.digest")
            let other = PolicyBundle.digest(of: tampered.files.map { .init(name: $0.name, content: $0.content) })
            var unknown = try await bundle("otto", digest: other)
            unknown.files = tampered.files
            #expect(await refusal { _ = try await otto.activate(unknown) }?.code == "policy.not_yet")
        }
    }

    @Test func `can-i tells oneself everything, and an officer about others`() async throws {
        try await Institution.with { house in
            let dana = try await house.signIn("dana")
            let before = house.log.entries.count
            #expect(try await dana.canI("run.submit", EntityID("Forge::Run", "new")).verdict.outcome == .allow)
            let no = try await dana.canI("model.promote", EntityID("Forge::Model", "m@1"))
            #expect(no.verdict.outcome == .deny && no.verdict.reasons.map(\.id).contains("guard.promotion_is_for_release_managers"))
            #expect(house.log.entries.count == before, "asking decides nothing")
            #expect(await refusal { _ = try await dana.canI("audit.read", EntityID("Forge::Log", "log"), as: "otto") }?.kind == .denied)
            let otto = try await house.signIn("otto")
            #expect(try await otto.canI("run.submit", EntityID("Forge::Run", "new"), as: "dana").verdict.outcome == .allow)
            #expect(try await otto.users().map(\.name) == ["dana", "lee", "otto", "rene"])
            #expect(await refusal { _ = try await dana.users() }?.kind == .denied)
        }
    }

    @Test func `a restart keeps approvals, keys and people, forgets sign-ins, and never repeats an epoch`() async throws {
        let folder = "/tmp/forge-admin-test-\(ID())"
        try Durable.makeDirectory(folder)
        defer { try? Path.removeTree(folder) }
        var credential = ""
        var approval: ID?
        var epoch: UInt64 = 0
        try await Institution.with(in: folder) { house in
            credential = try await house.credential("rene")
            approval = try await house.peer().decide(house.promotion()).approval
            let otto = try await house.signIn("otto")
            _ = try await otto.createAppKey(.init(app: "helpdesk"))
            let view = try await otto.approval(try #require(approval))
            _ = try await otto.vote(try await house.vote(as: "otto", on: view), on: view.id)
            epoch = try await otto.status().epoch
        }
        // The power went while a line was being written: nobody was told, so it is set aside.
        let journal = Path.join(folder, "state/approvals.journal")
        let torn = try File(journal, .append)
        try torn.write(Array(#"{"approval":"00"#.utf8))
        try torn.close()
        try await Institution.with(enrolled: false, in: folder) { house in
            #expect(try await house.client().status().epoch > epoch)
            let ended = await refusal { _ = try await house.client(credential).whoAmI() }
            #expect(ended?.kind == .unauthenticated && ended?.why.contains("started again") == true && ended?.remedy.contains("forge login") == true)
            let otto = try await house.signIn("otto")
            let view = try await otto.approval(try #require(approval))
            #expect(view.state == "pending" && view.votes.map(\.user) == ["otto"] && view.missingRoles == ["ml_lead"])
            #expect(try await otto.appKeys().map(\.app) == ["helpdesk"])
            let lee = try await house.signIn("lee")
            #expect(try await lee.vote(try await house.vote(as: "lee", on: view), on: view.id).state == "approved")
        }
        #expect(try Path.list(Path.join(folder, "state")).contains { $0.hasPrefix("approvals.journal.torn-") })
        // One flipped bit in anything it stands on, and it does not start: a name, a role, a vote, the order of events.
        for name in ["approvals.journal", "appkeys.journal", "site.json", "policy.json", "epoch"] {
            let path = Path.join(folder, "state/" + name)
            let whole = try File(path, .read).readAll(limit: .mib(4))
            var random = SystemRandomNumberGenerator()
            for at in [0, whole.count / 3, whole.count / 2, whole.count - 2] + (0..<8).map({ _ in Int.random(in: 0..<whole.count - 1, using: &random) }) {
                var bytes = whole
                bytes[at] ^= 1
                try Durable.replace(path, with: bytes)
                let fault = await refusal { try await Institution.with(enrolled: false, in: folder) { _ in } }
                #expect(fault?.message.contains(name) == true, "byte \(at) of \(name)")
            }
            try Durable.replace(path, with: whole)
        }
        let lines = try File(journal, .read).readAll(limit: .mib(1)).split(separator: 0x0a)
        try Durable.replace(journal, with: Array((lines[..<1] + lines[2...]).joined(separator: [0x0a])) + [0x0a])
        #expect(await refusal { try await Institution.with(enrolled: false, in: folder) { _ in } }?.code == "admin.journal", "a missing line")
    }
}
