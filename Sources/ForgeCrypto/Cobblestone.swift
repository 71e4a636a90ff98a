package import ForgeCore

/// Cobblestone-256: C2SP chunked encryption (c2sp.org/chunked-encryption) with HKDF-Expand-SHA-512 and AES-256-GCM.
///
/// A message is `salt(24) ‖ commitment(32) ‖ chunk…`; each chunk is 16 KiB of plaintext and its 16-byte tag, the last one always shorter,
/// so that an end is recognised as an end. Key, salt and context are bound by the commitment before a byte is decrypted.
package enum Cobblestone {
    package static let keyCount = 32
    package static let saltCount = 24
    package static let commitmentCount = 32
    /// Bytes before the first chunk.
    package static let prefixCount = 56
    /// Plaintext bytes of every chunk but the last.
    package static let chunkCount = 16 << 10
    /// Ciphertext bytes of every chunk but the last.
    package static let strideCount = chunkCount + AES256GCM.tagCount
    /// Chunks a message may have.
    package static let chunksMax: UInt64 = 1 << 38

    private static let label = Array("c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0".utf8)

    /// Bytes of the message that holds `count` bytes of plaintext.
    package static func sealedCount(_ count: Int) -> Int {
        precondition(count >= 0, "a count is never negative")
        return prefixCount + count + (count / chunkCount + 1) * AES256GCM.tagCount
    }

    /// Bytes of plaintext in a message of this size, or nil when no message has this size.
    package static func plaintextCount(_ sealed: Int) -> Int? {
        guard sealed >= prefixCount + AES256GCM.tagCount else { return nil }
        let rest = (sealed - prefixCount) % strideCount
        guard rest >= AES256GCM.tagCount else { return nil }
        return (sealed - prefixCount) / strideCount * chunkCount + rest - AES256GCM.tagCount
    }

    /// Key and base nonce of one message; the commitment has been made or checked.
    struct MessageKey: ~Copyable, Sendable {
        private let cipher: AES256GCM
        private let baseNonce: [UInt8]
        let salt: [UInt8]
        let commitment: [UInt8]

        init(_ key: borrowing SecretBytes, salt: [UInt8], context: [UInt8]) {
            precondition(key.count == keyCount && salt.count == saltCount, "Cobblestone-256 takes a key of 32 and a salt of 24 bytes")
            let derived = HKDF.expandSHA512(key, info: label + salt + context, count: 32 + 12 + commitmentCount)
            cipher = AES256GCM(key: derived.slice(0..<32))
            baseNonce = derived.slice(32..<44).reveal()
            commitment = derived.slice(44..<76).reveal()
            self.salt = salt
        }

        private func nonce(_ index: UInt64) -> [UInt8] {
            precondition(index < chunksMax, "a message has at most 2^38 chunks")
            var nonce = baseNonce
            for i in 0..<5 { nonce[11 - i] ^= UInt8(truncatingIfNeeded: index >> UInt64(8 * i)) }
            return nonce
        }

        func seal(_ chunk: UnsafeRawBufferPointer, _ index: UInt64, into out: UnsafeMutableRawBufferPointer) {
            unsafe cipher.seal(chunk, nonce: nonce(index), into: out)
        }

        func open(_ chunk: UnsafeRawBufferPointer, _ index: UInt64, into out: UnsafeMutableRawBufferPointer) -> Bool {
            unsafe cipher.open(chunk, nonce: nonce(index), into: out)
        }
    }

    /// Seals a whole message under a fresh random salt.
    package static func seal(_ plaintext: [UInt8], key: borrowing SecretBytes, context: [UInt8]) -> [UInt8] {
        unsafe plaintext.withUnsafeBytes { unsafe seal($0, key: key, salt: Random.bytes(saltCount), context: context) }
    }

    /// Seals a secret without a copy outside secret memory: the form in which keys are wrapped (104 bytes for a key of 32).
    package static func seal(_ secret: borrowing SecretBytes, key: borrowing SecretBytes, context: [UInt8]) -> [UInt8] {
        unsafe secret.withUnsafeBytes { unsafe seal($0, key: key, salt: Random.bytes(saltCount), context: context) }
    }

    /// With a given salt, for test vectors: the same salt for two messages under one key gives both away.
    package static func seal(_ plaintext: [UInt8], key: borrowing SecretBytes, salt: [UInt8], context: [UInt8]) -> [UInt8] {
        unsafe plaintext.withUnsafeBytes { unsafe seal($0, key: key, salt: salt, context: context) }
    }

    static func seal(_ plaintext: UnsafeRawBufferPointer, key: borrowing SecretBytes, salt: [UInt8], context: [UInt8]) -> [UInt8] {
        let message = MessageKey(key, salt: salt, context: context)
        var out = [UInt8](repeating: 0, count: sealedCount(plaintext.count))
        out.replaceSubrange(0..<saltCount, with: salt)
        out.replaceSubrange(saltCount..<prefixCount, with: message.commitment)
        unsafe out.withUnsafeMutableBytes { out in
            for index in 0...plaintext.count / chunkCount {
                let start = index * chunkCount
                let count = min(chunkCount, plaintext.count - start)
                let at = prefixCount + index * strideCount
                let from = unsafe UnsafeRawBufferPointer(rebasing: plaintext[start..<start + count])
                let to = unsafe UnsafeMutableRawBufferPointer(rebasing: out[at..<at + count + AES256GCM.tagCount])
                unsafe message.seal(from, UInt64(index), into: to)
            }
        }
        return out
    }

    /// Opens a whole message.
    /// - Throws: `.environment` when the key or context is another one, or a byte was changed; no plaintext is released then.
    package static func open(_ message: [UInt8], key: borrowing SecretBytes, context: [UInt8]) throws(Fault) -> [UInt8] {
        guard let count = plaintextCount(message.count) else { throw CobblestoneFault.truncated.fault }
        var out = [UInt8](repeating: 0, count: count)
        let result = unsafe message.withUnsafeBytes { m in unsafe out.withUnsafeMutableBytes { unsafe open(m, key: key, context: context, into: $0) } }
        if let result { throw result.fault }
        return out
    }

    /// Opens a wrapped key into secret memory.
    package static func openSecret(_ message: [UInt8], key: borrowing SecretBytes, context: [UInt8]) throws(Fault) -> SecretBytes {
        guard let count = plaintextCount(message.count) else { throw CobblestoneFault.truncated.fault }
        var out = SecretBytes(count: count)
        let result = unsafe message.withUnsafeBytes { m in unsafe out.withUnsafeMutableBytes { unsafe open(m, key: key, context: context, into: $0) } }
        if let result { throw result.fault }
        return out
    }

    /// - Returns: nil on success; on failure `out` is zeroed.
    static func open(
        _ sealed: UnsafeRawBufferPointer, key: borrowing SecretBytes, context: [UInt8], into out: UnsafeMutableRawBufferPointer
    ) -> CobblestoneFault? {
        guard plaintextCount(sealed.count) == out.count else { return .truncated }
        guard key.count == keyCount else { return .commitment }
        let salt = unsafe Array(sealed[0..<saltCount])
        let message = MessageKey(key, salt: salt, context: context)
        guard unsafe constantTimeEqual(Array(sealed[saltCount..<prefixCount]), message.commitment) else { return .commitment }
        for index in 0...out.count / chunkCount {
            let start = index * chunkCount
            let count = min(chunkCount, out.count - start)
            let at = prefixCount + index * strideCount
            let from = unsafe UnsafeRawBufferPointer(rebasing: sealed[at..<at + count + AES256GCM.tagCount])
            let to = unsafe UnsafeMutableRawBufferPointer(rebasing: out[start..<start + count])
            guard unsafe message.open(from, UInt64(index), into: to) else {
                for i in out.indices { unsafe out[i] = 0 }
                return .chunk(UInt64(index))
            }
        }
        return nil
    }
}

/// Why a message does not open.
enum CobblestoneFault: Error, Hashable, Sendable {
    case truncated
    case commitment
    case chunk(UInt64)

    var fault: Fault {
        switch self {
        case .truncated:
            Fault(.environment, "seal.truncated", "the sealed bytes do not open", why: "their count is not that of a whole message", remedy: Self.remedy)
        case .commitment:
            Fault(
                .environment, "seal.commitment", "the sealed bytes do not open",
                why: "their key commitment does not fit: another key, another place, or changed bytes", remedy: Self.remedy)
        case .chunk(let index):
            Fault(.environment, "seal.chunk", "the sealed bytes do not open", why: "chunk \(index) was changed or cut", remedy: Self.remedy)
        }
    }

    static let remedy = "restore the file from a backup; `forge audit query` tells who last touched it"
}
