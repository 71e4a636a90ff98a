import ForgeArtifact
import ForgeCore
import ForgeModel
import ForgeOS
import ForgeTensor
import ForgeTraining
import Testing

struct MuonTests {
    @Test(arguments: Backend.present, ["wide", "tall"])
    func `a hundred Muon steps equal torch's`(backend: Backend, name: String) throws {
        let file = "/" + #filePath.split(separator: "/").dropLast(2).map(String.init).joined(separator: "/") + "/Fixtures/compute/muon.safetensors"
        let bytes = try File(file, .read).readAll(limit: .mib(1)), table = try TensorTable(parsing: bytes, fileBytes: bytes.count, source: name)
        func floats(_ key: String) throws -> [Float] {
            let range = try #require(table["\(name).\(key)"]).range
            return stride(from: range.lowerBound, to: range.upperBound, by: 4).map { at in Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << (8 * $1) }) }
        }
        let shape = try #require(table["\(name).start"]).shape, device = try Device(backend, threads: 2), count = shape.count
        let start = try floats("start"), pull = try floats("pull"), end = try floats("end")
        let w = try device.tensor(start, rows: shape[0], columns: shape[1]), m = try device.tensor(rows: shape[0], columns: shape[1])
        let g = try device.tensor(rows: shape[0], columns: shape[1]), partials = try device.tensor(rows: 1, columns: 8)
        // A table whose gate matrix has at least that size gives workspace enough.
        let config = MistralConfig(vocabulary: 1, width: 40, feedForward: 40, layers: 1, queryHeads: 1, kvHeads: 1, headDim: 40, contextMax: 1)
        let muon = try Muon(ParameterTable(config), on: device)
        for step in 0..<100 {
            let now = w.values()
            g.write((0..<count).map { 0.3 * now[$0] + pull[step * count + $0] })
            try muon.update(w, momentum: m, gradient: g, partials: partials, rate: 0.02, beta: 0.95, decay: 0.1, scale: 1)
        }
        let largest = end.map(abs).max()!
        #expect(zip(w.values(), end).allSatisfy { abs($0 - $1) <= 1e-5 * largest })
    }
}
