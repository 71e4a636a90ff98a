internal import COpenSSL

/// Ed25519 (RFC 8032), pure, over raw 32-byte keys.
package enum Ed25519 {
    package static let signatureCount = 64

    package struct PublicKey: Hashable, Sendable {
        package let raw: [UInt8]

        /// - Returns: nil unless there are 32 bytes. Whether they are a point is found out at the first verification.
        package init?(_ raw: some Sequence<UInt8>) {
            let raw = Array(raw)
            guard raw.count == 32 else { return nil }
            self.raw = raw
        }

        package func verify(_ signature: [UInt8], of message: [UInt8]) -> Bool {
            guard signature.count == Ed25519.signatureCount else { return false }
            guard let key = unsafe EVP_PKEY_new_raw_public_key_ex(nil, "ED25519", nil, raw, raw.count) else { return EVPKey.forgetErrors(false) }
            return unsafe EVPKey(adopting: key).verify(signature, of: message, digest: nil)
        }
    }

    package final class PrivateKey: Sendable {
        private let key: EVPKey
        package let publicKey: PublicKey

        /// A fresh key.
        package convenience init() {
            // Any 32 random bytes are an Ed25519 seed, so this cannot fail.
            self.init(seed: SecretBytes.random(32))!
        }

        /// - Returns: nil unless the seed has 32 bytes.
        package init?(seed: borrowing SecretBytes) {
            guard seed.count == 32 else { return nil }
            let made = unsafe seed.withUnsafeBytes {
                unsafe EVP_PKEY_new_raw_private_key_ex(nil, "ED25519", nil, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count)
            }
            guard let made = unsafe made else { preconditionFailure("libcrypto offers no Ed25519") }
            key = unsafe EVPKey(adopting: made)
            var raw = [UInt8](repeating: 0, count: 32)
            var count = raw.count
            precondition(unsafe EVP_PKEY_get_raw_public_key(made, &raw, &count) == 1 && count == 32, "an Ed25519 key has its public half")
            publicKey = PublicKey(raw)!
        }

        /// The 32-byte seed, to be wrapped.
        package var seed: SecretBytes {
            var out = SecretBytes(count: 32)
            let read = unsafe out.withUnsafeMutableBytes { p in
                var count = p.count
                return unsafe EVP_PKEY_get_raw_private_key(key.pointer, p.baseAddress?.assumingMemoryBound(to: UInt8.self), &count)
            }
            precondition(read == 1, "an Ed25519 key has its seed")
            return out
        }

        /// - Returns: 64 bytes, the same for the same message.
        package func sign(_ message: [UInt8]) -> [UInt8] { key.sign(message, digest: nil) }
    }
}
