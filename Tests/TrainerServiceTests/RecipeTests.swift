import ForgeCore
import ForgeCrypto
import ForgeOS
import Testing
import TrainerAPI
import TrainerService

@Suite struct RecipeTests {
    private func scratch(_ body: (String) async throws -> Void) async throws {
        let directory = Path.join(Environment["TMPDIR"] ?? "/tmp", "forge-recipes-\(ID().description.prefix(12))")
        defer { try? Path.removeTree(directory) }
        try Durable.makeDirectory(directory)
        try await body(directory)
    }

    @Test func `recipes are found beside the installed program and in the checkout it was built in`() async throws {
        try await scratch { root in
            for folder in ["usr/share/forge/recipes", "usr/libexec/forge", "checkout/recipes", "checkout/.build/x86/debug", "other/recipes", "other/bin"] {
                try Durable.makeDirectory(Path.join(root, folder))
            }
            try Durable.create(Path.join(root, "checkout/Package.swift"), with: [])
            #expect(RecipeShelf.shipped(with: Path.join(root, "usr/libexec/forge/forged")) == Path.join(root, "usr/share/forge/recipes"))
            #expect(RecipeShelf.shipped(with: Path.join(root, "checkout/.build/x86/debug/forged")) == Path.join(root, "checkout/recipes"))
            // A folder that is only called so is nobody's recipes.
            #expect(RecipeShelf.shipped(with: Path.join(root, "other/bin/forged")) == "/usr/share/forge/recipes")
        }
    }

    @Test func `this checkout's recipes are found with this program, and each says what it is for`() throws {
        let recipes = try RecipeShelf.list(RecipeShelf.shipped(with: try Path.absolute(CommandLine.arguments[0])))
        #expect(recipes.contains { $0.name == "demo" })
        for recipe in recipes { #expect(recipe.about.split(separator: " ").count > 3, "\(recipe.name)") }
    }

    @Test func `a list has names, digests and what each is for`() async throws {
        try await Bench.with { bench in
            #expect(try await bench.client.recipes().isEmpty)
            let folder = Path.join(bench.directory, "recipes")
            try Durable.makeDirectory(folder)
            for (name, text) in [
                ("b.yaml", "# A small one. It learns\n# little.\nname: b\n"), ("a.yaml", "#Without an end\n#  of its sentence\nname: a # not this.\n"), ("c.yaml", "name: c\n# late.\n"), ("notes.txt", "x"),
            ] { try Durable.create(Path.join(folder, name), with: Array(text.utf8)) }
            let recipes = try await bench.client.recipes()
            #expect(recipes.map(\.name) == ["a", "b", "c"])
            #expect(recipes.map(\.about) == ["Without an end of its sentence", "A small one", ""])
            #expect(recipes[2].digest == .sha256(Array("name: c\n# late.\n".utf8)))
        }
    }
}
