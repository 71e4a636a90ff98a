import ForgeCore
import ForgeGate
import ForgeOS
import ForgePolicy
import Testing

/// The bundle through the engine, in a small institution: what each person meets.
@Suite struct WorldTests {
    static let engine = PolicyEngine(.shipped)

    static let world: EntityStore = {
        let schema = PolicyBundle.shipped.schema
        func user(_ name: String, _ roles: [String], person: String? = nil, disabled: Bool = false) -> Entity {
            Entity(
                EntityUID("Forge::User", ExactText(name)), attributes: ["person": .string(ExactText(person ?? name)), "disabled": .bool(disabled)],
                parents: Set((roles + ["everyone"]).map { EntityUID("Forge::Role", ExactText($0)) }))
        }
        let roles = ["data_scientist", "release_manager", "ml_lead", "security_officer", "operator", "auditor", "everyone"].map { Entity(EntityUID("Forge::Role", ExactText($0))) }
        let services = DaemonName.allCases.map { Entity(EntityUID("Forge::Service", ExactText($0.rawValue))) }
        let apps = [("helpdesk", false), ("old", true)].map { Entity(EntityUID("Forge::App", ExactText($0.0)), attributes: ["disabled": .bool($0.1)]) }
        let users = [
            user("dana", ["data_scientist"]), user("rene", ["release_manager"]), user("lee", ["ml_lead"]), user("otto", ["security_officer"]),
            user("lee2", ["security_officer"], person: "lee"), user("gone", ["ml_lead"], disabled: true), user("aud", ["auditor"]),
        ]
        // The literals above are consistent, and every test would notice if not.
        return (try? EntityStore(schema.actionEntities + roles + services + apps + users)) ?? EntityStore()
    }()

    static let model: JSON.Object = [
        "name": "policies", "version": 2, "trainedBy": ["type": "Forge::User", "id": "dana"], "hasHeldoutReport": true, "heldoutMicrobitsPerByte": 2_100_000,
    ]

    func ask(
        _ who: Principal, _ action: String, _ resource: EntityID, _ attributes: JSON.Object = .init(), method: AuthMethod = .sshsig, context: JSON.Object = .init(),
        votes: VoteFacts? = nil
    ) -> Verdict {
        let request = AccessRequest(who, method: method, uid: 1000, action: action, resource: resource, attributes: attributes, context: context)
        return Self.engine.verdict(on: request, entities: Self.world, epoch: 3, votes: votes, asksForVotes: true)
    }

    let subject = EntityID("Forge::Model", "policies@2")

    @Test func `a promotion that votes would allow needs approval, and names the guardrail`() {
        let verdict = ask(.user("rene"), "model.promote", subject, Self.model)
        #expect(verdict.outcome == .needsApproval)
        #expect(verdict.reasons.map(\.id) == ["guard.four_eyes"])
        #expect(verdict.policyDigest == PolicyBundle.shipped.digest)
        #expect(verdict.entityEpoch == 3)
    }

    @Test func `a promotion that no vote would allow is denied, not sent to voters`() {
        #expect(ask(.user("dana"), "model.promote", subject, Self.model).outcome == .deny)
        var worse = Self.model
        worse["productionMicrobitsPerByte"] = 2_000_000
        let verdict = ask(.user("rene"), "model.promote", subject, worse)
        #expect(verdict.outcome == .deny)
        #expect(verdict.reasons.map(\.id) == ["guard.promotion_may_not_worsen", "guard.four_eyes"])
    }

    @Test func `the quorum is found in the policies`() {
        let request = AccessRequest(.user("rene"), method: .sshsig, uid: 1000, action: "model.promote", resource: subject, attributes: Self.model)
        #expect(Self.engine.quorum(for: request, entities: Self.world) == Quorum(persons: 2, roles: ["ml_lead", "security_officer"]))
        let activation = AccessRequest(.user("otto"), method: .sshsig, uid: 1000, action: "policy.activate", resource: EntityID("Forge::Policy", "x"))
        #expect(Self.engine.quorum(for: activation, entities: Self.world) == Quorum(persons: 1, roles: ["security_officer"]))
        #expect(Self.engine.isPrivileged("model.promote") && Self.engine.isPrivileged("policy.activate"))
        #expect(!Self.engine.isPrivileged("model.rollback") && !Self.engine.isPrivileged("nonsense"))
    }

