import ForgeCore
import ForgeCrypto
import Testing

@Suite final class CobblestoneTests {
    let key = SecretBytes.random(32)

    static func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7 + $0 >> 8) } }

    @Test(arguments: [0, 1, 15, 16, 16383, 16384, 16385, 32767, 32768, 32769, 50000])
    func `a message of any size opens whole, and in pieces of any size`(count: Int) throws {
        let plain = CobblestoneTests.pattern(count)
        let sealed = Cobblestone.seal(plain, key: key, context: [1])
        #expect(sealed.count == Cobblestone.sealedCount(count))
        #expect(Cobblestone.plaintextCount(sealed.count) == count)
        #expect(try Cobblestone.open(sealed, key: key, context: [1]) == plain)

        for piece in [1, 1000, 16383, 16384, 16385, 40000] where piece > 1 || count < 17000 {
            var sealer = Cobblestone.Sealer(key: key, context: [2])
            var streamed = sealer.prefix
            for start in stride(from: 0, to: count, by: piece) { sealer.update(plain[start..<min(start + piece, count)], into: &streamed) }
            sealer.finish(into: &streamed)
            #expect(try Cobblestone.open(streamed, key: key, context: [2]) == plain)

            let opener = try Cobblestone.Opener(prefix: Array(streamed.prefix(56)), sealedCount: streamed.count, key: key, context: [2])
            #expect(opener.count == count)
            for chunk in (0..<opener.chunks).reversed() {
                let part = try opener.open(streamed[opener.range(ofChunk: chunk)], from: chunk)
                #expect(part == Array(plain.dropFirst(chunk * 16384).prefix(16384)))
            }
            let all = try opener.open(streamed[56...], from: 0)
            #expect(all == plain)
        }
    }

    @Test func `another key, another context and every flipped bit are refused`() throws {
        let plain = CobblestoneTests.pattern(16400)
        let sealed = Cobblestone.seal(plain, key: key, context: [1])
        #expect(throws: Fault.self) { try Cobblestone.open(sealed, key: SecretBytes.random(32), context: [1]) }
        #expect(throws: Fault.self) { try Cobblestone.open(sealed, key: self.key, context: [2]) }
        // Every byte of the salt, the commitment, both tags, and a sample of the ciphertext.
        let places = Array(0..<56) + stride(from: 56, to: 56 + 16384, by: 511) + Array(56 + 16384..<sealed.count)
        for place in places {
            var changed = sealed
            changed[place] ^= 1 << UInt8(place % 8)
            let fault = #expect(throws: Fault.self) { try Cobblestone.open(changed, key: self.key, context: [1]) }
            #expect(fault?.code == (place < 56 ? "seal.commitment" : "seal.chunk"))
        }
    }

    @Test func `no cut and no extension opens`() throws {
        let sealed = Cobblestone.seal(CobblestoneTests.pattern(40000), key: key, context: [])
        let cuts = Array(0..<80) + [56 + 16400, 56 + 16400 + 15, 56 + 16400 + 16, 56 + 2 * 16400, sealed.count - 1, sealed.count - 17]
        for count in cuts { #expect(throws: Fault.self) { try Cobblestone.open(Array(sealed.prefix(count)), key: self.key, context: []) } }
        #expect(throws: Fault.self) { try Cobblestone.open(sealed + [0], key: self.key, context: []) }
        #expect(throws: Fault.self) { try Cobblestone.open(sealed + sealed.suffix(16), key: self.key, context: []) }
    }

    @Test func `chunks neither swap nor repeat`() throws {
        let sealed = Cobblestone.seal(CobblestoneTests.pattern(3 * 16384 + 5), key: key, context: [])
        var swapped = sealed
        swapped.replaceSubrange(56..<56 + 16400, with: sealed[56 + 16400..<56 + 2 * 16400])
        #expect(throws: Fault.self) { try Cobblestone.open(swapped, key: self.key, context: []) }
        let shortened = Array(sealed[..<(56 + 16400)] + sealed[(56 + 2 * 16400)...])
        #expect(throws: Fault.self) { try Cobblestone.open(shortened, key: self.key, context: []) }
    }

    @Test func `the published vectors hold`() throws {
        let tests = try Fixture.json("cobblestone-256.json").rows("tests")
        #expect(tests.count == 35)
        for test in tests {
            var sealed: [UInt8] = []
            for run in test.rows("ct") {
                let part = Hex.decode(run.array![0].string!)!
                for _ in 0..<run.array![1].int! { sealed += part }
            }
            let place: Comment = "\(test["tcId"]!.int!): \(test.text("comment"))"
            let opened = try? Cobblestone.open(sealed, key: SecretBytes(copying: test.hex("key")), context: test.hex("ctx"))
            #expect((opened != nil) == (test.text("result") == "valid"), place)
            if let opened {
                #expect(opened.count == Int(test["msgLength"]!.int!), place)
                #expect(Hex.encode(sha512(opened)) == test.text("msgSha512"), place)
            }
        }
    }

    @Test func `a thousand messages under one key use a thousand salts`() {
        let salts = Set((0..<1000).map { _ in Array(Cobblestone.seal([1], key: key, context: []).prefix(24)) })
        #expect(salts.count == 1000)
    }

    @Test func `wrapped keys have 104 bytes and open into secret memory`() throws {
        let secret = SecretBytes.random(32)
        let wrapped = Cobblestone.seal(secret, key: key, context: [9])
        #expect(wrapped.count == 104)
        let isSame = try Cobblestone.openSecret(wrapped, key: key, context: [9]).equals(secret)
        #expect(isSame)
        #expect(throws: Fault.self) { _ = try Cobblestone.openSecret(wrapped, key: self.key, context: [8]) }
    }
}
