import AdminAPI
import AdminService
import ForgeAudit
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeHTTP
import ForgeOS
import ForgePolicy
import Testing

@Suite struct SignInTests {
    @Test func `enrolling the people happens once, is on record, and puts the shipped policy in force`() async throws {
        try await Institution.with(enrolled: false) { house in
            #expect(await refusal { _ = try await house.client().challenge() }?.code == "admin.uninitialised")
            #expect(await refusal { _ = try await house.peer().snapshot(after: nil) }?.code == "admin.uninitialised")
            try await house.makeKeys()
            #expect(try await house.peer().snapshot(after: nil, wait: .seconds(1)) == nil)
            async let first = house.peer().snapshot(after: nil, wait: .seconds(20))
            let reply = try await house.client().initialise(try house.site())
            #expect(try await first != nil, "daemons that wait learn of it at once")
            #expect(reply.policy == PolicyBundle.shipped.digest)
            #expect(reply.users == ["dana", "lee", "otto", "rene"])
            #expect(reply.witnessKey.hasPrefix("forge-admin/local-witness+"))
            let enrolments = house.log.entries.filter { $0.action == .userEnrol }
            #expect(enrolments.compactMap(\.object?.id) == ["dana", "lee", "otto", "rene"])
            for (entry, person) in zip(enrolments, try house.site().persons.sorted { $0.name < $1.name }) {
                #expect(entry.data["digests"] == .array(try person.keys.map { .string(try SSHPublicKey(parsing: $0).digest.description) }), "a vote's key can be told from the record")
            }
            #expect(house.log.entries.filter { $0.action == .policyActivate }.map(\.phase) == [.intent, .outcome])
            #expect(await refusal { _ = try await house.client().initialise(try house.site()) }?.code == "admin.initialised.exists")
        }
    }

    @Test func `a site where somebody would approve their own work is refused, and says who`() async throws {
        try await Institution.with(enrolled: false) { house in
            try await house.makeKeys()
            let site = try house.site()
            func why(_ change: (inout SiteDescription) -> Void) async -> String {
                var changed = site
                change(&changed)
                return await refusal { _ = try await house.client().initialise(changed) }?.message ?? ""
            }
            #expect(await why { $0.persons.removeLast() }.contains("3 persons"))
            #expect(await why { $0.persons[0].person = "rene" }.contains("3 persons"))
            #expect(await why { $0.persons[2].roles.append("release_manager") }.contains("`otto` cannot be a security officer"))
            #expect(await why { $0.persons[3].roles = ["operator"] }.contains("nobody is `release_manager`"))
            #expect(await why { $0.persons[0].roles = ["boss"] }.contains("`boss`"))
            #expect(await why { $0.persons[0].keys = $0.persons[1].keys }.contains("is there twice"))
            #expect(await why { $0.persons[0].keys = [] }.contains("no key"))
            #expect(await why { $0.persons[0].keys = ["ssh-ed25519 nonsense"] }.contains("does not read"))
            #expect(await why { $0.persons[0].name = "Dana O'Hara" }.contains("cannot be an account"))
            #expect(await why { $0.persons[0].uid = 0 }.contains("root"))
            #expect(house.log.entries.isEmpty)
            #expect(try await house.client().status().initialised == false)
        }
    }

    @Test func `without a sign-in the same uid gets nothing but health and the way in`() async throws {
        try await Institution.with { house in
            for (access, route) in house.routes.declared {
                let path = route.pattern.replacing("{id}", with: ID().description)
                let status = try await house.client().http.raw(route.method, path).status
                switch access {
                case .open, .setup: continue
                case .daemon, .signedIn, .action: #expect(status == 401, "\(route.method.rawValue) \(route.pattern)")
                }
            }
            #expect(await refusal { _ = try await house.client("forge_ses_" + String(repeating: "x", count: 43)).whoAmI() }?.code == "login.expired")
            #expect(await refusal { _ = try await house.client("forge_peer_guess").whoAmI() }?.kind == .unauthenticated)
            #expect(await refusal { _ = try await house.client("root").whoAmI() }?.kind == .unauthenticated)
        }
    }

    @Test func `a person who signed in meets only the routes for people`() async throws {
        try await Institution.with { house in
            let credential = try await house.credential("otto")
            for (access, route) in house.routes.declared where access == .daemon {
                let path = route.pattern.replacing("{id}", with: ID().description)
                let status = try await house.client(credential).http.raw(route.method, path).status
                #expect(status == 403, "\(route.pattern)")
            }
        }
    }

