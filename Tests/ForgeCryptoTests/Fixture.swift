import ForgeCore
import ForgeOS
import Glibc

/// Golden vectors under Tests/Fixtures/crypto, and the larger published sets where they are at hand.
enum Fixture {
    static let root = Path.parent(Path.parent(#filePath)) + "/Fixtures/crypto"

    static func json(_ name: String) throws -> JSON { try JSON.parse(bytes(name)) }
    static func bytes(_ name: String) throws -> [UInt8] { try File(Path.join(root, name), .read).readAll(limit: .mib(16)) }

    /// Where the full vector sets lie, or nil.
    static let shared: String? = {
        let given = unsafe getenv("FORGE_SHARED_DATA").map { unsafe String(cString: $0) }
        let found = (given ?? Path.parent(Path.parent(Path.parent(Path.parent(#filePath)))) + "/shared/data") + "/crypto-vectors/wycheproof"
        return Path.exists(found) ? found : nil
    }()

    /// A published set, unpacked when it is gzipped.
    static func published(_ name: String) throws -> JSON {
        let plain = Path.join(shared!, name + "_test.json")
        if Path.exists(plain) { return try JSON.parse(File(plain, .read).readAll(limit: .mib(16))) }
        guard let pipe = unsafe popen("exec gzip -dc '\(plain).gz'", "r") else { throw Fault(.environment, "test.gzip", "gzip does not start") }
        defer { unsafe pclose(pipe) }
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = unsafe fread(&buffer, 1, buffer.count, pipe)
            if count == 0 { break }
            all += buffer[..<count]
        }
        return try JSON.parse(all)
    }

    /// A directory of its own, removed when the value goes.
    final class Scratch {
        let path: String
        init() throws {
            path = "/tmp/forge-test-\(ID())"
            try Durable.makeDirectory(path)
        }
        deinit { try? Path.removeTree(path) }
        func callAsFunction(_ name: String) -> String { Path.join(path, name) }
    }
}

extension JSON {
    /// The hexadecimal member `key` as bytes; both cases, as the vectors have both.
    func hex(_ key: String) -> [UInt8] { Hex.decode(self[key]!.string!.lowercased())! }
    func text(_ key: String) -> String { self[key]!.string! }
    func rows(_ key: String) -> [JSON] { self[key]!.array! }
}
