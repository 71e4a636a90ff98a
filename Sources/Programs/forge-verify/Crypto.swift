import COpenSSL

/// SHA-256, over and over with one context.
@safe final class SHA256 {
    // SAFETY: allocated in init, used by this object alone, freed in deinit.
    private let context: OpaquePointer
    private let algorithm: OpaquePointer

    init() {
        guard let context = unsafe EVP_MD_CTX_new(), let algorithm = unsafe EVP_MD_fetch(nil, "SHA256", nil) else { preconditionFailure("libcrypto has SHA-256") }
        unsafe self.context = context
        unsafe self.algorithm = algorithm
    }

    deinit {
        unsafe EVP_MD_CTX_free(context)
        unsafe EVP_MD_free(algorithm)
    }

    func begin() { precondition(unsafe EVP_DigestInit_ex2(context, algorithm, nil) == 1, "a digest starts") }
    func add(_ bytes: [UInt8]) { precondition(unsafe EVP_DigestUpdate(context, bytes, bytes.count) == 1, "a digest goes on") }

    func end() -> Hash {
        var out = [UInt8](repeating: 0, count: 32)
        precondition(unsafe EVP_DigestFinal_ex(context, &out, nil) == 1, "a digest ends")
        return Hash(bytes: out)
    }

    func hash(_ bytes: [UInt8]) -> Hash {
        begin()
        add(bytes)
        return end()
    }

    private static let zero: [UInt8] = [0]
    private static let one: [UInt8] = [1]

    /// RFC 6962, section 2.1.
    func leaf(_ bytes: [UInt8]) -> Hash {
        begin()
        add(SHA256.zero)
        add(bytes)
        return end()
    }

    func node(_ left: Hash, _ right: Hash) -> Hash {
        begin()
        add(SHA256.one)
        add(left.bytes)
        add(right.bytes)
        return end()
    }
}

struct Hash: Hashable {
    let bytes: [UInt8]

    var hex: String { Text.hex(bytes) }
    /// As records spell it.
    var spelled: String { "sha256:" + hex }
}

enum Ed25519 {
    static func verifies(_ signature: [UInt8], of message: [UInt8], by key: [UInt8]) -> Bool {
        guard signature.count == 64, key.count == 32, let handle = unsafe EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nil, key, key.count) else { return false }
        defer { unsafe EVP_PKEY_free(handle) }
        guard let context = unsafe EVP_MD_CTX_new() else { return false }
        defer { unsafe EVP_MD_CTX_free(context) }
        guard unsafe EVP_DigestVerifyInit(context, nil, nil, nil, handle) == 1 else { return false }
        return unsafe EVP_DigestVerify(context, signature, signature.count, message, message.count) == 1
    }

    /// The public half of a seed.
    static func publicKey(of seed: [UInt8]) -> [UInt8]? {
        guard seed.count == 32, let handle = unsafe EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, seed, seed.count) else { return nil }
        defer { unsafe EVP_PKEY_free(handle) }
        var out = [UInt8](repeating: 0, count: 32)
        var count = out.count
        return unsafe EVP_PKEY_get_raw_public_key(handle, &out, &count) == 1 && count == 32 ? out : nil
    }
}

enum Text {
    private static let digits = Array("0123456789abcdef".utf8)
    private static let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func hex(_ bytes: some Sequence<UInt8>) -> String {
        var out: [UInt8] = []
        for byte in bytes { out += [digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
        return String(decoding: out, as: UTF8.self)
    }

    static func unhex(_ text: some StringProtocol) -> [UInt8]? {
        let places = text.utf8.map { digits.firstIndex(of: $0) }
        guard places.count.isMultiple(of: 2), !places.contains(nil) else { return nil }
        return stride(from: 0, to: places.count, by: 2).map { UInt8(places[$0]! << 4 | places[$0 + 1]!) }
    }

    static func base64(_ bytes: [UInt8]) -> String {
        var out: [UInt8] = []
        for at in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[at..<min(at + 3, bytes.count)]
            let value = group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - group.count))
            for place in 0..<4 { out.append(place <= group.count ? letters[Int(value >> UInt32(18 - 6 * place) & 63)] : 0x3d) }
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// Strict: canonical padding, no white space, unused bits zero.
    static func unbase64(_ text: some StringProtocol) -> [UInt8]? {
        let bytes = Array(text.utf8)
        guard bytes.count.isMultiple(of: 4) else { return nil }
        var out: [UInt8] = []
        for at in stride(from: 0, to: bytes.count, by: 4) {
            let isLast = at + 4 == bytes.count
            let pad = isLast ? (bytes[at + 3] == 0x3d ? (bytes[at + 2] == 0x3d ? 2 : 1) : 0) : 0
            var value: UInt32 = 0
            for place in 0..<4 - pad {
                guard let digit = letters.firstIndex(of: bytes[at + place]) else { return nil }
                value |= UInt32(digit) << UInt32(18 - 6 * place)
            }
            let group = [UInt8(truncatingIfNeeded: value >> 16), UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)]
            guard group.suffix(pad).allSatisfy({ $0 == 0 }) else { return nil }
            out += group.prefix(3 - pad)
        }
        return out
    }

    /// A decimal number below 2^63 without leading zeroes.
    static func decimal(_ text: some StringProtocol) -> UInt64? {
        let bytes = Array(text.utf8)
        guard (1...19).contains(bytes.count), bytes.allSatisfy({ 0x30...0x39 ~= $0 }), bytes.count == 1 || bytes[0] != 0x30 else { return nil }
        return UInt64(String(text)).flatMap { $0 <= UInt64(Int64.max) ? $0 : nil }
    }
}
