import ForgeCore
import ForgeCrypto
import Testing

@Suite struct PrimitiveTests {
    @Test func `digests agree with FIPS 180-4's examples, whole and in pieces`() {
        #expect(Digest.sha256("abc").hex == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(Digest.sha256([]).hex == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        var hasher = SHA256Hasher()
        hasher.update(Array("a".utf8))
        #expect(hasher.digestSoFar() == .sha256("a"))
        hasher.update(Array("xbc".utf8)[1...])
        #expect(hasher.finish() == .sha256("abc"))
        #expect(Hex.encode(sha512(Array("abc".utf8))).hasPrefix("ddaf35a193617abacc417349ae204131"))
    }

    @Test func `scrypt agrees with RFC 7914 and refuses hostile costs`() throws {
        let key = try Scrypt(n: 1024, r: 8, p: 16)!.derive(SecretBytes(copying: Array("password".utf8)), salt: Array("NaCl".utf8), count: 64)
        #expect(
            Hex.encode(key.reveal())
                == "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640")
        #expect(Scrypt(n: 1000, r: 8, p: 1) == nil)
        #expect(Scrypt(n: 1 << 30, r: 8, p: 1) == nil)
        #expect(Scrypt(n: 1 << 14, r: 1 << 20, p: 1) == nil)
    }

    @Test func `random bytes do not repeat`() {
        let draws = Set((0..<1000).map { _ in Random.bytes(16) })
        #expect(draws.count == 1000)
        #expect(Random.bytes(0) == [])
    }

    @Test func `secrets copy, slice and compare`() {
        var bytes: [UInt8] = [1, 2, 3, 4]
        let secret = SecretBytes(taking: &bytes)
        #expect(bytes == [])
        let twin = secret.copy().equals(secret)
        #expect(twin)
        #expect(secret.slice(1..<3).reveal() == [2, 3])
        let others = [[1, 2, 3, 5], [1, 2, 3]].map { secret.equals(SecretBytes(copying: $0)) }
        #expect(others == [false, false])
        // More than the locked arena holds: memory is then ordinary, and the values are still right.
        let many = (0..<9000).map { _ in Keeper(SecretBytes.random(32)) }
        #expect(Set(many.map { $0.secret.reveal() }).count == 9000)
    }

    private final class Keeper {
        let secret: SecretBytes
        init(_ secret: consuming SecretBytes) { self.secret = secret }
    }

    @Test func `ed25519 agrees with RFC 8032's second test`() {
        let seed = Hex.decode("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")!
        let key = Ed25519.PrivateKey(seed: SecretBytes(copying: seed))!
        #expect(Hex.encode(key.publicKey.raw) == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
        #expect(
            Hex.encode(key.sign([0x72]))
                == "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
        #expect(key.seed.reveal() == seed)
        let fresh = Ed25519.PrivateKey()
        #expect(fresh.publicKey.verify(fresh.sign([1, 2]), of: [1, 2]))
        #expect(!fresh.publicKey.verify(fresh.sign([1, 2]), of: [1, 3]))
        #expect(!key.publicKey.verify(fresh.sign([1, 2]), of: [1, 2]))
    }

    @Test func `p256 keys survive DER and PEM, and signatures are bound to message and key`() throws {
        let key = P256.PrivateKey()
        let again = P256.PrivateKey(der: key.der)!
        #expect(again.publicKey == key.publicKey)
        #expect(P256.PublicKey(pem: key.publicKey.pem) == key.publicKey)
        #expect(P256.PublicKey(pem: key.publicKey.pem.replacing("PUBLIC", with: "PRIVATE")) == nil)
        let signature = again.sign([7])
        #expect(key.publicKey.verify(signature, of: [7]))
        #expect(!key.publicKey.verify(signature, of: [8]))
        #expect(!P256.PrivateKey().publicKey.verify(signature, of: [7]))
        #expect(P256.PublicKey(point: [4] + [UInt8](repeating: 1, count: 64)) == nil, "not on the curve")
        #expect(P256.PrivateKey(der: SecretBytes(copying: [0x30, 0])) == nil)
    }
}
