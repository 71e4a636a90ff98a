import FoundationEssentials
import ForgeCore
import Testing

@testable import ForgeObjective

enum Fixture {
    static func json(_ name: String, file: String = #filePath) throws -> JSON {
        let folder = file.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
        return try JSON.parse(try #require(FileManager.default.contents(atPath: "\(folder)/Fixtures/objective/\(name)")))
    }
}
