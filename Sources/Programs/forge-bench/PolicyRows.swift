import AdminAPI
import ForgeAuthority
import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeOS
import ForgePolicy

/// One decision by the shipped bundle in a site of 1,000 people, about 1,000 models: ordinary reads, answers for applications, and a
/// promotion, which the guardrails look at longest.
func policyRows(_ bench: Bench) throws {
    let users = (0..<1_000).map { number in
        EntitySnapshot.User(name: "user\(number)", person: "person\(number)", roles: [Role.all[number % Role.all.count]])
    }
    let apps = (0..<100).map { EntitySnapshot.App(name: "app\($0)", owner: "user\($0)") }
    let snapshot = EntitySnapshot(epoch: 1, issued: 0, policy: PolicyBundle.shipped.digest, users: users, apps: apps, appKeys: [], sessions: [])
    let view = try EntityView(snapshot, .shipped)
    let digest = Digest.sha256("model")

    func measure(_ name: String, votes: VoteFacts? = nil, _ request: (Int) -> AccessRequest) throws {
        var samples: [Double] = [], allowed = 0
        for number in 0..<20_000 {
            let request = request(number)
            let begun = Clock.monotonic
            let verdict = view.engine.verdict(on: request, entities: view.entities, epoch: 1, votes: votes)
            samples.append(Double(Clock.monotonic - begun) / 1e3)
            if verdict.outcome == .allow { allowed += 1 }
        }
        guard allowed > 0 else { throw Fault(.environment, "bench.policy", "no request of `\(name)` was allowed, so the wrong thing was measured") }
        bench.say(name, "µs", samples: samples, ["allowed": .int(Int64(allowed))])
    }
    func model(_ number: Int) -> (EntityID, JSON.Object) {
        let name = "model\(number * 13 % 1_000)"
        return (EntityID("Forge::Model", "\(name)@3"), ["name": .string(name), "version": 3, "digest": .string(digest.description)])
    }
    try measure("policy.read") { number in
        let (model, facts) = model(number)
        return AccessRequest(.user("user\(number * 7 % 1_000)"), method: .sshsig, uid: 1000, action: "model.read", resource: model, resourceDigest: digest, attributes: facts)
    }
    try measure("policy.infer") { number in
        let (model, facts) = model(number)
        return AccessRequest(.app("app\(number % 100)"), method: .apikey, uid: 1000, action: "infer", resource: model, resourceDigest: digest, attributes: facts)
    }
    try measure("policy.promote", votes: VoteFacts(digestMatches: true, count: 2, roles: ["ml_lead", "security_officer"], ageSeconds: 60)) { number in
        var (model, facts) = model(number)
        facts["trainedBy"] = ["__entity": ["type": "Forge::User", "id": .string("user\(number * 11 % 1_000)")]]
        facts["hasHeldoutReport"] = true
        facts["heldoutMicrobitsPerByte"] = 1_700_000
        facts["productionMicrobitsPerByte"] = 1_800_000
        return AccessRequest(.user("user\(number * 7 % 1_000)"), method: .sshsig, uid: 1000, action: "model.promote", resource: model, resourceDigest: digest, attributes: facts)
    }
}
