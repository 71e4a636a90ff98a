import ForgeCore
import ForgeCrypto
import Testing

/// Every published vector our parameters allow: a small set always, the full sets where they are at hand.
@Suite struct WycheproofTests {
    static let names = ["aes_gcm", "hmac_sha256", "hkdf_sha512", "ed25519", "ecdsa_secp256r1_sha256"]

    @Test(arguments: names) func `the committed vectors hold`(name: String) throws {
        let tests = try Fixture.json("wycheproof.json")["sets"]!.rows(name)
        #expect(!tests.isEmpty)
        for test in tests { check(name, test, key: test["publicKey"]?.string) }
    }

    @Test(.enabled(if: Fixture.shared != nil), arguments: names) func `the published vectors hold`(name: String) throws {
        var count = 0
        for group in try Fixture.published(name).rows("testGroups") {
            if name == "aes_gcm", group["keySize"]!.int != 256 || group["ivSize"]!.int != 96 || group["tagSize"]!.int != 128 { continue }
            if name == "hmac_sha256", group["tagSize"]!.int != 256 { continue }
            let key = group["publicKey"]?["pk"]?.string ?? group["publicKey"]?["uncompressed"]?.string
            for test in group.rows("tests") {
                check(name, test, key: key)
                count += 1
            }
        }
        #expect(count > 30)
    }

    private func check(_ name: String, _ test: JSON, key publicKey: String?) {
        let expected = test.text("result") == "valid"
        let place: Comment = "\(name) \(test["tcId"]!.int!): \(test.text("comment"))"
        switch name {
        case "aes_gcm":
            let cipher = AES256GCM(key: SecretBytes(copying: test.hex("key")))
            let sealed = test.hex("ct") + test.hex("tag")
            #expect(cipher.open(sealed, nonce: test.hex("iv"), aad: test.hex("aad")) == (expected ? test.hex("msg") : nil), place)
            if expected { #expect(cipher.seal(test.hex("msg"), nonce: test.hex("iv"), aad: test.hex("aad")) == sealed, place) }
        case "hmac_sha256":
            #expect(constantTimeEqual(hmacSHA256(key: test.hex("key"), test.hex("msg")), test.hex("tag")) == expected, place)
            #expect(hmacSHA256(key: SecretBytes(copying: test.hex("key")), test.hex("msg")) == hmacSHA256(key: test.hex("key"), test.hex("msg")), place)
        case "hkdf_sha512":
            let count = Int(test["size"]!.int!)
            // Our function stops a wrong count as a bug; the published set holds some, all invalid.
            guard 1...HKDF.countMax ~= count else {
                #expect(!expected, place)
                return
            }
            let salt = test.hex("salt")
            let prk = hmacSHA512(key: salt.isEmpty ? [UInt8](repeating: 0, count: 64) : salt, test.hex("ikm"))
            #expect((HKDF.expandSHA512(prk, info: test.hex("info"), count: count) == test.hex("okm")) == expected, place)
        case "ed25519":
            let key = Ed25519.PublicKey(Hex.decode(publicKey!)!)!
            #expect(key.verify(test.hex("sig"), of: test.hex("msg")) == expected, place)
        default:
            let key = P256.PublicKey(point: Hex.decode(publicKey!)!)!
            #expect(key.verify(test.hex("sig"), of: test.hex("msg")) == expected, place)
        }
    }
}
