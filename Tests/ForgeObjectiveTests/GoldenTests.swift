import FoundationEssentials
import ForgeCore
import ForgeObjective
import Testing

/// Against TRL's and verl's own functions in float64: Tests/Fixtures/objective/make.py.
@Suite struct GoldenTests {
    static func golden(file: String = #filePath) throws -> [Case] {
        let folder = file.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
        let bytes = try #require(FileManager.default.contents(atPath: "\(folder)/Fixtures/objective/golden.json"))
        return try #require(try JSON.parse(bytes).array).map(Case.init)
    }

    @Test func `every case gives the reference's loss, derivatives and metrics`() throws {
        let cases = try GoldenTests.golden()
        #expect(cases.count > 190)
        for item in cases {
            let outcome = try item.outcome(), expected = try #require(item.json["expected"]?.object)
            for (name, value) in expected.members {
                let theirs = try Case.numbers(value), ours = try #require(outcome[name], "\(name) of \(item.name)")
                try #require(ours.count == theirs.count, "\(name) of \(item.name)")
                for (a, b) in zip(ours, theirs) {
                    // 1 − σ(100) is nothing to a reference that subtracts; and verl adds 1e-8 to a count, which a share shows.
                    let share = item.kind == "ppo" && name == "clipped" || item.of == "value" && name == "clipped" ? 1e-8 : 0
                    #expect(abs(a - b) <= 1e-9 * abs(b) + 1e-13 + share, "\(name) of \(item.name): \(a), not \(b)")
                }
            }
        }
    }

    @Test func `every method and option has a case`() throws {
        let cases = try GoldenTests.golden()
        func kinds(_ of: String) -> Set<String> { Set(cases.filter { $0.of == of }.map(\.kind)) }
        #expect(kinds("preference") == Set(PreferenceLoss.Kind.allCases.map(\.rawValue)))
        #expect(kinds("unpaired") == Set(UnpairedLoss.Kind.allCases.map(\.rawValue)))
        #expect(kinds("advantages") == Set(Advantages.Kind.allCases.map(\.rawValue)))
        #expect(kinds("policy") == Set(PolicyLoss.Kind.allCases.map(\.rawValue)))
        #expect(kinds("estimator") == Set(DivergenceEstimator.allCases.map(\.rawValue)))
        func words(_ key: String) -> Set<String> { Set(cases.compactMap { $0.word(key) }) }
        #expect(words("correction") == Set(RolloutCorrection.Mode.allCases.map(\.rawValue)))
        #expect(words("divergence") == ["forward_kl", "js_divergence", "alpha_divergence"])
        #expect(words("offset") == ["identity", "log_ratio"])  // and `log`, where none is named
    }

    /// For Tests/Peers/test_objectives.py: what we make of the cases it drew.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["FORGE_PEERS_OBJECTIVES"] != nil, "set by Tests/Peers/test_objectives.py"))
    func `outcomes are written out for the peers test`() throws {
        let folder = try #require(ProcessInfo.processInfo.environment["FORGE_PEERS_OBJECTIVES"])
        let bytes = try #require(FileManager.default.contents(atPath: "\(folder)/cases.json"))
        let outcomes = try #require(try JSON.parse(bytes, limits: .init(bytes: 256 << 20)).array).map { item -> JSON in
            var object = JSON.Object()
            for (name, values) in try Case(json: item).outcome() { object[name] = .array(values.map { .double($0) }) }
            return .object(object)
        }
        try Data(JSON.array(outcomes).text.utf8).write(to: URL(filePath: "\(folder)/outcomes.json"))
    }
}
