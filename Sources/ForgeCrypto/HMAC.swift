internal import COpenSSL

/// HMAC-SHA-256 (RFC 2104), 32 bytes.
package func hmacSHA256(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
    unsafe key.withUnsafeBytes { unsafe hmac(ParameterName.sha256, count: 32, key: $0, message) }
}

package func hmacSHA256(key: borrowing SecretBytes, _ message: [UInt8]) -> [UInt8] {
    unsafe key.withUnsafeBytes { unsafe hmac(ParameterName.sha256, count: 32, key: $0, message) }
}

/// HMAC-SHA-512, 64 bytes: also HKDF's extract step with the salt as key (RFC 5869, section 2.2).
package func hmacSHA512(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
    unsafe key.withUnsafeBytes { unsafe hmac(ParameterName.sha512, count: 64, key: $0, message) }
}

private func hmac(_ digest: UnsafePointer<CChar>, count: Int, key: UnsafeRawBufferPointer, _ message: [UInt8]) -> [UInt8] {
    guard let context = unsafe EVP_MAC_CTX_new(Algorithm.hmac) else { preconditionFailure("no memory for a MAC") }
    defer { unsafe EVP_MAC_CTX_free(context) }
    var out = [UInt8](repeating: 0, count: count)
    var parameters = unsafe [
        OSSL_PARAM_construct_utf8_string(ParameterName.digest, UnsafeMutablePointer(mutating: digest), 0), OSSL_PARAM_construct_end(),
    ]
    // An empty key is a valid key, but libcrypto takes a null pointer for "keep the former key".
    var nothing: UInt8 = 0
    let start = unsafe withUnsafePointer(to: &nothing) { nothing in
        unsafe EVP_MAC_init(context, key.baseAddress.map { unsafe $0.assumingMemoryBound(to: UInt8.self) } ?? nothing, key.count, &parameters)
    }
    precondition(start == 1, "HMAC cannot start")
    var written = 0
    precondition(unsafe EVP_MAC_update(context, message, message.count) == 1, "HMAC cannot continue")
    precondition(unsafe EVP_MAC_final(context, &out, &written, count) == 1 && written == count, "HMAC cannot finish")
    return out
}
