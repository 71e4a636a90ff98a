import ForgeCatalog
import ForgeCore
import ForgeOS
import Glibc

/// A directory that goes away with the test.
final class Scratch: Sendable {
    let path: String

    init() throws(Fault) {
        path = Path.join(Environment["TMPDIR"] ?? "/tmp", "forge-catalog-\(ID())")
        try Durable.makeDirectory(path)
    }

    var file: String { Path.join(path, "registry.sqlite") }

    deinit {
        for name in (try? Path.list(path)) ?? [] { _ = unsafe unlink(Path.join(path, name)) }
        _ = unsafe rmdir(path)
    }
}

/// A leaf for tests of the store, which does not look inside.
func leaf(_ index: UInt64, action: String = "infer", phase: String = "event", request: ID = ID(), padding: Int = 0) -> LeafRow {
    let bytes = Array("{\"seq\":\(index)}".utf8) + Array(repeating: 0x20, count: padding)
    return LeafRow(
        index: index, bytes: bytes, hash: Digest(Array(repeating: UInt8(truncatingIfNeeded: index), count: 32))!, action: action, phase: phase,
        decision: phase == "intent" ? "allow" : nil, who: "dana", objectType: nil, objectID: nil, request: request, unit: "serve", time: Int64(index))
}
