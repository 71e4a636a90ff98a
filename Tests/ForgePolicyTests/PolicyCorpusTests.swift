import ForgeCore
import ForgeOS
import ForgePolicy
import Testing

/// Decisions of the reference implementation, case by case.
@Suite struct PolicyCorpusTests {
    @Test func `the reference engine and this one accept the same texts`() throws {
        for item in try Fixtures.json("Tests/Fixtures/policy/syntax.json").array ?? [] {
            let text = try #require(item["text"]?.string)
            let accepted = (try? PolicySet(parsing: text)) != nil
            #expect(accepted == item["accepted"]?.bool, "\(text)")
        }
    }

    @Test func `expressions evaluate as the reference engine evaluates them`() throws {
        let file = try Fixtures.json("Tests/Fixtures/policy/expressions.json")
        let reader = EntityReader(schema: nil)
        let store = try reader.store(try #require(file["entities"]))
        let context = try reader.context(try #require(file["context"]), for: EntityUID("Action", "x"))
        let request = PolicyRequest(principal: EntityUID("A", "here"), action: EntityUID("Action", "x"), resource: EntityUID("A", "absent"), context: context)
        let cases = try #require(file["cases"]?.array)
        #expect(cases.count > 200)
        for item in cases {
            let expression = try #require(item["expression"]?.string)
            let set = try PolicySet(parsing: "permit(principal,action,resource) when { \(expression) };")
            let answer = Authorizer(set).answer(request, store)
            let outcome = !answer.failures.isEmpty ? "error" : answer.allowed ? "true" : "false"
            #expect(outcome == item["outcome"]?.string, "\(expression)")
            #expect(PlainAuthorizer.answer(request, store, set) == answer, "\(expression)")
        }
    }

    @Test(.enabled(if: Fixtures.corpus != nil)) func `the written cases of the corpus decide as they should`() throws {
        let cases = try Fixtures.lines(Fixtures.bytes(Path.join(try #require(Fixtures.corpus), "written.jsonl")))
        #expect(try check(cases) == 47)
    }

    @Test(.enabled(if: Fixtures.corpus != nil)) func `the generated cases of the corpus decide as they should`() async throws {
        let cases = try Fixtures.lines(try await Fixtures.unpacked(Path.join(try #require(Fixtures.corpus), "generated.jsonl.gz")))
        #expect(try check(cases) == 4576)
    }

    /// A file of cases that Tests/Peers/policy_differential.py made with the reference engine.
    @Test(.enabled(if: Environment["FORGE_POLICY_CASES"] != nil)) func `random cases decide as the reference engine decides them`() throws {
        let path = try #require(Environment["FORGE_POLICY_CASES"])
        let count = try check(try Fixtures.lines(Fixtures.bytes(path)))
        print("\(count) decisions agree with the reference engine")
        #expect(count > 0)
    }

    private func check(_ cases: [JSON]) throws -> Int {
        var requests = 0
        for item in cases {
            do { requests += try check(item) } catch { Issue.record("\(item["id"]?.string ?? ""): \(JSON.string("\(error)").text)") }
        }
        return requests
    }

    private func check(_ item: JSON) throws -> Int {
        let id = item["id"]?.string ?? ""
        let schema = try item["schema"]?.string.map { try Schema(parsing: $0) }
        let set = try PolicySet(parsing: try #require(item["policies"]?.string))
        let reader = EntityReader(schema: schema)
        let store = try reader.store(try #require(item["entities"]))
        let authorizer = Authorizer(set)
        let requests = item["requests"]?.array ?? []
        for request in requests {
            let question = try reader.request(.object(try #require(request.object)))
            if request["validateRequest"]?.bool == true { try reader.validate(question) }
            let answer = authorizer.answer(question, store)
            let comment = Comment("\(id) \(request["description"]?.string ?? "")")
            #expect((answer.allowed ? "allow" : "deny") == request["decision"]?.string, comment)
            #expect(Set(answer.reasons) == Set(request["reason"]?.array?.compactMap(\.string) ?? []), comment)
            #expect(answer.erring == Set(request["errors"]?.array?.compactMap(\.string) ?? []), comment)
            #expect(PlainAuthorizer.answer(question, store, set) == answer, comment)
        }
        return requests.count
    }
}