    @Test func `nobody states how they signed in or what votes there are`() {
        let votes: JSON = ["digestMatches": true, "count": 2, "roles": ["ml_lead", "security_officer"], "ageSeconds": 1]
        let forged = ask(.user("rene"), "model.promote", subject, Self.model, context: ["approval": votes])
        #expect(forged.outcome == .deny)
        #expect(forged.errors.map(\.id) == ["profile.request"])
        #expect(ask(.user("rene"), "model.read", subject, context: ["authMethod": "sshsig"]).outcome == .deny)
    }

    @Test func `a stranger, an unknown action and a wrong attribute are denied`() {
        #expect(ask(.user("nobody"), "model.read", subject).errors.first?.text.contains("not enrolled") == true)
        #expect(ask(.user("dana"), "model.steal", subject).outcome == .deny)
        #expect(ask(.user("dana"), "model.read", subject, ["trainedBy": "dana"]).errors.first?.text.contains("trainedBy") == true)
        #expect(ask(.user("dana"), "model.read", subject, ["colour": "red"]).outcome == .deny)
        #expect(ask(.user("otto"), "user.read", EntityID("Forge::User", "nobody")).outcome == .deny)
        #expect(ask(.user("dana"), "model.read", subject).outcome == .allow)
    }

    @Test func `own things are one's own`() {
        let run = EntityID("Forge::Run", "1")
        func owned(_ by: String) -> JSON.Object { ["owner": ["type": "Forge::User", "id": .string(by)]] }
        #expect(ask(.user("dana"), "run.cancel", run, owned("dana")).reasons.map(\.id) == ["role.data_scientist.own_runs"])
        #expect(ask(.user("dana"), "run.cancel", run, owned("rene")).outcome == .deny)
        let receipt = EntityID("Forge::Receipt", "1")
        #expect(ask(.app("helpdesk"), "receipt.read", receipt, ["app": ["type": "Forge::App", "id": "helpdesk"]], method: .apikey).outcome == .allow)
        #expect(ask(.app("helpdesk"), "receipt.read", receipt, ["app": ["type": "Forge::App", "id": "other"]], method: .apikey).outcome == .deny)
        #expect(ask(.user("dana"), "user.read", EntityID("Forge::User", "dana")).reasons.map(\.id) == ["everyone.self"])
        #expect(ask(.user("dana"), "user.read", EntityID("Forge::User", "rene")).outcome == .deny)
    }

    @Test func `weights and keys go to the daemons that need them`() {
        #expect(ask(.service(.serve), "model.load", subject, method: .handed).outcome == .allow)
        #expect(ask(.service(.admin), "model.load", subject, method: .handed).reasons.map(\.id) == ["guard.weights_stay_with_daemons"])
        let key = EntityID("Forge::Key", "run:1")
        #expect(ask(.service(.trainer), "key.release", key, ["purpose": "run"], method: .handed).reasons.map(\.id) == ["service.trainer.keys"])
        #expect(ask(.service(.trainer), "key.release", key, ["purpose": "model"], method: .handed).outcome == .deny)
        #expect(ask(.service(.serve), "key.release", key, ["purpose": "run"], method: .handed).reasons.map(\.id) == ["guard.keys_stay_with_the_trainer"])
        #expect(ask(.app("old"), "infer", subject, method: .apikey).reasons.map(\.id) == ["guard.disabled_app"])
    }

