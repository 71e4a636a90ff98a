import ForgeCore
import ForgeOS
import ForgeTensor
import ForgeTokenizer
import ForgeTraining
import Testing

struct RecipeTests {
    func fault(_ change: (String) -> String) -> Fault? {
        do throws(Fault) {
            _ = try Recipe(parsing: Array(change(Bench.yaml).utf8))
            return nil
        } catch { return error }
    }

    @Test func `every recipe that ships says what it is for, and reads back as itself`() throws {
        let folder = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/recipes"
        let names = try Path.list(folder).filter { $0.hasSuffix(".yaml") }
        #expect(names.count >= 7)
        var methods: Set<Recipe.Method> = []
        for name in names {
            let text = try File(Path.join(folder, name), .read).readAll(limit: .mib(1)), recipe = try Recipe(parsing: text, source: name)
            #expect(text.starts(with: Array("# ".utf8)) && recipe.name == name.dropLast(5), "\(name)")
            #expect(try Recipe(parsing: Array(recipe.yaml.utf8)) == recipe, "\(name)")
            methods.insert(recipe.method)
        }
        #expect(methods == Set(Recipe.Method.allCases))
    }

    @Test func `a recipe written out reads back as itself, with every default`() throws {
        var recipe = try Recipe(parsing: Array(Bench.yaml.utf8))
        #expect(try Recipe(parsing: Array(recipe.yaml.utf8)) == recipe)
        #expect(recipe.yaml.contains("weight_decay: 0.1"))
        recipe.name = "a \"quoted\" \\ name\u{1} — é"
        recipe.chatTemplate = "mistral-v3-tekken"
        recipe.learningRate = 1e-7
        #expect(try Recipe(parsing: Array(recipe.yaml.utf8)) == recipe)
    }

    @Test func `a typo is answered with its key, its line and what was meant`() throws {
        let wrong = try #require(fault { $0.replacing("learning_rate", with: "learning_rat") })
        #expect(wrong.why.contains("optimizer.learning_rat") && wrong.why.contains("line 7"), "\(wrong.message)")
        #expect(wrong.remedy.contains("learning_rate"))
        let optional = try #require(fault { $0.replacing("kv_heads", with: "kv_haeds") })
        #expect(optional.why.contains("model.kv_haeds") && optional.why.contains("line 4") && optional.remedy.contains("kv_heads"), "\(optional.message)")
        let value = try #require(fault { $0 + "\nchat: {templat: x}" })
        #expect(value.why.contains("templat") && value.remedy.contains("template"))
        let kind = try #require(fault { $0.replacing("learning_rate: 0.01", with: "learning_rate: 0.01, kind: moun") })
        #expect(kind.remedy.contains("muon"))
    }

    @Test func `values that cannot work are refused with the reason`() {
        #expect(fault { $0.replacing("kv_heads: 2", with: "kv_heads: 3") }?.why.contains("divide") == true)
        #expect(fault { $0.replacing("sequences_per_pass: 4", with: "sequence_length: 64") }?.why.contains("context") == true)
        #expect(fault { $0.replacing("learning_rate: 0.01", with: "learning_rate: fast") }?.why.contains("fast") == true)
        #expect(fault { $0.replacing("steps: 30", with: "steps: 0") } != nil)
        #expect(fault { $0.replacing("forge-recipe/v1", with: "forge-recipe/v9") } != nil)
    }

    @Test func `the schedule warms up, holds, and decays to its end`() throws {
        var recipe = try Recipe(parsing: Array(Bench.yaml.utf8))
        (recipe.steps, recipe.warmupSteps, recipe.decayShare) = (100, 9, 0.25)
        let factors = (0..<100).map(recipe.rateFactor)
        #expect(factors[0] == 0.1 && factors[8] == 0.9 && factors[9] == 1 && factors[75] == 1)
        #expect(zip(factors[75...], factors[76...]).allSatisfy { $0 > $1 } && factors[99] > 0 && factors[99] < 0.03)
        recipe.schedule = .cosine
        recipe.finalShare = 0.1
        #expect(recipe.rateFactor(step: 9) == 1 && abs(recipe.rateFactor(step: 100) - 0.1) < 1e-12)
    }

    @Test func `an estimate counts parameters and stays near what a run takes`() async throws {
        let bench = try Bench(), estimate = try TrainingEstimate(bench.recipe, vocabulary: bench.tokenizer.count, on: Device(threads: 1))
        try await scratch { folder in
            let run = try bench.run(in: folder)
            #expect(estimate.parameters == run.parameterCount)
            #expect(estimate.memory >= run.memory)
            #expect(estimate.seconds > 0 && estimate.tokens == 30 * 8 * 32)
        }
    }
}
