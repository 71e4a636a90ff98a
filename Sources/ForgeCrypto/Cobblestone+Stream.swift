package import ForgeCore

extension Cobblestone {
    /// Seals a message piece by piece; at most one chunk waits inside.
    package struct Sealer: ~Copyable, Sendable {
        private let message: MessageKey
        private var waiting: [UInt8] = []
        private var index: UInt64 = 0

        package init(key: borrowing SecretBytes, context: [UInt8]) {
            message = MessageKey(key, salt: Random.bytes(saltCount), context: context)
            waiting.reserveCapacity(chunkCount)
        }

        /// Salt and commitment: the message's first 56 bytes.
        package var prefix: [UInt8] { message.salt + message.commitment }

        /// Takes plaintext and appends the ciphertext that became complete.
        package mutating func update(_ plaintext: ArraySlice<UInt8>, into out: inout [UInt8]) {
            var rest = plaintext
            if !waiting.isEmpty {
                let taken = rest.prefix(chunkCount - waiting.count)
                waiting += taken
                rest = rest.dropFirst(taken.count)
                if waiting.count == chunkCount {
                    seal(waiting[...], into: &out)
                    waiting.removeAll(keepingCapacity: true)
                }
            }
            while rest.count >= chunkCount {
                seal(rest.prefix(chunkCount), into: &out)
                rest = rest.dropFirst(chunkCount)
            }
            waiting += rest
        }

        /// Appends the last chunk.
        package consuming func finish(into out: inout [UInt8]) { seal(waiting[...], into: &out) }

        private mutating func seal(_ chunk: ArraySlice<UInt8>, into out: inout [UInt8]) {
            let start = out.count
            out += [UInt8](repeating: 0, count: chunk.count + AES256GCM.tagCount)
            unsafe chunk.withUnsafeBytes { from in
                unsafe out.withUnsafeMutableBytes { to in
                    unsafe message.seal(from, index, into: UnsafeMutableRawBufferPointer(rebasing: to[start...]))
                }
            }
            index += 1
        }
    }

    /// Opens chunks of one message in any order. The key commitment is checked when it is made.
    package struct Opener: ~Copyable, Sendable {
        private let message: MessageKey
        /// Plaintext bytes of the whole message.
        package let count: Int

        /// - Parameters:
        ///   - prefix: the message's first 56 bytes.
        ///   - sealedCount: its size, from a source the caller trusts or will check by opening the last chunk.
        package init(prefix: [UInt8], sealedCount: Int, key: borrowing SecretBytes, context: [UInt8]) throws(Fault) {
            guard prefix.count == prefixCount, let count = plaintextCount(sealedCount) else { throw CobblestoneFault.truncated.fault }
            guard key.count == keyCount else { throw CobblestoneFault.commitment.fault }
            let message = MessageKey(key, salt: Array(prefix[0..<saltCount]), context: context)
            guard constantTimeEqual(Array(prefix[saltCount...]), message.commitment) else { throw CobblestoneFault.commitment.fault }
            self.message = message
            self.count = count
        }

        package var chunks: Int { count / chunkCount + 1 }

        /// Where chunk `index` lies in the message.
        package func range(ofChunk index: Int) -> Range<Int> {
            let start = prefixCount + index * strideCount
            return start..<start + min(chunkCount, count - index * chunkCount) + AES256GCM.tagCount
        }

        /// Opens consecutive chunks. `sealed` holds exactly the bytes of chunks `first`, `first + 1` and so on.
        package func open(_ sealed: ArraySlice<UInt8>, from first: Int) throws(Fault) -> [UInt8] {
            let number = (sealed.count + strideCount - 1) / strideCount
            guard first >= 0, number > 0, first + number <= chunks, range(ofChunk: first + number - 1).upperBound - range(ofChunk: first).lowerBound == sealed.count
            else { throw CobblestoneFault.truncated.fault }
            var failed: UInt64?
            let count = sealed.count - number * AES256GCM.tagCount
            let out = unsafe [UInt8](unsafeUninitializedCapacity: count) { out, filled in
                unsafe sealed.withUnsafeBytes { sealed in
                    let out = unsafe UnsafeMutableRawBufferPointer(start: out.baseAddress, count: count)
                    for i in 0..<number {
                        let from = unsafe UnsafeRawBufferPointer(rebasing: sealed[i * strideCount..<min((i + 1) * strideCount, sealed.count)])
                        let to = unsafe UnsafeMutableRawBufferPointer(rebasing: out[i * chunkCount..<i * chunkCount + from.count - AES256GCM.tagCount])
                        guard unsafe message.open(from, UInt64(first + i), into: to) else {
                            failed = UInt64(first + i)
                            return
                        }
                    }
                    filled = count
                }
            }
            if let failed { throw CobblestoneFault.chunk(failed).fault }
            return out
        }
    }
}
