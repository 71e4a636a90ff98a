import ForgeCore
import Testing

@Suite struct ValueTests {
    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000Z"), (951_782_400, "2000-02-29T00:00:00.000Z"), (1_795_226_584, "2026-11-21T02:03:04.000Z"),
        (-1, "1969-12-31T23:59:59.000Z"), (4_107_542_399, "2100-02-28T23:59:59.000Z"),
    ] as [(Int64, String)])
    func `a time prints as RFC 3339`(seconds: Int64, text: String) {
        #expect(Timestamp(seconds: seconds).description == text)
    }

    @Test func `hex and base64 are strict`() {
        #expect(Hex.decode("00ff") == [0, 255])
        #expect(Hex.decode("00FF") == nil)
        #expect(Hex.decode("0") == nil)
        #expect(Base64.encode(Array("foobar".utf8)) == "Zm9vYmFy")
        #expect(Base64.encode(Array("fooba".utf8)) == "Zm9vYmE=")
        #expect(Base64.encode(Array("foob".utf8), .url) == "Zm9vYg")
        #expect(Base64.decode("Zm9vYg==") == Array("foob".utf8))
        #expect(Base64.decode("Zm9vYh==") == nil, "unused bits must be zero")
        #expect(Base64.decode("Zm9vYg=") == nil)
        #expect(Base64.decode("Zm9v Yg==") == nil)
    }

    @Test func `a digest reads with and without its prefix`() {
        let digest = Digest(Array(repeating: 7, count: 32))!
        #expect(Digest(parsing: digest.description) == digest)
        #expect(Digest(parsing: digest.hex) == digest)
        #expect(Digest(parsing: "sha256:07") == nil)
    }

    @Test func `bytes print in binary units`() {
        #expect(ByteCount(512).description == "512 B")
        #expect(ByteCount(1536).description == "1.5 KiB")
        #expect(ByteCount.gib(3).description == "3.0 GiB")
    }

    @Test func `ids are random and read back`() {
        let id = ID()
        #expect(ID(parsing: id.description) == id)
        #expect(ID() != id)
    }
}
