internal import COpenSSL

/// An owned `EVP_PKEY` and the two one-shot operations every key type shares.
@safe final class EVPKey: @unchecked Sendable {
    // SAFETY: never changed after it was made; libcrypto allows concurrent use of one key through separate contexts.
    let pointer: OpaquePointer

    init(adopting pointer: OpaquePointer) { unsafe self.pointer = pointer }
    deinit { unsafe EVP_PKEY_free(pointer) }

    /// Reads a SubjectPublicKeyInfo. Nil for anything that is not exactly one key.
    convenience init?(publicKeyDER der: [UInt8]) {
        let read = unsafe der.withUnsafeBufferPointer { p -> OpaquePointer? in
            var at = p.baseAddress
            guard let key = unsafe d2i_PUBKEY_ex(nil, &at, p.count, nil, nil) else { return nil }
            guard let base = p.baseAddress, let end = unsafe at, unsafe (end - base) == p.count else {
                unsafe EVP_PKEY_free(key)
                return nil
            }
            return unsafe key
        }
        guard let read = unsafe read else {
            ERR_clear_error()
            return nil
        }
        unsafe self.init(adopting: read)
    }

    /// - Parameter digest: `SHA256`, `SHA512`, or nil where the algorithm hashes by itself.
    func verify(_ signature: [UInt8], of message: [UInt8], digest: String?) -> Bool {
        guard let context = unsafe EVP_MD_CTX_new() else { preconditionFailure("no memory for a signature") }
        defer { unsafe EVP_MD_CTX_free(context) }
        guard unsafe EVP_DigestVerifyInit_ex(context, nil, digest, nil, nil, pointer, nil) == 1 else { return EVPKey.forgetErrors(false) }
        let genuine = unsafe EVP_DigestVerify(context, signature, signature.count, message, message.count) == 1
        return EVPKey.forgetErrors(genuine)
    }

    func sign(_ message: [UInt8], digest: String?) -> [UInt8] {
        guard let context = unsafe EVP_MD_CTX_new() else { preconditionFailure("no memory for a signature") }
        defer { unsafe EVP_MD_CTX_free(context) }
        precondition(unsafe EVP_DigestSignInit_ex(context, nil, digest, nil, nil, pointer, nil) == 1, "the key signs")
        var count = 0
        precondition(unsafe EVP_DigestSign(context, nil, &count, message, message.count) == 1, "the signature has a size")
        var out = [UInt8](repeating: 0, count: count)
        precondition(unsafe EVP_DigestSign(context, &out, &count, message, message.count) == 1, "the key signs")
        return Array(out.prefix(count))
    }

    /// libcrypto keeps a queue of errors a thread; ours are expected answers, so they are taken off it.
    static func forgetErrors<T>(_ value: T) -> T {
        ERR_clear_error()
        return value
    }
}
