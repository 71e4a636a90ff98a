import ForgeCore
import ForgeCrypto
import ForgeGate
import ForgeOS
import ForgeVault
import Testing

@Suite struct KeySlotsTests {
    static let cheap = Scrypt(n: 1 << 10, r: 8, p: 1)!
    static let now = Timestamp(seconds: 1_795_226_584)

    private func fresh(_ root: borrowing RootKey) throws -> (KeySlots, paper: String) {
        var slots = KeySlots(store: ID(), created: KeySlotsTests.now, root: root)
        try slots.addPassphrase(secret("correct horse battery"), name: "operator", at: KeySlotsTests.now, cost: KeySlotsTests.cheap, root: root)
        let recovery = RecoveryKey()
        try slots.addRecovery(recovery, name: "printed", at: KeySlotsTests.now, root: root)
        return (slots, recovery.text())
    }

    private func same(_ a: borrowing RootKey, _ b: borrowing RootKey) -> Bool { a.derive(.wrap).equals(b.derive(.wrap)) }

    @Test func `passphrase and paper open the same root key, from the file`() throws {
        let root = RootKey()
        let (slots, paper) = try fresh(root)
        let read = try KeySlots(parsing: slots.encoded)
        #expect(read == slots)
        let byPassphrase = same(try read.open(passphrase: secret("correct horse battery")), root)
        let byPaper = same(try read.open(recovery: RecoveryKey(parsing: paper)), root)
        #expect(byPassphrase && byPaper)
        #expect(#expect(throws: Fault.self) { _ = try read.open(passphrase: secret("correct horse batterz")) }?.code == "vault.wrong_secret")
        #expect(#expect(throws: Fault.self) { _ = try read.open(recovery: RecoveryKey()) }?.code == "vault.wrong_secret")
    }

    @Test func `the file is the one the format's text describes`() throws {
        let vector = try JSON.parse(File(Path.parent(Path.parent(#filePath)) + "/Fixtures/vault/keyslots.json", .read).readAll(limit: .kib(64)))
        let slots = try KeySlots(parsing: Array(vector["file"]!.string!.utf8))
        let root = try slots.open(passphrase: secret(vector["passphrase"]!.string!))
        #expect(Hex.encode(root.derive(.wrap).reveal()) == vector["wrap"]!.string!)
        #expect(Hex.encode(root.derive(.redaction(epoch: 1)).reveal()) == vector["redaction1"]!.string!)
        let paper = try RecoveryKey(parsing: vector["recovery"]!.string!)
        #expect(paper.text() == vector["recovery"]!.string!)
        let isSame = same(try slots.open(recovery: paper), root)
        #expect(isSame)
    }

    @Test func `every change of the list by somebody without the root key is seen`() throws {
        let root = RootKey()
        let (slots, paper) = try fresh(root)
        let text = String(decoding: slots.encoded, as: UTF8.self)
        let recovery = try RecoveryKey(parsing: paper)
        // Renamed, backdated, weakened, dropped: each is still a well-formed file.
        let renamed = text.replacing("\"operator\"", with: "\"operatox\"")
        let weakened = text.replacing("\"n\":1024", with: "\"n\":512")
        let epoch = text.replacing("\"epoch\":1", with: "\"epoch\":2")
        for changed in [renamed, weakened, epoch] {
            let read = try KeySlots(parsing: Array(changed.utf8))
            #expect(#expect(throws: Fault.self) { _ = try read.open(recovery: recovery) }?.code == "vault.keyslots_changed")
        }
        let json = try JSON.parse(text)
        var object = json.object!
        object["slots"] = .array([json["slots"]!.array![1]])
        let dropped = try KeySlots(parsing: JSON.object(object).canonical + [0x0a])
        #expect(#expect(throws: Fault.self) { _ = try dropped.open(recovery: recovery) }?.code == "vault.keyslots_changed")
        // Moved to another store: the slot itself is bound to it.
        let moved = try KeySlots(parsing: Array(text.replacing(slots.store.description, with: ID().description).utf8))
        #expect(#expect(throws: Fault.self) { _ = try moved.open(recovery: recovery) }?.code == "vault.wrong_secret")
    }

    @Test func `every flipped bit of the file is refused somewhere`() throws {
        let root = RootKey()
        let (slots, paper) = try fresh(root)
        let recovery = try RecoveryKey(parsing: paper)
        let bytes = slots.encoded
        for place in stride(from: 0, to: bytes.count, by: 1) {
            var changed = bytes
            changed[place] ^= 1
            #expect(throws: Fault.self, "byte \(place)") { _ = try KeySlots(parsing: changed).open(recovery: recovery) }
        }
        for count in stride(from: 0, to: bytes.count, by: 13) { #expect(throws: Fault.self) { _ = try KeySlots(parsing: Array(bytes.prefix(count))) } }
    }

    @Test func `the last way in cannot be removed`() throws {
        let root = RootKey()
        var (slots, _) = try fresh(root)
        for slot in slots.slots { #expect(#expect(throws: Fault.self) { try slots.remove(slot.id, root: root) }?.code == "vault.last_slot") }
        try slots.addPassphrase(secret("another long phrase"), name: "deputy", at: KeySlotsTests.now, cost: KeySlotsTests.cheap, root: root)
        try slots.remove(slots.slots[0].id, root: root)
        let isSame = same(try slots.open(passphrase: secret("another long phrase")), root)
        #expect(isSame)
        #expect(throws: Fault.self) { _ = try slots.open(passphrase: secret("correct horse battery")) }
        #expect(throws: Fault.self) { try slots.addPassphrase(secret("short"), name: "x", at: KeySlotsTests.now, cost: KeySlotsTests.cheap, root: root) }
    }

    @Test func `what a person types from paper is forgiven where it can be, and named where it cannot`() throws {
        let paper = RecoveryKey().text()
        #expect(paper.filter { $0 == "-" }.count == 8 && paper.split(separator: "\n").count == 2)
        let loose = " " + paper.lowercased().replacing("-", with: "  ").replacing("1", with: "l").replacing("0", with: "o")
        #expect(try RecoveryKey(parsing: loose).text() == paper)

        var symbols = Array(paper.utf8)
        symbols[0] = symbols[0] == UInt8(ascii: "7") ? UInt8(ascii: "8") : UInt8(ascii: "7")
        // One symbol in 32 guesses its check right; that case is left to the slot's own key.
        if let fault = (try? RecoveryKey(parsing: String(decoding: symbols, as: UTF8.self))) == nil ? "caught" : nil { #expect(fault == "caught") }
        #expect(throws: Fault.self) { _ = try RecoveryKey(parsing: String(paper.dropLast(3))) }
        #expect(throws: Fault.self) { _ = try RecoveryKey(parsing: paper.replacing(paper.prefix(1), with: "U")) }

        // Over many keys, 31 of 32 single-symbol errors and swapped groups are named.
        var caught = 0
        for _ in 0..<320 {
            var groups = RecoveryKey().text().split { $0 == "-" || $0 == "\n" }.map(String.init)
            groups.swapAt(2, 3)
            do { _ = try RecoveryKey(parsing: groups.joined(separator: "-")) } catch {
                #expect(error.why.contains("group 3") || error.why.contains("group 4"))
                caught += 1
            }
        }
        #expect(caught > 300)
    }
}
