internal import COpenSSL

/// HKDF's expand step with SHA-512 (RFC 5869, section 2.3). The input key must be uniformly random; passphrases go through `Scrypt` first.
package enum HKDF {
    /// The most bytes one call gives: 255 blocks of 64.
    package static let countMax = 255 * 64

    package static func expandSHA512(_ key: borrowing SecretBytes, info: [UInt8], count: Int) -> SecretBytes {
        var out = SecretBytes(count: count)
        unsafe key.withUnsafeBytes { key in
            unsafe out.withUnsafeMutableBytes { out in unsafe expand(key, info: info, into: out) }
        }
        return out
    }

    /// For test vectors and public values only; a secret belongs into the other form.
    package static func expandSHA512(_ key: [UInt8], info: [UInt8], count: Int) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: count)
        unsafe key.withUnsafeBytes { key in
            unsafe out.withUnsafeMutableBytes { out in unsafe expand(key, info: info, into: out) }
        }
        return out
    }

    private static func expand(_ key: UnsafeRawBufferPointer, info: [UInt8], into out: UnsafeMutableRawBufferPointer) {
        precondition(out.count > 0 && out.count <= countMax, "HKDF gives 1 to \(countMax) bytes")
        precondition(info.count <= 32 << 10, "HKDF's info stays below 32 KiB")
        guard let context = unsafe EVP_KDF_CTX_new(Algorithm.hkdf) else { preconditionFailure("no memory for a key derivation") }
        defer { unsafe EVP_KDF_CTX_free(context) }
        var mode = Int32(EVP_KDF_HKDF_MODE_EXPAND_ONLY)
        var info = info
        let infoCount = info.count
        let done = unsafe withUnsafeMutablePointer(to: &mode) { mode in
            unsafe info.withUnsafeMutableBytes { info in
                var parameters = unsafe [
                    OSSL_PARAM_construct_int(ParameterName.mode, mode),
                    OSSL_PARAM_construct_utf8_string(ParameterName.digest, UnsafeMutablePointer(mutating: ParameterName.sha512), 0),
                    OSSL_PARAM_construct_octet_string(ParameterName.key, UnsafeMutableRawPointer(mutating: key.baseAddress), key.count),
                ]
                if infoCount > 0 { unsafe parameters.append(OSSL_PARAM_construct_octet_string(ParameterName.info, info.baseAddress, infoCount)) }
                unsafe parameters.append(OSSL_PARAM_construct_end())
                return unsafe EVP_KDF_derive(context, out.baseAddress?.assumingMemoryBound(to: UInt8.self), out.count, &parameters)
            }
        }
        precondition(done == 1, "HKDF-Expand-SHA-512 failed")
    }
}
