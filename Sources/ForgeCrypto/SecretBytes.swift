internal import COpenSSL

/// A secret: one owner, in libcrypto's locked arena with guard pages (ordinary memory when the kernel grants no lock), wiped when it goes.
///
/// It is never printed, compared with `==` or encoded. `withUnsafeBytes` exists for this target; others use the operations that take a key.
@safe package struct SecretBytes: ~Copyable, @unchecked Sendable {
    // SAFETY: not copyable, so one owner at a time; the memory is written only through `mutating` members.
    private let start: UnsafeMutableRawPointer
    package let count: Int

    /// The arena every secret of the process shares. 256 KiB hold some four thousand keys; beyond it memory is ordinary but still wiped.
    private static let arena: Bool = CRYPTO_secure_malloc_init(256 << 10, 32) != 0

    /// Zeroes, to be filled.
    package init(count: Int) {
        precondition(count >= 0, "a count is never negative")
        _ = SecretBytes.arena
        let wanted = max(count, 1)
        guard let memory = unsafe CRYPTO_secure_zalloc(wanted, nil, 0) ?? CRYPTO_zalloc(wanted, nil, 0) else {
            preconditionFailure("no memory for a secret")
        }
        unsafe start = unsafe memory
        self.count = count
    }

    /// Takes over bytes that came from outside (a passphrase, a share). The caller's copy stays the caller's to forget: see `wipe`.
    package init(copying bytes: [UInt8]) {
        self.init(count: bytes.count)
        unsafe bytes.withUnsafeBytes { unsafe start.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(start), byteCount: $0.count) }
    }

    /// Takes the bytes over and wipes the array they came in.
    package init(taking bytes: inout [UInt8]) {
        self.init(copying: bytes)
        wipe(&bytes)
    }

    /// Fresh and uniformly random.
    package static func random(_ count: Int) -> SecretBytes {
        var fresh = SecretBytes(count: count)
        unsafe fresh.withUnsafeMutableBytes { p in
            precondition(
                unsafe RAND_priv_bytes_ex(nil, p.baseAddress?.assumingMemoryBound(to: UInt8.self), p.count, 256) == 1, "the system gives no random bytes")
        }
        return fresh
    }

    deinit { unsafe CRYPTO_secure_clear_free(start, max(count, 1), nil, 0) }

    package borrowing func copy() -> SecretBytes {
        var twin = SecretBytes(count: count)
        unsafe withUnsafeBytes { from in unsafe twin.withUnsafeMutableBytes { unsafe $0.copyMemory(from: from) } }
        return twin
    }

    /// A part of the secret as a secret of its own.
    package borrowing func slice(_ range: Range<Int>) -> SecretBytes {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "the range lies within the secret")
        var part = SecretBytes(count: range.count)
        unsafe withUnsafeBytes { from in
            unsafe part.withUnsafeMutableBytes { unsafe $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: from[range])) }
        }
        return part
    }

    /// The bytes as an array, for the one place that must hand a secret out (a released key, a printed recovery key). Wipe it afterwards.
    package borrowing func reveal() -> [UInt8] { unsafe withUnsafeBytes { unsafe Array($0) } }

    package borrowing func equals(_ other: borrowing SecretBytes) -> Bool {
        guard count == other.count else { return false }
        return unsafe CRYPTO_memcmp(start, other.start, count) == 0
    }

    package borrowing func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try unsafe body(UnsafeRawBufferPointer(start: start, count: count))
    }

    package mutating func withUnsafeMutableBytes<R, E: Error>(_ body: (UnsafeMutableRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try unsafe body(UnsafeMutableRawBufferPointer(start: start, count: count))
    }
}

/// Overwrites bytes in a way the compiler does not remove.
package func wipe(_ bytes: inout [UInt8]) {
    unsafe bytes.withUnsafeMutableBytes { unsafe OPENSSL_cleanse($0.baseAddress, $0.count) }
    bytes.removeAll(keepingCapacity: false)
}
