import FoundationEssentials
import ForgeCore
import ForgeCrypto
import ForgeOS
import Testing

@testable import ForgeData

@Suite struct IngestTests {
    private static let vocabulary = "permit record audit sealed model token digest policy vote officer registry trainer serve proof leaf root key chunk split group held out train data set page".split(separator: " ")

    private func prose(_ seed: UInt64, words: Int = 160) -> String {
        var random = SplitMix64(state: seed)
        return (0..<words).map { i in
            String(IngestTests.vocabulary[Int(random.below(UInt64(IngestTests.vocabulary.count)))]) + (i % 12 == 11 ? ".\n" : "")
        }.joined(separator: " ")
    }

    private func ingest(_ files: [(String, String)], heldOut: Int = 50) throws -> (manifest: DatasetManifest, report: IngestReport) {
        var ingestor = try Ingestor(heldOutPermille: heldOut)
        let reader = DocumentReader()
        for (path, text) in files {
            let document: ReadDocument
            do throws(Refusal) { document = try reader.read(path: path, bytes: Array(text.utf8)) } catch {
                ingestor.refuse(path, error)
                continue
            }
            // A path that came before is counted by the ingestor itself.
            try? ingestor.accept(document)
        }
        return try ingestor.finish()
    }

    @Test func `the same text in four formats is one group, and one of it is kept`() throws {
        let body = prose(1, words: 300)
        let html = "<html><body><p>" + body.replacing(".\n", with: ".</p><p>") + "</p></body></html>"
        let man = ".TH X 1\n.SH D\n" + body.replacing(".\n", with: ".\n.PP\n")
        let (manifest, report) = try ingest([("a.txt", body), ("b.md", body), ("c.html", html), ("d.1", man), ("e.txt", prose(2))])
        let groups = Dictionary(grouping: manifest.leaves, by: \.group)
        #expect(groups.values.map(\.count).sorted() == [1, 4])
        #expect(report.groups == 2)
        #expect(report.exactDuplicates + report.nearDuplicates == 3)
        for members in groups.values { #expect(members.filter { $0.split != .duplicate }.count == 1) }
    }

    /// Near-duplicates whose own text digests would fall on different sides if each were split by itself.
    @Test func `no group straddles the split, though its members would`() throws {
        var files: [(String, String)] = []
        for i in 0..<60 {
            let body = prose(UInt64(100 + i), words: 240)
            files.append(("\(i)/a.txt", body))
            files.append(("\(i)/b.txt", body + " appended"))
        }
        let (manifest, _) = try ingest(files, heldOut: 300)
        var wouldStraddle = 0
        for members in Dictionary(grouping: manifest.leaves, by: \.group).values {
            #expect(members.count == 2)
            #expect(Set(members.map(\.split)).subtracting([.duplicate]).count == 1)
            let sides = members.map { leaf in Digest.sha256(Array("forge.split.v1".utf8) + [0] + leaf.text.bytes).bytes[..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) } % 1000 < 300 }
            if Set(sides).count == 2 { wouldStraddle += 1 }
        }
        #expect(wouldStraddle > 5)
    }

    @Test func `files in another order give the same digest`() throws {
        let files = (0..<30).map { ("f\($0).txt", prose(UInt64($0) % 20)) }
        let (a, first) = try ingest(files)
        let (b, second) = try ingest(files.reversed())
        #expect(a == b)
        #expect(first == second)
        #expect(first.exactDuplicates == 10)
    }

    @Test func `both sides have documents when there are two groups, and a share of none holds none out`() throws {
        let files = (0..<2).map { ("f\($0).txt", prose(UInt64($0))) }
        #expect(try ingest(files).report.heldOutDocuments == 1)
        #expect(try ingest(files, heldOut: 0).report.heldOutDocuments == 0)
        #expect(throws: Fault.self) { try ingest([]) }
        #expect(throws: Fault.self) { try ingest(files, heldOut: 501) }
    }

    @Test func `every file is in exactly one count`() throws {
        let report = try ingest([("a.txt", prose(1)), ("a.txt", prose(2)), ("b.pdf", "x"), ("c.txt", ""), ("d.txt", "mail me: a.b@example.org")]).report
        #expect(report.received == 5 && report.accepted == 2 && report.refused == 3)
        #expect(report.reasons == [.path: 1, .notYet: 1, .empty: 1])
        #expect(report.personal == [.email: 1])
        #expect(report.trainDocuments + report.heldOutDocuments + report.exactDuplicates + report.nearDuplicates == report.accepted)
    }

    @Test func `a manifest comes back from its lines, and any changed byte is noticed`() throws {
        let manifest = try ingest((0..<9).map { ("f\($0).txt", prose(UInt64($0), words: 30)) }).manifest
        #expect(try DatasetManifest(parsing: manifest.lines) == manifest)
        var random = SplitMix64(state: 3)
        for _ in 0..<200 {
            var flipped = manifest.lines
            flipped[Int(random.below(UInt64(flipped.count)))] ^= UInt8(1 << random.below(7))
            #expect(throws: Fault.self) { try DatasetManifest(parsing: flipped) }
        }
    }

