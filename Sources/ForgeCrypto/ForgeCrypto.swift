// ForgeCrypto: every cryptographic operation of the house, on OpenSSL 3's libcrypto.
//
// owns      digests, MACs, key derivation, AES-256-GCM, Cobblestone-256, signatures (Ed25519, ECDSA P-256, SSHSIG), secret memory
// promises  algorithms are fetched from the provider once and by name; bytes from outside throw a `Fault`, never trap; a secret lives in
//           `SecretBytes` (locked where the kernel allows it, wiped when it goes) and is never an `Array` longer than a call
// never     chooses what to protect or who may read (ForgeVault, ForgeGate); implements a primitive that libcrypto has
// flow      key + context → Cobblestone → message → SealedFile → ForgeVault, ForgeData, ForgeTraining
//
// Nothing here calls a function that OpenSSL 3.0 deprecates. A failure that only a bug or an exhausted machine can cause stops the process
// with a sentence: no caller could continue safely without its random numbers or its cipher.
internal import COpenSSL

/// The provider's algorithms, fetched once. Fetching by name (rather than `EVP_sha256()`) keeps to the provider the site configured.
enum Algorithm {
    // SAFETY: fetched objects are immutable and reference-counted by libcrypto, which documents them as usable from any thread.
    nonisolated(unsafe) static let sha256 = unsafe digest("SHA256")
    nonisolated(unsafe) static let sha512 = unsafe digest("SHA512")
    nonisolated(unsafe) static let aes256GCM = unsafe cipher("AES-256-GCM")
    nonisolated(unsafe) static let hmac = unsafe mac("HMAC")
    nonisolated(unsafe) static let hkdf = unsafe kdf("HKDF")

    private static func digest(_ name: String) -> OpaquePointer {
        guard let found = unsafe EVP_MD_fetch(nil, name, nil) else { preconditionFailure("libcrypto offers no \(name)") }
        return unsafe found
    }

    private static func cipher(_ name: String) -> OpaquePointer {
        guard let found = unsafe EVP_CIPHER_fetch(nil, name, nil) else { preconditionFailure("libcrypto offers no \(name)") }
        return unsafe found
    }

    private static func mac(_ name: String) -> OpaquePointer {
        guard let found = unsafe EVP_MAC_fetch(nil, name, nil) else { preconditionFailure("libcrypto offers no \(name)") }
        return unsafe found
    }

    private static func kdf(_ name: String) -> OpaquePointer {
        guard let found = unsafe EVP_KDF_fetch(nil, name, nil) else { preconditionFailure("libcrypto offers no \(name)") }
        return unsafe found
    }
}

/// Names of libcrypto's parameters as C strings that live for ever: `OSSL_PARAM` keeps the pointer, so a bridged Swift string would dangle.
enum ParameterName {
    static var digest: UnsafePointer<CChar> { unsafe name("digest") }
    static var mode: UnsafePointer<CChar> { unsafe name("mode") }
    static var key: UnsafePointer<CChar> { unsafe name("key") }
    static var info: UnsafePointer<CChar> { unsafe name("info") }
    static var sha256: UnsafePointer<CChar> { unsafe name("SHA256") }
    static var sha512: UnsafePointer<CChar> { unsafe name("SHA512") }

    // A literal's bytes are static, end in a zero and are ASCII here.
    private static func name(_ literal: StaticString) -> UnsafePointer<CChar> {
        unsafe UnsafeRawPointer(literal.utf8Start).assumingMemoryBound(to: CChar.self)
    }
}

/// Compares without revealing by its duration where two byte strings differ. Counts are not secret.
package func constantTimeEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    guard a.count == b.count else { return false }
    return unsafe CRYPTO_memcmp(a, b, a.count) == 0
}

/// The system's random source as libcrypto seeds it.
package enum Random {
    package static func bytes(_ count: Int) -> [UInt8] {
        precondition(count >= 0, "a count is never negative")
        var out = [UInt8](repeating: 0, count: count)
        precondition(unsafe RAND_bytes_ex(nil, &out, count, 256) == 1, "the system gives no random bytes")
        return out
    }
}
