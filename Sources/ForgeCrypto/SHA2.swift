internal import COpenSSL
package import ForgeCore

/// SHA-256 of a stream (FIPS 180-4).
@safe package struct SHA256Hasher: ~Copyable, @unchecked Sendable {
    // SAFETY: not copyable, so exactly one owner at a time touches the context.
    private let context: OpaquePointer

    package init() {
        guard let context = unsafe EVP_MD_CTX_new() else { preconditionFailure("no memory for a digest") }
        precondition(unsafe EVP_DigestInit_ex2(context, Algorithm.sha256, nil) == 1, "SHA-256 cannot start")
        unsafe self.context = unsafe context
    }

    deinit { unsafe EVP_MD_CTX_free(context) }

    package mutating func update(_ bytes: [UInt8]) {
        precondition(unsafe EVP_DigestUpdate(context, bytes, bytes.count) == 1, "SHA-256 cannot continue")
    }

    package mutating func update(_ bytes: ArraySlice<UInt8>) {
        unsafe bytes.withUnsafeBytes { p in
            precondition(unsafe EVP_DigestUpdate(context, p.baseAddress, p.count) == 1, "SHA-256 cannot continue")
        }
    }

    package mutating func update(_ bytes: RawSpan) {
        unsafe bytes.withUnsafeBytes { p in
            precondition(unsafe EVP_DigestUpdate(context, p.baseAddress, p.count) == 1, "SHA-256 cannot continue")
        }
    }

    package mutating func update(_ text: String) { update(Array(text.utf8)) }

    package consuming func finish() -> Digest { digestSoFar() }

    /// One that has seen the same and goes its own way from here.
    package borrowing func copy() -> SHA256Hasher { unsafe SHA256Hasher(like: context) }

    private init(like other: OpaquePointer) {
        self.init()
        precondition(unsafe EVP_MD_CTX_copy_ex(context, other) == 1, "SHA-256 can be continued later")
    }

    /// The digest of what came so far; more may follow.
    package borrowing func digestSoFar() -> Digest {
        guard let twin = unsafe EVP_MD_CTX_new() else { preconditionFailure("no memory for a digest") }
        defer { unsafe EVP_MD_CTX_free(twin) }
        var out = [UInt8](repeating: 0, count: Digest.count)
        precondition(unsafe EVP_MD_CTX_copy_ex(twin, context) == 1, "SHA-256 can be continued later")
        precondition(unsafe EVP_DigestFinal_ex(twin, &out, nil) == 1, "SHA-256 cannot finish")
        return Digest(out)!
    }
}

extension Digest {
    package static func sha256(_ bytes: [UInt8]) -> Digest {
        var out = [UInt8](repeating: 0, count: Digest.count)
        precondition(unsafe EVP_Digest(bytes, bytes.count, &out, nil, Algorithm.sha256, nil) == 1, "SHA-256 failed")
        return Digest(out)!
    }

    package static func sha256(_ bytes: some Sequence<UInt8>) -> Digest { sha256(Array(bytes)) }
    package static func sha256(_ text: String) -> Digest { sha256(Array(text.utf8)) }
    package static func sha256(_ bytes: RawSpan) -> Digest {
        var hasher = SHA256Hasher()
        hasher.update(bytes)
        return hasher.finish()
    }
}

/// SHA-512, 64 bytes. Forge stores SHA-256 everywhere; this one serves SSH signatures.
package func sha512(_ bytes: [UInt8]) -> [UInt8] {
    var out = [UInt8](repeating: 0, count: 64)
    precondition(unsafe EVP_Digest(bytes, bytes.count, &out, nil, Algorithm.sha512, nil) == 1, "SHA-512 failed")
    return out
}
