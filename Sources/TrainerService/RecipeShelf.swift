package import ForgeCore
import ForgeCrypto
import ForgeOS
package import TrainerAPI

/// The recipes at hand: YAML files in one directory.
package enum RecipeShelf {
    /// Where the recipes that come with a program are: `share/forge/recipes` under a directory above it, as the package has them, or
    /// `recipes` in the checkout it was built in.
    package static func shipped(with executable: String) -> String {
        var place = executable
        while place.count > 1 {
            place = Path.parent(place)
            let installed = Path.join(place, "share/forge/recipes"), ofCheckout = Path.join(place, "recipes")
            if Path.exists(installed) { return installed }
            if Path.exists(Path.join(place, "Package.swift")), Path.exists(ofCheckout) { return ofCheckout }
        }
        return "/usr/share/forge/recipes"
    }

    /// By name; none where there is no such directory.
    package static func list(_ directory: String) throws(Fault) -> [RecipeView] {
        guard try Path.information(directory) != nil else { return [] }
        var recipes: [RecipeView] = []
        for name in try Path.list(directory).sorted() where name.hasSuffix(".yaml") {
            let bytes = try File(Path.join(directory, name), .read).readAll(limit: .mib(1))
            let text = String(decoding: bytes, as: UTF8.self)
            recipes.append(RecipeView(name: String(name.dropLast(5)), about: about(text), digest: .sha256(bytes), yaml: text))
        }
        return recipes
    }

    /// The first sentence of the comment a recipe begins with.
    static func about(_ text: String) -> String {
        let comment = text.split(separator: "\n", omittingEmptySubsequences: false).prefix { $0.hasPrefix("#") }
        let words = comment.flatMap { $0.drop { $0 == "#" }.split(separator: " ") }
        guard let end = words.firstIndex(where: { $0.hasSuffix(".") }) else { return words.joined(separator: " ") }
        return String(words[...end].joined(separator: " ").dropLast())
    }
}
