import ForgeAudit
import ForgeCore
import ForgeCrypto
import Testing

@Suite struct NoteTests {
    let file = try! Fixtures.json("notes.json")  // SAFETY: a missing fixture is a broken checkout; the test should stop.
    var log: NoteKey { get throws { try NoteKey(parsing: file["log_key"]!.string!) } }
    var witness: NoteKey { get throws { try NoteKey(parsing: file["witness_key"]!.string!) } }

    static func signer(_ name: String, _ kind: NoteKey.Kind, seed: [UInt8]) throws -> NoteSigner {
        guard let key = Ed25519.PrivateKey(seed: SecretBytes(copying: seed)) else { preconditionFailure("a seed has 32 bytes") }
        return NoteSigner(try #require(NoteKey(name, kind, publicKey: key.publicKey.raw))) { key.sign($0) }
    }

    @Test func `the example of the specification verifies`() throws {
        let key = try NoteKey(parsing: file["c2sp"]!["key"]!.string!)
        let note = try SignedNote(parsing: file["c2sp"]!["note"]!.string!.utf8)
        #expect(try note.verify([key]).map(\.key) == [key])
        #expect(note.description == file["c2sp"]!["note"]!.string!)
        #expect(key.description == file["c2sp"]!["key"]!.string!)
    }

    @Test func `we write the same checkpoint and cosignature as the format's own script`() throws {
        let log = try NoteTests.signer(self.log.name, .ed25519, seed: Hex.decode(file["log_seed"]!.string!)!)
        let witness = try NoteTests.signer(self.witness.name, .cosignature, seed: Hex.decode(file["witness_seed"]!.string!)!)
        #expect(try log.key == self.log)
        #expect(try witness.key == self.witness)
        let head = TreeHead(origin: log.key.name, size: 3, root: Digest.sha256("root"))
        var note = head.signed(by: log)
        #expect(note.description == file["checkpoint"]!.string!)
        note.add(Cosignature.make(of: head, time: file["time"]!.int!, by: witness))
        #expect(note.description == file["cosigned"]!.string!)
        let verified = try note.verify([log.key, witness.key])
        #expect(verified.map(\.key) == [log.key, witness.key] && verified.map(\.time) == [nil, 1_795_226_400])
    }

    @Test func `a bad checkpoint is refused, each for its class`() throws {
        for bad in file["bad"]!.array! {
            #expect(throws: Fault.self, "\(bad["class"]!.text)") { try SignedTreeHead(parsing: bad["note"]!.string!.utf8, log: log) }
        }
        #expect(file["bad"]!.array!.count == 16)
        let other = try NoteKey(parsing: file["other_key"]!.string!)
        #expect(throws: Fault.self) { try SignedTreeHead(parsing: file["checkpoint"]!.string!.utf8, log: other) }
    }

    @Test func `a cosignature moved to another time does not verify`() throws {
        var note = try SignedNote(parsing: file["cosigned"]!.string!.utf8)
        let line = note.signatures[1]
        note = SignedNote(text: note.text, signatures: [NoteSignature(name: line.name, id: line.id, signature: [0, 0, 0, 0, 0, 0, 0, 1] + line.signature.dropFirst(8))])
        #expect(throws: Fault.self) { try note.verify([witness]) }
    }

    @Test func `a key whose id is not its hash is refused`() throws {
        for text in ["example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "a b+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "x", "", "++"] {
            #expect(throws: Fault.self) { try NoteKey(parsing: text) }
        }
    }

    @Test func `a witness lets a log grow and refuses every other past`() throws {
        var state = WitnessState(log: try log)
        for step in try Fixtures.json("witness.json")["steps"]!.array! {
            let name = step["name"]!.string!
            let expected = step["code"]!.string
            do throws(Fault) {
                let request = try WitnessRequest(parsing: step["request"]!.string!.utf8)
                #expect(request.text == step["request"]!.string!)
                state = try state.accepting(request)
                #expect(expected == nil, "\(name)")
            } catch {
                #expect(error.code == expected, "\(name): \(error)")
            }
        }
        #expect(state.size == 600)
    }

    @Test func `a proof in a file proves its leaf, and no other`() throws {
        let file = try Fixtures.json("proof.json")
        let text = file["proof"]!.string!
        let proof = try LogProof(parsing: text.utf8)
        #expect(proof.description == text)
        let proven = try proof.verify(log: log)
        #expect(proven.leaf == Array("leaf 5".utf8) && proven.head.size == 7 && proven.cosigned.isEmpty)
        #expect(throws: Fault.self) { try proof.verify(leaf: Array("leaf 6".utf8), log: log) }
        #expect(throws: Fault.self) { try LogProof(leaf: proof.leaf, index: 4, hashes: proof.hashes, checkpoint: proof.checkpoint).verify(log: log) }
        for bad in [text.replacing("index 5", with: "index 05"), text.replacing("@v1", with: "@v2"), text.replacing("\nindex", with: "\n\nindex"), String(text.dropFirst(3)), ""] {
            #expect(throws: Fault.self) { try LogProof(parsing: bad.utf8) }
        }
        for pair in file["roots"]!.array! {
            let log = MemoryLog(Int(pair.array![0].int!))
            #expect(log.edge.root.hex == pair.array![1].string!)
        }
    }

    @Test(arguments: 0..<400 as Range<UInt64>) func `a note with one byte changed never verifies as something else`(seed: UInt64) throws {
        let text = file["cosigned"]!.string!
        var bytes = Array(text.utf8)
        let at = Int(seed * 7919) % bytes.count
        bytes[at] ^= UInt8(1 << (seed % 8))
        guard let note = try? SignedNote(parsing: bytes), let verified = try? note.verify([log, witness]) else { return }
        // What still verifies is a line untouched over a text untouched; a line whose name or id changed is a stranger's.
        let original = try SignedNote(parsing: text.utf8)
        #expect(verified.isEmpty || note.text == original.text)
        #expect(verified.count < 2)
    }
}
