import ForgeAudit
import ForgeCore
import ForgeCrypto
import ForgeGate
import Testing

@Suite struct LeafTests {
    struct Good: Sendable, CustomTestStringConvertible {
        let name: String, leaf: String, hash: String
        var testDescription: String { name }
    }

    struct Bad: Sendable, CustomTestStringConvertible {
        let failure: String, leaf: [UInt8]
        var testDescription: String { failure }
    }

    static let file = try? Fixtures.json("leaves.json")
    static let good = (file?["good"]?.array ?? []).map { Good(name: $0["name"]!.string!, leaf: $0["leaf"]!.string!, hash: $0["leaf_hash"]!.string!) }
    static let bad = (file?["bad"]?.array ?? []).map { Bad(failure: $0["class"]!.string!, leaf: Base64.decode($0["leaf"]!.string!)!) }

    @Test func `the fixtures are there`() { #expect(LeafTests.good.count == 9 && LeafTests.bad.count == 37) }

    @Test(arguments: good) func `a good leaf reads, hashes as it should and writes itself again`(case leaf: Good) throws {
        let record = try AuditRecord(parsing: Array(leaf.leaf.utf8))
        #expect(record.leafHash.hex == leaf.hash)
        // The entry that a hashed leaf shows cannot be recorded again: its values are hashes already. All others can.
        guard record.redactionEpoch == nil, record.dropped.isEmpty else { return }
        let again = try AuditRecord(record.entry, stamp: record.stamp, redactor: .sealed, detail: record.detail)
        #expect(String(decoding: again.bytes, as: UTF8.self) == leaf.leaf)
    }

    @Test(arguments: bad) func `a bad leaf is refused`(case leaf: Bad) {
        #expect(throws: Fault.self) { try AuditRecord(parsing: leaf.leaf) }
    }

    @Test func `every cut and every flipped byte of a leaf is refused or is another leaf`() throws {
        let bytes = Array(LeafTests.good[0].leaf.utf8)
        let hash = Merkle.leafHash(bytes)
        for count in bytes.indices { #expect(throws: Fault.self) { try AuditRecord(parsing: Array(bytes.prefix(count))) } }
        for at in bytes.indices {
            var changed = bytes
            changed[at] ^= 0x01
            #expect((try? AuditRecord(parsing: changed))?.leafHash != hash)
        }
    }
}

@Suite struct RecordTests {
    let stamp = LeafStamp(
        index: 9, time: 1_795_226_400_000_000, boottime: 77, boot: ID(parsing: "0f0e0d0c0b0a09080706050403020100")!,
        clock: .init(isSynchronised: true, errorMax: 5, source: "kernel"), service: .init(.trainer, pid: 3, uid: 991))
    let who = AuditEntry.Subject(.user("dana"), method: .sshsig, uid: 1000, roles: ["data_scientist", "auditor"])
    let redactor = Redactor.open(epoch: 4) { hmacSHA256(key: [1, 2, 3], $0) }

    var entry: AuditEntry {
        AuditEntry(
            .runSubmit, .intent, request: ID(), who: who, object: .init("Forge::Run", "r1"), decision: .allow,
            policy: .init(digest: Digest.sha256("bundle"), epoch: 2, rules: ["allow.train"]), why: "ticket 12", data: ["steps": 10, "note": "keep me out", "prompt": "secret words"])
    }

    @Test func `what people wrote is hashed, what must not be kept is dropped, counts stay clear`() throws {
        let record = try AuditRecord(entry, stamp: stamp, redactor: redactor)
        let text = String(decoding: record.bytes, as: UTF8.self)
        #expect(!text.contains("ticket") && !text.contains("keep me out") && !text.contains("secret"))
        #expect(record.entry.data["steps"] == 10)
        #expect(record.entry.why == redactor.hash("ticket 12", path: "why"))
        #expect(record.entry.data["note"]?.string == redactor.hash("keep me out", path: "data.note"))
        #expect(record.dropped == ["data.prompt"] && record.redactionEpoch == 4)
        #expect(try AuditRecord(parsing: record.bytes) == record)
    }

    @Test func `while sealed, hashed values are left out and named`() throws {
        let record = try AuditRecord(entry, stamp: stamp, redactor: .sealed)
        #expect(record.dropped == ["data.note", "data.prompt", "why"] && record.redactionEpoch == nil)
        #expect(record.entry.why == nil && record.entry.data.keys == ["steps"])
        #expect(try AuditRecord(parsing: record.bytes) == record)
    }

    @Test func `one value in two fields has two hashes`() {
        #expect(redactor.hash("x", path: "data.a") != redactor.hash("x", path: "data.b"))
        #expect(redactor.hash("x", path: "why")?.utf8.count == 37)
    }

    @Test func `a fact of the wrong type or name is refused before it is on record`() {
        for data: JSON.Object in [["steps": "ten"], ["dataset": "sha256:abc"], ["Steps": 1], ["steps": -1], ["note": .double(0.5)]].map({ (value: JSON) in value.object! }) {
            var entry = entry
            entry.data = data
            #expect(throws: Fault.self) { try AuditRecord(entry, stamp: stamp, redactor: redactor) }
        }
    }

    @Test func `a leaf over 8192 bytes is refused`() {
        var entry = entry
        entry.approvers = Array(repeating: String(repeating: "x", count: 512), count: 16)
        #expect(throws: Fault.self) { try AuditRecord(entry, stamp: stamp, redactor: redactor) }
    }

    @Test func `an entry crosses the wire whole`() throws {
        var entry = entry
        entry.detail = Array("the long story".utf8)
        #expect(try AuditEntry(json: JSON.parse(entry.json.text)) == entry)
        var members = entry.json.object!
        members["more"] = 1
        #expect(throws: Fault.self) { try AuditEntry(json: .object(members)) }
    }

    @Test func `a decision on reading is an event, on changing an intent`() {
        let verdict = Verdict(.allow, reasons: [.init(id: "p", text: "")], policyDigest: Digest.sha256("b"), entityEpoch: 1)
        #expect(AuditEntry.decision(.auditRead, verdict, request: ID(), who: who, object: .init("Forge::Log", "audit")).phase == .event)
        #expect(AuditEntry.decision(.modelPut, verdict, request: ID(), who: who, object: .init("Forge::Model", "m")).phase == .intent)
    }

    @Test func `every action has an owner or belongs to all, and effects have owners`() {
        for action in AuditAction.allCases where action.hasEffect { #expect(action.owner != nil, "\(action)") }
        #expect(AuditAction.allCases.count == 52)
    }
}
