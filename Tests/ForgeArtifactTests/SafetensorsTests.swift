import ForgeArtifact
import ForgeCore
import Testing

@Suite struct SafetensorsTests {
    private static let tensors: [(name: String, dtype: DType, shape: Shape)] = [
        ("b.weight", .f32, [2, 3]), ("a.weight", .bf16, [4]), ("scale", .f32, []),
    ]

    @Test func `one set of tensors has one header`() throws {
        let table = TensorTable(laying: SafetensorsTests.tensors, metadata: ["format": "forge"])
        let text =
            #"{"__metadata__":{"format":"forge"},"a.weight":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]},"#
            + #""b.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[8,32]},"scale":{"dtype":"F32","shape":[],"data_offsets":[32,36]}}"#
        #expect(String(decoding: table.headerBytes[8...], as: UTF8.self).trimmed == text)
        #expect(table.headerBytes.count.isMultiple(of: 8))
        #expect(table.fileBytes == table.headerBytes.count + 36)
        #expect(TensorTable(laying: SafetensorsTests.tensors.reversed(), metadata: ["format": "forge"]).headerBytes == table.headerBytes)
        let read = try TensorTable(parsing: table.headerBytes, fileBytes: table.fileBytes, source: "m")
        #expect(read == table)
        #expect(read["b.weight"]?.range.count == 24)
        #expect(read["c"] == nil)
    }

    private func file(_ header: String, data: Int) -> (bytes: [UInt8], count: Int) {
        let text = Array(header.utf8)
        return ((0..<8).map { UInt8(truncatingIfNeeded: text.count >> ($0 * 8)) } + text, 8 + text.count + data)
    }

    @Test(arguments: [
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4, "8"),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8, "gap"),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4, "overlaps"),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 8, "follow"),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 0, "outside"),
        (#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#, 0, "overflows"),
        (#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4, "not a count"),
        (#"{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}"#, 8, "F64"),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}"#, 4, "exactly"),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8, "twice"),
        (#"{"":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4, "name"),
        (#"[]"#, 0, "object"),
        (#"{"__metadata__":{"a":1}}"#, 0, "not text"),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4, "outside"),
        (#"{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}"#, 4, "not a count"),
    ])
    func `a header that lies is refused by name`(header: String, data: Int, expected: String) {
        let file = file(header, data: data)
        let fault = #expect(throws: Fault.self) { try TensorTable(parsing: file.bytes, fileBytes: file.count, source: "m.safetensors") }
        #expect(fault?.message.contains(expected) == true, "\(fault?.message ?? "")")
    }

    @Test func `a header longer than the file or the bound is refused before it is read`() {
        for first in [[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [0, 0, 0, 8, 0, 0, 0, 0], [9, 0, 0, 0, 0, 0, 0, 0]] as [[UInt8]] {
            #expect(throws: Fault.self) { try TensorTable(parsing: first, fileBytes: 16, source: "m") }
        }
        #expect(throws: Fault.self) { try TensorTable(parsing: [1, 2], fileBytes: 2, source: "m") }
    }

    @Test func `every truncation of a good file is refused`() {
        let table = TensorTable(laying: SafetensorsTests.tensors)
        for count in 0..<table.fileBytes {
            #expect(throws: Fault.self) { try TensorTable(parsing: Array(table.headerBytes.prefix(count)), fileBytes: count, source: "m") }
        }
    }
}

extension String {
    fileprivate var trimmed: String { String(reversed().drop { $0 == " " }.reversed()) }
}
