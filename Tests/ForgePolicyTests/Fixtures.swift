import ForgeCore
import ForgeOS
import ForgePolicy

/// Files the tests read: golden cases in Tests/Fixtures/policy, the bundle's own tests in policy/, and the shared corpus if it is there.
enum Fixtures {
    static let root: String = {
        let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        return parts.dropLast(3).joined(separator: "/")
    }()

    static func bytes(_ path: String) throws -> [UInt8] {
        let file = try File(path, .read)
        return try file.readAll(limit: .gib(1))
    }

    static func text(_ path: String) throws -> String { String(decoding: try bytes(path), as: UTF8.self) }

    static func json(_ path: String) throws -> JSON { try JSON.parse(try bytes(Path.join(root, path)), limits: .init(bytes: 64 << 20, depth: 200)) }

    /// The folder of shared data, named by FORGE_SHARED_DATA or beside the checkout.
    static let corpus: String? = [Environment["FORGE_SHARED_DATA"], Path.join(root, "../shared/data")].compactMap { $0 }
        .map { Path.join($0, "access-policies") }.first { Path.exists(Path.join($0, "written.jsonl")) }

    static func lines(_ bytes: [UInt8]) throws -> [JSON] {
        try bytes.split(separator: 0x0a).map { try JSON.parse($0, limits: .init(bytes: 64 << 20, depth: 200)) }
    }

    /// A plain copy of a .gz, made by gzip itself.
    static func unpacked(_ path: String) async throws -> [UInt8] {
        let out = "/tmp/forge-policy-corpus-\(ID()).jsonl"
        defer { try? Durable.remove(out) }
        let file = try File(out, updateOrCreate: 0o600)
        let child = try ChildProcess(.init("/bin/gzip", ["-dc", path], descriptors: [1: file.descriptor]))
        guard await child.wait().isSuccess else { throw Fault(.environment, "test.gzip", "gzip failed") }
        try file.close()
        return try bytes(out)
    }
}

extension Answer {
    var erring: Set<String> { Set(failures.map(\.policy)) }
}
