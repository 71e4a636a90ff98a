import ForgeCore
import ForgeGate
import ForgeOS
import ForgePolicy
import Testing

/// The bundle under policy/, its tests, and what must follow from it.
@Suite struct ShippedBundleTests {
    @Test func `the compiled bundle is the one under policy`() throws {
        let folder = Path.join(Fixtures.root, "policy")
        let names = try Path.list(folder).filter { $0.hasSuffix(".cedar") && $0 != "invariants.cedar" || $0 == PolicyBundle.schemaName }
        let files = try names.map { PolicyBundle.File(name: $0, content: try Fixtures.text(Path.join(folder, $0))) }
        #expect(PolicyBundle.shipped.files == files.sorted { $0.name < $1.name })
        #expect(PolicyBundle.digest(of: files) == Digest(parsing: ShippedBundle.digest))
        #expect(PolicyBundle.shipped.digest.description == ShippedBundle.digest)
    }

    @Test(arguments: ["promotion", "votes", "matrix"])
    func `the bundle decides its tests as they expect`(name: String) throws {
        let bundle = PolicyBundle.shipped
        let reader = EntityReader(schema: bundle.schema)
        let tests = try #require(try Fixtures.json("policy/tests/\(name).json").array)
        #expect(tests.count > 10)
        for test in tests {
            let request = try reader.request(try #require(test["request"]))
            try reader.validate(request)
            let answer = bundle.authorizer.answer(request, try reader.store(try #require(test["entities"])))
            let comment = Comment("\(test["name"]?.string ?? "")")
            #expect((answer.allowed ? "allow" : "deny") == test["decision"]?.string, comment)
            #expect(Set(answer.reasons) == Set(test["reason"]?.array?.compactMap(\.string) ?? []), comment)
            #expect(answer.failures.isEmpty, comment)
        }
    }

    @Test func `every policy decides at least one of the bundle's tests`() throws {
        var decided: Set<String> = []
        for name in ["promotion", "votes", "matrix"] {
            for test in try Fixtures.json("policy/tests/\(name).json").array ?? [] { decided.formUnion(test["reason"]?.array?.compactMap(\.string) ?? []) }
        }
        // These allow what the matrix's nameless resources do not show; `WorldTests` asks them.
        let elsewhere: Set<String> = [
            "role.data_scientist.own_runs", "everyone.own_receipts", "everyone.self", "app.own_receipts", "guard.disabled_app",
            "guard.weights_stay_with_daemons", "guard.keys_stay_with_the_trainer", "service.trainer.keys",
        ]
        let silent = Set(PolicyBundle.shipped.policies.policies.map(\.id)).subtracting(decided).subtracting(elsewhere)
        #expect(silent.isEmpty)
    }

    @Test func `a bundle that breaks the profile is refused, and says why`() throws {
        let schema = PolicyBundle.shipped.files.first { $0.name == PolicyBundle.schemaName }!
        let guardrails = PolicyBundle.shipped.files.first { $0.name == "80-guardrails.cedar" }!
        func why(_ text: String, name: String = "50-more.cedar", with others: [PolicyBundle.File]? = nil) -> String {
            do throws(Fault) {
                _ = try PolicyBundle(files: (others ?? [schema, guardrails]) + [.init(name: name, content: text)])
                return ""
            } catch {
                return error.message
            }
        }
        let head = "@id(\"x.y\") @owner(\"o\") @reason(\"r\") "
        #expect(why("\(head) permit (principal, action, resource) when { 1 == 1 };") == "")
        #expect(why("permit (principal, action, resource) when { 1 == 1 };").contains("`@id`"))
        #expect(why("@id(\"x\") @owner(\"o\") permit (principal, action, resource) when { 1 == 1 };").contains("`@reason`"))
        #expect(why("\(head) permit (principal, action, resource);").contains("permits everything"))
        #expect(why("\(head) permit (principal == ?principal, action, resource);").contains("templates"))
        #expect(why("\(head) permit (principal, action, resource) when { context.approval.count > 1 };").contains("context.approval"))
        #expect(why("\(head) permit (principal, action, resource) when { context == {} };").contains("context.approval"))
        #expect(why("\(head) permit (principal, action, resource) when { foo };").contains("line 1, column"))
        #expect(why("\(head) forbid (principal, action, resource);", with: [schema]).contains("no guardrail covers"))
        #expect(why("", name: "more.cedar").contains("not a name"))
        #expect(why("\(head) forbid (principal, action, resource); \(head) forbid (principal, action, resource);").contains("two policies"))
        #expect(why(String(repeating: " ", count: 1 << 20)).contains("longer"))
        #expect(why(head + "permit (principal, action, resource) when { " + String(repeating: "(", count: 70) + "true" + String(repeating: ")", count: 70) + " };").contains("deeper"))
    }
}