    @Test func `a forbid that cannot be evaluated denies`() throws {
        let schema = PolicyBundle.shipped.files.first { $0.name == PolicyBundle.schemaName }!
        let roles = PolicyBundle.shipped.files.filter { $0.name != PolicyBundle.schemaName }
        let broken = PolicyBundle.File(
            name: "90-broken.cedar",
            content: "@id(\"guard.broken\") @owner(\"o\") @reason(\"r\") forbid (principal, action, resource) when { resource.owner == principal };")
        let bundle = try PolicyBundle(files: [schema, broken] + roles)
        let request = AccessRequest(.user("dana"), method: .sshsig, uid: 1, action: "data.read", resource: EntityID("Forge::Dataset", "d"))
        let answer = bundle.authorizer.answer(
            PolicyRequest(
                principal: EntityUID("Forge::User", "dana"), action: PolicyEngine.action("data.read"), resource: EntityUID("Forge::Dataset", "d"),
                context: ["authMethod": .string("sshsig")]), Self.world)
        #expect(answer.allowed, "the language passes over the broken forbid")
        let verdict = PolicyEngine(bundle).verdict(on: request, entities: Self.world, epoch: 0)
        #expect(verdict.outcome == .deny, "the profile does not")
        #expect(verdict.errors.map(\.id) == ["guard.broken"])
    }

    /// Random requests over the whole schema: wherever an invariant forbids, the bundle denies.
    @Test(arguments: 0..<8 as Range<UInt64>)
    func `the invariants hold`(seed: UInt64) throws {
        let invariants = Authorizer(try PolicySet(parsing: try Fixtures.text(Path.join(Fixtures.root, "policy/invariants.cedar"))))
        var random = Seeded(seed)
        let schema = PolicyBundle.shipped.schema
        let principals = Array(Self.world.uids.filter { ["Forge::User", "Forge::App", "Forge::Service"].contains($0.type) }).sorted()
        let actions = schema.actions.keys.sorted().filter { !schema.actions[$0]!.principals.isEmpty }
        var held = 0
        var allowed = 0
        for _ in 0..<4000 {
            let principal = principals.randomElement(using: &random)!
            let action = actions.randomElement(using: &random)!
            let type = schema.actions[action]!.resources.sorted().randomElement(using: &random)!
            let resource = EntityUID(type, "x")
            var attributes: [ExactText: Value] = [:]
            for (name, attribute) in schema.entityTypes[type]?.shape.attributes ?? [:] where Bool.random(using: &random) {
                switch attribute.type {
                case .bool: attributes[name] = .bool(Bool.random(using: &random))
                case .long: attributes[name] = .long(Int64.random(in: 0..<3, using: &random))
                case .entity(let type):
                    attributes[name] = .entity(principals.filter { $0.type == type }.randomElement(using: &random) ?? EntityUID(type, "y"))
                case .string: attributes[name] = .string(ExactText(["run", "dana", "rene", "lee"].randomElement(using: &random)!))
                case .set: attributes[name] = .set([.string(ExactText(["dana", "lee"].randomElement(using: &random)!))])
                default: break
                }
            }
            var context: [ExactText: Value] = ["authMethod": .string(ExactText(["sshsig", "peercred", "apikey", "handed"].randomElement(using: &random)!))]
            if Bool.random(using: &random) {
                let roles: [Value] = ["ml_lead", "security_officer", "auditor"].filter { _ in Bool.random(using: &random) }.map { .string($0) }
                context["approval"] = .record([
                    "digestMatches": .bool(Bool.random(using: &random)), "count": .long(Int64.random(in: 0..<4, using: &random)), "roles": .set(Set(roles)), "ageSeconds": .long(1),
                ])
            }
            let store = Self.world.hosting(resource, attributes: attributes)
            let request = PolicyRequest(principal: principal, action: action, resource: resource, context: context)
            let answer = PolicyBundle.shipped.authorizer.answer(request, store)
            #expect(answer == PlainAuthorizer.answer(request, store, PolicyBundle.shipped.policies))
            if answer.allowed { allowed += 1 }
            let claims = invariants.answer(request, store)
            #expect(claims.failures.isEmpty)
            if !claims.forbids.isEmpty {
                held += 1
                #expect(!answer.allowed, "\(claims.forbids) against \(answer.permits): \(request)")
            }
        }
        #expect(held > 100 && allowed > 100)
    }
}

extension String {
    fileprivate var value: Value { .string(ExactText(self)) }
}

/// SplitMix64 (Steele, Lea & Flood 2014): the seed is the test's argument, so a failure names it.
struct Seeded: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 &+ 1 }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