    @Test func `a person signs in with the enrolled key, and is that person until they leave`() async throws {
        try await Institution.with { house in
            let dana = try await house.signIn("dana")
            let me = try await dana.whoAmI()
            #expect(me.principal == EntityID("Forge::User", "dana"))
            #expect(me.method == .sshsig && me.roles == ["data_scientist"] && me.uid == ThisProcess.uid)
            #expect(house.log.last(.login)?.who.principal == .user("dana"))
            try await dana.logout()
            #expect(await refusal { _ = try await dana.whoAmI() }?.kind == .unauthenticated)
            #expect(house.log.last(.logout) != nil)
        }
    }

    @Test func `another's key, another's challenge and a used challenge are refused and on record`() async throws {
        try await Institution.with { house in
            let challenge = try await house.client().challenge()
            let byDana = try await house.sign(challenge.signedMessage(user: "otto"), as: "dana", namespace: LoginChallenge.namespace)
            let fault = await refusal { _ = try await house.client().login(.init(user: "otto", challenge: challenge.challenge, signature: byDana)) }
            #expect(fault?.code == "login.refused" && fault?.record != nil)
            #expect(house.log.last(.loginRefused)?.outcome == .failed(code: "login.signature"))

            let second = try await house.client().challenge()
            let good = try await house.sign(second.signedMessage(user: "otto"), as: "otto", namespace: LoginChallenge.namespace)
            // A challenge belongs to the uid that asked for it.
            let elsewhere = Caller(uid: ThisProcess.uid + 1, gid: 1, pid: 1, door: "admin")
            let request = LoginRequest(user: "otto", challenge: second.challenge, signature: good)
            #expect(await refusal { _ = try await house.steward.login(request, caller: elsewhere, id: ID()) }?.code == "login.refused")
            #expect(await refusal { _ = try await house.client().login(request) }?.code == "login.refused", "the challenge is spent")

            let third = try await house.client().challenge()
            let wrongPurpose = try await house.sign(third.signedMessage(user: "otto"), as: "otto", namespace: "file")
            #expect(await refusal { _ = try await house.client().login(.init(user: "otto", challenge: third.challenge, signature: wrongPurpose)) }?.code == "login.refused")
            #expect(await refusal { _ = try await house.client().login(.init(user: "ghost", challenge: third.challenge, signature: wrongPurpose)) }?.code == "login.refused")
            let late = try await house.client().challenge()
            let signed = try await house.sign(late.signedMessage(user: "otto"), as: "otto", namespace: LoginChallenge.namespace)
            house.clock.advance(.seconds(121))
            #expect(await refusal { _ = try await house.client().login(.init(user: "otto", challenge: late.challenge, signature: signed)) }?.code == "login.refused")
        }
    }

    @Test func `a session ends after fifteen idle minutes, after eight hours, and for every other uid`() async throws {
        try await Institution.with { house in
            let credential = try await house.credential("lee")
            func isGood(uid: UInt32 = ThisProcess.uid) async -> Bool {
                let caller = Caller(uid: uid, gid: 1, pid: 1, bearer: credential, door: "admin")
                return await refusal { _ = try await house.steward.identify(caller, Recognition { _ in nil }) } == nil
            }
            #expect(await isGood())
            #expect(await !isGood(uid: ThisProcess.uid + 1))
            house.clock.advance(.seconds(14 * 60))
            #expect(await isGood(), "fourteen minutes are not fifteen, and this was use")
            house.clock.advance(.seconds(14 * 60))
            #expect(await isGood())
            house.clock.advance(.seconds(15 * 60 + 1))
            #expect(await !isGood())

            let long = try await house.credential("lee")
            let caller = Caller(uid: ThisProcess.uid, gid: 1, pid: 1, bearer: long, door: "admin")
            for _ in 0..<(8 * 6 - 1) {
                house.clock.advance(.seconds(600))
                _ = try await house.steward.identify(caller, Recognition { _ in nil })
            }
            house.clock.advance(.seconds(601))
            #expect(await refusal { _ = try await house.steward.identify(caller, Recognition { _ in nil }) } != nil)
        }
    }

    @Test func `use elsewhere is use`() async throws {
        try await Institution.with { house in
            let credential = try await house.credential("lee")
            for _ in 0..<3 {
                house.clock.advance(.seconds(10 * 60))
                try await house.peer().touch([Digest.sha256(credential)])
            }
            #expect(try await house.client(credential).whoAmI().roles == ["ml_lead"])
        }
    }

    @Test func `no record, no sign-in`() async throws {
        try await Institution.with { house in
            let challenge = try await house.client().challenge()
            let signature = try await house.sign(challenge.signedMessage(user: "otto"), as: "otto", namespace: LoginChallenge.namespace)
            house.log.setDown(true)
            #expect(await refusal { _ = try await house.client().login(.init(user: "otto", challenge: challenge.challenge, signature: signature)) }?.kind == .environment)
            house.log.setDown(false)
            #expect(house.log.last(.login) == nil)
        }
    }
}
