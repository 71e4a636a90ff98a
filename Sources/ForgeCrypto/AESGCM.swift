internal import COpenSSL

/// AES-256-GCM with a 96-bit nonce and a 128-bit tag (NIST SP 800-38D), one key for many chunks.
///
/// Callers outside this target use Cobblestone, which cannot repeat a nonce; this is its engine, and public to tests for their vectors.
@safe package struct AES256GCM: ~Copyable, @unchecked Sendable {
    package static let keyCount = 32
    package static let nonceCount = 12
    package static let tagCount = 16

    // SAFETY: not copyable, so one owner at a time uses the context.
    private let context: OpaquePointer

    package init(key: borrowing SecretBytes) {
        precondition(key.count == AES256GCM.keyCount, "AES-256 takes a key of 32 bytes")
        guard let context = unsafe EVP_CIPHER_CTX_new() else { preconditionFailure("no memory for a cipher") }
        let ready = unsafe key.withUnsafeBytes {
            unsafe EVP_CipherInit_ex2(context, Algorithm.aes256GCM, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), nil, 1, nil)
        }
        precondition(ready == 1, "AES-256-GCM cannot start")
        unsafe self.context = unsafe context
    }

    deinit { unsafe EVP_CIPHER_CTX_free(context) }

    /// - Precondition: `out` holds `plaintext.count + 16` bytes: ciphertext, then tag.
    func seal(_ plaintext: UnsafeRawBufferPointer, nonce: [UInt8], aad: [UInt8] = [], into out: UnsafeMutableRawBufferPointer) {
        precondition(out.count == plaintext.count + AES256GCM.tagCount && nonce.count == AES256GCM.nonceCount, "sizes of a sealed chunk match")
        precondition(unsafe EVP_CipherInit_ex2(context, nil, nil, nonce, 1, nil) == 1, "AES-256-GCM takes its nonce")
        let bytes = unsafe out.baseAddress!.assumingMemoryBound(to: UInt8.self)
        var written: Int32 = 0
        if !aad.isEmpty {
            precondition(unsafe EVP_CipherUpdate(context, nil, &written, aad, Int32(aad.count)) == 1, "AES-256-GCM takes its associated data")
        }
        if plaintext.count > 0 {
            let fed = unsafe EVP_CipherUpdate(
                context, bytes, &written, plaintext.baseAddress!.assumingMemoryBound(to: UInt8.self), Int32(plaintext.count))
            precondition(fed == 1 && Int(written) == plaintext.count, "AES-256-GCM encrypts")
        }
        precondition(unsafe EVP_CipherFinal_ex(context, bytes + plaintext.count, &written) == 1, "AES-256-GCM finishes")
        let tagged = unsafe EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(AES256GCM.tagCount), bytes + plaintext.count)
        precondition(tagged == 1, "AES-256-GCM gives its tag")
    }

    /// - Returns: false, and zeroes in `out`, when the tag does not match.
    func open(_ sealed: UnsafeRawBufferPointer, nonce: [UInt8], aad: [UInt8] = [], into out: UnsafeMutableRawBufferPointer) -> Bool {
        guard sealed.count >= AES256GCM.tagCount, nonce.count == AES256GCM.nonceCount, out.count == sealed.count - AES256GCM.tagCount else { return false }
        precondition(unsafe EVP_CipherInit_ex2(context, nil, nil, nonce, 0, nil) == 1, "AES-256-GCM takes its nonce")
        let bytes = unsafe sealed.baseAddress!.assumingMemoryBound(to: UInt8.self)
        var written: Int32 = 0
        if !aad.isEmpty {
            precondition(unsafe EVP_CipherUpdate(context, nil, &written, aad, Int32(aad.count)) == 1, "AES-256-GCM takes its associated data")
        }
        if out.count > 0 {
            let fed = unsafe EVP_CipherUpdate(context, out.baseAddress!.assumingMemoryBound(to: UInt8.self), &written, bytes, Int32(out.count))
            precondition(fed == 1, "AES-256-GCM decrypts")
        }
        let tag = unsafe UnsafeMutableRawPointer(mutating: bytes + out.count)
        precondition(unsafe EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(AES256GCM.tagCount), tag) == 1, "AES-256-GCM takes its tag")
        var rest: UInt8 = 0
        if unsafe EVP_CipherFinal_ex(context, &rest, &written) == 1 { return true }
        if out.count > 0 { unsafe OPENSSL_cleanse(out.baseAddress, out.count) }
        return false
    }

    package borrowing func seal(_ plaintext: [UInt8], nonce: [UInt8], aad: [UInt8] = []) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: plaintext.count + AES256GCM.tagCount)
        unsafe plaintext.withUnsafeBytes { p in unsafe out.withUnsafeMutableBytes { unsafe seal(p, nonce: nonce, aad: aad, into: $0) } }
        return out
    }

    package borrowing func open(_ sealed: [UInt8], nonce: [UInt8], aad: [UInt8] = []) -> [UInt8]? {
        guard sealed.count >= AES256GCM.tagCount else { return nil }
        var out = [UInt8](repeating: 0, count: sealed.count - AES256GCM.tagCount)
        let genuine = unsafe sealed.withUnsafeBytes { s in unsafe out.withUnsafeMutableBytes { unsafe open(s, nonce: nonce, aad: aad, into: $0) } }
        return genuine ? out : nil
    }
}