    @Test(arguments: 1..<40)
    func `every leaf is proven, and no other leaf by its proof`(count: Int) {
        let hashes = (0..<count).map { DocumentTree.leafHash([UInt8($0)]) }
        let root = DocumentTree.root(of: hashes)
        for i in 0..<count {
            let proof = DocumentTree.inclusionProof(of: i, in: hashes)
            #expect(DocumentTree.verify(hashes[i], index: i, count: count, proof: proof, root: root))
            #expect(!DocumentTree.verify(hashes[i], index: (i + 1) % count, count: count, proof: proof, root: root) || count == 1)
            #expect(!DocumentTree.verify(hashes[(i + 1) % count], index: i, count: count, proof: proof, root: root) || count == 1)
        }
    }

    /// The vectors of RFC 6962's reference implementation (certificate-transparency, merkle_tree_test): eight leaves.
    @Test func `roots are those of RFC 6962`() {
        let leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"].map { DocumentTree.leafHash(Hex.decode($0)!) }
        #expect(DocumentTree.root(of: []).hex == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(DocumentTree.root(of: Array(leaves[..<1])).hex == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d")
        #expect(DocumentTree.root(of: Array(leaves[..<3])).hex == "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77")
        #expect(DocumentTree.root(of: leaves).hex == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328")
    }
}

/// Real files, when the shared data lie beside the checkout.
@Suite struct SharedDocumentTests {
    static let folder: String? = {
        let environment = ProcessInfo.processInfo.environment["FORGE_SHARED_DATA"]
        let here = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(4).joined(separator: "/")
        let candidates = [environment, here + "/shared/data"].compactMap { $0 }
        return candidates.first { FileManager.default.fileExists(atPath: $0 + "/documents/manifest.jsonl") }
    }()

    private func files(_ folder: String) throws -> [(String, [UInt8])] {
        try Path.list(folder).sorted().flatMap { name -> [(String, [UInt8])] in
            let path = folder + "/" + name
            if try Path.information(path)?.kind == .directory { return try files(path).map { (name + "/" + $0.0, $0.1) } }
            return FileManager.default.contents(atPath: path).map { [(name, Array($0))] } ?? []
        }
    }

    @Test(.enabled(if: folder != nil, "shared data are not here"))
    func `real and hostile files are read or refused, one by one, and none traps`() throws {
        let reader = DocumentReader()
        var read = 0, refused = 0
        for set in ["documents", "hostile-files", "policy-corpus"] {
            for (path, bytes) in try files(SharedDocumentTests.folder! + "/" + set) where bytes.count < 3 << 20 {
                do throws(Refusal) {
                    let document = try reader.read(path: path, bytes: bytes)
                    #expect(TextEncoding.firstIllFormed(document.text) == nil)
                    read += 1
                } catch {
                    #expect(!error.why.isEmpty)
                    refused += 1
                }
            }
        }
        #expect(read > 40 && refused > 150)
    }

    /// Words and their order, not the markup: the share of the expected words found in order (longest common subsequence).
    @Test(.enabled(if: folder != nil, "shared data are not here"))
    func `HTML and Markdown give the words other readers expect`() throws {
        let root = SharedDocumentTests.folder! + "/documents/"
        let manifest = try #require(FileManager.default.contents(atPath: root + "manifest.jsonl"))
        var total = 0, found = 0
        for line in manifest.split(separator: 0x0a) {
            let row = try JSON.parse(line)
            guard let file = row["file"]?.string, let expected = row["expected"]?.string, file.hasPrefix("html/") || file.hasPrefix("md/") else { continue }
            guard let bytes = FileManager.default.contents(atPath: root + file), let wanted = FileManager.default.contents(atPath: root + expected) else { continue }
            guard let document = try? DocumentReader().read(path: file, bytes: Array(bytes)) else { continue }
            let a = words(Array(wanted)), b = words(document.text)
            guard a.count < 4000, b.count < 8000 else { continue }
            let common = commonSubsequence(a, b)
            total += a.count
            found += common
            if Double(common) < 0.7 * Double(a.count) { print("\(file): \(common) of \(a.count) words") }
        }
        #expect(total > 1000)
        #expect(Double(found) > 0.9 * Double(total), "\(found) of \(total)")
    }

    private func words(_ text: [UInt8]) -> [[UInt8]] {
        text.split { !(Entities.isAlphanumeric($0) || $0 >= 0x80) }.map { $0.map { (0x41...0x5a).contains($0) ? $0 | 0x20 : $0 } }
    }

    private func commonSubsequence(_ a: [[UInt8]], _ b: [[UInt8]]) -> Int {
        var row = [Int](repeating: 0, count: b.count + 1)
        let ids = Dictionary(a.map { ($0, 0) }, uniquingKeysWith: { x, _ in x }).keys.enumerated().reduce(into: [[UInt8]: Int]()) { $0[$1.element] = $1.offset }
        let x = a.map { ids[$0]! }, y = b.map { ids[$0] ?? -1 }
        for i in x {
            var diagonal = 0
            for (j, other) in y.enumerated() {
                let above = row[j + 1]
                row[j + 1] = i == other ? diagonal + 1 : max(above, row[j])
                diagonal = above
            }
        }
        return row[b.count]
    }
}

extension String {
    fileprivate func replacing(_ text: String, with other: String) -> String {
        let needle = Array(text.utf8)
        var out: [UInt8] = []
        var rest = Array(utf8)[...]
        while !rest.isEmpty {
            if rest.starts(with: needle) {
                out += other.utf8
                rest = rest.dropFirst(needle.count)
            } else {
                out.append(rest.removeFirst())
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
