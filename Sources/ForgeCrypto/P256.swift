internal import COpenSSL

/// ECDSA over NIST P-256 with SHA-256; signatures in DER (SEC 1, FIPS 186-4). The key type OpenSSF Model Signing verifies.
package enum P256 {
    /// SubjectPublicKeyInfo up to the point: id-ecPublicKey, prime256v1, a bit string of 66 bytes (RFC 5480).
    static let spkiPrefix: [UInt8] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
        0x03, 0x42, 0x00,
    ]

    package struct PublicKey: Hashable, Sendable {
        /// 0x04, x, y: 65 bytes.
        package let point: [UInt8]

        /// - Returns: nil unless this is an uncompressed point on the curve.
        package init?(point: some Sequence<UInt8>) {
            let point = Array(point)
            guard point.count == 65, point[0] == 4, EVPKey(publicKeyDER: P256.spkiPrefix + point) != nil else { return nil }
            self.point = point
        }

        /// Reads `-----BEGIN PUBLIC KEY-----`.
        package init?(pem: String) {
            guard let der = PEM.decode(pem, label: "PUBLIC KEY"), der.starts(with: P256.spkiPrefix) else { return nil }
            self.init(point: der.dropFirst(P256.spkiPrefix.count))
        }

        package var der: [UInt8] { P256.spkiPrefix + point }
        package var pem: String { PEM.encode(der, label: "PUBLIC KEY") }

        /// - Parameter signature: DER; a signature in any other encoding of the same numbers is refused.
        package func verify(_ signature: [UInt8], of message: [UInt8]) -> Bool {
            guard let key = EVPKey(publicKeyDER: der) else { return false }
            return key.verify(signature, of: message, digest: "SHA256")
        }
    }

    package final class PrivateKey: Sendable {
        private let key: EVPKey
        package let publicKey: PublicKey

        /// A fresh key.
        package convenience init() {
            guard let context = unsafe EVP_PKEY_CTX_new_from_name(nil, "EC", nil) else { preconditionFailure("libcrypto offers no elliptic curves") }
            defer { unsafe EVP_PKEY_CTX_free(context) }
            precondition(unsafe EVP_PKEY_keygen_init(context) == 1, "a key can be made")
            precondition(unsafe EVP_PKEY_CTX_set_group_name(context, "P-256") == 1, "libcrypto knows P-256")
            var made: OpaquePointer? = nil
            precondition(unsafe EVP_PKEY_generate(context, &made) == 1, "a P-256 key can be made")
            unsafe self.init(EVPKey(adopting: made!))!
        }

        /// Reads what `der` gave: a SEC 1 ECPrivateKey (RFC 5915).
        package convenience init?(der: borrowing SecretBytes) {
            let read = unsafe der.withUnsafeBytes { p -> OpaquePointer? in
                var at = unsafe p.baseAddress?.assumingMemoryBound(to: UInt8.self)
                return unsafe d2i_AutoPrivateKey_ex(nil, &at, p.count, nil, nil)
            }
            guard let read = unsafe read else {
                ERR_clear_error()
                return nil
            }
            unsafe self.init(EVPKey(adopting: read))
        }

        private init?(_ key: EVPKey) {
            let count = unsafe i2d_PUBKEY(key.pointer, nil)
            guard count == Int32(P256.spkiPrefix.count + 65) else {
                ERR_clear_error()
                return nil
            }
            var der = [UInt8](repeating: 0, count: Int(count))
            unsafe der.withUnsafeMutableBufferPointer { p in
                var at = p.baseAddress
                _ = unsafe i2d_PUBKEY(key.pointer, &at)
            }
            guard der.starts(with: P256.spkiPrefix), let point = PublicKey(point: der.dropFirst(P256.spkiPrefix.count)) else { return nil }
            self.key = key
            publicKey = point
        }

        /// The private key in DER, to be wrapped.
        package var der: SecretBytes {
            let count = unsafe i2d_PrivateKey(key.pointer, nil)
            precondition(count > 0, "a P-256 key can be written")
            var out = SecretBytes(count: Int(count))
            unsafe out.withUnsafeMutableBytes { p in
                var at = unsafe p.baseAddress?.assumingMemoryBound(to: UInt8.self)
                precondition(unsafe i2d_PrivateKey(key.pointer, &at) == count, "a P-256 key can be written")
            }
            return out
        }

        /// - Returns: a DER signature; two signatures of one message differ, as ECDSA's nonce is random.
        package func sign(_ message: [UInt8]) -> [UInt8] { key.sign(message, digest: "SHA256") }
    }
}
