import ForgeCore
import ForgeOS

/// Where golden vectors are: beside the tests in the checkout.
enum Fixtures {
    private static let checkout = String(#filePath.split(separator: "/").dropLast(3).joined(separator: "/"))

    static func path(_ name: String) -> String { "/\(checkout)/Tests/Fixtures/audit/\(name)" }

    static func shared(_ name: String) -> String? {
        let root = Environment["FORGE_SHARED_DATA"] ?? "/\(checkout)/../shared/data"
        return Path.exists("\(root)/\(name)") ? "\(root)/\(name)" : nil
    }

    static func bytes(_ name: String) throws -> [UInt8] { try File(path(name), .read).readAll(limit: .mib(8)) }
    static func json(_ name: String) throws -> JSON { try JSON.parse(bytes(name)) }
}
