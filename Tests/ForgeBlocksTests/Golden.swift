import ForgeArtifact
import ForgeCore
import ForgeOS

/// Tensors that Tests/Fixtures keeps beside the script that made them.
struct Golden {
    private static let folder = "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Fixtures/"

    private let bytes: [UInt8]
    private let table: TensorTable

    static func file(_ name: String) throws -> [UInt8] { try File(folder + name, .read).readAll(limit: .mib(4)) }

    init(_ name: String) throws {
        bytes = try Golden.file(name)
        table = try TensorTable(parsing: bytes, fileBytes: bytes.count, source: name)
    }

    func bytes(_ name: String) -> [UInt8] { table[name].map { Array(bytes[$0.range]) } ?? [] }
    func floats(_ name: String) -> [Float] {
        let raw = bytes(name)
        return stride(from: 0, to: raw.count, by: 4).map { at in Float(bitPattern: (0..<4).reduce(UInt32(0)) { $0 | UInt32(raw[at + $1]) << (8 * $1) }) }
    }
    func columns(_ name: String) -> Int { table[name]?.shape.extents.last ?? 0 }
}

/// The bits of numbers, all that are none alike: what a NaN carries is nobody's promise.
func bits(_ values: [Float]) -> [UInt32] { values.map { $0.isNaN ? 0x7fc0_0000 : $0.bitPattern } }
