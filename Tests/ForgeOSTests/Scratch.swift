import ForgeCore
import ForgeOS

/// A directory for one test, gone afterwards.
final class Scratch: Sendable {
    let path: String

    init(_ name: String = "t") throws {
        path = Path.join(Environment["TMPDIR"] ?? "/tmp", "forge-\(name)-\(String(describing: ID()).prefix(12))")
        try Durable.makeDirectory(path)
    }

    deinit { try? Path.removeTree(path) }

    subscript(name: String) -> String { Path.join(path, name) }
}

func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
