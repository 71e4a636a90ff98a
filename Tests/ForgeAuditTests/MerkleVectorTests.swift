import ForgeAudit
import ForgeCore
import ForgeCrypto
import ForgeOS
import Testing

/// Proofs of the transparency-dev/merkle project (Apache-2.0). The fixture holds a choice of them; the whole set runs when the
/// shared data is there (`FORGE_SHARED_DATA`, or `../shared/data` beside the checkout).
struct MerkleVector: Sendable, CustomTestStringConvertible {
    let kind: String
    let id: String
    let value: JSON
    var testDescription: String { id }

    static func load(_ path: String?) -> [MerkleVector] {
        guard let path, let bytes = try? File(path, .read).readAll(limit: .mib(8)) else { return [] }
        // One case has an index of 2^64 − 1, which is above what the JSON parser takes: -1 stands for it.
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map { $0.replacing("18446744073709551615", with: "-1") }
        return lines.compactMap { line in
            guard let value = try? JSON.parse(String(line)), let kind = value["kind"]?.string, let id = value["id"]?.string, let body = value["case"] else { return nil }
            return MerkleVector(kind: kind, id: id, value: body)
        }
    }

    static let fixtures = load(Fixtures.path("merkle-proofs.jsonl"))
    static let shared = load(Fixtures.shared("crypto-vectors/merkle-proofs.jsonl"))

    /// nil when the kind is unknown.
    func verifies() -> Bool? {
        func number(_ key: String) -> UInt64 { value[key]?.int.map { UInt64(bitPattern: $0) } ?? 0 }
        // Some cases of consistency use words where roots stand ("don't care"). Our types hold hashes alone, so each word gets its hash.
        func digest(_ value: JSON?) -> Digest? {
            guard let bytes = value?.string.flatMap({ Base64.decode($0) }) else { return nil }
            return Digest(bytes) ?? (kind.hasSuffix("consistency") ? Digest.sha256(bytes) : nil)
        }
        func hash(_ key: String) -> Digest? { digest(value[key]) }
        let hashes = (value["proof"]?.array ?? []).map { digest($0) }
        let proof = hashes.compactMap { $0 }
        guard proof.count == hashes.count else { return false }
        switch kind {
        case "inclusion":
            guard let leaf = hash("leafHash"), let root = hash("root") else { return false }
            return InclusionProof(index: number("leafIdx"), size: number("treeSize"), hashes: proof).verifies(leaf, under: root)
        case "consistency":
            guard let first = hash("root1"), let second = hash("root2") else { return false }
            return ConsistencyProof(from: number("size1"), to: number("size2"), hashes: proof).verifies(first, second)
        case "subtreeinclusion":
            guard let leaf = hash("leafHash"), let root = hash("root"), let subtree = SubtreeProof(number("start"), number("end"), hashes: proof) else { return false }
            return subtree.includes(number("leafIdx"), leaf, under: root)
        case "subtreeconsistency":
            guard let first = hash("root1"), let second = hash("root2"), let subtree = SubtreeProof(number("start"), number("end"), hashes: proof) else { return false }
            return subtree.isConsistent(first, size: number("size"), second)
        default: return nil
        }
    }
}

@Suite struct MerkleVectorTests {
    @Test func `the chosen proofs are all there`() { #expect(MerkleVector.fixtures.count == 64) }

    @Test(arguments: MerkleVector.fixtures) func `a published proof verifies exactly when it should`(vector: MerkleVector) {
        #expect(vector.verifies() == (vector.value["wantErr"]?.bool == false), "\(vector.value.text)")
    }

    @Test(.enabled(if: !MerkleVector.shared.isEmpty, "the shared data is not here")) func `all published proofs verify exactly when they should`() {
        for vector in MerkleVector.shared { #expect(vector.verifies() == (vector.value["wantErr"]?.bool == false), "\(vector.id): \(vector.value.text)") }
        // Of 375, one has an index of 2^63 + 2, which the JSON parser refuses.
        #expect(MerkleVector.shared.count >= 374)
    }
}
