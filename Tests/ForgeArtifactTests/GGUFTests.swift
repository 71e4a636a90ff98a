import ForgeArtifact
import ForgeCore
import ForgeOS
import Testing

@Suite struct GGUFTests {
    private static let checkout = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

    private static func read(_ path: String) throws -> [UInt8] { try File(path, .read).readAll(limit: .mib(4)) }
    private static func fixture(_ name: String) throws -> [UInt8] { try read(checkout + "/Tests/Fixtures/gguf/" + name) }
    private static func table(_ bytes: [UInt8]) throws(Fault) -> GGUFTable { try GGUFTable(parsing: bytes, fileBytes: bytes.count, source: "m.gguf") }

    @Test func `pairs are read as what they are`() throws {
        let table = try GGUFTests.table(try GGUFTests.fixture("types.gguf"))
        #expect(table.version == 3 && table.value("general.architecture") == .text("mistral"))
        #expect(table.value("mistral.context_length") == .unsigned(512) && table.value("mistral.rope.freq_base") == .number(10_000))
        #expect(table.value("mistral.tied") == .truth(true) && table.value("mistral.negative") == .signed(-(1 << 40)))
        #expect(table.value("tokenizer.ggml.tokens") == .list([.text("<s>"), .text("Grüße"), .text("")]))
        #expect(table.value("tokenizer.ggml.scores") == .list([.number(0.5), .number(-1)]))
        #expect(table.value("nothing") == nil && table["nothing"] == nil)
    }

    /// The head may come from a longer file or a mapped one; a cut anywhere is said, wherever it is.
    @Test func `every shorter file is refused, and every flipped bit is refused or changes what is read`() throws {
        let bytes = try GGUFTests.fixture("types.gguf"), whole = try GGUFTests.table(bytes)
        let head = try #require(whole.entries.map(\.range.lowerBound).min())
        #expect(try GGUFTable(parsing: bytes[..<head], fileBytes: bytes.count, source: "m") == whole)
        let end = try #require(whole.entries.map(\.range.upperBound).max())
        for length in 0..<end { #expect(throws: Fault.self, "\(length) bytes") { try GGUFTests.table(Array(bytes[..<length])) } }
        for bit in 0..<(head * 8) {
            var flipped = bytes
            flipped[bit / 8] ^= 1 << (bit % 8)
            do throws(Fault) {
                let other = try GGUFTests.table(flipped)
                // Padding before the data is the only part nobody reads.
                if other == whole { #expect(bit / 8 >= head - 32, "bit \(bit)") }
            } catch { #expect(error.kind == .request) }
        }
    }

    @Test func `random bytes end in a fault, not in a trap`() throws {
        let good = try GGUFTests.fixture("types.gguf")
        var state: UInt64 = 7
        func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 33
        }
        for _ in 0..<3_000 {
            var bytes = Array(good.prefix(Int(next()) % good.count))
            for _ in 0..<(1 + Int(next()) % 8) where !bytes.isEmpty { bytes[Int(next()) % bytes.count] = UInt8(truncatingIfNeeded: next()) }
            _ = try? GGUFTests.table(bytes)
        }
    }

    /// A list of bytes takes twenty times as much memory as it takes in the file: all lists together have a bound of their own.
    @Test func `lists have a bound together, however large the file is`() throws {
        func number(_ value: some FixedWidthInteger) -> [UInt8] { (0..<value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
        func file(_ counts: [Int]) -> [UInt8] {
            var bytes = Array("GGUF".utf8) + number(UInt32(3)) + number(UInt64(0)) + number(UInt64(counts.count))
            for (key, count) in counts.enumerated() {
                bytes += number(UInt64(1)) + [UInt8(ascii: "a") + UInt8(key)] + number(UInt32(9)) + number(UInt32(0)) + number(UInt64(count)) + [UInt8](repeating: 7, count: count)
            }
            return bytes
        }
        let half = GGUFTable.listedLimit / 2
        #expect(try GGUFTests.table(file([half, half])).value("b") == .list(Array(repeating: .unsigned(7), count: half)))
        #expect { try GGUFTests.table(file([half, half + 1])) } throws: { ($0 as? Fault)?.why.contains("values in the list `b`") == true }
    }

    private static let hostile: String? = {
        let given = Environment["FORGE_SHARED_DATA"].map { $0 + "/hostile-files" } ?? checkout + "/../shared/data/hostile-files"
        return ((try? Path.information(given)) ?? nil) == nil ? nil : given
    }()

    /// The verdicts of the folder's own manifest.
    @Test(.enabled(if: hostile != nil, "the shared data are not here"), arguments: ["gguf", "safetensors"])
    func `hostile files get the verdicts their manifest states`(kind: String) throws {
        let folder = try #require(GGUFTests.hostile)
        var seen = 0
        for line in String(decoding: try GGUFTests.read(folder + "/manifest.jsonl"), as: UTF8.self).split(separator: "\n") {
            let row = try JSON.parse(Array(line.utf8)), file = try #require(row["file"]?.string), verdict = try #require(row["verdict"]?.string)
            guard file.hasPrefix(kind + "/") else { continue }
            seen += 1
            let bytes = try GGUFTests.read(folder + "/" + file)
            var refusal: Fault?
            do throws(Fault) {
                if kind == "gguf" { _ = try GGUFTests.table(bytes) } else { _ = try TensorTable(parsing: bytes, fileBytes: bytes.count, source: file) }
            } catch { refusal = error }
            switch verdict {
            case "refuse": #expect(refusal?.kind == .request && refusal?.why.isEmpty == false, "\(file) was taken: \(row["why"]?.string ?? "")")
            case "accept": #expect(refusal == nil, "\(file): \(refusal?.why ?? "")")
            default: break
            }
        }
        #expect(seen >= 25)
    }
}
