internal import COpenSSL
package import ForgeCore

/// scrypt (RFC 7914): makes a guess at a passphrase cost memory and time.
package struct Scrypt: Hashable, Sendable {
    /// CPU and memory cost, a power of two.
    package let n: UInt64
    package let r: UInt64
    package let p: UInt64

    /// 2^17, 8, 1: half a second and 128 MiB a guess.
    package static let standard = Scrypt(n: 1 << 17, r: 8, p: 1)!

    /// - Returns: nil unless the cost is a power of two within 2^4 … 2^20, `r` within 1…16 and `p` within 1…16: more would let a
    ///   forged file exhaust the machine before its MAC is checked.
    package init?(n: UInt64, r: UInt64, p: UInt64) {
        guard n.nonzeroBitCount == 1, (1 << 4)...(1 << 20) ~= n, 1...16 ~= r, 1...16 ~= p else { return nil }
        self.n = n
        self.r = r
        self.p = p
    }

    package func derive(_ passphrase: borrowing SecretBytes, salt: [UInt8], count: Int) throws(Fault) -> SecretBytes {
        var out = SecretBytes(count: count)
        let memory = 128 * n * r + 128 * r * p + (32 << 20)
        let done = unsafe passphrase.withUnsafeBytes { pass in
            unsafe out.withUnsafeMutableBytes { out in
                unsafe EVP_PBE_scrypt(
                    pass.baseAddress?.assumingMemoryBound(to: CChar.self), pass.count, salt, salt.count, n, r, p, memory,
                    out.baseAddress?.assumingMemoryBound(to: UInt8.self), out.count)
            }
        }
        guard done == 1 else {
            throw Fault(
                .environment, "crypto.scrypt", "cannot derive a key from the passphrase", why: "libcrypto gave no \(ByteCount(Int64(memory))) of memory",
                remedy: "free memory and try again", retryable: true)
        }
        return out
    }
}
